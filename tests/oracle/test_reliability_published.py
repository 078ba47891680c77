"""More published values in the reliability-only mode (tests/oracle/truths, ids in brackets).

Each check names the half-width it requires; each has a negative control that the same check refutes. Hours.
"""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from agreement import check, mean_of, refute, share_of
from elements import H, scenario, trials
from embedded import CAUSES, REWARDS, embedded

from sim.reliability.trials import first_passages, run_trials

CHAINS = json.loads((Path(__file__).parent / "truths" / "ctmc_reference.json").read_text())


class TestEmbedded:
    """A05: the causes of being down, and the time until then, by first passages."""

    TRUTH = CHAINS["A05_embedded_MC2"]
    N = 40_000
    N_SHORT = 200_000

    @staticmethod
    @cache
    def passages(max_count=2):
        """(first passages into `down`, labels)."""
        machine = embedded(max_count)
        labels = machine.names.labels
        found = first_passages(machine.compile(), np.arange(TestEmbedded.N), REWARDS.index("down"), len(labels))
        return found, labels

    @pytest.mark.parametrize("label", CAUSES)
    def test_cause(self, label):
        found, labels = self.passages()
        hits = int((found.cause == labels.index(label)).sum())
        check(share_of(hits, self.N, self.TRUTH[CAUSES[label]]), 0.01)

    def test_every_passage_has_one_of_the_causes(self):
        found, labels = self.passages()
        assert set(np.unique(found.cause)) == {labels.index(label) for label in CAUSES}
        assert sum(self.TRUTH[name] for name in CAUSES.values()) == pytest.approx(1, abs=1e-12)

    def test_hours_before_down(self):
        found, _ = self.passages()
        check(mean_of(found.rewards[:, REWARDS.index("up")], self.TRUTH["E_up_h_before_down"]), 8.0)
        check(mean_of(found.rewards[:, REWARDS.index("danger")], self.TRUTH["E_danger_h_before_down"]), 0.01)

    def test_twelve_hours(self):
        machine = embedded()
        found = run_trials(machine.compile(), np.arange(self.N_SHORT), 12.0, len(machine.names.labels))
        down_h, _, danger_h = found.rewards.T
        check(share_of(int((down_h > 0).sum()), self.N_SHORT, self.TRUTH["P_down_by_12h"]), 1e-3)
        check(mean_of(down_h, self.TRUTH["down_h_0_12h"]), 5e-3)
        check(mean_of(danger_h, self.TRUTH["danger_h_0_12h"]), 5e-4)

    def test_actuators_are_the_cause_within_twelve_hours(self):
        """6.84e-5 (truths/README.md); the published property of that name counts the sensors instead."""
        machine = embedded()
        labels, n = machine.names.labels, 1_000_000
        found = first_passages(machine.compile(), np.arange(n), REWARDS.index("down"), len(labels), horizon=12.0)
        by = {label: int((found.cause == labels.index(label)).sum()) for label in CAUSES}
        check(share_of(by["actuator"], n, 6.84422644e-5), 5e-5)
        check(share_of(sum(by.values()), n, self.TRUTH["P_down_by_12h"]), 5e-4)
        assert (found.time[found.cause == -1] == 12.0).all()
        refute(share_of(by["sensor"], n, 6.84422644e-5), 5e-5)

    def test_control_one_more_skip_is_borne(self):
        found, labels = self.passages(max_count=3)
        hits = int((found.cause == labels.index("timer")).sum())
        refute(share_of(hits, self.N, self.TRUTH["P_fail_io"]), 0.01)
        refute(mean_of(found.rewards[:, REWARDS.index("up")], self.TRUTH["E_up_h_before_down"]), 8.0)


class TestHecsCopies:
    """A12: two copies both needed, three copies two needed; rates x 1000, and the same formula at the published."""

    N = 40_000

    @staticmethod
    def failed_prob(t_h, *, hardware=True):
        """One copy has failed by `t_h`, at the published rates; `hardware` and software may be left out."""
        at = 1e-4 * t_h
        # two at work until one fails and the cold spare joins, two again, then one alone
        processors = math.exp(-2 * at) * (1 + 2 * at) + 4 * (math.exp(-at) - math.exp(-2 * at) * (1 + at))
        lost = -math.expm1(-6e-5 * t_h)
        memory = sum(math.comb(5, k) * lost**k * (1 - lost) ** (5 - k) for k in range(3))
        bus = 1 - math.expm1(-1e-6 * t_h) ** 2
        return 1 - processors * memory * bus * math.exp(-11e-5 * t_h if hardware else 0.0)

    @staticmethod
    def both(p):
        return 1 - (1 - p) ** 2

    @staticmethod
    def two_of_three(p):
        return p**2 * (3 - 2 * p)

    def copies(self, n, need, *, shared=False):
        """Copies of which `need` are needed; `shared` hardware and software make a broken model of them."""
        elements, systems, standby = {}, {}, {}
        for c in range(n):
            own = "" if shared else f"-{c}"
            elements |= {
                f"cpu-{c}": {"count": 3, "fails": "10h"},
                f"memory-{c}": {"count": 5, "fails": f"{1 / 0.06!r}h"},
                f"bus-{c}": {"count": 2, "fails": "1000h"},
                f"hardware{own}": {"fails": "20h"},
                f"software{own}": {"fails": f"{1 / 0.06!r}h"},
            }
            parts = [f"1 of cpu-{c}", f"3 of memory-{c}", f"1 of bus-{c}", f"hardware{own}", f"software{own}"]
            systems[f"copy-{c}"] = {"all": parts}
            standby[f"processors-{c}"] = {"of": [f"cpu-{c}"], "active": 2, "dormant": "0%"}
        systems["service"] = {"at_least": need, "of": [f"copy-{c}" for c in range(n)]}
        rows = trials(scenario("2h", elements=elements, systems=systems, standby=standby), self.N)
        return int((rows["no_outage"] == 0).sum())

    def test_formula_gives_the_truth(self):
        one = self.failed_prob(1.0)
        assert one == pytest.approx(1.09993954048e-4, rel=1e-9)
        assert self.both(one) == pytest.approx(2.19975809425e-4, rel=1e-9)
        assert self.two_of_three(one) == pytest.approx(3.62933482156e-8, rel=1e-9)

    def test_two_both_needed(self):
        check(share_of(self.copies(2, 2), self.N, self.both(self.failed_prob(2000.0))), 0.011)

    def test_three_two_needed(self):
        check(share_of(self.copies(3, 2), self.N, self.two_of_three(self.failed_prob(2000.0))), 0.011)

    def test_control_shared_hardware(self):
        refute(share_of(self.copies(2, 2, shared=True), self.N, self.both(self.failed_prob(2000.0))), 0.011)
        refute(share_of(self.copies(3, 2, shared=True), self.N, self.two_of_three(self.failed_prob(2000.0))), 0.011)


class TestSpares:
    """B03: independent copies and spares; u = 1e-2 (99 h, 1 h), and the formula at the published u."""

    @staticmethod
    def unavailability(n, spares, u):
        return sum(math.comb(n, k) * u**k * (1 - u) ** (n - k) for k in range(spares + 1, n + 1))

    @staticmethod
    def run(n, spares, n_trials, **more):
        elements = {"copy": {"count": n, "fails": "99h", "repair": {"exponential": {"mean": "1h"}}, **more}}
        systems = {"service": {"all": [f"{n - spares} of copy"]}}
        return trials(scenario("20000h", elements=elements, systems=systems), n_trials)["downtime_s"] / H / 20000

    def test_formula_gives_the_published(self):
        assert self.unavailability(2, 1, 1e-2) == pytest.approx(1e-4, rel=1e-12)
        assert self.unavailability(4, 1, 1e-3) == pytest.approx(5.992003e-6, rel=1e-9)

    def test_two_copies(self):
        check(mean_of(self.run(2, 1, 2000), 1e-4), 8e-6)

    def test_four_with_a_spare(self):
        check(mean_of(self.run(4, 1, 800), self.unavailability(4, 1, 1e-2)), 4e-5)

    def test_control_common_cause(self):
        refute(mean_of(self.run(2, 1, 800, common_cause="10%"), 1e-4), 1e-4)
        refute(mean_of(self.run(4, 1, 400), 4 * 1e-4), 8e-5)  # C(4, 1) instead of C(4, 2)
