"""Exact formulas of queues and of their fluid limit, to hold the data plane against.

Textbook results and none of the engine. Time has no fixed unit here; rates are per the same unit as times. Ids such as
C06 name the entries of the published truths that the tests compare with.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from sim.oracles.closed_forms import birth_death


@dataclass(frozen=True, slots=True)
class Queue:
    """Steady state of a queue with Poisson arrivals and exponential service.

    Parameters
    ----------
    probs : tuple of float
        P(n inside), n = 0, 1, ... up to the room (or to where the rest is negligible).
    in_system, waiting : float
        Mean numbers L and Lq.
    blocked : float
        Probability that an arrival finds no room.
    throughput : float
        Services completed per unit of time.
    sojourn, wait : float
        Mean times W and Wq of accepted arrivals (of all who abandon or not).
    """

    probs: tuple[float, ...]
    in_system: float
    waiting: float
    blocked: float
    throughput: float
    sojourn: float
    wait: float


def erlang_b(servers: int, load: float) -> float:
    """Return the loss probability of M/G/c/c: depends on the mean service time only (C09).

    Parameters
    ----------
    servers : int
    load : float
        Arrival rate x mean service time, Erlang.

    Notes
    -----
    Erlang (1917), by the recursion B(c) = a B(c-1) / (c + a B(c-1)).
    """
    loss = 1.0
    for c in range(1, servers + 1):
        loss = load * loss / (c + load * loss)
    return loss


def erlang_c(servers: int, load: float) -> float:
    """Return P(an arrival waits) in M/M/c with load < servers Erlang (C07)."""
    loss = erlang_b(servers, load)
    return servers * loss / (servers - load * (1.0 - loss))


def mm1_tail(utilisation: float, n: int) -> float:
    """Return P(at least n inside) in M/M/1 (C06)."""
    return float(utilisation**n)


def mm1_mean(utilisation: float) -> float:
    """Return the mean number inside in M/M/1; also in processor sharing, whatever the service law (C06, C12)."""
    return utilisation / (1.0 - utilisation)


def mm1_sojourn_tail(arrival_rate: float, service_rate: float, time: float) -> float:
    """Return P(sojourn > time) in M/M/1, first come first served (C06)."""
    return math.exp(-(service_rate - arrival_rate) * time)


def mm1_mean_at(arrival_rate: float, service_rate: float, time: float, *, room: int = 400) -> float:
    """Return the mean number inside an M/M/1 at `time`, empty at 0 (C06).

    By uniformisation of the chain cut at `room`, which must be far above what is reached.
    """
    rate = arrival_rate + service_rate
    n_jumps = int(rate * time + 12.0 * math.sqrt(rate * time) + 30)
    weights = stats.poisson.pmf(np.arange(n_jumps + 1), rate * time)
    probs = np.zeros(room + 1)
    probs[0] = 1.0
    up, down, mean = arrival_rate / rate, service_rate / rate, 0.0
    sizes = np.arange(room + 1)
    for weight in weights:
        mean += weight * float(sizes @ probs)
        moved = np.zeros_like(probs)
        moved[1:] = up * probs[:-1]
        moved[-1] += up * probs[-1]
        moved[:-1] += down * probs[1:]
        moved[0] += down * probs[0]
        probs = moved
    return mean


def mmc_wait(servers: int, arrival_rate: float, service_rate: float) -> float:
    """Return the mean wait Wq in M/M/c (C07)."""
    wait_prob = erlang_c(servers, arrival_rate / service_rate)
    return wait_prob / (servers * service_rate - arrival_rate)


def mmc_wait_tail(servers: int, arrival_rate: float, service_rate: float, time: float) -> float:
    """Return P(wait > time) in M/M/c, first come first served (C07)."""
    wait_prob = erlang_c(servers, arrival_rate / service_rate)
    return wait_prob * math.exp(-(servers * service_rate - arrival_rate) * time)


def mmck(servers: int, room: int, arrival_rate: float, service_rate: float) -> Queue:
    """Return the steady state of M/M/c/K (C08).

    Parameters
    ----------
    servers, room : int
        Servers, and most inside (served and waiting), room >= servers.
    arrival_rate, service_rate : float
        Per unit of time; service rate of one server.
    """
    deaths = [min(n, servers) * service_rate for n in range(1, room + 1)]
    probs = birth_death([arrival_rate] * room, deaths)
    sizes = np.arange(room + 1)
    in_system = float(probs @ sizes)
    waiting = float(probs @ np.maximum(sizes - servers, 0))
    blocked = float(probs[-1])
    throughput = arrival_rate * (1.0 - blocked)
    return Queue(tuple(probs), in_system, waiting, blocked, throughput, in_system / throughput, waiting / throughput)


@dataclass(frozen=True, slots=True)
class Abandonment:
    """Steady state of M/M/n+M, Erlang-A.

    Parameters
    ----------
    wait_prob : float
        Probability that an arrival finds all servers busy.
    waiting, in_system : float
        Mean numbers.
    abandoned : float
        Share of arrivals that leave unserved.
    wait : float
        Mean time in the queue of all arrivals.
    utilisation : float
        Mean share of servers busy.
    throughput : float
        Services completed per unit of time.
    in_system_variance : float
        Variance of the number inside.
    """

    wait_prob: float
    waiting: float
    in_system: float
    abandoned: float
    wait: float
    utilisation: float
    throughput: float
    in_system_variance: float


def erlang_a(servers: int, arrival_rate: float, service_rate: float, patience_rate: float) -> Abandonment:
    """Return the steady state of M/M/n+M: each who waits leaves at `patience_rate` (C10).

    Notes
    -----
    Palm (1957); Garnett, Mandelbaum and Reiman (2002). A birth-death chain, cut where its probability is negligible.
    """
    room = servers + int((arrival_rate / patience_rate) * 3 + 50 * math.sqrt(arrival_rate / patience_rate) + 200)
    deaths = [min(n, servers) * service_rate + max(n - servers, 0) * patience_rate for n in range(1, room + 1)]
    probs = birth_death([arrival_rate] * room, deaths)
    sizes = np.arange(room + 1)
    waiting = float(probs @ np.maximum(sizes - servers, 0))
    in_system = float(probs @ sizes)
    abandoned = patience_rate * waiting / arrival_rate
    busy = float(probs @ np.minimum(sizes, servers))
    return Abandonment(
        wait_prob=float(probs[servers:].sum()),
        waiting=waiting,
        in_system=in_system,
        abandoned=abandoned,
        wait=waiting / arrival_rate,
        utilisation=busy / servers,
        throughput=busy * service_rate,
        in_system_variance=float(probs @ (sizes - in_system) ** 2),
    )


# --- fluid overload -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Overload:
    """A queue that a surge fills and a lull empties, in the fluid limit.

    Parameters
    ----------
    peak : float
        Waiting when the surge ends.
    drain : float
        Time from then until empty.
    abandoned_surge, abandoned_drain : float
        Requests that left the queue in each part.
    """

    peak: float
    drain: float
    abandoned_surge: float
    abandoned_drain: float


def fluid_queue_at(time: float, excess: float, patience_rate: float) -> float:
    """Return the waiting number after `time` of an excess of arrivals over capacity, empty at 0 (C17).

    Parameters
    ----------
    time : float
    excess : float
        Arrival rate less capacity, per unit of time.
    patience_rate : float
        Rate at which each waiting request leaves; 0 for never.
    """
    if patience_rate == 0:
        return excess * time
    return -excess / patience_rate * math.expm1(-patience_rate * time)


def fluid_overload(surge_excess: float, surge: float, spare: float, patience_rate: float) -> Overload:
    """Return what a surge leaves behind (C17 with, C18 without abandonment).

    Parameters
    ----------
    surge_excess : float
        Arrivals less capacity during the surge, positive.
    surge : float
        Its length.
    spare : float
        Capacity less arrivals afterwards, positive.
    patience_rate : float
        Rate at which each waiting request leaves; 0 for never.

    Notes
    -----
    dq/dt = excess - patience_rate x q; the abandoned are arrivals less served less left over.
    """
    peak = fluid_queue_at(surge, surge_excess, patience_rate)
    if patience_rate == 0:
        return Overload(peak, peak / spare, 0.0, 0.0)
    drain = math.log1p(peak * patience_rate / spare) / patience_rate
    return Overload(peak, drain, surge_excess * surge - peak, peak - spare * drain)


def fluid_total_delay(surge_excess: float, surge: float, spare: float) -> float:
    """Return the request-time spent waiting, without abandonment: the area of the triangle (C18)."""
    peak = surge_excess * surge
    return peak * (surge + peak / spare) / 2.0


def fluid_longest_wait(surge_excess: float, surge: float, capacity: float) -> float:
    """Return the wait of who arrives when the surge ends, without abandonment, first come first served (C18)."""
    return surge_excess * surge / capacity
