"""Small scenarios built in Python, in internal units: what the oracle tests run the engine on.

Each builder makes the system of one truth and nothing more; what a test varies is an argument, so that a broken model
(the negative control) is the same call with one argument changed. It knows no expected values.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sim.scenario.schema import (
    Call,
    Effect,
    ExponentialLaw,
    Fault,
    LawSpec,
    Model,
    Nodes,
    Population,
    Region,
    Repair,
    Scenario,
    Service,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0
WEEK_S, YEAR_S = 7 * DAY_S, 365 * DAY_S
MEAN_RATES = Model(noise="never")
"""Tests of mean rates do without single requests."""
FAR_S = 1e6
"""A deadline that only those miss who are never answered."""


def exponential(mean_s: float) -> LawSpec:
    """An exponential law by its mean."""
    return LawSpec(exponential=ExponentialLaw(mean=mean_s))


def fixed(length_s: float) -> LawSpec:
    """A constant."""
    return LawSpec(fixed=length_s)


def down(target: str, every: LawSpec, repair: LawSpec) -> Fault:
    """A fault that takes its target down until it is repaired."""
    return Fault(target=target, every=every, effect=Effect(down=True), repair=Repair(law=repair))


def at(start_s: float) -> tuple[datetime, ...]:
    """The schedule of a fault that strikes once, `start_s` after START."""
    return (START + timedelta(seconds=start_s),)


def users(**changes: Any) -> Population:
    """Ten requests a second for ever; one attempt each, and time enough to wait for it."""
    fields: dict[str, Any] = {"workers": 1, "requests": 10.0, "journey": "s", "deadline": 5.0}
    return Population(**fields | changes)


def service(**changes: Any) -> Service:
    """Ten milliseconds of work with slots to spare: its pods are either down or perfect."""
    return Service(**{"work": 0.01, "slots": 100} | changes)


def call(**changes: Any) -> Call:
    """A call that waits long enough."""
    return Call(**{"timeout": 2.0} | changes)


def one_pool(pods: int, horizon_s: float, **fields: Any) -> Scenario:
    """One region `r` with one service `s` of `pods` pods and its users `u`; `fields` replaces any block."""
    return several({"s": fields.pop("service", service())}, {"s": pods}, horizon_s, **fields)


def several(services: Mapping[str, Service], pods: Mapping[str, int], horizon_s: float, **fields: Any) -> Scenario:
    """One region `r` with several services."""
    blocks: dict[str, Any] = {
        "name": "oracle",
        "start": START,
        "horizon": horizon_s,
        "seed": 20260101,
        "regions": {"r": Region(zones=1, nodes=Nodes(count=1, memory=1e6))},
        "services": dict(services),
        "populations": {"u": users()},
        "place": {"r": dict(pods)},
        "model": MEAN_RATES,
    }
    return Scenario(**blocks | fields)


def repairable(failure_rate: float, repair: LawSpec, horizon_s: float, *, n: int = 1, needs: int = 1) -> Scenario:
    """k of n pods, each failing by itself at `failure_rate` (1/s) and repaired by itself."""
    return one_pool(
        n,
        horizon_s,
        service=service(needs=needs),
        faults={"breakdown": down("any pod of s", exponential(1.0 / failure_rate), repair)},
    )
