"""What is known so far of losses and slowness that a plane endures, as tables for compiled code (`world.quiet_loop`).

Asked for one by one and kept with the course, so that each answer is found once for all trials. Levels of demand are
numbers of steps of the peak (`levels.N_LEVELS`).
"""

import math
from typing import Any, Final, NamedTuple

import numpy as np

from sim.traffic.endurance import Endurance
from sim.traffic.layout import N_TOTALS, POD_POOL, POD_READY
from sim.traffic.levels import N_LEVELS, PARTS
from sim.traffic.network import Network

UNKNOWN: Final = -1


class Tables(NamedTuple):
    """Answers; `UNKNOWN` where nobody has asked yet."""

    alone: Any
    """(n_pools, most + 1) highest level at which pods of one pool may be missing, if what it costs is booked."""
    loss: Any
    """(n_regions, most + 1) the same of a loss in all pools of a region."""
    free: Any
    """(n_pools, most + 1) highest level at which missing pods of one pool cost nothing."""
    cost: Any
    """(n_pools * (most + 1) * (N_LEVELS + 1), n_groups * N_TOTALS) what they change of the totals, 1/s."""
    kill: Any
    """(n_pools * (N_LEVELS + 1), n_groups * N_TOTALS) what the end of one pod changes of them."""
    restart: Any
    """(n_pools,) highest part of a level at which the crash and restart of one pod is endured."""
    restart_once: Any
    """(n_pools * (N_LEVELS * PARTS + 1), n_groups * N_TOTALS) what it changes of the totals."""
    kills_of: Any
    """(n_pods,) by who crashes: which part of `kills` says what that adds to the hazard of others; 0: nothing."""
    kills: Any
    """(n, N_LEVELS + 1, n_pods) logarithm of what a restart adds to the hazard of each pod, by level."""
    slow: Any
    """(n_slow,) highest part of a level at which a slowness is endured."""
    slow_loss: Any
    """(n_slow * n_regions, most + 1) as `loss`, while a pool is slower."""
    slow_rates: Any
    """(n_slow * (N_LEVELS * PARTS + 1), n_groups * N_TOTALS) what it changes of the totals, 1/s."""
    slow_once: Any
    """The same once for each slowness."""


class Known:
    """Tables of one course.

    Parameters
    ----------
    endurance : Endurance
        Which is asked.
    net : Network
        Of the course.
    regions : sequence of int
        (n_pools,) region of each pool.
    """

    def __init__(self, endurance: Endurance, net: Network, regions: list[int]) -> None:
        self._endurance, self._net, self._regions = endurance, net, regions
        n_pools, n_columns = len(net.pools), len(net.groups) * N_TOTALS
        ready = net.pods[:, POD_READY] != 0.0
        self.running = np.bincount(net.pods[ready, POD_POOL].astype(int), minlength=n_pools)
        """(n_pools,) pods that run when all is well."""
        self.loads = np.array([endurance.load_of(pod) for pod in range(len(net.pods))])
        """(n_pods,) load of each pod beside that of the one in the middle of its pool."""
        self._most = int(self.running.max(initial=0))
        n_regions = max(regions) + 1
        kills = [endurance.kill_by_level(pool) for pool in range(n_pools)]
        self._slows: dict[tuple[int, float], int] = {}
        self.tables = Tables(
            alone=np.full((n_pools, self._most + 1), UNKNOWN),
            loss=np.full((n_regions, self._most + 1), UNKNOWN),
            free=np.full((n_pools, self._most + 1), UNKNOWN),
            cost=np.zeros((n_pools * (self._most + 1) * (N_LEVELS + 1), n_columns)),
            kill=np.concatenate(kills) if kills else np.zeros((0, n_columns)),
            restart=np.full(n_pools, UNKNOWN),
            restart_once=np.zeros((n_pools * (N_LEVELS * PARTS + 1), n_columns)),
            kills_of=np.full(len(net.pods), UNKNOWN),
            kills=np.full((1, N_LEVELS + 1, len(net.pods)), -np.inf),
            slow=np.zeros(0, dtype=np.int64),
            slow_loss=np.zeros((0, self._most + 1), dtype=np.int64),
            slow_rates=np.zeros((0, n_columns)),
            slow_once=np.zeros((0, n_columns)),
        )

    def rounded(self, counts: tuple[int, ...]) -> tuple[int, ...]:
        """At least so many missing pods: if several pools are short, all of a region by the share of the worst.

        So that few questions have to be asked.
        """
        if sum(count > 0 for count in counts) <= 1:
            return counts
        shares: dict[int, float] = {}
        for region, count, running in zip(self._regions, counts, self.running.tolist(), strict=True):
            shares[region] = max(shares.get(region, 0.0), count / max(running, 1))
        return tuple(
            math.ceil(shares[region] * running - 1e-9)
            for region, running in zip(self._regions, self.running.tolist(), strict=True)
        )

    def slow_number(self, pool: int, factor: float) -> int:
        """Number of the slowness of all pods of a pool by a factor."""
        number = self._slows.setdefault((pool, factor), len(self._slows))
        if number == len(self.tables.slow):
            tables, more = self.tables, np.zeros((N_LEVELS * PARTS + 1, self.tables.cost.shape[1]))
            self.tables = tables._replace(
                slow=np.append(tables.slow, UNKNOWN),
                slow_loss=np.vstack([tables.slow_loss, np.full_like(tables.loss, UNKNOWN)]),
                slow_rates=np.vstack([tables.slow_rates, more]),
                slow_once=np.vstack([tables.slow_once, more]),
            )
        return number

    def find_loss(self, region: int, n_missing: int) -> None:
        """How much of a loss is endured in a region: so many pods of its largest pool, such a share of the others."""
        self.tables.loss[region, n_missing] = self._endurance.limit_if_booked(self._in_region(region, n_missing))

    def find_slow_loss(self, row: int, n_missing: int) -> None:
        """The same while a pool is slower."""
        number, region = divmod(row, len(self.tables.loss))
        counts = self._in_region(region, n_missing)
        self.tables.slow_loss[row, n_missing] = self._endurance.limit_if_booked(counts, self._slow_of(number))

    def _slow_of(self, number: int) -> tuple[int, float]:
        return next(key for key, of in self._slows.items() if of == number)

    def _in_region(self, region: int, n_missing: int) -> tuple[int, ...]:
        pools = [pool for pool, of in enumerate(self._regions) if of == region]
        most = max(int(self.running[pool]) for pool in pools)
        counts = [0] * len(self._regions)
        for pool in pools:
            counts[pool] = -(-n_missing * int(self.running[pool]) // most)
        return tuple(counts)

    def find_alone(self, pool: int, n_missing: int) -> None:
        """How much of a loss in one pool is endured."""
        counts = tuple(n_missing * one for one in self._endurance.one_of(pool))
        self.tables.alone[pool, n_missing] = self._endurance.limit_if_booked(counts)

    def find_restart(self, pool: int, down_s: float) -> None:
        """How much of the restart of one pod is endured, and what it costs."""
        found, first = self._endurance.restart(pool, down_s), pool * (N_LEVELS * PARTS + 1)
        self.tables.restart_once[first : first + len(found.once)] = found.once
        self.tables.restart[pool] = found.limit

    def find_restart_kills(self, pod: int, down_s: float) -> None:
        """What the restart of a pod adds to the hazard of the others."""
        found, tables = self._endurance.restart_kills(pod, down_s), self.tables
        tables.kills_of[pod] = 0
        if np.isfinite(found).any():
            tables.kills_of[pod] = len(tables.kills)
            self.tables = tables._replace(kills=np.concatenate([tables.kills, found[np.newaxis]]))

    def find_cost(self, pool: int, n_missing: int) -> None:
        """What it costs that pods of one pool are missing."""
        free, rates = self._endurance.cost_of_missing(pool, n_missing)
        first = (pool * (self._most + 1) + n_missing) * (N_LEVELS + 1)
        self.tables.cost[first : first + N_LEVELS + 1] = rates
        self.tables.free[pool, n_missing] = free

    def find_slow(self, number: int) -> None:
        """How much of a slowness is endured, and what it costs."""
        found, tables = self._endurance.slowness(*self._slow_of(number)), self.tables
        first = number * (N_LEVELS * PARTS + 1)
        tables.slow_rates[first : first + len(found.rates)] = found.rates
        tables.slow_once[first : first + len(found.once)] = found.once
        tables.slow[number] = found.limit
