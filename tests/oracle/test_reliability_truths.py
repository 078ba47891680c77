"""Scenarios of elements against published and exactly computed values (tests/oracle/truths, ids in brackets).

Hours in the formulas. Each check names the half-width it requires; each has a negative control, a broken model that the
same check refutes.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from agreement import check, mean_of, ratio_of, refute, share_of
from elements import H, down_at_end, histories, scenario, tables, trials

TRUTHS = Path(__file__).parent / "truths"
FORMS = json.loads((TRUTHS / "closed_form.json").read_text())
CHAINS = json.loads((TRUTHS / "ctmc_reference.json").read_text())


def exp(mean):
    return {"exponential": {"mean": mean}}


def one(fails, repair, **more):
    return {"unit": {"fails": fails, "repair": repair, **more}}


ALL_UNITS = {"service": {"all": ["unit"]}}


class TestOneUnit:
    """C01: rate of failure 0.001, of repair 0.25 per hour."""

    def test_year(self):
        rows = trials(scenario("1y", elements=one("1000h", exp("4h")), systems=ALL_UNITS), 4000)
        # mean of A(t) over [0, T] from new, failures = lambda x time up
        g, u, horizon = 0.251, 0.001 / 0.251, 8760.0
        availability = 1.0 - u * (1.0 - -math.expm1(-g * horizon) / (g * horizon))
        check(mean_of(rows["availability_time"], availability), 2e-4)
        check(mean_of(rows["faults"], 0.001 * horizon * availability), 0.25)
        assert abs(np.std(rows["availability_time"]) / FORMS["C01v"]["sd"] - 1) < 0.1

    def test_point_and_month(self):
        assert_down = down_at_end(scenario("10h", elements=one("1000h", exp("4h")), systems=ALL_UNITS), 100_000)
        check(share_of(int(assert_down.sum()), 100_000, 1 - FORMS["C01"]["A_t10"]), 1e-3)
        rows = trials(scenario("720h", elements=one("1000h", exp("4h")), systems=ALL_UNITS), 20_000)
        check(mean_of(rows["downtime_s"] / H, FORMS["C01d"]["ED"]), 0.2)

    def test_control_repair_mean_taken_as_median(self):
        law = {"lognormal": {"median": "4h", "sigma": 0.7}}  # mean 5.1 h
        rows = trials(scenario("1y", elements=one("1000h", law), systems=ALL_UNITS), 4000)
        refute(mean_of(rows["availability_time"], FORMS["C01"]["A"]), 3e-4)


def k_of_n(**more):
    element = {"count": 5, "fails": "1000h", "repair": exp("10h"), **more}
    return {"elements": {"unit": element}, "systems": {"service": {"all": ["3 of unit"]}}}


class TestKOfN:
    """C02: 3 of 5, 0.001 and 0.1 per hour; rare, so failures x 10, by a chain that gives the truths."""

    @staticmethod
    def unavailability(rate, repair_rates, stops=False):
        """Birth and death chain of the number down: its solution is a product."""
        weights, up = [1.0], 5
        for down in range(5):
            failure = rate * (up - down) if not (stops and down >= 3) else 0.0
            weights.append(weights[-1] * failure / repair_rates(down + 1))
        return sum(weights[3:]) / sum(weights)

    def run(self, scenario_blocks, expected, half_width, verdict=check):
        rows = trials(scenario("20000h", **scenario_blocks), 500)
        verdict(mean_of(1 - rows["availability_time"], expected), half_width)

    def blocks(self, **more):
        found = k_of_n(**more)
        found["elements"]["unit"]["fails"] = "100h"
        return found

    def test_formula_gives_the_truth(self):
        assert self.unavailability(1e-3, lambda k: 0.1 * k) == pytest.approx(FORMS["C02_indep"]["U"], rel=1e-9)
        assert self.unavailability(1e-3, lambda k: 0.1) == pytest.approx(FORMS["C02_one_crew"]["U"], rel=1e-9)
        stopped = self.unavailability(1e-3, lambda k: 0.1, stops=True)
        assert stopped == pytest.approx(FORMS["C02_suspended_one_crew"]["U"], rel=1e-9)

    def test_independent(self):
        self.run(self.blocks(), self.unavailability(1e-2, lambda k: 0.1 * k), 6e-4)

    def test_one_crew(self):
        blocks = self.blocks(crew="people") | {"crews": {"people": {}}}
        self.run(blocks, self.unavailability(1e-2, lambda k: 0.1), 2e-3)

    def test_survivors_stop(self):
        blocks = self.blocks(crew="people", only_while="service") | {"crews": {"people": {}}}
        self.run(blocks, self.unavailability(1e-2, lambda k: 0.1, stops=True), 2e-3)

    def test_mean_outage(self):
        rows = trials(scenario("40000h", **k_of_n(crew="people"), crews={"people": {"order": "random"}}), 8000)
        check(ratio_of(rows["downtime_s"] / H, rows["outages"], FORMS["C02_one_crew"]["mean_down_h"]), 2.0)

    def test_control_crew_of_five(self):
        blocks = self.blocks(crew="people") | {"crews": {"people": {"size": 5}}}
        self.run(blocks, self.unavailability(1e-2, lambda k: 0.1), 2e-3, refute)


class TestCommonCause:
    """C03: 1 of 2, beta 0.1; C05: two regions; B03, B04."""

    @staticmethod
    def pair(**more):
        return {
            "elements": {"unit": {"count": 2, "fails": "1000h", "repair": exp("10h"), **more}},
            "systems": {"service": {"any": ["unit"]}},
        }

    def test_beta_factor(self):
        rows = trials(scenario("20000h", **self.pair(common_cause="10%")), 4000)
        check(mean_of(1 - rows["availability_time"], FORMS["C03"]["U_system"]), 1e-4)
        check(ratio_of(rows["first_outage_h"], rows["first_outage_seen"], FORMS["C03"]["mttf"]), 800)
        assert rows["common_cause_downtime_s"].sum() > 0.5 * rows["downtime_s"].sum()

    def test_shock(self):
        """The same by a shock that takes both: rates (1 - beta) lambda and beta lambda."""
        blocks = self.pair()
        blocks["elements"]["unit"]["fails"] = f"{1000 / 0.9!r}h"
        blocks["common_causes"] = {"shock": {"every": "10000h", "hits": {"unit": "100%"}}}
        rows = trials(scenario("20000h", **blocks), 4000)
        check(mean_of(1 - rows["availability_time"], FORMS["C03"]["U_system"]), 1e-4)

    def test_shock_with_probability_per_element(self):
        """Of two always-up elements each is hit with 30 %: both with 9 %."""
        blocks = {
            "elements": {"unit": {"count": 2, "repair": {"fixed": "1h"}}},
            "systems": {"service": {"any": ["unit"]}},
            "common_causes": {"shock": {"every": {"fixed": "10h"}, "hits": {"unit": "30%"}}},
        }
        rows = trials(scenario("1005h", **blocks), 400)
        check(share_of(int(rows["outages"].sum()), 400 * 100, 0.09), 0.01)

    def test_control_no_common_cause(self):
        rows = trials(scenario("20000h", **self.pair()), 4000)
        refute(mean_of(1 - rows["availability_time"], FORMS["C03"]["U_system"]), 1e-4)

    def test_capacity_of_two_regions(self):
        systems = {"any": {"any": ["unit"], "capacity": {"unit": "100%"}}}
        elements = {"unit": {"count": 2, "fails": "2000h", "repair": exp("4h")}}
        rows = trials(scenario("20000h", elements=elements, systems=systems), 3000)
        check(mean_of(rows["delivered_share"], 0.998003992016), 1e-4)
        refute(mean_of(rows["availability_time"], 0.998003992016), 1e-4)

    def test_three_regions_two_needed(self):
        elements = {"unit": {"count": 3, "fails": "2000h", "repair": exp("4h")}}
        rows = trials(scenario("20000h", elements=elements, systems={"s": {"all": ["2 of unit"]}}), 8000)
        check(mean_of(rows["availability_time"], 0.999988063761), 5e-6)

    def test_five_dependencies_count_once_however_deep(self):
        """B04: 1 - 0.999^5 (rates x 100), one of them two levels deep and reached by two ways."""
        elements = {f"d{i}": {"fails": f"{999 / 6!r}h", "repair": exp("10m")} for i in range(1, 6)}
        systems = {
            "low": {"all": ["d1"]},
            "left": {"all": ["low", "d2"]},
            "right": {"all": ["low", "d3"]},
            "service": {"all": ["left", "right", "d4", "d5"]},
        }
        rows = trials(scenario("20000h", elements=elements, systems=systems), 1000)
        check(mean_of(1 - rows["availability_time"], 1 - 0.999**5), 5e-5)
        refute(mean_of(1 - rows["availability_time"], 1 - 0.999**6), 5e-5)

    def test_soft_dependency(self):
        elements = {"web": {"fails": "99h", "repair": exp("1h")}, "cache": {"fails": "9h", "repair": exp("1h")}}
        systems = {"service": {"all": ["web"], "soft": {"cache": "70%"}}}
        rows = trials(scenario("20000h", elements=elements, systems=systems), 200)
        check(mean_of(rows["delivered_share"], 0.99 * (0.9 + 0.1 * 0.7)), 1e-3)
        check(mean_of(rows["availability_time"], 0.99), 1e-3)


class TestPublishedSums:
    """B05, B06: worked sums; a planned restart."""

    def test_planned_restart(self):
        """Six minutes of each day are away: 6 / 1440, to the second."""
        unit = {"unit": {"maintenance": {"every": "1d", "takes": "6m"}}}
        rows = trials(scenario("100d", elements=unit, systems=ALL_UNITS), 2)
        assert rows["downtime_s"] == pytest.approx([99 * 360.0] * 2)

    def test_two_servers_and_a_restart(self):
        """99.82 % and 99.40 % are sums; products differ by less than the rounding."""
        servers = {n: {"fails": "3y", "repair": {"fixed": "24h"}} for n in ("web", "db")}
        servers["web"]["maintenance"] = {"every": "1d", "takes": "6m"}
        rows = trials(scenario("30y", elements=servers, systems={"s": {"all": ["web", "db"]}}), 80)
        check(mean_of(rows["availability_time"], (1 - 1 / 1096) ** 2 * (1 - 6 / 1440)), 4e-4)
        refute(mean_of(rows["availability_time"], (1 - 1 / 1096) ** 2), 4e-4)

    def test_eucalyptus_host(self):
        elements = {"hw": {"fails": "8760h", "repair": exp("100m")}, "os": {"fails": "2893h", "repair": exp("15m")}}
        elements |= {"module": {"count": 4, "fails": "788.4h", "repair": exp("1h")}}
        parts = ["hw", "os", "module"]
        rows = trials(scenario("20000h", elements=elements, systems={"host": {"all": parts}}), 1500)
        check(mean_of(rows["availability_time"], 0.994667265574), 1e-4)
        check(ratio_of(rows["first_outage_h"], rows["first_outage_seen"], 180.721239671), 25)
        no_modules = trials(scenario("20000h", elements=elements, systems={"host": {"all": ["hw", "os"]}}), 1500)
        refute(mean_of(no_modules["availability_time"], 0.994667265574), 1e-4)

    def test_virtualised_server_inputs(self):
        """B07: ageing in two Erlang stages with rejuvenation; without rejuvenation it is aged more often."""
        vm = {
            "fails": "2893h",
            "repair": exp("30m"),
            "ageing": {
                "onset": {"gamma": {"mean": "7d", "shape": 2}},
                "fails": {"gamma": {"mean": "3d", "shape": 2}},
                "repair": exp("35m"),
            },
        }
        young = {**vm, "maintenance": {"every": "1d", "takes": "1m", "renews": True}}
        with_it = tables(scenario("20y", elements={"vm": young}, systems={"s": {"all": ["vm"]}}), 40)
        without = tables(scenario("20y", elements={"vm": vm}, systems={"s": {"all": ["vm"]}}), 40)

        def aged(found):
            kinds = found["fault_kinds"]
            return kinds["occurrences"][kinds["fault"] == "vm (ageing)"]

        # Renewal reward: a cycle ends by ageing with the probability that Erlang onset and failure come before the
        # exponential one (Laplace transforms at its rate), and lasts (1 - that) / rate.
        rate = 1 / 2893
        by_ageing = (1 + rate * 84) ** -2 * (1 + rate * 36) ** -2
        cycle_h = (1 - by_ageing) / rate + (35 * by_ageing + 30 * (1 - by_ageing)) / 60
        check(mean_of(aged(without) / 20, by_ageing * 8760 / cycle_h), 0.8)
        refute(mean_of(aged(with_it) / 20, by_ageing * 8760 / cycle_h), 0.8)


class TestDistributions:
    """C15 (Takacs) and C16 (alternating renewal, not exponential)."""

    def test_downtime_of_a_month(self):
        rows = trials(scenario("720h", elements=one("720h", exp("4h")), systems=ALL_UNITS), 40_000)
        hours = rows["downtime_s"] / H
        for limit, prob in ((1e-12, math.exp(-1)), (0.72, 0.431543376468), (7.2, 0.794359441825), (24, 0.989367489785)):
            check(share_of(int((hours <= limit).sum()), len(hours), prob), 0.011)
        check(mean_of(hours, 3.95592320137), 0.15)

    def test_constant_repairs(self):
        rows = trials(scenario("720h", elements=one("240h", {"fixed": "1.5h"}), systems=ALL_UNITS), 40_000)
        hours = rows["downtime_s"] / H
        check(share_of(int((hours <= 1.4999999).sum()), len(hours), 0.050099212), 0.006)
        check(share_of(int((hours <= 9.0000001).sum()), len(hours), 0.96834652331), 0.006)

    RENEWAL = one({"weibull": {"mean": "100h", "shape": 0.7}}, {"lognormal": {"median": "1h", "sigma": 1.4}})

    def test_decreasing_hazard(self):
        for horizon, availability, failures, half in (
            ("10h", 0.95920590, 0.2347860, 0.003),
            ("100h", 0.9706828, 1.3531376, 0.01),
        ):
            s = scenario(horizon, elements=self.RENEWAL, systems=ALL_UNITS)
            found = histories(s, 100_000)
            check(mean_of(found.last_values[:, 0], availability), half)
            check(mean_of(trials(s, 100_000)["faults"], failures), 0.05)

    def test_control_exponential_of_the_same_means(self):
        laws = one("100h", exp(f"{math.exp(0.98)!r}h"))
        found = histories(scenario("10h", elements=laws, systems=ALL_UNITS), 100_000)
        refute(mean_of(found.last_values[:, 0], 0.95920590), 0.003)


class TestCluster:
    """A01x: the workstation cluster, failure rates x 50; its repairman is called by each kind that is broken."""

    @staticmethod
    def cluster(horizon, size=1):
        elements = {}
        for side in ("left", "right"):
            elements[f"{side}-ws"] = {"count": 2, "fails": "10h", "repair": exp("30m"), "crew": "repairman"}
            elements[f"{side}-switch"] = {"fails": "80h", "repair": exp("4h"), "crew": "repairman"}
        elements["backbone"] = {"fails": "100h", "repair": exp("8h"), "crew": "repairman"}
        systems = {
            "left": {"all": ["1 of left-ws", "left-switch"]},
            "right": {"all": ["1 of right-ws", "right-switch"]},
            "some": {"at_least": 1, "of": ["left-ws", "right-ws"]},
            "joined": {"all": ["some", "left-switch", "right-switch", "backbone"]},
            "minimum": {"any": ["left", "right", "joined"]},
        }
        crew = {"size": size, "order": "called", "call": exp("6m")}
        return scenario(horizon, elements=elements, systems=systems, crews={"repairman": crew})

    TRUTH = CHAINS["A01x_cluster_N2_failures_x50"]

    def test_hundred_hours(self):
        rows = trials(self.cluster("100h"), 20_000)
        check(mean_of(rows["downtime_s"] / H, self.TRUTH["time_below_min_0_100"]), 0.2)
        check(share_of(int((rows["no_outage"] == 0).sum()), 20_000, self.TRUTH["P_below_min_by_100"]), 0.015)
        check(mean_of(rows["repairs"], self.TRUTH["repairs_0_100"]), 0.2)

    def test_long_run(self):
        found = tables(self.cluster("10000h"), 200)
        rows = found["trials"]
        check(mean_of(rows["availability_time"], self.TRUTH["minimum_steady"]), 0.003)
        check(ratio_of(rows["downtime_s"] / H, rows["outages"], self.TRUTH["mean_sojourn_below_min_h"]), 0.3)
        stations = np.char.endswith(found["elements"]["element"].astype(str), "ws")
        up = found["elements"]["up_share"][stations].reshape(200, 2).mean(axis=1)
        check(mean_of(100 * up, self.TRUTH["percent_op_steady"]), 0.6)

    def test_control_two_repairmen(self):
        rows = trials(self.cluster("100h", size=2), 20_000)
        refute(mean_of(rows["downtime_s"] / H, self.TRUTH["time_below_min_0_100"]), 0.2)


class TestPolling:
    """A10: the cyclic polling server is a patrolling repairman."""

    @staticmethod
    def stations(look):
        elements = {f"s{i}": {"fails": "3h", "repair": exp("1h"), "crew": "server"} for i in (1, 2, 3)}
        crews = {"server": {"order": "patrol", "look": exp(look)}}
        return scenario("16h", elements=elements, systems={"s": {"all": ["s1"]}}, crews=crews)

    def test_waiting(self):
        rows = trials(self.stations("18s"), 10_000)  # 200 per hour
        # The published figure is of waiting; an element is down while it is served, too.
        assert self.full_hours(1 / 200, served=False) == pytest.approx(
            CHAINS["A10_polling_N3"]["waiting_0_16"], rel=1e-8
        )
        check(mean_of(rows["downtime_s"] / H, self.full_hours(1 / 200)), 0.12)

    def test_control_slow_server(self):
        rows = trials(self.stations("20m"), 10_000)
        refute(mean_of(rows["downtime_s"] / H, self.full_hours(1 / 200)), 0.12)

    @staticmethod
    def full_hours(look_h, *, served=True):
        """Hours in [0, 16] in which station 1 is full, by the chain (station at the server, serving, who is full)."""
        from scipy.sparse import csr_matrix
        from scipy.sparse.linalg import expm_multiply

        states = [
            (at, busy, full) for at in range(3) for busy in (0, 1) for full in range(8) if not busy or full >> at & 1
        ]
        place = {state: i for i, state in enumerate(states)}
        q = np.zeros((len(states) + 1, len(states) + 1))

        def go(a, b, rate):
            q[place[a], place[b]] += rate
            q[place[a], place[a]] -= rate

        for state in states:
            at, busy, full = state
            for k in range(3):
                if not full >> k & 1:
                    go(state, (at, busy, full | 1 << k), 1 / 3)
            if busy:
                go(state, ((at + 1) % 3, 0, full & ~(1 << at)), 1.0)
            else:
                go(state, (at, 1, full) if full >> at & 1 else ((at + 1) % 3, 0, full), 1 / look_h)
            serves_it = busy and at == 0
            q[place[state], -1] = full & 1 and (served or not serves_it)  # the last column integrates
        start = np.zeros(len(states) + 1)
        start[place[0, 0, 0]] = 1.0
        return float((expm_multiply(csr_matrix(q).T * 16.0, start))[-1])


class TestSparesAndStorage:
    """A12: a cold spare (series and 3-of-5 parts of HECS, rates x 1000); A13: a mirror that is lost for ever."""

    def test_hecs(self):
        """P(failed by 1 h) with all rates x 1000: the same formulas at t = 1000 h."""
        elements = {
            "cpu": {"count": 3, "fails": "10h"},
            "memory": {"count": 5, "fails": f"{1 / 0.06!r}h"},
            "bus": {"count": 2, "fails": "1000h"},
            "hardware": {"fails": "20h"},
            "software": {"fails": f"{1 / 0.06!r}h"},
        }
        systems = {"hecs": {"all": ["1 of cpu", "3 of memory", "1 of bus", "hardware", "software"]}}
        standby = {"processors": {"of": ["cpu"], "active": 2, "dormant": "0%"}}

        def failed(t):
            """Two at work until one fails (rate 2 a), the spare joins (2 a), then one alone (a)."""
            a = 0.1
            alive = math.exp(-2 * a * t) * (1 + 2 * a * t) + 4 * (math.exp(-a * t) - math.exp(-2 * a * t) * (1 + a * t))
            up = math.exp(-0.06 * t)
            memory = sum(math.comb(5, k) * up**k * (1 - up) ** (5 - k) for k in (3, 4, 5))
            bus = 1 - (1 - math.exp(-0.001 * t)) ** 2
            return 1 - alive * memory * bus * math.exp(-0.05 * t) * math.exp(-0.06 * t)

        rows = trials(scenario("2h", elements=elements, systems=systems, standby=standby), 40_000)
        check(share_of(int((rows["no_outage"] == 0).sum()), 40_000, failed(2.0)), 0.01)
        hot = {"processors": {"of": ["cpu"], "active": 1, "dormant": "100%"}}
        worse = {"s": {"all": ["1 of cpu"]}}
        cold_rows = trials(scenario("20h", elements=elements, systems=worse, standby=standby), 20_000)
        hot_rows = trials(scenario("20h", elements=elements, systems=worse, standby=hot), 20_000)
        t, a = 20.0, 0.1
        cold = 1 - (
            math.exp(-2 * a * t) * (1 + 2 * a * t) + 4 * (math.exp(-a * t) - math.exp(-2 * a * t) * (1 + a * t))
        )
        check(share_of(int((cold_rows["no_outage"] == 0).sum()), 20_000, cold), 0.02)
        refute(share_of(int((hot_rows["no_outage"] == 0).sum()), 20_000, cold), 0.02)
        check(share_of(int((hot_rows["no_outage"] == 0).sum()), 20_000, (1 - math.exp(-2)) ** 3), 0.02)

    def test_mirror(self):
        """A13, mirror of 2 rebuilt at 52.14 a year; failures x 10, by its chain of three states."""
        elements = {"disk": {"count": 2, "fails": "2y", "repair": exp("7d"), "only_while": "data"}}
        # No rebuild after loss: the first loss is what counts.
        rows = trials(scenario("1y", elements=elements, systems={"data": {"any": ["disk"]}}), 40_000)
        f, r = 0.5, 365 / 7
        q = np.array([[-2 * f, 2 * f, 0], [r, -r - f, f], [0, 0, 0]])
        from scipy.linalg import expm

        check(share_of(int((rows["no_outage"] == 0).sum()), 40_000, expm(q)[0, 2]), 0.003)

    def test_switch_over_that_fails(self):
        """One hot spare, success c: it is down at once with probability 1 - c, from when the first fails."""
        elements = {"db": {"count": 2, "fails": "100h"}}
        standby = {"pair": {"of": ["db"], "dormant": "0%", "success": "90%"}}
        s = scenario("100h", elements=elements, systems={"s": {"any": ["db"]}}, standby=standby)
        # P(down by t) = (1 - c) P(first failed) + c P(both failed one after the other)
        expected = 0.1 * (1 - math.exp(-1)) + 0.9 * (1 - 2 * math.exp(-1))
        check(share_of(int((trials(s, 40_000)["no_outage"] == 0).sum()), 40_000, expected), 0.01)
        refute(share_of(int((trials(s, 40_000)["no_outage"] == 0).sum()), 40_000, 1 - 2 * math.exp(-1)), 0.01)
