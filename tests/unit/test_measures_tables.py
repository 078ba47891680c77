"""The tables of one trial against numbers worked out by hand: availability, months, cost, E01's working hours."""

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hand_made_record import DAY, DOCUMENT, HOUR, above, below, fault, pool, record, repair, scenario, step, totals

from sim.measures import concatenate, measure_trial
from sim.measures.cost import credit_share, lost_hours
from sim.measures.tables import COLUMNS
from sim.traffic.gears import Shift
from sim.world.log import Kind, Record

SLOW = "irm-slow#0@north/irm"


def two_hour_outage() -> list[Record]:
    """Two hours at 10 requests a second, half of them lost: 36 000 requests, 1000 lost worker-hours."""
    return [
        fault(DAY, SLOW, "north/irm"),
        below(DAY, totals(10 * DAY)),
        step(DAY + 600, Kind.DETECTED),
        pool(DAY + 60, Kind.POOL_FAILED, "north/web"),
        repair(DAY + 2 * HOUR, SLOW),
        pool(DAY + 2 * HOUR, Kind.POOL_RECOVERED, "north/web"),
        above(DAY + 2 * HOUR, totals(10 * DAY + 72_000, 10 * DAY + 36_000)),
    ]


END = [totals(100 * DAY, 100 * DAY - 36_000)]


def test_one_outage_from_end_to_end() -> None:
    """36 000 lost requests / 36 per worker-hour = 1000 h; x 50 % dependence x 80 % not deferrable = 400 h.

    Refocus: 1000 workers are active (10 requests a second / 36 an hour), 6 minutes each = 100 h. 500 h x 50 EUR.
    """
    tables = measure_trial(record(two_hour_outage(), END), scenario())
    outage = {name: values[0] for name, values in tables["outages"].items()}
    assert outage["duration_s"] == 7200
    assert outage["detected_s"] == DAY + 600
    assert outage["detection_s"] == 600
    assert math.isnan(outage["drain_s"])
    assert (outage["cause"], outage["cause_level"]) == ("irm-slow", "dependency")
    assert outage["lost_requests"] == 36_000
    assert outage["lost_hours"] == pytest.approx(500, rel=1e-12)
    assert outage["cost"] == pytest.approx(25_000, rel=1e-12)
    assert (outage["cascade_size"], outage["cascade_depth"], outage["cross_region"]) == (1, 1, 0)
    trial = {name: values[0] for name, values in tables["trials"].items()}
    assert trial["availability_time"] == pytest.approx(1 - 2 / 240, rel=1e-14)
    assert trial["availability_requests"] == pytest.approx(1 - 36_000 / (100 * DAY), rel=1e-14)
    assert trial["downtime_s"] == 7200
    assert trial["lost_hours"] == pytest.approx(500, rel=1e-9)
    assert trial["productivity_cost"] == pytest.approx(25_000, rel=1e-9)
    assert (trial["outages"], trial["faults"], trial["cascades"], trial["cascade_any"]) == (1, 1, 1, 1)
    assert (trial["cross_region_cascades"], trial["cross_region_cascade_any"]) == (0, 0)
    assert (trial["rto_checked"], trial["rto_met"]) == (1, 0)
    assert trial["common_cause_downtime_s"] == 0


def test_months_and_credits() -> None:
    """99.17 % by time is below 99.9 % but not below 99 %: 10 % of the fee, of which 10 of 31 days are at stake."""
    tables = measure_trial(record(two_hour_outage(), END), scenario())
    assert tables["months"]["met"].tolist() == [0]
    assert tables["months"]["credit"][0] == pytest.approx(31_000 * 0.10 * 10 / 31)
    assert tables["trials"]["sla_credit"][0] == pytest.approx(1000)
    assert (tables["trials"]["months"][0], tables["trials"]["months_met"][0]) == (1, 0)


def test_downtime_is_counted_in_the_month_in_which_it_happens() -> None:
    starts = np.array([0.0, 5 * DAY])
    log = record([below(5 * DAY - 600), above(5 * DAY + 300)], month_start_s=starts)
    log.start = datetime(2026, 1, 27, tzinfo=UTC)
    months = measure_trial(log, scenario())["months"]
    assert months["availability_time"] == pytest.approx([1 - 600 / (5 * DAY), 1 - 300 / (5 * DAY)], rel=1e-12)
    assert months["met"].tolist() == [0, 1]
    assert months["credit"] == pytest.approx([31_000 * 0.10 * 5 / 31, 0.0])


def test_the_largest_credit_that_applies_is_paid() -> None:
    sla = scenario().objectives.sla
    assert sla is not None
    assert [credit_share(a, sla) for a in (1.0, 0.999, 0.9989, 0.99, 0.9899, 0.0)] == [0, 0, 0.10, 0.10, 0.25, 0.25]


def test_an_objective_by_requests_is_held_against_requests() -> None:
    by_requests = scenario(objectives={"availability": {"target": "99.5%", "measured": "requests"}})
    months = measure_trial(record(two_hour_outage(), END), by_requests)["months"]
    assert months["availability_requests"][0] == pytest.approx(1 - 36_000 / (100 * DAY))  # 99.58 %; by time 99.17 %
    assert months["met"].tolist() == [1]


def test_infrastructure() -> None:
    """100 node-hours x 2 + 10 irm pod-hours x 3 + 500 answers of the provider x 0.02."""
    log = record([], [totals(1000, by_provider=500.0)])
    log.node_hours, log.pod_hours = {"north": 60.0, "south": 40.0}, {"irm": 10.0, "web": 99.0}
    paid = scenario(failover={"policy": "provider", "provider": {"price": "0.02 EUR/request"}})
    trial = {name: values[0] for name, values in measure_trial(log, paid)["trials"].items()}
    assert (trial["node_cost"], trial["pod_cost"], trial["provider_cost"]) == (200, 30, 10)
    assert trial["infrastructure_cost"] == 240
    assert trial["total_cost"] == pytest.approx(240 + trial["productivity_cost"] + trial["sla_credit"])


def test_nothing_happens() -> None:
    tables = measure_trial(record([]), scenario())
    trial = {name: values[0] for name, values in tables["trials"].items()}
    assert trial["availability_time"] == 1
    assert trial["availability_requests"] == 1
    zero = (
        "downtime_s",
        "outages",
        "faults",
        "cascades",
        "lost_hours",
        "productivity_cost",
        "sla_credit",
        "rto_checked",
    )
    assert [trial[name] for name in zero] == [0] * len(zero)
    assert len(tables["outages"]["start_s"]) == len(tables["disturbances"]["start_s"]) == 0
    assert tables["fault_kinds"]["fault"].tolist() == ["pod-crash", "irm-slow", "region-loss"]
    assert tables["fault_kinds"]["occurrences"].tolist() == [0, 0, 0]


def test_requests_answered_late_never_give_negative_losses() -> None:
    log = record([], [totals(1000.0, 1000.5, 1000.5)])
    trial = {name: values[0] for name, values in measure_trial(log, scenario())["trials"].items()}
    assert trial["lost_hours"] == 0
    assert trial["availability_requests"] == 1


def test_answers_of_lesser_quality_lose_work_but_no_requests() -> None:
    log = record([below(0), above(HOUR, totals(36_000, 36_000, 28_800))], [totals(36_000, 36_000, 28_800)])
    outages = measure_trial(log, scenario())["outages"]
    assert outages["lost_requests"][0] == 0
    assert outages["lost_hours"][0] == pytest.approx(7200 / 36 * 0.4)


def test_no_more_workers_are_interrupted_than_requests_are_lost() -> None:
    """100 s at 10 requests a second, 600 lost: 600 of the 1000 active workers lose 6 minutes, and 600 / 36 x 0.4 h."""
    log = record([below(0), above(100, totals(1000, 400))], [totals(1000, 400)])
    assert measure_trial(log, scenario())["outages"]["lost_hours"][0] == pytest.approx(60 + 600 / 36 * 0.4)


def test_populations_are_weighted_by_their_requests() -> None:
    populations = DOCUMENT["populations"] | {"few": DOCUMENT["populations"]["staff"]}
    both = scenario(populations=populations)
    log = [below(0, population="few"), above(DAY, population="few")]
    small = record(log, [totals(900.0), totals(100.0)], populations=("staff", "few"))
    assert measure_trial(small, both)["trials"]["availability_time"][0] == pytest.approx(1 - 0.1 * 0.1)
    silent = record(log, [totals(0.0), totals(0.0)], populations=("staff", "few"))
    trial = measure_trial(silent, both)["trials"]
    assert trial["availability_time"][0] == pytest.approx(1 - 0.5 * 0.1)
    assert math.isnan(trial["availability_requests"][0])


def test_common_cause_downtime_is_that_of_outages_with_such_a_fault() -> None:
    twins = ["irm-slow#0@north/irm", "irm-slow#0@south/irm"]
    log = record(
        [
            fault(0, twins[0]),
            fault(0, twins[1], together=twins[0]),
            below(10),
            above(1010),
            *(repair(1010, label) for label in twins),
            below(5000),
            above(5100),
        ]
    )
    trial = measure_trial(log, scenario())["trials"]
    assert trial["downtime_s"][0] == pytest.approx(1100)
    assert trial["common_cause_downtime_s"][0] == pytest.approx(1000)


def sweden_central(zone: str) -> float:
    """Lost worker-hours of E01 (27 Jan 2026, 09:00 to 16:12 UTC, all requests lost) per worker in this time zone.

    One worker with one request an hour is at work from 9 to 17 local time; the totals are counted minute by minute.
    """
    local = ZoneInfo(zone)
    midnight = datetime(2026, 1, 27, tzinfo=UTC)
    offered = np.zeros(24 * 60 + 1)
    for minute in range(24 * 60):
        at = datetime.fromtimestamp(midnight.timestamp() + 60 * minute, local)
        offered[minute + 1] = offered[minute] + (1 / 60 if 9 <= at.hour < 17 else 0.0)
    start, end = 9 * 60, 16 * 60 + 12
    lost = offered[end] - offered[start]
    one = {"workers": 1, "timezone": zone, "requests": "1/h", "journey": "web", "deadline": "2s", "home": "north"}
    log = record(
        [below(60.0 * start, totals(offered[start])), above(60.0 * end, totals(offered[end], offered[start]))],
        [totals(offered[-1], offered[-1] - lost)],
        start=midnight,
        horizon_s=DAY,
    )
    return float(measure_trial(log, scenario(populations={"staff": one}))["trials"]["lost_hours"][0])


def test_e01_costs_seven_working_hours_in_sweden() -> None:
    assert sweden_central("Europe/Stockholm") == pytest.approx(7.0, abs=1e-9)  # of 7.2 h of outage


def test_e01_negative_control_another_time_zone_loses_other_hours() -> None:
    assert sweden_central("UTC") == pytest.approx(7.2, abs=1e-9)  # 09:00 to 16:12, all of it at work
    assert sweden_central("America/Los_Angeles") == pytest.approx(0.0, abs=1e-9)  # 01:00 to 08:12


def test_c26_yearly_cost_of_lost_productivity() -> None:
    """U = 0.001 of the 40 of 168 working hours, 10 000 people, 30 % loss, 60 EUR an hour."""
    people = {"workers": 10_000, "requests": "1/h", "journey": "web", "deadline": "2s", "home": "north"}
    population = scenario(populations={"staff": people | {"cost": "60 EUR/h", "dependence": "30%"}}).populations[
        "staff"
    ]
    working_hours = 365 * 24 * 40 / 168
    lost_requests = 0.001 * 10_000 * working_hours
    assert lost_hours(lost_requests, population) * population.cost == pytest.approx(375_428.571429, rel=1e-11)


def test_every_table_has_the_columns_of_the_contract_and_joins() -> None:
    one, other = measure_trial(record([]), scenario()), measure_trial(record(two_hour_outage(), END), scenario())
    joined = concatenate([one, other, one])
    for name, columns in COLUMNS.items():
        assert list(joined[name]) == list(columns)
        assert {np.dtype(kind) for kind in columns.values()} >= {values.dtype for values in joined[name].values()}
        assert len({len(values) for values in joined[name].values()}) == 1
    assert joined["trials"]["outages"].tolist() == [0, 1, 0]
    assert joined["outages"]["architecture"].tolist() == ["pair"]
    with pytest.raises(ValueError, match="nothing to join"):
        concatenate([])


def test_a_trial_without_populations_is_refused() -> None:
    with pytest.raises(ValueError, match="nobody"):
        measure_trial(record([], [totals()], populations=()), scenario())


def test_a_spent_budget_of_single_requests_is_noted() -> None:
    """Only that shift of gears counts: the others are no loss of accuracy."""
    for why in Shift:
        shift = Record(at_s=DAY, kind=Kind.GEAR, what=why.value)
        trials = measure_trial(record([shift], [totals(100 * DAY)]), scenario())["trials"]
        assert trials["noise_budget_spent"][0] == (why is Shift.BUDGET)
