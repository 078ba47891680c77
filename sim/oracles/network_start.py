"""Puts the requests of a given state into a request-level network.  It must not know the engine.

Notes
-----
Of the requests inside a pod the first ones hold its slots, the rest wait in line; those that somebody still waits for
are the newest.  Requests in a pool that is called are joined to requests that hold a slot of its caller, one each, as
calls under way, unless the start says which these are (`NetworkStart.calls`): the newest ones, with what their age
leaves of the timeout; where a whole line is older than that, attempts fail, and each number of attempts is as likely.
What is left over in the callee is worked on for nobody, and what is left over in the slots of the caller is at its own
work.  Work under way is begun anew, which is exact for exponential work.  Clients of the users' attempts wait as long
as if those had just been sent, unless the start says how long (`PodStart.attempts`), and the requests of before the run
are not counted as offered, good or failed, but among those that ended.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sim.oracles.network_calls import NOBODY, Edge
from sim.oracles.network_jobs import CALLING, WAITING, WORKING, Job, Pod
from sim.oracles.network_pods import Pool
from sim.oracles.network_run import CallStart, NetworkStart, PodStart

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
    for pool in network.pools.values():
        _fill(pool, start)
    if start.calls is None:
        # As they come in the file: callees first or not, each request carries one call at most.
        orphans = {pool: _youngest(pool, start) for pool in network.pools.values()}
        for edge in network.edges.values():
            if not edge.spec.handoff:
                _join(edge, orphans[edge.callee], start, rng)
    else:
        _join_known(network, start.calls)
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


def _fill(pool: Pool, start: NetworkStart) -> None:
    """Put the requests inside, for nobody yet."""
    for pod in pool.pods:
        given = start.pods.get(pod.name)
        for _ in range(0 if given is None or not pod.ready else given.inside):
            job = Job(NOBODY, 1, -math.inf, math.inf)
            job.awaiting = 0
            pool.let_in(pod, job)
            if not pod.ready:
                break


def _youngest(pool: Pool, start: NetworkStart) -> list[tuple[float, Job]]:
    """(age s, request) of all that are inside, the youngest ones last; those in slots are as old as the line."""
    found = []
    for pod in pool.pods:
        wait_s = start.pods.get(pod.name, PodStart()).wait_s
        jobs = list(pod.jobs)
        n_queued = sum(job.state == WAITING for job in jobs)
        for k, job in enumerate(jobs):
            place = k - (len(jobs) - n_queued)
            found.append((wait_s if place < 0 else wait_s * (1.0 - (place + 0.5) / n_queued), job))
    found.sort(key=lambda pair: -pair[0])
    return found


def _join(edge: Edge, callee_jobs: list[tuple[float, Job]], start: NetworkStart, rng: np.random.Generator) -> None:
    """Make requests inside a callee the calls of requests that hold a slot of the caller."""
    idle = [job for pod in edge.caller.pods for job in pod.jobs if job.state == WORKING and job.call is None]
    timeout_s = edge.spec.timeout
    while idle and callee_jobs and callee_jobs[-1][0] < timeout_s:
        job, (age_s, leg) = idle.pop(), callee_jobs.pop()
        assert leg.state in (WAITING, WORKING, CALLING)
        assert leg.pod is not None
        job.step, job.n_left = edge.caller.edges.index(edge), 0
        all_fail = start.pods.get(leg.pod.name, PodStart()).wait_s > timeout_s
        edge.resume(job, leg, 1 + int(rng.integers(edge.attempts_most)) if all_fail else 1, timeout_s - age_s)


def _join_known(network: Network, calls: tuple[CallStart, ...]) -> None:
    """The same for calls that are known one by one: the youngest requests are those with most time left."""
    idle = {name: [job for job in pod.jobs if job.state == WORKING] for name, pod in network.pods.items()}
    legs = {name: list(pod.jobs) for name, pod in network.pods.items()}
    for call in sorted(calls, key=lambda call: -call.in_s):
        if not idle[call.caller_pod]:
            continue
        caller = network.pod_pools[call.caller_pod]
        region, service = caller.name.split("/")
        edge, job = network.edges[region, service, call.callee], idle[call.caller_pod].pop()
        job.step, job.n_left = caller.edges.index(edge), call.n_left
        if call.pauses:
            edge.resume_pause(job, call.number, call.in_s)
        else:
            leg = legs[call.pod].pop() if call.pod is not None and legs[call.pod] else None
            edge.resume(job, leg, call.number, call.in_s)
