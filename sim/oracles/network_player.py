"""Plays a script on the request-level network: one method per kind of happening.  It must not know the engine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sim.oracles.network_clients import PROVIDER
from sim.oracles.network_jobs import Pod
from sim.oracles.network_kit import after
from sim.oracles.network_pods import Pool
from sim.oracles.network_script import (
    Attempts,
    DemandFactor,
    EdgeReach,
    Happening,
    PodBounds,
    PodCondition,
    PodLimit,
    PodMemoryUse,
    PodStarts,
    PodStops,
    PoolReach,
    ProviderState,
    Routing,
    Script,
)

if TYPE_CHECKING:
    from sim.oracles.network_model import Network


class Player:
    """Turns happenings into calls of the model."""

    def __init__(self, network: Network, script: Script) -> None:
        self._network = network
        self._conditions: dict[str, dict[str, tuple[float, float]]] = {}
        now_s = network.env.now
        for happening in script.in_order():
            if happening.at_s >= now_s and happening.at_s < network.end_s + 1e6:
                after(network.env, happening.at_s - now_s, self._on_time, happening)

    def _on_time(self, event: Any) -> None:
        self.play(event.value)

    def play(self, happening: Happening) -> None:
        """Let it happen now."""
        match happening:
            case PodStops():
                self._stop(happening)
            case PodStarts():
                self._start(happening)
            case PodCondition():
                self._set_condition(happening)
            case PodMemoryUse() | PodLimit():
                self._set_memory(happening)
            case PodBounds():
                pool, pod = self._pod(happening.pod)
                pool.set_bounds(pod, happening.slots, happening.queue)
            case PoolReach():
                self._network.pools[happening.region, happening.service].reachable = happening.reachable
            case EdgeReach():
                edge = self._network.edges[happening.region, happening.caller, happening.callee]
                edge.reachable = happening.reachable
                edge.callee.serve_handovers()
            case Attempts():
                self._set_attempts(happening)
            case DemandFactor():
                group = self._network.groups[happening.population]
                group.factors[happening.cause] = happening.factor
                group.refresh_demand()
            case ProviderState():
                provider = self._network.groups[happening.population].provider
                assert provider is not None, f"the scenario has no {PROVIDER}"
                provider.ok_share, provider.quota_per_s = happening.ok_share, happening.quota_per_s
            case Routing():
                routes = self._network.groups[happening.population].routes
                routes.turn(self._network.env.now, dict(happening.shares))

    def _pod(self, name: str) -> tuple[Pool, Pod]:
        return self._network.pod_pools[name], self._network.pods[name]

    def _start(self, happening: PodStarts) -> None:
        pool, pod = self._pod(happening.pod)
        is_released = happening.cause in pod.holds
        pod.holds.discard(happening.cause)
        if pod.present or not is_released:  # one that was taken away while it was held down stays away
            pool.start(pod, startup=happening.startup)

    def _stop(self, happening: PodStops) -> None:
        pool, pod = self._pod(happening.pod)
        if happening.restarts:
            pool.crash(pod, happening.cause)
        else:
            pod.holds.add(happening.cause)
            pool.stop(pod)

    def _set_condition(self, happening: PodCondition) -> None:
        _, pod = self._pod(happening.pod)
        conditions = self._conditions.setdefault(happening.pod, {})
        conditions[happening.cause] = (happening.slow, happening.errors)
        pod.slow = math.prod(slow for slow, _ in conditions.values())
        pod.error_share = 1.0 - math.prod(1.0 - errors for _, errors in conditions.values())

    def _set_memory(self, happening: PodMemoryUse | PodLimit) -> None:
        pool, pod = self._pod(happening.pod)
        if pod.memory is None:
            return  # no limit, so nothing to fill
        now_s = self._network.env.now
        if isinstance(happening, PodLimit):
            pod.memory.set_limit(now_s, happening.limit_mib)
        else:
            pod.memory.add(
                now_s,
                happening.cause,
                happening.extra_mib,
                happening.growth_mib_per_s,
                happening.leak_mib_per_s,
                happening.factor,
            )
        pool.watch_memory(pod)

    def _set_attempts(self, happening: Attempts) -> None:
        if happening.population is not None:
            self._network.groups[happening.population].attempts_most = happening.attempts
        if happening.region is not None:
            assert happening.caller is not None
            assert happening.callee is not None
            self._network.edges[happening.region, happening.caller, happening.callee].attempts_most = happening.attempts
