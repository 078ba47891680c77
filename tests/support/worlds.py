"""Small scenarios for tests of the engine, built in Python, and their event logs as lines of text."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from sim.scenario.schema import (
    Effect,
    Failover,
    Fault,
    LawSpec,
    Model,
    Nodes,
    PodMemory,
    Population,
    Region,
    Repair,
    Scenario,
    Service,
)
from sim.world import Record, TrialRecord, run_trial

START = datetime(2026, 1, 5, tzinfo=UTC)
"""A Monday."""
Line = tuple[float, str]
MEAN_RATES = Model(noise="never")
"""Tests of mean rates do without single requests."""


def at(time_s: float) -> datetime:
    """The moment `time_s` after the start."""
    return START + timedelta(seconds=time_s)


def lasting(time_s: float) -> LawSpec:
    """A fixed duration."""
    return LawSpec(fixed=time_s)


def service(work_s: float = 0.1, *, slots: int = 8, queue: int = 8, **fields: Any) -> Service:
    """A service whose pods have ample room and no memory limit unless given."""
    return Service(work=work_s, slots=slots, queue=queue, **fields)


def memory(base: float = 100.0, per_request: float = 0.0, limit: float = 1000.0, leak: float = 0.0) -> PodMemory:
    """Memory of a pod, MiB."""
    return PodMemory(base=base, per_request=per_request, limit=limit, leak=leak)


def users(rate_per_s: float = 10.0, journey: str = "web", **fields: Any) -> Population:
    """One population with a constant demand, unless a calendar is given."""
    given: dict[str, Any] = {"workers": 1.0, "requests": rate_per_s, "deadline": 5.0, "journey": journey, **fields}
    return Population(**given)


def region(nodes: int = 3, memory_mib: float = 10_000.0, *, zones: int = 3, **fields: Any) -> Region:
    """A region of equal nodes."""
    return Region(zones=zones, nodes=Nodes(count=nodes, memory=memory_mib, **fields))


def fault(target: str, effect: Effect | None = None, *, until: Repair | float | None = None, **cause: Any) -> Fault:
    """A fault: by default `target` goes down; `until` is a duration, a repair, or never (fixed by people only).

    `at_s` gives scheduled starts in seconds.
    """
    if "at_s" in cause:
        moments = cause.pop("at_s")
        cause["at"] = tuple(at(s) for s in (moments if isinstance(moments, tuple) else (moments,)))
    if until is None:
        until = Repair(until_fixed=True)
    elif not isinstance(until, Repair):
        until = Repair(law=lasting(until))
    return Fault(target=target, effect=Effect(down=True) if effect is None else effect, repair=until, **cause)


RESTART = Repair(restart=True)


def world(**fields: Any) -> Scenario:
    """A scenario of one region `home` with two pods of `web`, unless told otherwise."""
    given: dict[str, Any] = {
        "name": "test",
        "start": START,
        "horizon": 3600.0,
        "regions": {"home": region()},
        "services": {"web": service()},
        "populations": {"staff": users()},
        "place": {"home": {"web": 2}},
        "model": MEAN_RATES,
        **fields,
    }
    return Scenario(**given)


def two_regions(failover: Failover, **fields: Any) -> Scenario:
    """`home` and `spare`, two pods of `web` in each."""
    given: dict[str, Any] = {
        "regions": {"home": region(), "spare": region()},
        "place": {"home": {"web": 2}, "spare": {"web": 2}},
        "populations": {"staff": users(home="home")},
        "failover": failover,
        **fields,
    }
    return world(**given)


def run(scenario: Scenario, trial: int = 0, *, keep: bool = False) -> TrialRecord:
    """One trial, checked for what holds in every trial."""
    record = run_trial(scenario, "test", trial, keep=keep)
    check(record)
    return record


def check(record: TrialRecord, *, throttles: bool = False) -> None:
    """What holds in every trial: finite numbers, shares in [0, 1], time that only goes on.

    Clients that throttle do not even send some first attempts.
    """
    times = [r.at_s for r in record.records]
    assert times == sorted(times), "the log is not in order"
    assert all(0.0 <= t <= record.horizon_s for t in times)
    for offered, good, attempts, first_good, usable, by_provider, failed in record.totals:
        assert all(math.isfinite(v) for v in (offered, good, attempts, first_good, usable, by_provider, failed))
        slack = 1e-6 * (1.0 + offered)
        assert -slack <= first_good <= good + slack
        assert -slack <= good <= offered + slack
        assert -slack <= failed <= offered - good + slack
        assert -slack <= usable <= good + slack
        assert throttles or offered - slack <= attempts
        assert -slack <= by_provider <= attempts + slack
    assert abs(record.month_totals.sum(axis=0) - record.totals).max(initial=0.0) <= 1e-6 * (
        1.0 + record.totals.max(initial=0.0)
    )
    assert all(h >= 0.0 for h in [*record.node_hours.values(), *record.pod_hours.values()])


def availability(record: TrialRecord, population: int = 0) -> float:
    """Good requests / offered ones."""
    offered, good = record.totals[population][:2]
    return float(good / offered)


def line(record: Record) -> str:
    """A record without its time: kind, who, what, value."""
    pool = "/".join(part for part in (record.region, record.service) if part)
    who = record.fault or record.pod or record.node or pool or record.population
    value = "" if math.isnan(record.value) else f"{record.value:g}"
    return " ".join(part for part in (record.kind.value, who, f"({record.what})" if record.what else "", value) if part)


def lines(record: TrialRecord) -> list[Line]:
    """The whole event log."""
    return [(r.at_s, line(r)) for r in record.records]


def assert_log(record: TrialRecord, expected: list[Line], *, within_s: float = 1e-6) -> None:
    """The whole event log: every line in its order, every time within `within_s`."""
    found = lines(record)
    show = "\n".join(f"{t:14.4f} {text}" for t, text in found)
    assert [text for _, text in found] == [text for _, text in expected], f"the log is\n{show}"
    for (got_s, text), (wanted_s, _) in zip(found, expected, strict=True):
        assert abs(got_s - wanted_s) <= within_s, f"{text}: at {got_s} s, expected {wanted_s} s; the log is\n{show}"
