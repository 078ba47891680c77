"""What holds for the measures of every log: partitions, bounds, names that do not matter."""

import itertools
import math
from dataclasses import astuple, replace

import numpy as np
from hand_made_record import above, below, fault, pool, record, repair, scenario, step, totals
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.measures import measure_trial
from sim.measures.outages import outages_of, stretches_below, time_below_s
from sim.measures.recovery import phases_of
from sim.world.log import Kind, Record, TrialRecord

HORIZON = 864_000.0
times = st.lists(st.integers(0, int(HORIZON)), unique=True, max_size=20).map(sorted)


def alternating(at: list[int], population: str = "staff") -> list[Record]:
    """Turn times into stretches below; an odd last one stays open. Half of 10 requests a second is lost below."""
    log, good, previous = [], 0.0, 0
    for i, t in enumerate(at):
        good += (t - previous) * (5.0 if i % 2 else 10.0)
        previous = t
        log.append((above if i % 2 else below)(float(t), totals(10.0 * t, good), population))
    return log


def at_end(at: list[int]) -> tuple:
    edges = [0, *at, int(HORIZON)]
    good = sum((b - a) * (5.0 if i % 2 else 10.0) for i, (a, b) in enumerate(itertools.pairwise(edges)))
    return totals(10.0 * HORIZON, good)


def trial_of(at: list[int]) -> TrialRecord:
    return record(alternating(at), [at_end(at)])


@given(times, st.integers(0, 100_000))
def test_outages_are_long_enough_apart_enough_and_cover_the_long_stretches(at: list[int], for_s: int) -> None:
    stretches = stretches_below(trial_of(at), "staff")
    outages = outages_of(stretches, for_s)
    assert all(outage.duration_s >= for_s for outage in outages)
    assert all(b.start_s - a.end_s >= for_s for a, b in itertools.pairwise(outages))
    for stretch in stretches:
        if stretch.duration_s >= max(for_s, 1):
            assert any(o.start_s <= stretch.start_s and stretch.end_s <= o.end_s for o in outages)
    assert [o.censored for o in outages[:-1]] == [False] * len(outages[:-1])


@given(times)
def test_up_and_down_add_up_to_the_horizon_over_any_months(at: list[int]) -> None:
    log = trial_of(at)
    log.month_start_s = np.array([0.0, 300_000.0, 600_000.0])
    log.month_totals = np.array([log.totals] * 3)
    tables = measure_trial(log, scenario())
    down = tables["trials"]["downtime_s"][0]
    assert math.isclose(tables["trials"]["availability_time"][0] * HORIZON + down, HORIZON, rel_tol=1e-12)
    lengths = np.array([300_000.0, 300_000.0, 264_000.0])
    in_months = float(((1 - tables["months"]["availability_time"]) * lengths).sum())
    assert math.isclose(in_months, down, rel_tol=1e-9, abs_tol=1e-6)
    assert math.isclose(time_below_s(stretches_below(log, "staff")), down, rel_tol=1e-12)


@given(times)
def test_losses_and_costs_are_never_negative_and_shares_stay_shares(at: list[int]) -> None:
    tables = measure_trial(trial_of(at), scenario())
    for name in ("lost_hours", "productivity_cost", "sla_credit", "infrastructure_cost", "total_cost", "downtime_s"):
        assert tables["trials"][name][0] >= 0
    for name in ("availability_time", "availability_requests"):
        assert 0 <= tables["trials"][name][0] <= 1
    assert (tables["outages"]["lost_requests"] >= 0).all()
    assert (tables["outages"]["lost_hours"] >= 0).all()


@given(times, times)
def test_names_of_populations_do_not_matter(one: list[int], other: list[int]) -> None:
    def measured(first: str, second: str) -> dict:
        records = sorted(
            [*alternating(one, first), *alternating(other, second)],
            key=lambda entry: (entry.at_s, entry.population == first),
        )
        people = scenario().populations["staff"]
        both = scenario().model_copy(update={"populations": {first: people, second: people}})
        return measure_trial(record(records, [at_end(one), at_end(other)], populations=(first, second)), both)

    a, b = measured("staff", "few"), measured("zulu", "alpha")
    for name, table in a.items():
        for column, values in table.items():
            if column not in ("population", "example_population"):
                np.testing.assert_array_equal(values, b[name][column], err_msg=f"{name}.{column}")


marks = st.lists(st.floats(0, 2000), min_size=6, max_size=6).map(sorted)


@given(marks, st.floats(0, 2000), st.sampled_from([0.0, 1.0, math.nan]), st.booleans())
@settings(max_examples=300)
def test_phases_are_never_negative_and_sum_to_the_duration_when_complete(
    at: list[float], begin: float, right: float, censored: bool
) -> None:
    start = min(begin, 1999.0)
    (outage,) = stretches_below(record([below(start), above(2000.0)]), "staff")
    outage = replace(outage, censored=censored)
    kinds = (Kind.DETECTED, Kind.ACKNOWLEDGED, Kind.DIAGNOSED, Kind.ACTION, Kind.ACTION_DONE, Kind.CLOSED)
    steps = [step(t, kind, "restart", right) for t, kind in zip(at, kinds, strict=True)]
    phases = astuple(phases_of(outage, steps))
    known = [value for value in phases if not math.isnan(value)]
    assert all(value >= 0 for value in known)
    assert phases[: len(known)] == tuple(known)  # once a part is missing, the rest is too
    if len(known) == len(phases):
        assert math.isclose(math.fsum(known), outage.duration_s, rel_tol=1e-9, abs_tol=1e-9)
        assert not censored
    else:
        assert math.fsum(known) <= outage.duration_s + 1e-9


POOLS = ("north/web", "north/irm", "south/web", "south/irm")
stays = st.tuples(st.sampled_from(POOLS), st.integers(0, 5000), st.integers(1, 3000))


@given(st.lists(stays, max_size=6), st.lists(stays, max_size=6))
def test_cascades_are_counted_once_and_blamed_once(faults: list[tuple], failures: list[tuple]) -> None:
    entries, busy = [], {}
    for k, (name, start, length) in enumerate(faults):
        label = f"irm-slow#{k}@{name}"
        entries += [fault(start, label, name), repair(start + length, label)]
    for name, start, length in sorted(failures, key=lambda stay: stay[1]):
        if start > busy.get(name, -1):
            busy[name] = start + length
            entries += [pool(start, Kind.POOL_FAILED, name), pool(start + length, Kind.POOL_RECOVERED, name)]
    entries.sort(key=lambda entry: entry.at_s)  # stable: a fault stays before its own repair
    tables = measure_trial(record(entries), scenario())
    found, trial = tables["disturbances"], tables["trials"]
    assert (found["start_s"][1:] > found["end_s"][:-1]).all()
    assert math.isclose(tables["fault_kinds"]["cascades"].sum(), trial["cascades"][0], abs_tol=1e-9)
    assert tables["fault_kinds"]["occurrences"].sum() == trial["faults"][0] == len(faults)
    assert (found["size"] <= found["failed"]).all()
    assert ((found["size"] > 0) == (found["cascade"] == 1)).all()
    assert ((found["depth"] > 0) == (found["cascade"] == 1)).all()
    assert (found["cross_region"] <= found["cascade"]).all()
