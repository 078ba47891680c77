"""Pods: start, ready, kill, CrashLoopBackOff, moving to another node, orderly removal.

A pod slot is a row of the data plane. Timers carry the pod's generation and do nothing if it has changed
meanwhile; nothing is ever interrupted. The fleet knows why a pod is held down only by name.
"""

import math
from collections.abc import Callable
from typing import Final, NamedTuple

from sim.errors import RunError
from sim.laws import Law, law_of
from sim.scenario.schema import CrashLoop, PodMemory, Service
from sim.traffic.course import NEVER_KILLED
from sim.traffic.layout import GUARD_IN_FLIGHT, POD_OOM_LEVEL
from sim.world.context import Context
from sim.world.design import PerDesign
from sim.world.elements import SHORTEST_S
from sim.world.log import Kind
from sim.world.pods import NOTHING_ADDED, Pod, PodState
from sim.world.topology import Node, Topology

GRACE_S = 30.0
"""Longest time that a pod which is taken away in order works off what it has (terminationGracePeriodSeconds)."""
_EMPTY = 0.01
"""Requests inside at which a pod counts as empty."""
_CRASHES_A_MINUTE = 10_000
"""More than this is a slip in the scenario (no startup, no back-off), and would take for ever."""


def backoff_s(crash_loop: CrashLoop, n_crashes: int) -> float:
    """Wait before the restart that follows `n_crashes` crashes in a row (>= 1)."""
    if n_crashes <= 1:
        return crash_loop.first
    # Past 64 doublings any wait is capped; 2.0**n of a pod that crashes for years would overflow.
    return min(crash_loop.initial * 2.0 ** min(n_crashes - 2, 64), crash_loop.longest)


class _Kind(NamedTuple):
    """What all pods of a service have in common, worked out once for all trials."""

    startup: Law
    never_full: bool
    """Whether a pod has memory for all that may be inside, so that no request can fill it."""


def _kind_of(service: Service) -> _Kind:
    return _Kind(law_of(service.startup), service.memory is not None and _has_room(service, service.memory))


def _has_room(service: Service, memory: PodMemory) -> bool:
    """The kernel asks the same (`rates.pods_rate`), by the places that there are now; shedding only leaves fewer."""
    if memory.leak > 0.0:
        return False
    return memory.per_request <= 0.0 or (memory.limit - memory.base) / memory.per_request >= (
        service.slots + service.queue
    )


_kinds: Final = PerDesign(lambda scenario: {name: _kind_of(service) for name, service in scenario.services.items()})


class Fleet:
    """All pods of one trial."""

    def __init__(self, context: Context, topology: Topology) -> None:
        self._context = context
        self.topology = topology
        names = context.traffic.names
        self.services: list[Service] = [context.scenario.services[s] for _, s in names.pools]
        kinds = _kinds.of(context.scenario)
        self._kinds = [kinds[service] for _, service in names.pools]
        self.pods: list[Pod] = []
        self.n_changes = 0
        """Counts changes of pods: who has looked knows whether it is still so."""
        self.followers: list[Callable[[Pod], None]] = []
        """Told of each pod that has become ready, stopped, or been added or taken away."""
        for i, (region, service) in enumerate(names.pools):
            memory, scaling = self.services[i].memory, self.services[i].autoscale
            placed, limit_mib = names.placed[i], memory.limit if memory is not None else 0.0
            most = max(placed, scaling.most if scaling is not None else 0)
            first = len(self.pods)
            self.pods += [
                Pod(first + k, f"{region}/{service}/{k + 1}", i, region, service, limit_mib, k < placed, k >= most)
                for k in range(names.slots[i])
            ]
        self.by_name = {pod.name: pod for pod in self.pods}

    # -- questions ------------------------------------------------------------------------------------

    def of_pool(self, pool: int) -> list[Pod]:
        """All slots of a pool."""
        rows = self._context.traffic.pods_of[pool]
        return self.pods[rows.start : rows.stop]

    def on_node(self, node: Node) -> list[Pod]:
        """Pods that are bound to a node."""
        return [pod for pod in self.pods if pod.node is node]

    def n_ready(self, pool: int) -> int:
        """Pods that serve."""
        return sum(pod.state is PodState.READY for pod in self.of_pool(pool))

    def n_expected(self, pool: int) -> int:
        """Pods that there should be: those placed, or as many as its autoscaler runs now."""
        if self.services[pool].autoscale is None:
            return self._context.traffic.names.placed[pool]
        return sum(pod.state is not PodState.ABSENT and not pod.leaving for pod in self.of_pool(pool))

    def serving(self, pool: int) -> list[Pod]:
        """Pods that get requests: ready ones that no probe and no removal took off the list."""
        traffic = self._context.traffic
        return [pod for pod in self.of_pool(pool) if pod.state is PodState.READY and traffic.is_listed(pod.row)]

    # -- life -----------------------------------------------------------------------------------------

    def begin(self, pod: Pod, *, warm: bool) -> None:
        """Bind the pod to a node and start it; `warm` pods are ready at once (the state at time 0)."""
        if pod.state is not PodState.ABSENT:
            return
        self._context.traffic.disturbed()
        pod.state = PodState.WAITING
        if self._bind(pod):
            self._start(pod, delay_s=0.0, warm=warm)
        self._follow(pod)

    def end(self, pod: Pod, what: str) -> None:
        """The pod is taken away at once (a standby goes to sleep)."""
        pod.leaving = False
        self._stop(pod, Kind.POD_LOST, what)
        self._vanish(pod)

    def retire(self, pod: Pod, what: str) -> None:
        """Take the pod away in order: no more requests from now on, gone when it is empty or after `GRACE_S`."""
        if pod.state is not PodState.READY:
            self._remove(pod, what)
            return
        pod.leaving, pod.n_retired = True, pod.n_retired + 1
        token, context = pod.n_retired, self._context

        def finish() -> None:
            if pod.leaving and pod.n_retired == token:
                self._remove(pod, what)

        context.traffic.set_listed(pod.row, False)
        context.after(GRACE_S, finish)
        if pod.empty_guard is None:
            # A guard of one pod row: GUARD_IN_FLIGHT counts INDEX rows from the one in the region column on.
            pod.empty_guard = context.watch(
                GUARD_IN_FLIGHT, 1, _EMPTY, lambda _: self._remove(pod, what) if pod.leaving else None, region=pod.row
            )
        context.traffic.reset_guard(pod.empty_guard)
        self._follow(pod)

    def oom_kill(self, pod: Pod) -> None:
        """Memory reached the limit."""
        self._crash(pod, Kind.OOM_KILL, f"{pod.limit_mib:.0f} MiB reached")

    def crash(self, pod: Pod, what: str) -> None:
        """The process dies by itself and is restarted in place."""
        self._crash(pod, Kind.POD_LOST, what)

    def oom_level(self, pod: Pod, incarnation: int) -> float:
        """Integrated hazard at which an incarnation (from 1) of a pod is killed; infinite without a memory limit.

        It is not drawn for a pod that has room for all that may be inside, as half the services of most designs have:
        its hazard is 0. Who adds to its memory calls `refresh_memory`.
        """
        if self.services[pod.pool].memory is None:
            return math.inf
        if pod.added is NOTHING_ADDED and self._kinds[pod.pool].never_full:
            return NEVER_KILLED
        return self._context.draws.exponential(pod.name, "oom", incarnation - 1)

    def restart(self, pod: Pod, what: str) -> None:
        """Somebody replaces the pod: no back-off, and earlier crashes are forgotten."""
        if pod.state is PodState.ABSENT:
            return
        was_leaving = pod.leaving
        self._context.traffic.disturbed()
        self._stop(pod, Kind.POD_LOST, what)
        pod.n_crashes = 0
        if was_leaving or (pod.node is None and not self._bind(pod)):
            return
        self._start(pod, delay_s=0.0)

    def hold(self, pod: Pod, reason: str, what: str) -> None:
        """Keep the pod down until `release` with the same reason."""
        pod.holds |= {reason}
        self._stop(pod, Kind.POD_LOST, what, died=True)

    def release(self, pod: Pod, reason: str) -> None:
        """Start the pod again if nothing else holds it."""
        if reason not in pod.holds:
            return
        pod.holds -= {reason}
        self.try_start(pod)

    def try_start(self, pod: Pod) -> None:
        """Start a waiting pod if nothing keeps it down."""
        if pod.state is not PodState.WAITING or pod.holds:
            return
        if pod.node is not None and not pod.node.is_up:
            return
        if pod.node is None and not self._bind(pod):
            return
        self._start(pod, delay_s=0.0)

    def node_lost(self, node: Node, what: str) -> None:
        """All pods of a node stop; after the eviction time they look for another one."""
        self.n_changes += 1
        lost = self.on_node(node)
        for pod in lost:
            self._stop(pod, Kind.POD_LOST, what, died=True)
        eviction_s = self._context.scenario.regions[node.region].nodes.eviction
        n_returns = node.n_returns

        def evict() -> None:
            if node.n_returns != n_returns:
                return  # it was back meanwhile
            for pod in lost:
                if pod.node is node and pod.state is PodState.WAITING:
                    self._unbind(pod)
                    self.try_start(pod)

        self._context.after(eviction_s, evict)

    def node_back(self, node: Node) -> None:
        """Pods still bound to the node start; pods without a node may find room now."""
        self.n_changes += 1
        node.n_returns += 1
        for pod in self.on_node(node):
            self.try_start(pod)
        self.place_waiting(node.region)

    def place_waiting(self, region: str) -> None:
        """Try again to place pods of a region that found no room."""
        waiting = PodState.WAITING
        for pod in self.pods:
            if pod.state is waiting and pod.node is None and pod.region == region:
                self.try_start(pod)

    def set_limit(self, pod: Pod, limit_mib: float) -> bool:
        """Give the pod another limit and restart it; False if no node has room for it."""
        before = pod.limit_mib
        if pod.node is not None:
            pod.node.used_mib -= before
            if pod.node.memory_mib - pod.node.used_mib < limit_mib:
                other = self._find_room(pod, limit_mib)
                if other is None:
                    pod.node.used_mib += before
                    return False
                pod.node = other
            pod.node.used_mib += limit_mib
        self.n_changes += 1
        pod.limit_mib = limit_mib
        self._context.traffic.disturbed()
        self.restart(pod, "rolled for a new memory limit")
        return True

    # -- memory ---------------------------------------------------------------------------------------

    def refresh_memory(self, pod: Pod) -> None:
        """Tell the data plane what a pod uses apart from its requests."""
        spec = self.services[pod.pool].memory
        if spec is None or pod.state is not PodState.READY:
            return
        if pod.added is not NOTHING_ADDED:  # its level may not have been drawn
            level = self.oom_level(pod, pod.incarnation)
            self._context.traffic.net.pods[pod.row, POD_OOM_LEVEL] = level
        now_s = self._context.now_s
        self.n_changes += 1
        pod.leaked_mib += pod.leak_rate * (now_s - pod.leak_at_s)
        pod.leak_rate, pod.leak_at_s = spec.leak + sum(pod.added.leak.values()), now_s
        grown_mib, growth_rate = pod.added.grown(now_s)
        traffic = self._context.traffic
        traffic.set_per_request(pod.row, spec.per_request * math.prod(pod.added.factor.values()))
        traffic.set_memory(
            pod.row,
            limit_mib=pod.limit_mib,
            used_mib=spec.base + grown_mib + pod.leaked_mib,
            growth_mib_per_s=pod.leak_rate + growth_rate,
        )

    # -- inside ---------------------------------------------------------------------------------------

    def _crash(self, pod: Pod, kind: Kind, what: str) -> None:
        crash_loop = self.services[pod.pool].crash_loop
        ran_s = self._context.now_s - pod.started_s
        if pod.state is PodState.READY and ran_s >= crash_loop.reset:
            pod.n_crashes = 0
        self._stop(pod, kind, what, died=True)
        self._count_crash(pod)
        self._start(pod, delay_s=backoff_s(crash_loop, pod.n_crashes))

    def _count_crash(self, pod: Pod) -> None:
        pod.n_crashes += 1
        minute = int(self._context.now_s // 60.0)
        pod.crashes_of_minute = (minute, pod.crashes_of_minute[1] + 1 if pod.crashes_of_minute[0] == minute else 1)
        if pod.crashes_of_minute[1] > _CRASHES_A_MINUTE:
            raise RunError(
                f"{pod.name} died more than {_CRASHES_A_MINUTE} times in a minute at {self._context.now_s:.0f} s: "
                f"give {pod.service} a startup time or a longer crash_loop"
            )

    def _stop(self, pod: Pod, kind: Kind, what: str, *, died: bool = False) -> None:
        """The pod serves no more; one that `died` is still sent requests until the routers have heard of it."""
        was_ready = pod.state is PodState.READY
        self.n_changes += 1
        pod.generation += 1
        if pod.state is not PodState.ABSENT:
            pod.state = PodState.WAITING
        if was_ready:
            was_listed = self._context.traffic.is_listed(pod.row)
            self._context.traffic.stop_pod(pod.row)
            self._log(kind, pod, what)
            if died and was_listed:
                self._stay_listed(pod)
        if pod.leaving:
            self._remove(pod, what)
        elif was_ready:
            self._follow(pod)

    def _stay_listed(self, pod: Pod) -> None:
        lag_s, incarnation = self.services[pod.pool].endpoint_lag, pod.incarnation
        if lag_s <= 0.0:
            return
        traffic = self._context.traffic
        traffic.set_listed(pod.row, True)

        def heard() -> None:
            if pod.incarnation == incarnation and pod.state is not PodState.READY:
                traffic.set_listed(pod.row, False)

        self._context.after(lag_s, heard)

    def _remove(self, pod: Pod, what: str) -> None:
        """The pod is gone for good; what was still inside is lost."""
        pod.leaving = False
        pod.generation += 1
        if pod.empty_guard is not None:
            self._context.traffic.arm_guard(pod.empty_guard, False)
        self._context.traffic.stop_pod(pod.row)
        self._log(Kind.POD_REMOVED, pod, what)
        self._vanish(pod)

    def _vanish(self, pod: Pod) -> None:
        self._unbind(pod)
        pod.state = PodState.ABSENT
        self._tell(pod)  # whoever waits for it waits for nothing
        self._follow(pod)

    def _start(self, pod: Pod, *, delay_s: float, warm: bool = False) -> None:
        if pod.state is PodState.ABSENT or pod.holds or pod.node is None or not pod.node.is_up:
            return
        pod.state = PodState.STARTING
        if warm:
            self._ready(pod)
            return
        generation = pod.generation

        def ready() -> None:
            if pod.generation == generation and pod.state is PodState.STARTING:
                self._ready(pod)

        startup_s = self._context.draw(self._kinds[pod.pool].startup, pod.name, "startup", pod.n_starts)
        pod.n_starts += 1
        self._context.after(max(delay_s + startup_s, SHORTEST_S), ready)

    def _ready(self, pod: Pod) -> None:
        self.n_changes += 1
        pod.state = PodState.READY
        pod.started_s = pod.leak_at_s = self._context.now_s
        pod.leaked_mib = pod.leak_rate = 0.0
        pod.incarnation += 1
        level = self.oom_level(pod, pod.incarnation)
        self._context.traffic.start_pod(pod.row, oom_level=level)
        self.refresh_memory(pod)
        if self._context.now_s > 0.0:
            self._log(Kind.POD_READY, pod, "")
        self._tell(pod)
        self._follow(pod)

    def _tell(self, pod: Pod) -> None:
        waiting, pod.on_ready = pod.on_ready, ()
        for action in waiting:
            action()

    def _follow(self, pod: Pod) -> None:
        for follower in self.followers:
            follower(pod)

    def _bind(self, pod: Pod) -> bool:
        node = self._find_room(pod, pod.limit_mib)
        if node is None:
            return False
        self.n_changes += 1
        pod.node = node
        node.used_mib += pod.limit_mib
        return True

    def _find_room(self, pod: Pod, limit_mib: float) -> Node | None:
        siblings = (p.node for p in self.of_pool(pod.pool) if p is not pod and p.node is not None)
        return self.topology.find_room(pod.region, limit_mib, siblings)

    def _unbind(self, pod: Pod) -> None:
        self.n_changes += 1
        if pod.node is not None:
            pod.node.used_mib -= pod.limit_mib
            pod.node = None

    def _log(self, kind: Kind, pod: Pod, what: str) -> None:
        self._context.record(
            kind,
            what,
            region=pod.region,
            zone=pod.node.zone_name if pod.node is not None else "",
            node=pod.node.name if pod.node is not None else "",
            service=pod.service,
            pod=pod.name,
        )
