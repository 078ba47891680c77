"""Puts the requests of a given state into a request-level network.  It must not know the engine.

Notes
-----
Of the requests inside a pod the first ones hold its slots, the rest wait in line; those that somebody still waits for
are the newest.  Requests in a pool that is called are joined to requests that hold a slot of its caller, one each, as
calls under way (attempt 1, with the whole timeout before it); what is left over in the callee is worked on for nobody,
and what is left over in the slots of the caller is at its own work.  Work under way is begun anew, which is exact for
exponential work.  Clients of the users' attempts wait as long as if those had just been sent, unless the start says
how long (`PodStart.attempts`), and the requests of before the run are not counted as offered, good or failed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sim.oracles.network_calls import NOBODY
from sim.oracles.network_jobs import CALLING, WAITING, WORKING, Job, Pod
from sim.oracles.network_pods import Pool
from sim.oracles.network_run import NetworkStart, PodStart

if TYPE_CHECKING:
    from sim.oracles.network_model import Network


def begin(network: Network, start: NetworkStart, rng: np.random.Generator) -> None:
    """Bring the network into the state in which the run begins."""
    scenario = network.scenario
    for (region, service), pool in network.pools.items():
        placed = scenario.place[region][service]
        for k, pod in enumerate(pool.pods):
            default = PodStart(ready=k < placed)
            _begin_pod(pool, pod, start.pods.get(pod.name, default))
    # Callees first: the callers' calls under way need the requests inside the callees.
    orphans = {pool: _fill(pool, start) for pool in network.pools.values()}
    for pool in network.pools.values():
        for edge in network.edges.values():
            if edge.caller is pool and not edge.spec.handoff:
                _join(network, pool, orphans[edge.callee])
    for name, group in network.groups.items():
        entries = [pool for (_, service), pool in network.pools.items() if service == group.spec.journey]
        share_of = start.shares.get(name, {})
        for pool in entries:
            share = share_of.get(pool.name.split("/")[0], 1.0 / len(network.groups))
            for pod in pool.pods:
                given = start.pods.get(pod.name, PodStart())
                for job in _newest(pod, given.awaited) if given.attempts is None else ():
                    if job.owner is NOBODY and (len(network.groups) == 1 or rng.random() < share):
                        group.adopt(job)
                        group.ended_good -= 1  # that somebody waits for it means that it is counted as good
        for index, n in enumerate(start.retrying.get(name, ())):
            within_s = start.retry_within_s.get(name, (group.spec.backoff,) * (index + 1))[index]
            for _ in range(n):
                group.resume_within(index + 2, within_s)
        for client in start.clients.get(name, ()):
            group.resume(client)
        group.ended_good -= start.booked.get(name, 0)
    for pod in network.pods.values():
        known = start.pods.get(pod.name, PodStart()).attempts or ()
        free = [job for job in pod.jobs if job.owner is NOBODY]
        n = min(len(free), len(known))
        for job, (name, number, left_s) in zip(free[len(free) - n :], known[len(known) - n :], strict=True):
            network.groups[name].adopt(job, number, left_s)
    for key, past in start.remembered.items():
        (network.groups[key] if isinstance(key, str) else network.edges[key]).remember(past)
    for edge_key, open_s in start.breakers.items():
        breaker = network.edges[edge_key].breaker
        assert breaker is not None, f"no breaker: {edge_key}"
        breaker.half_open() if open_s == 0.0 else breaker.open(open_s)


def _newest(pod: Pod, n: int | None) -> list[Job]:
    """The newest requests inside, all of them by default."""
    jobs = list(pod.jobs)
    return jobs if n is None else jobs[max(len(jobs) - n, 0) :]


def _begin_pod(pool: Pool, pod: Pod, given: PodStart) -> None:
    now_s = pool.env.now
    pod.crashes = given.crashes
    if given.limit_mib is not None and pod.memory is not None:
        pod.memory.set_limit(now_s, given.limit_mib)
    if given.ready:
        pool.warm_start(pod, given.age_s)
        if given.used_mib is not None and pod.memory is not None:
            pod.memory.set_used(now_s, given.used_mib)
            pool.watch_memory(pod)
    elif given.ready_in_s is not None:
        pool.start(pod, delay_s=given.ready_in_s, startup=False)


def _fill(pool: Pool, start: NetworkStart) -> list[Job]:
    """Put the requests inside, for nobody yet; returns those that hold slots, oldest first."""
    for pod in pool.pods:
        given = start.pods.get(pod.name)
        for _ in range(0 if given is None or not pod.ready else given.inside):
            job = Job(NOBODY, 1, -math.inf, math.inf)
            job.awaiting = 0
            pool.let_in(pod, job)
            if not pod.ready:
                break
    return [job for pod in pool.pods for job in pod.jobs]


def _join(network: Network, caller: Pool, callee_jobs: list[Job]) -> None:
    """Make requests inside a callee the calls of requests that hold a slot of the caller."""
    idle = [job for pod in caller.pods for job in pod.jobs if job.state == WORKING and job.call is None]
    for edge in network.edges.values():
        if edge.caller is not caller or not callee_jobs or callee_jobs[0].pool is not edge.callee:
            continue
        while idle and callee_jobs:
            job, leg = idle.pop(), callee_jobs.pop()
            assert leg.state in (WAITING, WORKING, CALLING)
            job.step, job.n_left = caller.edges.index(edge), 0
            edge.resume(job, leg)
