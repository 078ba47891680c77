"""Samples of a request-level run every `BIN_S`: what its curves are made of.  It must not know the engine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.oracles.network_clients import Group
from sim.oracles.network_kit import after
from sim.oracles.network_pods import Pool
from sim.oracles.network_run import BIN_S, Curves, Floats

if TYPE_CHECKING:
    from sim.oracles.network_model import Network


class Sampler:
    """Looks at all groups and pools every `BIN_S`."""

    def __init__(self, network: Network) -> None:
        self._env = network.env
        self._groups = list(network.groups.values())
        self._pools = list(network.pools.values())
        self._counts = [self._count(group) for group in self._groups]
        self._times_s: list[float] = []
        self._of_groups: list[list[tuple[int, ...]]] = []
        self._of_pools: list[list[tuple[float, float, float]]] = []
        self._end_s = network.end_s
        self._on_time(None)

    def _on_time(self, _: Any) -> None:
        if self._env.now < self._end_s - 1e-9:
            self.sample()
            after(self._env, BIN_S, self._on_time)

    @staticmethod
    def _count(group: Group) -> tuple[int, ...]:
        return (group.arrived, group.attempts, group.ended_well, group.ended_badly)

    def sample(self) -> None:
        """Note the state now, and what happened since the last sample."""
        counts = [self._count(group) for group in self._groups]
        self._of_groups.append(
            [
                tuple(a - b for a, b in zip(now, last, strict=True))
                for now, last in zip(counts, self._counts, strict=True)
            ]
        )
        self._counts = counts
        self._times_s.append(self._env.now)
        self._of_pools.append([(float(p.n_ready), float(p.n_inside), self._fullest_mib(p)) for p in self._pools])

    def _fullest_mib(self, pool: Pool) -> float:
        now_s = self._env.now
        used = [pod.memory.used_mib(now_s, pod.n_inside) for pod in pool.pods if pod.ready and pod.memory is not None]
        return max(used, default=math.nan)

    def curves(self) -> Curves:
        """The samples as curves."""
        times_s = np.array(self._times_s)
        spans_s = np.diff(times_s, prepend=math.nan)
        flows = np.array(self._of_groups, dtype=np.float64).reshape(len(times_s), len(self._groups), 4)
        state = np.array(self._of_pools, dtype=np.float64).reshape(len(times_s), len(self._pools), 3)
        ended = flows[:, :, 2] + flows[:, :, 3]
        success = np.divide(flows[:, :, 2], ended, out=np.full_like(ended, math.nan), where=ended > 0.0)

        def by_group(values: Floats) -> dict[str, Floats]:
            return {group.name: values[:, k] for k, group in enumerate(self._groups)}

        def by_pool(column: int) -> dict[str, Floats]:
            return {pool.name: state[:, k, column] for k, pool in enumerate(self._pools)}

        return Curves(
            times_s=times_s,
            demand=by_group(flows[:, :, 0] / spans_s[:, None]),
            attempts_per_s=by_group(flows[:, :, 1] / spans_s[:, None]),
            success=by_group(success),
            ready=by_pool(0),
            in_flight=by_pool(1),
            memory_mib=by_pool(2),
        )
