"""A system on a test bench: constant demand, one pool that loses capacity, and nobody who helps.

The data plane runs with the reflexes of pods and callers: pods that are killed and restarted with CrashLoopBackOff,
probes, cold caches, breakers. No faults, failover, operators or autoscaler: what the bench shows is what the design
does alone. It must not know figures.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sim.randomness import Draws
from sim.scenario.schema import Call, Failover, Model, Population, Scenario
from sim.study.flows import holding_s
from sim.traffic.assemble import Blueprint, assemble
from sim.traffic.demand import peak_demand
from sim.traffic.engine import Traffic
from sim.traffic.layout import GROUP_STEPS, HEAD_ROOM, POD_TABLE, TABLE_HEAD
from sim.traffic.losses import waiting_to_retry
from sim.traffic.plane import Plane
from sim.traffic.rates import retry_pause_s
from sim.world.breakers import Breakers
from sim.world.conditions import Conditions
from sim.world.context import Context
from sim.world.fleet import Fleet
from sim.world.log import Kind
from sim.world.loop import run_until
from sim.world.probes import Probes
from sim.world.topology import Topology
from sim.world.warmup import cold_caches

CHUNK_S = 10.0
"""Between two looks; recovery times are known to this."""
CALM_CHUNKS = 3
CALM = 1e-4
"""Largest relative change of any state over a chunk that still counts as rest."""
THREAT = 0.05
"""Expected OOM kills of a pod within a run above which the run is not cut short."""
HEALTHY_FOR_S = 600.0
"""The time after which CrashLoopBackOff forgets: a system that was healthy for so long is."""
SLOWEST = 1e4
"""Slowdown that stands for no capacity at all."""
_TRIGGER = "trigger"


class Loss(StrEnum):
    """How a pool loses capacity."""

    SLOW = "slow"
    """Its own work takes longer; requests inside stay."""
    PODS = "pods"
    """Pods are gone, with all they hold, and start again afterwards."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended."""

    healthy: bool
    recovered_s: float
    """Time until it was healthy for good; infinite if it never was."""


@dataclass(frozen=True)
class System:
    """One design ready for the bench, at the highest demand of each population today (no growth)."""

    scenario: Scenario
    blueprint: Blueprint
    threshold: float
    """Share of first attempts that must end usable for the system to be healthy."""

    @property
    def peak_per_s(self) -> float:
        """Requests per second of all populations at their peaks."""
        return sum(p.workers * p.requests for p in self.scenario.populations.values())


def system_of(scenario: Scenario) -> System:
    """The design without its faults, operators and calendars; its failover policy only says where load goes normally.

    Single requests are not simulated: what chance does is left to those who check the result with another model.
    """
    populations = {
        name: p.model_copy(
            update={"workers": peak_demand(p) / p.requests, "calendar": "always", "growth": 0.0, "holidays": None}
        )
        for name, p in scenario.populations.items()
    }
    policy = scenario.failover.policy
    alone = scenario.model_copy(
        update={
            "populations": populations,
            "faults": {},
            "operations": None,
            "horizon": 86400.0,
            "failover": scenario.failover if policy == "active-active" else Failover(),
            "model": scenario.model.model_copy(update={"noise": "never"}),
        }
    )
    return System(alone, assemble(alone), scenario.objectives.availability.threshold)


class Bench:
    """One run of a system, empty at first.

    Parameters
    ----------
    system : System
        What to run; it is not changed.
    load : float
        Demand as a multiple of today's peak, > 0.
    draw : int
        Which random numbers decide when pods are OOM-killed, which probes of busy pods fail, and how long pods start;
        nothing else is random.
    """

    def __init__(self, system: System, load: float, draw: int = 0) -> None:
        model: Model = system.scenario.model
        self.system, self.load = system, load
        self.traffic = Traffic(system.blueprint, tolerance=model.tolerance)
        self.context = Context(system.scenario, Draws(system.scenario.seed, draw), self.traffic)
        self.fleet = Fleet(self.context, Topology(system.scenario))
        for pod in self.fleet.pods:
            if pod.placed:
                self.fleet.begin(pod, warm=True)
        self._conditions = Conditions(self.context)
        self._capacity_is_lost = False
        cold_caches(self.context, self.fleet, self._conditions)
        Probes(self.context, self.fleet)
        Breakers(self.context)
        for group in range(len(self.traffic.names.populations)):
            self.traffic.set_demand_factor(group, load)

    @property
    def chance_decided(self) -> bool:
        """Whether a random number had a part in what happened: a pod was killed by its memory, killed or unlisted by a
        probe, or started for as long as a law says that is not constant.
        """
        drawn = (Kind.OOM_KILL, Kind.POD_LOST, Kind.POD_UNLISTED)
        return any(record.kind in drawn and record.what != _TRIGGER for record in self.context.records) or any(
            pod.n_starts > 0 and self.fleet.services[pod.pool].startup.fixed is None for pod in self.fleet.pods
        )

    # -- what is done to it ---------------------------------------------------------------------------

    def congest(self) -> None:
        """The worst state that load alone can bring about: every queue full, every caller waiting as long as it may,
        and as many users about to try again as ever can be.
        """
        traffic, services = self.traffic, self.system.scenario.services
        layout, net = traffic.layout, traffic.net
        plane = Plane(traffic.names, layout, net, traffic.state)
        for p in range(len(net.pods)):
            if traffic.is_ready(p):
                traffic.state[p] = net.tables[int(net.pods[p, POD_TABLE]), TABLE_HEAD, HEAD_ROOM]
        for i, (_, name) in enumerate(traffic.names.pools):
            waits_s = [_longest_wait_s(call) for call in services[name].calls.values()]
            traffic.state[layout.hold + i] += sum(waits_s)
        for g, population in enumerate(self.system.scenario.populations.values()):
            steps = int(net.groups[g, GROUP_STEPS])
            demand = population.workers * population.requests * self.load
            for k in range(population.attempts - 1):
                pause_s = retry_pause_s(traffic.net.groups, g, k)
                failed = demand * population.retry_share ** (k + 1)
                waiting = failed * (pause_s + population.deadline) * _allowed(population)
                waiting_to_retry(plane, g)[k, :steps] = waiting / steps
        traffic.touched()

    def lose(self, pool: int, share: float, how: Loss, slow: float | None = None) -> None:
        """Take this share (0..1) of a pool's capacity away.

        Pods that are gone are the first of the pool, as many as a fault with `capacity` takes. With `slow` own work
        takes so many times longer in this share of the pods, and requests keep the work that they drew, as in a fault;
        without it the rate of all pods is lower as long as it lasts, and so for all requests inside.
        """
        pods = [pod for pod in self.fleet.of_pool(pool) if pod.placed]
        hit = pods[: math.ceil(share * len(pods) - 1e-9)]
        if how is Loss.PODS:
            for pod in hit:
                self._act(lambda pod=pod: self.fleet.hold(pod, _TRIGGER, _TRIGGER))  # type: ignore[misc]
        elif slow is not None:
            self._slow([pod.row for pod in hit], slow)
        else:
            name = self.traffic.names.pools[pool][1]
            self._capacity_is_lost = True
            self._slow(self.traffic.pods_of[pool], slowdown(self.system.scenario, name, share))

    def give_back(self, pool: int, how: Loss) -> None:
        """End the loss; pods that were gone take their startup time."""
        if how is Loss.SLOW:
            self._slow(self.traffic.pods_of[pool], 1.0)
        else:
            for pod in self.fleet.of_pool(pool):
                self._act(lambda pod=pod: self.fleet.release(pod, _TRIGGER))  # type: ignore[misc]

    def _slow(self, pods: Iterable[int], factor: float) -> None:
        for pod in pods:
            self._conditions.set_pod(pod, _TRIGGER, slow=factor, errors=None)
            if self._capacity_is_lost:
                self.traffic.forget_drawn_work(pod)

    def _act(self, action: Callable[[], None]) -> None:
        """Let the control plane act at the data plane's moment."""
        self.context.at_crossing(action)
        self.context.env.step()

    # -- time -----------------------------------------------------------------------------------------

    def run_for(self, length_s: float) -> None:
        """Both planes, for so long."""
        stuck = f"the stability of {self.system.scenario.name} is stuck at"
        run_until(
            self.context,
            self.fleet,
            None,
            self.traffic.now_s + length_s,
            lambda code, index: f"{stuck} {self.traffic.now_s:.3f} s",
        )

    def settle(self, limit_s: float) -> Ending:
        """Run until nothing moves any more, it was healthy for ten minutes, or `limit_s` is over.

        While memory threatens to kill a pod within `limit_s`, neither rest nor ten minutes are enough.
        """
        start_s = self.traffic.now_s
        healthy_from_s, calm = math.inf, 0
        while self.traffic.now_s - start_s < limit_s:
            before, hazard, at_s = self._moving(), self._hazard(), self.traffic.now_s
            if self._success_over(CHUNK_S) < self.system.threshold:
                healthy_from_s = math.inf
            elif healthy_from_s == math.inf:
                healthy_from_s = at_s
            now = self._moving()
            threatened = np.max(self._hazard() - hazard) * limit_s / CHUNK_S > THREAT
            rest = self.context.env.peek() == math.inf and np.all(np.abs(now - before) <= CALM * (1.0 + np.abs(now)))
            calm = calm + 1 if rest and not threatened else 0
            for_long = self.traffic.now_s - healthy_from_s >= HEALTHY_FOR_S
            if calm >= CALM_CHUNKS or (for_long and not threatened):
                return Ending(healthy_from_s < math.inf, healthy_from_s - start_s)
        for_long = self.traffic.now_s - healthy_from_s >= HEALTHY_FOR_S
        return Ending(True, healthy_from_s - start_s) if for_long else Ending(False, math.inf)

    def _hazard(self) -> np.ndarray:
        """What the pods' memory limits have threatened so far (each is killed when its own draw is reached)."""
        layout = self.traffic.layout
        return self.traffic.state[layout.hazard : layout.hold].copy()

    def success(self) -> float:
        """Share of first attempts sent now that will end usable, for the population that has least of it."""
        return min(self.traffic.success(g) for g in range(len(self.traffic.names.populations)))

    def _moving(self) -> np.ndarray:
        """What has to come to rest: requests inside, holding times, qualities, retries (not the integrals)."""
        layout = self.traffic.layout
        return np.concatenate(
            [self.traffic.state[: layout.variance], self.traffic.state[layout.hold : layout.totals]], dtype=float
        )

    def _success_over(self, length_s: float) -> float:
        """Share of first attempts of the next `length_s` that end usable, for the population that has least of it."""
        groups = range(len(self.traffic.names.populations))
        before = [self.traffic.totals(g) for g in groups]
        self.run_for(length_s)
        after = [self.traffic.totals(g) for g in groups]
        return min((b[3] - a[3]) / max(b[0] - a[0], 1e-300) for a, b in zip(before, after, strict=True))


def slowdown(scenario: Scenario, service: str, lost: float) -> float:
    """How many times slower the own work of a service must get for its pods to lose this share of their capacity.

    A slot is held for own work and for calls; slower own work alone has to make up for the whole loss.
    """
    return min(1.0 + lost / max(1.0 - lost, 1e-12) / max(_own_share(scenario, service), 1e-12), SLOWEST)


def lost_by(scenario: Scenario, service: str, factor: float) -> float:
    """Share of their capacity that pods of a service lose when their own work takes `factor` (>= 1) times as long."""
    longer = (factor - 1.0) * _own_share(scenario, service)
    return longer / (1.0 + longer)


def _own_share(scenario: Scenario, service: str) -> float:
    """Own work as a share of the time that a slot is held, with nothing waiting."""
    return scenario.services[service].work / holding_s(scenario)[service]


def _longest_wait_s(call: Call) -> float:
    return call.calls * (call.attempts * call.timeout + (call.attempts - 1) * call.backoff)


def _allowed(population: Population) -> float:
    """Share of its retries that a budget lets through when everything fails."""
    retries = sum(population.retry_share**k for k in range(1, population.attempts))
    if population.retry_budget is None or retries == 0.0:
        return 1.0
    return min(1.0, population.retry_budget / retries)
