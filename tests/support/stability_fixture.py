"""Results of the stability analysis made by hand, for tests of pages and documents: no kernel behind them."""

import math
from dataclasses import replace

from sim.study.stability import Cell, RemedyEffect, Stability, State, Tipping
from sim.study.stability_bench import Loss
from sim.study.stability_faults import Hit, OwnTrigger

LOADS = tuple(round(0.1 * k, 1) for k in range(1, 17))
LOSSES = tuple(k / 10 for k in range(11))

NODE_LOSS = OwnTrigger("node-loss", 0.25, Loss.PODS, 3600.0, (Hit(0.25, 1.0),))
IRM_SLOW = OwnTrigger("irm-slow", 0.75, Loss.SLOW, 1200.0, (Hit(1.0, 1.0),), slow=4.0)


def state_at(load: float, lost: float, critical: float, highest: float) -> State:
    """A map as a system of one pool has it: what is left of the capacity decides."""
    left = 1.0 - lost
    if load > highest * left:
        return State.METASTABLE if critical < load <= highest else State.OVERLOADED
    return State.STABLE if load <= critical * left else State.VULNERABLE


def make_stability(name: str = "single <b>", critical: float = 0.78, highest: float = 1.22) -> Stability:
    """A design with a border below today's peak, unless told otherwise."""
    healthy = highest >= 1.0
    vulnerable = critical < 1.0
    return Stability(
        architecture=name,
        pool=("sweden-central", "irm"),
        how=Loss.SLOW,
        lasts_s=600.0,
        peak_per_s=111.1,
        threshold=0.95,
        critical_load=critical,
        highest_load=highest,
        chance_load=0.93 if vulnerable else math.inf,
        cells=tuple(Cell(a, b, state_at(a, b, critical, highest)) for a in LOADS for b in LOSSES),
        tippings=tuple(Tipping(lost, 1.0 / lost if vulnerable and lost > 0.1 else math.inf) for lost in LOSSES[1:])
        if healthy
        else (),
        recovery=tuple((load, 70.0 / (1.0 - load / critical) if load < critical else math.inf) for load in LOADS),
        own=(
            (NODE_LOSS, (0.4 if vulnerable else 0.0) if healthy else math.nan),
            (IRM_SLOW, (1.0 if vulnerable else 0.0) if healthy else math.nan),
        ),
        remedies=(
            RemedyEffect("half the queue", "irm.queue: 20", 1.4, 1.4),
            RemedyEffect("breaker with half-open", "on every call", critical, highest),
        ),
    )


def make_stabilities() -> list[Stability]:
    """Vulnerable, stable and overloaded at today's peak, and one that no load brings down."""
    endless = replace(make_stability("no limit", 1.5, 1.5), critical_load=math.inf, highest_load=math.inf)
    return [make_stability(), make_stability("bounded", 1.37, 1.37), make_stability("small", 0.4, 0.7), endless]
