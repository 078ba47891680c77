"""Cells of a map that are worth a second opinion, and the scenario that another model runs to give it."""

from datetime import timedelta
from itertools import product

from sim.scenario.schema import Effect, Fault, LawSpec, Repair, Scenario
from sim.study.stability import SETTLE_S, Cell, Stability, State
from sim.study.stability_bench import Loss, slowdown, system_of

BEFORE_S = 60.0
"""Time before the loss in a scenario that repeats a cell; after it comes as long as the map waits for recovery."""


def border_cells(found: Stability, n: int) -> list[Cell]:
    """Up to `n` cells: today's peak with nothing lost, then those beside the border between losses that tip the design
    and losses that do not.

    Only loads that can be served at all count. Those nearest to today's peak come first, alternately from both sides;
    without such a border the largest losses stand for it. A loss of all capacity by slowness is left out: requests
    that start meanwhile would not end within the run, which mean rates do not know.
    """
    by_place = {(c.load, c.lost): c for c in found.cells if c.lost < 1.0 or found.how is Loss.PODS}
    loads, losses = sorted({load for load, _ in by_place}), sorted({lost for _, lost in by_place})
    served = [load for load in loads if load <= found.highest_load]
    sides: dict[bool, list[Cell]] = {True: [], False: []}
    for load, lost in product(served, losses[1:]):
        k, j = loads.index(load), losses.index(lost)
        near = [(loads[a], losses[b]) for a, b in ((k - 1, j), (k + 1, j), (k, j - 1), (k, j + 1))
                if 0 <= a < len(loads) and 0 < b < len(losses) and loads[a] in served]  # fmt: skip
        cell = by_place[load, lost]
        tipped = cell.state is State.METASTABLE
        if any((by_place[place].state is State.METASTABLE) is not tipped for place in near):
            sides[tipped].append(cell)
    if not sides[True] and not sides[False]:
        sides[False] = [by_place[load, losses[-1]] for load in served]
    for cells in sides.values():
        cells.sort(key=lambda cell: (abs(cell.load - 1.0), cell.lost))
    chosen = [by_place[1.0, 0.0]] if (1.0, 0.0) in by_place and n > 0 else []
    while len(chosen) < n and (sides[True] or sides[False]):
        for side in (True, False):
            if sides[side] and len(chosen) < n:
                chosen.append(sides[side].pop(0))
    return chosen


def cell_scenario(scenario: Scenario, found: Stability, cell: Cell) -> Scenario:
    """The cell as a scenario of its own: constant demand, and the loss as one scheduled fault.

    Its end is the moment at which the map judges the cell.
    """
    alone = system_of(scenario).scenario
    region, service = found.pool
    if found.how is Loss.SLOW:
        effect = Effect(slow=slowdown(alone, service, cell.lost))
    else:
        effect = Effect(capacity=cell.lost)
    fault = Fault(
        target=f"{service} in {region}",
        at=(alone.start + timedelta(seconds=BEFORE_S),),
        effect=effect,
        repair=Repair(law=LawSpec(fixed=found.lasts_s)),
    )
    users = {name: p.model_copy(update={"workers": p.workers * cell.load}) for name, p in alone.populations.items()}
    horizon_s = BEFORE_S + found.lasts_s + SETTLE_S
    return alone.model_copy(update={"populations": users, "faults": {"loss": fault}, "horizon": horizon_s})
