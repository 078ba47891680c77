"""Standby regions that do not run all the time: warm (nodes run, pods do not) and cold (neither runs)."""

from collections import Counter
from collections.abc import Callable
from functools import partial

from sim.laws import law_of
from sim.scenario.schema import Scenario
from sim.traffic.assemble import Names, home_shares
from sim.world.context import Context
from sim.world.fleet import Fleet
from sim.world.meter import Meter
from sim.world.pods import Pod, PodState
from sim.world.topology import Node

_ASLEEP = "standby"


def standby_regions(scenario: Scenario, names: Names) -> tuple[str, ...]:
    """Regions that are started on failover only: they carry no load, and no region that does calls them."""
    if scenario.failover.policy != "active-passive" or scenario.failover.standby == "hot":
        return ()
    awake = {
        region
        for population in names.populations
        for region, share in zip(names.regions, home_shares(scenario, names, population), strict=True)
        if share > 0.0
    }
    n_awake = 0
    while n_awake < len(awake):
        n_awake = len(awake)
        awake |= {names.pools[callee][0] for caller, callee, _ in names.edges if names.pools[caller][0] in awake}
    return tuple(region for region in scenario.place if region not in awake)


class Standby:
    """Starts and stops the standby regions of an active-passive design; populations share them."""

    def __init__(self, context: Context, fleet: Fleet, meter: Meter) -> None:
        self._context = context
        self._fleet = fleet
        self._meter = meter
        self._kind = context.scenario.failover.standby
        self._regions = standby_regions(context.scenario, context.traffic.names)
        self._asleep = set(self._regions)
        self._rising: dict[str, set[str]] = {}
        self._waiting: dict[str, tuple[list[str], Callable[[], None]]] = {}
        self._users: set[str] = set()
        self._n_wakes = 0
        self._woken: dict[str, int] = {}
        if self._kind == "cold":
            for region in self._regions:
                for node in fleet.topology.nodes[region]:
                    node.holds.add(_ASLEEP)

    def sleeps(self, region: str) -> bool:
        """Whether the region does not run now."""
        return region in self._asleep

    def bring_up(self, user: str, regions: list[str], then: Callable[[], None]) -> None:
        """Start what sleeps in these regions for a population; call `then` once all of it is ready.

        At once if nothing sleeps. A population waits for one thing at a time: asking again replaces the last one.
        """
        self._users.add(user)
        asleep = [region for region in regions if region in self._asleep]
        self._n_wakes += bool(asleep)
        for region in asleep:
            self._wake(region)
        self._waiting[user] = (regions, then)
        self._tell()

    def put_to_sleep(self, user: str) -> None:
        """The population needs no standby any more; stop the regions when nobody does."""
        self._waiting.pop(user, None)
        self._users.discard(user)
        if self._users:
            return
        for region in self._regions:
            if region in self._asleep:
                continue
            self._asleep.add(region)
            self._rising.pop(region, None)
            for pod in self._fleet.pods:
                if pod.region == region and pod.state is not PodState.ABSENT:
                    self._fleet.end(pod, "standby no longer needed")
            if self._kind == "cold":
                for node in self._fleet.topology.nodes[region]:
                    node.holds.add(_ASLEEP)
        self.count()

    def _wake(self, region: str) -> None:
        self._asleep.discard(region)
        self._woken[region] = self._n_wakes
        pods = [pod for pod in self._fleet.pods if pod.region == region and pod.placed]
        self._rising[region] = {pod.name for pod in pods}
        for pod in pods:
            pod.on_ready += (partial(self._pod_ready, region, pod.name),)
        if self._kind == "cold":
            for node in self._fleet.topology.nodes[region]:
                self._provision(node, pods)
        else:
            self._begin(pods)

    def _pod_ready(self, region: str, name: str) -> None:
        rising = self._rising.get(region)
        if rising is None:
            return
        rising.discard(name)
        if not rising:
            del self._rising[region]
            self._tell()

    def _tell(self) -> None:
        """Go on with the populations whose regions are all ready."""
        done = [user for user, (regions, _) in self._waiting.items() if not self._rising.keys() & set(regions)]
        for action in [self._waiting.pop(user)[1] for user in done]:
            action()

    def _provision(self, node: Node, pods: list[Pod]) -> None:
        spec = self._context.scenario.regions[node.region].nodes.provision
        wake, delay_s = self._n_wakes, 0.0
        if spec is not None:
            delay_s = self._context.draw(law_of(spec), node.name, "provision of a standby", wake)

        def arrives() -> None:
            if node.region in self._asleep or self._woken[node.region] != wake:
                return  # it was sent away before it came
            node.holds.discard(_ASLEEP)
            self.count()
            if node.is_up:
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
        absent = PodState.ABSENT
        running = Counter([pod.service for pod in self._fleet.pods if pod.state is not absent])
        for service in self._context.scenario.services:
            self._meter.set("pod", service, running[service])
