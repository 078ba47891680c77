"""The stability of all architectures of an experiment, on the same columns, in several processes."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed

from sim.errors import UsageError
from sim.scenario.document import Experiment
from sim.study.stability import Stability, analyse, columns_for, highest_load
from sim.study.stability_bench import Loss, system_of
from sim.study.workers import make_workers

LASTS_S = 600.0


def analyse_all(
    experiment: Experiment,
    architectures: Sequence[str] = (),
    *,
    how: Loss = Loss.SLOW,
    lasts_s: float = LASTS_S,
    workers: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Stability]:
    """Analyse the named architectures, or all.

    Parameters
    ----------
    experiment : Experiment
        As loaded.
    architectures : sequence of str
        Names; empty for all.
    how : Loss
        Whether capacity is lost by slowness or by pods.
    lasts_s : float
        Length of the losses of the map, > 0 s.
    workers : int
        Processes, at least 1; they change no result.
    progress : callable
        Told of each architecture that is done.

    Returns
    -------
    list of Stability
        In the order of the experiment.

    Raises
    ------
    UsageError
        For an unknown architecture, or one without users.
    """
    unknown = [name for name in architectures if name not in experiment.scenarios]
    if unknown:
        raise UsageError(f"there is no architecture {unknown[0]}; there are {', '.join(experiment.scenarios)}")
    scenarios = {name: s for name, s in experiment.scenarios.items() if not architectures or name in architectures}
    idle = [name for name, scenario in scenarios.items() if not scenario.populations]
    if idle:
        raise UsageError(f"{idle[0]} has no population, and so no load whose stability could be asked")
    reach = [highest_load(system_of(scenario)) for scenario in scenarios.values()]
    loads = columns_for(max((load for load in reach if math.isfinite(load)), default=math.inf))
    pool = make_workers(min(workers, len(scenarios)))
    executor = pool.start()
    try:
        asked = {
            executor.submit(analyse, name, scenario, loads, how=how, lasts_s=lasts_s): name
            for name, scenario in scenarios.items()
        }
        found = {}
        for future in as_completed(asked):
            found[asked[future]] = future.result()
            progress(f"{asked[future]}: {found[asked[future]].today.value} today")
    finally:
        pool.close(executor)
    return [found[name] for name in scenarios]
