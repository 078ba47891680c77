"""How failures spread in a kept trial: which pools a fault hits first, and over which links the others follow.

The disturbances and the links are those of `sim.measures.disturbances`; must not know figures.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import networkx as nx

from sim.measures.disturbances import Disturbance, disturbances_of, failure_paths
from sim.measures.faults import occurrences
from sim.scenario.schema import Scenario
from sim.world.log import TrialRecord


@dataclass
class Spread:
    """Failures of one design, added up over disturbances."""

    n_cascades: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    """Pool (`region/service`) -> cascades in which it failed or was hit."""
    wave_sum: Counter[str] = field(default_factory=Counter)
    """Pool -> sum of its waves; 0 is a direct hit."""
    links: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(from, to) -> cascades in which the failure went that way."""

    def wave(self, pool: str) -> int:
        """The pool's usual wave: its mean, rounded."""
        return round(self.wave_sum[pool] / self.seen[pool])


def spread_of(record: TrialRecord, scenario: Scenario) -> Spread:
    """Add up how failures spread in the cascades of a trial.

    Parameters
    ----------
    record : TrialRecord
        Its event log.
    scenario : Scenario
        Its calls and placements are the links.
    """
    spread = Spread()
    paths = failure_paths(record.pools, scenario)
    for disturbance in disturbances_of(record, occurrences(record), scenario):
        if disturbance.cascade:
            _add(spread, disturbance, paths)
    return spread


def _add(spread: Spread, disturbance: Disturbance, paths: "nx.DiGraph[str]") -> None:
    """Waves outward from the pools hit; a pool that no path reaches follows against the direction of the calls."""
    waves = {pool: 0 for pool in sorted(disturbance.direct) if pool in paths}
    _walk(waves, disturbance.spread, paths, spread)
    _walk(waves, disturbance.spread, paths.to_undirected(), spread)
    spread.n_cascades += 1
    for pool in sorted(disturbance.spread - set(waves)):
        waves[pool] = 1  # no link of the model explains it
    for pool, wave in waves.items():
        spread.seen[pool] += 1
        spread.wave_sum[pool] += wave


def _walk(waves: dict[str, int], failed: frozenset[str], graph: "nx.Graph[str]", spread: Spread) -> None:
    """Extend the waves along the graph to failed pools, breadth first."""
    front: Sequence[str] = list(waves)
    while front:
        following = []
        for origin in front:
            for pool in sorted(graph.neighbors(origin)):
                if pool in failed and pool not in waves:
                    waves[pool] = waves[origin] + 1
                    spread.links[origin, pool] += 1
                    following.append(pool)
        front = following
