"""Standby regions that do not run all the time: warm (nodes run, pods do not) and cold (neither runs)."""

from collections.abc import Callable

from sim.laws import law_of
from sim.world.context import Context
from sim.world.fleet import Fleet, Pod, PodState
from sim.world.meter import Meter
from sim.world.topology import Node

_ASLEEP = "standby"


class Standby:
    """Starts and stops the standby regions of an active-passive design."""

    def __init__(self, context: Context, fleet: Fleet, meter: Meter) -> None:
        self._context = context
        self._fleet = fleet
        self._meter = meter
        scenario = context.scenario
        self._kind = scenario.failover.standby if scenario.failover.policy == "active-passive" else "hot"
        homes = {population.home for population in scenario.populations.values()}
        if None in homes or not homes & set(scenario.place):
            homes.add(next(iter(scenario.place)))
        self._regions = set() if self._kind == "hot" else set(scenario.place) - homes
        self._asleep = set(self._regions)
        self._n_wakes = 0
        if self._kind == "cold":
            for region in self._regions:
                for node in fleet.topology.nodes[region]:
                    node.holds.add(_ASLEEP)

    def sleeps(self, region: str) -> bool:
        """Whether the region does not run now."""
        return region in self._asleep

    def bring_up(self, regions: list[str], then: Callable[[], None]) -> None:
        """Start what sleeps in these regions and call `then` once all of it is ready (at once if nothing does)."""
        asleep = [region for region in regions if region in self._asleep]
        if not asleep:
            then()
            return
        self._n_wakes += 1
        waiting: set[str] = set()

        def ready(name: str) -> None:
            waiting.discard(name)
            if not waiting:
                then()

        for region in asleep:
            self._asleep.discard(region)
            pods = [pod for pod in self._fleet.pods if pod.region == region and pod.placed]
            for pod in pods:
                waiting.add(pod.name)
                pod.on_ready.append(lambda name=pod.name: ready(name))  # type: ignore[misc]
            if self._kind == "cold":
                for node in self._fleet.topology.nodes[region]:
                    self._provision(node, pods)
            else:
                self._begin(pods)

    def put_to_sleep(self) -> None:
        """Stop the standby regions again."""
        for region in self._regions - self._asleep:
            self._asleep.add(region)
            for pod in self._fleet.pods:
                if pod.region == region and pod.state is not PodState.ABSENT:
                    self._fleet.end(pod, "standby no longer needed")
                    pod.on_ready.clear()
            if self._kind == "cold":
                for node in self._fleet.topology.nodes[region]:
                    node.holds.add(_ASLEEP)
        self.count()

    def _provision(self, node: Node, pods: list[Pod]) -> None:
        spec = self._context.scenario.regions[node.region].nodes.provision
        delay_s = 0.0
        if spec is not None:
            delay_s = self._context.draw(law_of(spec), node.name, "provision of a standby", self._n_wakes)

        def arrives() -> None:
            if node.region in self._asleep:
                return
            node.holds.discard(_ASLEEP)
            self.count()
            self._fleet.node_back(node)
            self._begin(pods)

        self._context.after(delay_s, arrives)

    def _begin(self, pods: list[Pod]) -> None:
        for pod in pods:
            self._fleet.begin(pod, warm=False)
            self._fleet.try_start(pod)
        self.count()

    def count(self) -> None:
        """Tell the meter what runs now."""
        for region, nodes in self._fleet.topology.nodes.items():
            self._meter.set("node", region, sum(_ASLEEP not in node.holds for node in nodes))
        for service in self._context.scenario.services:
            running = [p for p in self._fleet.pods if p.service == service and p.state is not PodState.ABSENT]
            self._meter.set("pod", service, len(running))
