"""Margins that explain most collapses, worked out from the scenario alone: no trial is needed.

Does each queue bound fit its memory limit? How busy is the hottest pod at peak demand, today and after losing a
region, with and without retries? These are static numbers: mean rates, no queues, no randomness.
"""

import math
from dataclasses import dataclass
from enum import Enum

from sim.scenario.lint import circles_of
from sim.scenario.pods import (
    fewest_placed,
    full_pod_mib,
    hottest_share,
    load_shares,
    most_inside,
    overflows,
    pod_room,
    pod_slots,
)
from sim.scenario.schema import Scenario, Service
from sim.study.flows import Pool, attempts_of_users, holding_s, rates_per_s
from sim.study.rerouting import entering_per_s, losable
from sim.units import format_duration


@dataclass(frozen=True, slots=True)
class QueueFit:
    """Memory of one pod with its queue full, against its limit."""

    service: str
    n_requests: int
    """Executed and waiting."""
    per_request_mib: float
    base_mib: float
    limit_mib: float
    needed_mib: float
    """Memory with `n_requests` inside."""

    @property
    def fits(self) -> bool:
        """Whether the pod survives a full queue (at its limit it is killed)."""
        return self.needed_mib < self.limit_mib


@dataclass(frozen=True, slots=True)
class HotPod:
    """The busiest pod of an architecture."""

    region: str
    service: str
    lost_region: str
    """Empty: with all regions."""
    utilisation: float
    """Offered load over slots, first attempts only; above 1 the pod cannot keep up, infinite in a circle of calls that
    feeds itself."""
    utilisation_with_retries: float
    """Of the busiest pod if every attempt fails and is repeated as often as callers and users do."""
    region_with_retries: str
    service_with_retries: str
    circle: tuple[str, ...] = ()
    """Services that call each other in a circle and make the utilisation, with retries at least, infinite."""


def queue_fits(scenario: Scenario) -> list[QueueFit]:
    """One entry for each placed service that has a memory limit, where shedding leaves its pods the most room."""
    placed = {service for pods in scenario.place.values() for service, n in pods.items() if n}
    found = []
    for name, s in scenario.services.items():
        if s.memory is not None and name in placed:
            n_pods, memory = fewest_placed(scenario, name), s.memory
            needed_mib = full_pod_mib(s, n_pods)
            found.append(QueueFit(name, pod_room(s, n_pods), memory.per_request, memory.base, memory.limit, needed_mib))
    return found


def hot_pod_today(scenario: Scenario) -> HotPod:
    """The busiest pod at the highest demand of the horizon, with all regions."""
    return _hottest(scenario, "")


def hot_pod_after_loss(scenario: Scenario) -> HotPod | None:
    """The busiest pod at the highest demand after the worst loss of one region.

    Returns None if no load is moved: there is no second region, or no failover into it.
    """
    found = [_hottest(scenario, lost) for lost in losable(scenario)]
    return max(found, key=lambda pod: pod.utilisation, default=None)


class Reason(Enum):
    """Why mean rates are not enough; the value is what the user reads."""

    RETRIES = (
        "Callers repeat what fails there, so that a moment of bad luck may start a collapse that mean rates miss; "
        "model.noise: auto simulates single requests there."
    )
    MEMORY = (
        "By chance alone so many requests come together that their memory reaches the limit, and whether the others "
        "hold then is chance as well. Choose a queue bound that fits the limit, or model.noise: always."
    )
    PATIENCE = (
        "Waiting requests leave there near saturation: mean rates overstate waiting and the share that leaves by 20 to "
        "100 % (Erlang-A, 8 to 200 slots); model.noise: always simulates single requests."
    )


@dataclass(frozen=True, slots=True)
class Zone:
    """A pool that is simulated by mean rates where they may not be trusted."""

    region: str
    service: str
    lost_region: str
    utilisation: float
    reason: Reason
    kill_s: float = math.inf
    """Mean time until one of its pods is OOM-killed by chance alone, all of them fresh."""

    @property
    def text(self) -> str:
        """Which pod, how busy, and when."""
        when = f" after losing {self.lost_region}" if self.lost_region else ""
        text = f"hottest pod of {self.service} in {self.region} at {self.utilisation:.2f} at peak demand{when}"
        return text + (
            f", a pod OOM-killed once in {format_duration(self.kill_s, digits=2)}" if self.kill_s < math.inf else ""
        )


NEAR_SATURATION = (0.95, 1.05)
"""Utilisations between which a queue with impatient requests is mostly chance."""


def untrusted_zones(scenario: Scenario) -> list[Zone]:
    """Pools whose mean rates may not be trusted at peak demand, today or after losing a region.

    `noise: auto` simulates single requests where a pod is busier than `noise_above` whose callers retry, or whose full
    queue does not fit its memory (`traffic.gears`), so only what it leaves to mean rates is named.
    """
    model = scenario.model
    if model.noise == "always":
        return []
    retried = _retried(scenario)
    holding = holding_s(scenario)
    found: dict[Pool, Zone] = {}
    for lost in ("", *losable(scenario)):
        for pool, utilisation in utilisations(scenario, lost).items():
            if pool in found:
                continue
            service, n_pods = scenario.services[pool[1]], scenario.place[pool[0]][pool[1]]
            delicate = pool[1] in retried or overflows(service, n_pods)
            by_mean = model.noise == "never" or not delicate or utilisation <= model.noise_above
            # What `auto` leaves to mean rates ends at `noise_above`.
            busy = round(utilisation if by_mean else model.noise_above, 4)
            impatient = service.patience is not None
            kill_s = pool_kill_time_s(service, busy, n_pods, holding[pool[1]]) if busy < 1.0 else math.inf
            if by_mean and pool[1] in retried and utilisation > model.noise_above:
                found[pool] = Zone(*pool, lost, busy, Reason.RETRIES)
            elif kill_s < KILLED_WITHIN_S:
                found[pool] = Zone(*pool, lost, busy, Reason.MEMORY, round(kill_s, 3))
            elif by_mean and impatient and NEAR_SATURATION[0] <= utilisation <= NEAR_SATURATION[1]:
                found[pool] = Zone(*pool, lost, busy, Reason.PATIENCE)
    return list(found.values())


KILLED_WITHIN_S = 3600.0
"""Peak demand lasts an hour: a pod that chance kills within it is in doubt."""


def pool_kill_time_s(service: Service, utilisation: float, n_pods: int, held_s: float | None = None) -> float:
    """Mean time until one of the pods of a pool is killed, whose hottest has this utilisation; see `kill_time_s`."""
    shares = load_shares(service, n_pods, n_pods)
    times_s = [kill_time_s(service, utilisation * share / max(shares), n_pods, held_s) for share in shares]
    if min(times_s) == 0.0:
        return 0.0
    rate = sum(1.0 / time_s for time_s in times_s)
    return 1.0 / rate if rate > 0.0 else math.inf


def kill_time_s(service: Service, utilisation: float, n_pods: int = 1, held_s: float | None = None) -> float:
    """Mean time until so many requests are inside an empty pod that its memory reaches the limit, s.

    Parameters
    ----------
    service : Service
        Its pods; without memory, or with a queue that fits, they are never killed.
    utilisation : float
        Busy slots over slots, above 0: what `utilisations` gives.
    n_pods : int
        Pods of the service in the region, over which load shedding is spread.
    held_s : float, optional
        Time that a request holds its slot, calls included and contention not (`flows.holding_s`). Default: the own
        work, of a service that calls nobody.

    Notes
    -----
    First passage of M/M/c: h_k = (1 + d_k h_(k-1)) / rate from k to k + 1 requests, d_k departures per second with k
    inside (W. Feller, An Introduction to Probability Theory, vol. 1, birth and death processes). With b slots busy each
    is held for held_s + contention x work x b.
    """
    memory = service.memory
    if memory is None or memory.per_request == 0.0 or not overflows(service, n_pods) or utilisation <= 0.0:
        return math.inf
    if math.isinf(utilisation):
        return 0.0
    slots, more_s = pod_slots(service, n_pods), service.contention * service.work
    least_s = service.work if held_s is None else held_s
    if math.isinf(least_s):
        return math.inf  # the longer each stays, the fewer come for the same utilisation
    rate = utilisation * slots / (least_s + more_s * utilisation * slots)
    climb_s, total_s = 0.0, 0.0
    for k in range(most_inside(memory) + 1):
        busy = min(k, slots)
        climb_s = (1.0 + busy / (least_s + more_s * busy) * climb_s) / rate
        total_s += climb_s
        if total_s > 1e12:
            return math.inf
    return total_s


def _retried(scenario: Scenario) -> set[str]:
    """Services that somebody asks again when they fail, directly or further up on the way of the calls."""
    open_ends = [p.journey for p in scenario.populations.values() if p.attempts > 1]
    for service in scenario.services.values():
        open_ends += [callee for callee, call in service.calls.items() if call.attempts > 1 and not call.handoff]
    found: set[str] = set()
    while open_ends:
        name = open_ends.pop()
        if name not in found:
            found.add(name)
            open_ends += scenario.services[name].calls
    return found


def utilisations(scenario: Scenario, lost: str = "", *, retries: bool = False) -> dict[Pool, float]:
    """Utilisation of the hottest pod of each pool at the highest demand of the horizon.

    Parameters
    ----------
    scenario : Scenario
        The architecture.
    lost : str
        Region that is gone; empty for none.
    retries : bool
        Every attempt fails and is repeated as often as callers and users do, instead of first attempts only.

    Returns
    -------
    dict of (region, service) to float
        Pools that are reached; infinite where each round of a circle of calls brings forth the next one.
    """
    entering: dict[Pool, float] = {}
    for name, pools in entering_per_s(scenario, lost).items():
        times = attempts_of_users(scenario.populations[name]) if retries else 1.0
        for pool, per_s in pools.items():
            entering[pool] = entering.get(pool, 0.0) + times * per_s
    rates = rates_per_s(scenario, entering, lost, retries=retries)
    holding = holding_s(scenario)
    return {pool: _utilisation(scenario, pool, per_s, holding[pool[1]]) for pool, per_s in rates.items()}


def _hottest(scenario: Scenario, lost: str) -> HotPod:
    first = utilisations(scenario, lost)
    if not first:
        return HotPod("", "", lost, 0.0, 0.0, "", "")
    repeated = utilisations(scenario, lost, retries=True)
    (region, service), utilisation = max(first.items(), key=lambda item: item[1])
    (other_region, other), with_retries = max(repeated.items(), key=lambda item: item[1])
    circle = next(iter(circles_of(scenario.services)), []) if math.isinf(with_retries) else []
    return HotPod(region, service, lost, utilisation, with_retries, other_region, other, tuple(circle))


def _utilisation(scenario: Scenario, pool: Pool, per_s: float, held_s: float) -> float:
    """Busy slots b = rate (S (1 + contention b) + calls), over the slots."""
    region, name = pool
    service = scenario.services[name]
    n_pods = scenario.place[region][name]
    per_pod_s = per_s / n_pods * hottest_share(service, n_pods)
    left = 1.0 - per_pod_s * service.work * service.contention
    return per_pod_s * held_s / pod_slots(service, n_pods) / left if left > 0.0 else math.inf
