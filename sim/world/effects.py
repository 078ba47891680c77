"""What a fault does to its element: pods held down, memory taken, pods slowed, regions cut off.

`apply` returns what undoes it. It knows nothing of when faults strike.
"""

import math
from collections.abc import Callable
from functools import partial

from sim.scenario.schema import Effect
from sim.scenario.targets import TargetKind
from sim.world.conditions import Conditions
from sim.world.context import Context
from sim.world.elements import Element
from sim.world.fleet import Fleet
from sim.world.pods import Pod, PodState

Undo = Callable[[], None]
_OF_NODES = (TargetKind.NODE, TargetKind.ZONE, TargetKind.REGION)


class Effects:
    """Effects on fleet, regions and populations."""

    def __init__(self, context: Context, fleet: Fleet, conditions: Conditions) -> None:
        self._context = context
        self.fleet = fleet
        self._conditions = conditions

    def can_hit(self, element: Element) -> bool:
        """Whether there is something there: a pod that is down cannot crash."""
        if element.pod:
            return self.fleet.by_name[element.pod].state is PodState.READY
        return True

    def pools_hit(self, element: Element) -> tuple[str, ...]:
        """Pools (`region/service`) that the element carries now."""
        if element.kind in (TargetKind.POPULATION, TargetKind.PROVIDER):
            return ()
        return tuple(sorted({f"{pod.region}/{pod.service}" for pod in self._pods(element)}))

    def crash(self, element: Element, what: str, when_ready: Undo) -> None:
        """The running pods of the element die and are restarted in place."""
        pods = [pod for pod in self._pods(element) if pod.state is PodState.READY]
        waiting = {pod.name for pod in pods}

        def one_ready(name: str) -> None:
            waiting.discard(name)
            if not waiting:
                when_ready()

        for pod in pods:
            self.fleet.crash(pod, what)
            pod.on_ready += (partial(one_ready, pod.name),)
        if not pods:
            self._context.after(0.0, when_ready)

    def apply(self, element: Element, effect: Effect, occurrence: str) -> list[Undo]:
        """Do what the effect says; the returned calls undo it."""
        if element.kind is TargetKind.PROVIDER:
            return self._hurt_provider(effect, occurrence)
        if element.kind is TargetKind.POPULATION:
            return self._change_demand(element, effect, occurrence)
        undo: list[Undo] = []
        if effect.down:
            undo += self._down(element, occurrence)
        if effect.capacity is not None:
            undo += self._lose_capacity(element, effect.capacity, occurrence)
        if effect.slow is not None or effect.errors is not None:
            for pod in self._pods(element, absent=True):
                self._conditions.set_pod(pod.row, occurrence, slow=effect.slow, errors=effect.errors)
                undo.append(lambda row=pod.row: self._conditions.clear_pod(row, occurrence))  # type: ignore[misc]
        undo += self._take_memory(element, effect, occurrence)
        if effect.partition:
            for region in [element.region] if element.region else list(self.fleet.topology.nodes):
                self._conditions.partition(region, occurrence, cut=True)
                undo.append(lambda r=region: self._conditions.partition(r, occurrence, cut=False))  # type: ignore[misc]
        return undo

    # -- inside ---------------------------------------------------------------------------------------

    def _pods(self, element: Element, *, absent: bool = False) -> list[Pod]:
        """Pods of the element, running or not; with `absent` also the slots that a scale-out may fill."""
        region, service, node, zone = element.region, element.service, element.node, element.zone
        among, gone = [self.fleet.by_name[element.pod]] if element.pod else self.fleet.pods, PodState.ABSENT
        return [
            pod
            for pod in among
            if (not region or pod.region == region)
            and (not service or pod.service == service)
            and (absent or pod.state is not gone)
            and (not node or (pod.node is not None and pod.node.name == node))
            and (not zone or (pod.node is not None and pod.node.zone_name == zone))
        ]

    def _down(self, element: Element, occurrence: str) -> list[Undo]:
        if element.kind not in _OF_NODES:
            # A standby that sleeps, or a pod added later, does not start while its service is down.
            return self._hold(self._pods(element, absent=True), occurrence, f"down by {occurrence}")
        everywhere = self.fleet.topology.nodes.values()
        nodes = [
            node
            for present in everywhere
            for node in present
            if element.region in ("", node.region)
            and element.zone in ("", node.zone_name)
            and element.node in ("", node.name)
        ]
        for node in nodes:
            node.holds.add(occurrence)
        for node in nodes:
            self.fleet.node_lost(node, f"lost with {element.name}")

        def restore() -> None:
            held = [node for present in everywhere for node in present if occurrence in node.holds]
            for node in held:
                node.holds.discard(occurrence)
            for node in held:
                if node.is_up:
                    self.fleet.node_back(node)

        return [restore]

    def _lose_capacity(self, element: Element, share: float, occurrence: str) -> list[Undo]:
        by_pool: dict[int, list[Pod]] = {}
        for pod in self._pods(element):
            by_pool.setdefault(pod.pool, []).append(pod)
        lost = [pod for pods in by_pool.values() for pod in pods[: math.ceil(share * len(pods) - 1e-9)]]
        return self._hold(lost, occurrence, f"capacity lost by {occurrence}")

    def _hold(self, pods: list[Pod], occurrence: str, what: str) -> list[Undo]:
        for pod in pods:
            self.fleet.hold(pod, occurrence, what)

        def release() -> None:
            for pod in pods:
                self.fleet.release(pod, occurrence)

        return [release]

    def _take_memory(self, element: Element, effect: Effect, occurrence: str) -> list[Undo]:
        given = (effect.memory, effect.memory_growth, effect.leak, effect.memory_factor)
        if all(value is None for value in given):
            return []
        now_s, pods = self._context.now_s, self._pods(element, absent=True)
        growth = None
        if effect.memory_growth is not None and effect.over is not None:
            growth = (now_s, now_s + effect.over, effect.memory_growth)
        for pod in pods:
            pod.added = pod.added.plus(
                occurrence, extra=effect.memory, growth=growth, leak=effect.leak, factor=effect.memory_factor
            )

        def refresh() -> None:
            for pod in pods:
                self.fleet.refresh_memory(pod)

        def forget() -> None:
            for pod in pods:
                pod.added = pod.added.without(occurrence)
            refresh()

        refresh()
        if effect.over is not None:
            self._context.after(effect.over, refresh)
        return [forget]

    def _hurt_provider(self, effect: Effect, occurrence: str) -> list[Undo]:
        works = 0.0 if effect.down else 1.0 - (effect.errors or 0.0)
        self._conditions.set_provider(occurrence, (effect.slow or 1.0, works, 1.0 - (effect.capacity or 0.0)))
        return [lambda: self._conditions.set_provider(occurrence, None)]

    def _change_demand(self, element: Element, effect: Effect, occurrence: str) -> list[Undo]:
        names = self._context.traffic.names.populations
        groups = [g for g, name in enumerate(names) if element.population in ("", name)]
        for group in groups:
            self._conditions.set_demand(group, occurrence, effect.demand)

        def undo() -> None:
            for group in groups:
                self._conditions.set_demand(group, occurrence, None)

        return [undo]
