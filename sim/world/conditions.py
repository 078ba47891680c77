"""What faults do besides taking pods away: slow, failing, unreachable, more demand, a sick provider.

Each condition is kept under the occurrence that brought it, so that overlapping faults add up and end
independently. Slowdowns multiply; error shares combine as independent.
"""

import math
from collections import defaultdict

from sim.traffic.assemble import provider_in_time
from sim.world.context import Context


class Conditions:
    """Conditions of all pods, regions and populations of one trial."""

    def __init__(self, context: Context) -> None:
        self._context = context
        names = context.traffic.names
        self._slow: defaultdict[int, dict[str, float]] = defaultdict(dict)
        self._errors: defaultdict[int, dict[str, float]] = defaultdict(dict)
        self._partitions: dict[str, set[str]] = {region: set() for region in names.regions}
        self._demand: list[dict[str, float]] = [{} for _ in names.populations]
        self._provider: dict[str, tuple[float, float, float]] = {}

    def set_pod(self, pod: int, occurrence: str, *, slow: float | None, errors: float | None) -> None:
        """Add a condition of a pod slot (None: not that one); it stays with the slot through restarts."""
        if slow is not None:
            self._slow[pod][occurrence] = slow
        if errors is not None:
            self._errors[pod][occurrence] = errors
        self._apply_pod(pod)

    def clear_pod(self, pod: int, occurrence: str) -> None:
        """End what the occurrence brought."""
        self._slow[pod].pop(occurrence, None)
        self._errors[pod].pop(occurrence, None)
        self._apply_pod(pod)

    def _apply_pod(self, pod: int) -> None:
        works = math.prod(1.0 - share for share in self._errors[pod].values())
        self._context.traffic.set_condition(pod, slow=math.prod(self._slow[pod].values()), error_share=1.0 - works)

    def partition(self, region: str, occurrence: str, *, cut: bool) -> None:
        """Cut a region off from users and from other regions, or join it again."""
        cuts = self._partitions.setdefault(region, set())
        if cut:
            cuts.add(occurrence)
        else:
            cuts.discard(occurrence)
        traffic = self._context.traffic
        for pool, (pool_region, _) in enumerate(traffic.names.pools):
            if pool_region == region:
                traffic.set_reachable(pool, not cuts)
        for edge, (caller, callee, _) in enumerate(traffic.names.edges):
            ends = (traffic.names.pools[caller][0], traffic.names.pools[callee][0])
            if ends[0] != ends[1] and region in ends:
                traffic.set_edge_reachable(edge, not any(self._partitions[r] for r in ends))

    def set_demand(self, population: int, occurrence: str, factor: float | None) -> None:
        """Multiply the demand of a population; None ends it."""
        if factor is None:
            self._demand[population].pop(occurrence, None)
        else:
            self._demand[population][occurrence] = factor
        self._context.traffic.set_demand_factor(population, math.prod(self._demand[population].values()))

    def set_provider(self, occurrence: str, condition: tuple[float, float, float] | None) -> None:
        """(latency times, share of answers that work, share of the quota left) of the provider; None ends it."""
        if condition is None:
            self._provider.pop(occurrence, None)
        else:
            self._provider[occurrence] = condition
        provider = self._context.scenario.failover.provider
        assert provider is not None
        slow, works, quota = (math.prod(c[k] for c in self._provider.values()) for k in range(3))
        for group, name in enumerate(self._context.traffic.names.populations):
            in_time, accepted = provider_in_time(provider, self._context.scenario.populations[name], slow=slow)
            self._context.traffic.set_provider(group, ok_share=in_time * works, quota_per_s=accepted * quota)
