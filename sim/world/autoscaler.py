"""The horizontal autoscaler: pods follow the share of busy slots, by the rule of Kubernetes.

It decides at multiples of `every`, and only while there is something to decide: guards of the data plane wake it
when another number of pods may be wanted, and so does any pod that comes or goes.

Notes
-----
The rule is the algorithm of https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/ with the default
scaling policies. Not modelled: the delay and averaging of the metrics pipeline (the busy share is that of the
moment), several metrics, and a tolerance or policy for each direction.
"""

import math
from collections import deque
from collections.abc import Iterable

from sim.scenario.schema import Autoscale
from sim.traffic.layout import GUARD_BUSY
from sim.world.context import Context
from sim.world.fleet import Fleet
from sim.world.log import Kind
from sim.world.pods import Pod, PodState
from sim.world.standby import Standby

_POLICY_S, _POLICY_PODS, _POLICY_TIMES = 15.0, 4, 2.0
"""Default policy of Kubernetes: within 15 s four pods are added, or as many as there are, whichever is more."""
_ROUNDING = 1e-9
"""4 pods at 90 % with a target of 60 % are 6 pods, and not 7 because of the last bit."""


def pods_wanted(busy_share: float, n_ready: int, n_pods: int, rule: Autoscale) -> int:
    """How many pods the busy share asks for, whatever the bounds.

    Parameters
    ----------
    busy_share : float
        Busy slots of the ready pods as a share of their slots, in [0, 1].
    n_ready, n_pods : int
        Ready pods, and all pods that there should be.
    rule : Autoscale
        Target and tolerance.

    Returns
    -------
    int
        `n_pods` within the tolerance, or without a ready pod to measure.

    Notes
    -----
    ceil(pods * usage / target), as Kubernetes says. Pods that are not ready have no usage to measure: they count as
    idle where that makes an increase smaller, and as being on target where pods would be removed (its rule of
    missing metrics); nothing happens where that reverses the direction.
    """
    if n_ready == 0:
        return n_pods
    measured = ratio = busy_share / rule.target
    if n_pods > n_ready:
        ratio = (measured * n_ready + (n_pods - n_ready if measured < 1.0 else 0)) / n_pods
    if abs(ratio - 1.0) <= rule.tolerance + _ROUNDING or (ratio > 1.0) != (measured > 1.0):
        return n_pods
    return math.ceil(ratio * n_pods - _ROUNDING)


def stabilised(n_pods: int, wanted: int, now_s: float, asked: Iterable[tuple[float, int]], rule: Autoscale) -> int:
    """The number of pods that the decision now and all those of the windows before it agree on.

    Up: no more than the smallest within `up_after`; down: no fewer than the largest within `down_after`. `asked` are
    (time s, pods) of earlier decisions; one exactly as old as a window is out of it.
    """
    up = min([wanted, *(n for at_s, n in asked if at_s > now_s - rule.up_after)])
    down = max([wanted, *(n for at_s, n in asked if at_s > now_s - rule.down_after)])
    return min(max(n_pods, up), down)


class Autoscalers:
    """All autoscalers of one trial."""

    def __init__(self, context: Context, fleet: Fleet, standby: Standby) -> None:
        scalers: dict[int, _Autoscaler] = {}
        for pool, service in enumerate(fleet.services):
            if service.autoscale is not None:
                scalers[pool] = _Autoscaler(context, fleet, standby, pool)

        def changed(pod: Pod) -> None:
            if pod.pool in scalers:
                scalers[pod.pool].wake()
                standby.count()  # a pod that was removed is paid for until it is gone

        if scalers:
            fleet.followers.append(changed)


class _Autoscaler:
    """The autoscaler of one pool.

    Pods that people added are theirs: they count for the busy share, both bounds are that much higher, and they are
    never removed.
    """

    def __init__(self, context: Context, fleet: Fleet, standby: Standby, pool: int) -> None:
        rule = fleet.services[pool].autoscale
        assert rule is not None
        self._context = context
        self._fleet = fleet
        self._standby = standby
        self._pool = pool
        self._rule = rule
        self._region, self._service = context.traffic.names.pools[pool]
        self._least = rule.least if rule.least is not None else context.traffic.names.placed[pool]
        self._asked: deque[tuple[float, int]] = deque()
        self._added: deque[tuple[float, int]] = deque()
        self._last = 0
        """Number of the last decision, in units of `every`."""
        self._is_awake = False
        self._slept_at = 0
        """Pods wanted when it fell asleep."""
        self._above = context.watch(GUARD_BUSY, pool, 1.0, lambda _: self.wake())
        self._below = context.watch(GUARD_BUSY, pool, 0.0, lambda _: self.wake())
        self._rest()
        self.wake()

    def wake(self) -> None:
        """Decide at the next multiple of `every`."""
        if self._is_awake:
            return
        self._is_awake = True
        context, every = self._context, self._rule.every
        for guard in (self._above, self._below):
            context.traffic.arm_guard(guard, False)
        # Every decision since it fell asleep would have asked for the same; the last of them keeps a window open.
        missed = math.ceil(context.now_s / every - _ROUNDING) - 1
        if missed > self._last:
            self._last = missed
            if self._asked:
                self._asked.append((missed * every, self._slept_at))
        self._decide_next()

    # -- inside ---------------------------------------------------------------------------------------

    def _decide_next(self) -> None:
        every = self._rule.every
        self._last = max(self._last + 1, math.ceil(self._context.now_s / every - _ROUNDING))
        self._context.after(self._last * every - self._context.now_s, self._decide)

    def _pods(self) -> list[Pod]:
        """Pods that there should be."""
        of_pool = self._fleet.of_pool(self._pool)
        return [pod for pod in of_pool if pod.state is not PodState.ABSENT and not pod.leaving]

    def _bounds(self, pods: list[Pod]) -> tuple[int, int]:
        by_people = sum(pod.for_people for pod in pods)
        return self._least + by_people, self._rule.most + by_people

    def _decide(self) -> None:
        now_s, rule, pods = self._context.now_s, self._rule, self._pods()
        if not pods or self._standby.sleeps(self._region):
            self._asked.clear()
            self._rest()
            return
        n_pods = len(pods)
        n_ready = sum(pod.state is PodState.READY for pod in pods)
        least, most = self._bounds(pods)
        wanted = pods_wanted(self._context.traffic.busy_share(self._pool), n_ready, n_pods, rule)
        wanted = min(max(wanted, least), most)
        if not self._asked:
            self._asked.append((now_s, n_pods))  # a new autoscaler takes the present size as asked for
        agreed = stabilised(n_pods, wanted, now_s, self._asked, rule)
        agreed = min(max(agreed, least), most, self._fastest(n_pods))
        self._asked.append((now_s, wanted))
        while self._asked[0][0] < now_s - max(rule.up_after, rule.down_after):
            self._asked.popleft()
        if agreed != n_pods:
            self._scale(pods, agreed)
        if wanted != agreed or len(self._pods()) != agreed:
            self._decide_next()
        else:
            self._rest()

    def _fastest(self, n_pods: int) -> int:
        """Most pods that the policy allows now."""
        while self._added and self._added[0][0] <= self._context.now_s - _POLICY_S:
            self._added.popleft()
        before = n_pods - sum(n for _, n in self._added)
        return max(n_pods, before + _POLICY_PODS, int(before * _POLICY_TIMES))

    def _scale(self, pods: list[Pod], to: int) -> None:
        self._context.record(
            Kind.SCALED,
            f"{len(pods)} to {to} pods",
            region=self._region,
            service=self._service,
            value=float(to),
        )
        if to > len(pods):
            self._add(to - len(pods))
        else:
            self._remove(pods, len(pods) - to)
        self._standby.count()

    def _add(self, n: int) -> None:
        free = [p for p in self._fleet.of_pool(self._pool) if p.state is PodState.ABSENT and not p.for_people]
        # A new pod is not the one that a fault holds down, if there is any other.
        free.sort(key=lambda pod: bool(pod.holds))
        for pod in free[:n]:
            self._fleet.begin(pod, warm=False)
            what = "by the autoscaler" if pod.node is not None else "by the autoscaler: no node has room for it"
            self._context.record(Kind.POD_ADDED, what, region=pod.region, service=pod.service, pod=pod.name)
        self._added.append((self._context.now_s, len(free[:n])))

    def _remove(self, pods: list[Pod], n: int) -> None:
        own = [pod for pod in pods if not pod.for_people]
        # As a ReplicaSet does: pods that are not ready first, then the youngest.
        own.sort(key=lambda pod: (list(PodState).index(pod.state), -pod.started_s, -pod.row))
        for pod in own[:n]:
            self._fleet.retire(pod, "by the autoscaler")
        self._fleet.place_waiting(self._region)

    def _rest(self) -> None:
        """Sleep until another number of pods may be wanted."""
        self._is_awake = False
        pods, rule, traffic = self._pods(), self._rule, self._context.traffic
        n_pods, n_ready = len(pods), sum(pod.state is PodState.READY for pod in pods)
        self._slept_at = n_pods
        least, most = self._bounds(pods)
        up = down = math.inf
        if n_ready > 0 and n_pods < most:
            up = rule.target * (1.0 + rule.tolerance) * n_pods / n_ready  # the others count as idle
        if n_ready > 0 and n_pods > least:
            ratio = min(1.0 - rule.tolerance, (n_pods - 1) / n_pods)  # above, rounding up keeps the last pod
            down = rule.target * (ratio * n_pods - (n_pods - n_ready)) / n_ready  # the others count as on target
        if up < 1.0:
            traffic.move_guard(self._above, up, below=True)
        else:
            traffic.arm_guard(self._above, False)
        if 0.0 < down < math.inf:
            traffic.move_guard(self._below, down, below=False)
        else:
            traffic.arm_guard(self._below, False)
