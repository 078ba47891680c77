"""Liveness and readiness probes: what they do to pods that are too busy to answer them.

A probe needs a slot like a request, so that load alone can fail it: a full queue, or no slot within the timeout. A
pod that can answer is not probed at all; a guard of the data plane says when it may fail one.
"""

import math
from collections.abc import Callable

from sim.scenario.schema import Probe
from sim.traffic.layout import GUARD_POD_IN_TIME
from sim.world.context import Context
from sim.world.fleet import Fleet
from sim.world.log import Kind
from sim.world.pods import Pod, PodState

_YEAR_S = 365.0 * 86400.0
_MISSED_A_YEAR = 1e-3
_AHEAD = 100
"""Most outcomes that are looked at in advance."""
_MARGIN = 4.0
"""The chance of a failure may grow by this factor before outcomes that were skipped are looked at again."""
_LEAST_CHANCE = 1e-6
"""Smallest chance of a failed probe that counts; a smaller one is rounding of the waiting-time law."""


def sure_level(probe: Probe) -> float:
    """Chance of success from which on a probe is taken to succeed.

    Parameters
    ----------
    probe : Probe
        Its `every` and `failures` count.

    Returns
    -------
    float
        In (0.9, 1): `failures` failed probes in a row at this level happen less than once in a thousand years of a
        pod, so that not drawing them changes nothing. With `failures` of 1 the level is 1 - 1e-6, which leaves out
        up to three failures a year at probes every 10 s.

    Examples
    --------
    >>> round(sure_level(Probe(every=10.0, failures=3)), 5)
    0.99932
    """
    chance = math.pow(_MISSED_A_YEAR * probe.every / _YEAR_S, 1.0 / probe.failures)
    return 1.0 - min(max(chance, _LEAST_CHANCE), 0.1)


class Probes:
    """All probes of one trial."""

    def __init__(self, context: Context, fleet: Fleet) -> None:
        by_pod: dict[int, list[_Probed]] = {}
        for pool, service in enumerate(fleet.services):
            liveness, readiness = service.liveness, service.readiness
            for pod in fleet.of_pool(pool) if liveness is not None or readiness is not None else ():
                probes = by_pod[pod.row] = []
                if liveness is not None:
                    probes.append(_Liveness(context, fleet, pod, liveness))
                if readiness is not None:
                    probes.append(_Readiness(context, fleet, pod, readiness))

        def changed(pod: Pod) -> None:
            for probed in by_pod.get(pod.row, ()):
                probed.pod_changed()

        if by_pod:
            fleet.followers.append(changed)


class _Probed:
    """One probe of one pod.

    Notes
    -----
    Outcomes are keyed by the pod's name, its start and the number of the probe since then, not by how many were drawn:
    what happened at earlier probes, or in other designs, changes no later outcome. A failure counts at the moment of
    the probe, not `timeout` later.
    """

    purpose = ""

    def __init__(self, context: Context, fleet: Fleet, pod: Pod, probe: Probe) -> None:
        self._context = context
        self._fleet = fleet
        self._pod = pod
        self._probe = probe
        self._may_fail = False
        self._n_failed = 0
        self._n_judged = 0
        self._incarnation = pod.incarnation
        self._due: Callable[[], None] | None = None
        context.watch(GUARD_POD_IN_TIME, pod.row, sure_level(probe), self._crossed, region=probe.timeout)
        self._floor_guard = context.watch(GUARD_POD_IN_TIME, pod.row, 0.0, self._below_floor, region=probe.timeout)
        context.traffic.arm_guard(self._floor_guard, False)

    def pod_changed(self) -> None:
        """The pod stopped, or is ready again and starts its own row of probes."""
        pod = self._pod
        if pod.state is PodState.READY and pod.incarnation == self._incarnation:
            return
        self._incarnation = pod.incarnation
        self._n_failed = self._n_judged = 0
        self._due = None
        self._probe_next()

    def _crossed(self, below: bool) -> None:
        self._may_fail = below
        self._due = None
        if not below and not self._is_awaited():
            self._n_failed = 0  # every probe from here on succeeds
        self._probe_next()

    def _below_floor(self, below: bool) -> None:
        """Probes that were sure to succeed at the floor may fail now."""
        if below:
            self._due = None
            self._probe_next()

    def _is_awaited(self) -> bool:
        """Whether the next success matters."""
        return False

    def _probe_next(self) -> None:
        """Schedule the next probe, if its outcome is open or matters; one is under way at most."""
        pod, context = self._pod, self._context
        context.traffic.arm_guard(self._floor_guard, False)
        if self._due is not None or pod.state is not PodState.READY or pod.leaving:
            return
        if not self._may_fail and not self._is_awaited():
            return
        first_s = pod.started_s + self._probe.delay
        index = max(self._n_judged, math.ceil((context.now_s - first_s) / self._probe.every - 1e-9))
        index = self._first_that_may_fail(index)
        if index > self._n_judged:
            self._n_failed = 0  # those in between succeeded

        def probe() -> None:
            if self._due is not probe:
                return  # the pod has stopped meanwhile
            self._due = None
            self._n_judged = index + 1
            self._judge(index)
            self._probe_next()

        self._due = probe
        context.after(first_s + index * self._probe.every - context.now_s, probe)

    def _judge(self, index: int) -> None:
        pod, context = self._pod, self._context
        in_time = context.traffic.pod_in_time(pod.row, self._probe.timeout)
        if self._drawn(index) < in_time:
            self._n_failed = 0
            self._succeeded()
            return
        self._n_failed += 1
        if self._n_failed >= self._probe.failures:
            self._failed(f"{self.purpose} probe failed" + (f" {self._n_failed} times" if self._n_failed > 1 else ""))

    def _drawn(self, index: int) -> float:
        """Uniform number that decides a probe: it succeeds if the chance of a slot in time is above it."""
        return self._context.draws.uniform(self._pod.name, f"{self.purpose} of start {self._incarnation}", index)

    def _first_that_may_fail(self, index: int) -> int:
        """The next probe that does not succeed for sure while the chance stays above a floor, which is watched.

        So a pod that is a little slow for a year is not looked at every few seconds, and no outcome changes.
        """
        in_time = self._context.traffic.pod_in_time(self._pod.row, self._probe.timeout)
        floor = min(1.0 - _MARGIN * (1.0 - in_time), sure_level(self._probe))
        if self._is_awaited() or floor <= 0.0:
            return index
        self._context.traffic.move_guard(self._floor_guard, floor, below=False)
        return next((k for k in range(index, index + _AHEAD) if self._drawn(k) >= floor), index + _AHEAD)

    def _succeeded(self) -> None:
        """A probe was answered."""

    def _failed(self, what: str) -> None:
        """Enough probes in a row were not."""


class _Liveness(_Probed):
    """Restarts the pod in place, with CrashLoopBackOff."""

    purpose = "liveness"

    def _failed(self, what: str) -> None:
        self._n_failed = 0
        self._fleet.crash(self._pod, what)


class _Readiness(_Probed):
    """Takes the pod off the list until a probe succeeds."""

    purpose = "readiness"
    _unlisted = False

    def pod_changed(self) -> None:
        if self._pod.incarnation != self._incarnation or self._pod.state is not PodState.READY:
            self._unlisted = False  # a pod is listed when it gets ready
        super().pod_changed()

    def _is_awaited(self) -> bool:
        return self._unlisted

    def _succeeded(self) -> None:
        if self._unlisted:
            self._unlisted = False
            self._list(True, "readiness probe succeeded")

    def _failed(self, what: str) -> None:
        if not self._unlisted:
            self._unlisted = True
            self._list(False, what)

    def _list(self, listed: bool, what: str) -> None:
        pod = self._pod
        self._context.traffic.set_listed(pod.row, listed)
        kind = Kind.POD_LISTED if listed else Kind.POD_UNLISTED
        self._context.record(kind, what, region=pod.region, service=pod.service, pod=pod.name)
