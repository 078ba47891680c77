"""From mean rates to single requests and back: the two gears of the data plane describe the same moment.

Mean rates book a success when a request arrives, single requests when it is answered. So a request that is inside when
the gear shifts is either one whose success is booked already (the booking is taken back should it fail), or one that
nobody waits for any more: its user is among those who wait to try again, as the equations have it.
"""

from dataclasses import dataclass

import numpy as np

from sim.traffic.crowd import *
from sim.traffic.crowd import FORGET_S, TICK_S, Crowd, grown, new_crowd, schedule
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.losses import attempts_by_number, waiting_to_retry
from sim.traffic.plane import Plane
from sim.traffic.rates import derivative, retry_pause_s
from sim.traffic.request_jobs import enter
from sim.traffic.request_looks import look_at_pods, sum_weights
from sim.traffic.request_users import new_client, plan_arrival

_SETTLE_ROUNDS = 8
"""Holding times and qualities settle tier by tier; no path of calls that anybody runs is longer."""


@dataclass(frozen=True)
class _Inside:
    """A request found inside a pod at the shift: its row, and how long ago it was sent."""

    job: int
    pod: int
    age_s: float
    in_slot: bool
    sticks: bool = False
    """It began while its pod was slower, and will keep its slot for longer than those that begin now."""


# --- to single requests ---------------------------------------------------------------------------------


def to_requests(plane: Plane, now_s: float, seed: int) -> tuple[Crowd, Floats]:
    """Single requests that agree with the mean rates at `now_s`.

    Returns
    -------
    Crowd
        Requests inside, users who wait to try again, and what is due.
    (n_groups,) array
        What rounding to whole users left over, in user requests; `to_rates` gives it back.
    """
    net, names = plane.net, plane.names
    # A trial that begins with single requests has no answers yet, and averages begin with the mean rates' values.
    derivative(now_s, now_s, plane.state, np.zeros(plane.layout.size), np.zeros(plane.layout.size), net)
    rng = np.random.default_rng(seed)
    crowd = _empty_crowd(plane, seed)
    sum_weights(crowd, net)
    wanted = _whole_numbers(plane, rng)
    n_inside, n_orbit = int(wanted.sum()), int(plane.state[plane.layout.orbit : plane.layout.share].sum())
    n_rows = n_inside + n_orbit + 256
    crowd = grown(crowd, n_jobs=n_inside + 256, n_clients=n_rows, n_events=8 * n_rows)
    inside = _fill_pods(plane, crowd, wanted, now_s, rng)
    _link_calls(plane, crowd, inside, now_s, rng)
    _link_users(plane, crowd, inside, now_s, rng)
    left_over = _send_orbit(plane, crowd, now_s, rng)
    _start_averages(plane, crowd)
    for g in range(len(names.populations)):
        plan_arrival(now_s, g, crowd, net)
    schedule(now_s + TICK_S, EVENT_TICK, 0, 0, crowd)
    # Of mean rates only. The hazard stays: what is left of a pod's level is as long as if it began now.
    plane.state[len(net.pods) : 3 * len(net.pods)] = 0.0
    look_at_pods(now_s, 0.0, plane.state, crowd, net)
    return crowd, left_over


def _empty_crowd(plane: Plane, seed: int) -> Crowd:
    net = plane.net
    n_groups, n_regions = net.health.shape
    crowd = new_crowd(
        n_pods=len(net.pods),
        n_pools=len(net.pools),
        n_edges=len(net.edges),
        n_groups=n_groups,
        n_regions=n_regions,
        seed=seed,
    )
    crowd.gates[:, GATE_EDGE] = len(net.edges)
    for e in reversed(range(len(net.edges))):
        crowd.gates[int(net.edges[e, EDGE_FROM]), GATE_EDGE] = e
    return crowd


def _whole_numbers(plane: Plane, rng: np.random.Generator) -> Ints:
    """Requests inside each pod, rounded by chance so that their mean is right."""
    pods, tables = plane.net.pods, plane.net.tables
    room = tables[pods[:, POD_TABLE].astype(int), TABLE_HEAD, HEAD_ROOM]
    fits = np.where(pods[:, POD_READY] > 0.0, room, 0.0)
    return np.minimum(np.floor(plane.state[: len(pods)] + rng.random(len(pods))), fits).astype(np.int64)


def _fill_pods(
    plane: Plane, crowd: Crowd, wanted: Ints, now_s: float, rng: np.random.Generator
) -> dict[int, list[_Inside]]:
    """Requests of nobody in each pod, oldest first, by pool."""
    net = plane.net
    inside: dict[int, list[_Inside]] = {i: [] for i in range(len(net.pools))}
    for p, n in enumerate(wanted):
        slots = int(net.tables[int(net.pods[p, POD_TABLE]), TABLE_HEAD, HEAD_SLOTS])
        wait_s, hold_s = net.pod_algebra[p, ALG_WAIT_S], net.pod_algebra[p, ALG_HOLD_S]
        old, slow = net.pod_algebra[p, ALG_OLD], float(net.pods[p, POD_SLOW])
        for k in range(int(n)):
            in_slot, held_s = k < slots, hold_s
            # Those that began before the pod became faster or slower have the rest of what they drew then.
            if in_slot and old > 0.0 and rng.random() * min(n, slots) < old:
                held_s = net.pods[p, POD_OLD_LEFT_S]
                work_s = net.pod_algebra[p, ALG_WORK_S]
                net.pods[p, POD_SLOW] = slow * max(held_s - hold_s + work_s, 1e-6) / work_s
            job = enter(now_s, p, OWNER_NONE, -1, 0, np.inf, crowd, net)
            net.pods[p, POD_SLOW] = slow
            if in_slot:
                age_s = wait_s + rng.exponential(held_s)
            else:
                age_s = wait_s * (1.0 - (k - slots + 0.5) / (n - slots))
            # What it waited counts for its patience and for adaptive queues as well.
            crowd.job_times[job, JOB_SINCE_S] = now_s if in_slot else now_s - age_s
            inside[int(net.pods[p, POD_POOL])].append(_Inside(job, p, float(age_s), in_slot, held_s > hold_s))
    crowd.marks[MARK_OOM_POD] = -1
    return inside


def _link_calls(
    plane: Plane, crowd: Crowd, inside: dict[int, list[_Inside]], now_s: float, rng: np.random.Generator
) -> None:
    """Callers that wait for a call get one of the requests inside the callee."""
    net = plane.net
    free = {i: list(rng.permutation(len(found))) for i, found in inside.items()}
    for i, callers in inside.items():
        edges = [e for e in range(len(net.edges)) if int(net.edges[e, EDGE_FROM]) == i]
        if not edges:
            continue
        for caller in callers:
            algebra = net.pod_algebra[caller.pod]
            if not caller.in_slot or rng.random() * algebra[ALG_HOLD_S] < algebra[ALG_WORK_S]:
                continue  # waiting, or at its own work
            # Requests inside the callees that no caller was given yet say where callers wait.
            open_ends = [e for e in edges if free[int(net.edges[e, EDGE_TO])]]
            if not open_ends:
                schedule(now_s, EVENT_WORK_DONE, caller.job, crowd.jobs[caller.job, JOB_SERIAL], crowd)
                continue
            counts = np.array([len(free[int(net.edges[e, EDGE_TO])]) for e in open_ends], dtype=float)
            e = open_ends[int(rng.choice(len(open_ends), p=counts / counts.sum()))]
            callee = int(net.edges[e, EDGE_TO])
            _link_one(plane, crowd, caller.job, inside[callee][free[callee].pop()], e, now_s)


def _link_one(plane: Plane, crowd: Crowd, caller: int, callee: _Inside, edge: int, now_s: float) -> None:
    net, row = plane.net, crowd.jobs[caller]
    left_s = net.edges[edge, EDGE_TIMEOUT_S] - callee.age_s
    row[JOB_EDGE], row[JOB_CALLS_LEFT], row[JOB_ATTEMPT], row[JOB_COPIES] = edge, 1, 1, 1
    row[JOB_STAGE] = STAGE_CALLING
    row[JOB_CALL_SERIAL] += 1
    schedule(now_s + max(left_s, 0.0), EVENT_CALL_LATE, caller, row[JOB_CALL_SERIAL], crowd)
    if left_s > 0.0:
        row[JOB_CHILD], row[JOB_CHILD_SERIAL] = callee.job, crowd.jobs[callee.job, JOB_SERIAL]
        owned = [OWNER_JOB, caller, row[JOB_CALL_SERIAL]]
        crowd.jobs[callee.job, [JOB_OWNER_KIND, JOB_OWNER, JOB_OWNER_SERIAL]] = owned


def _link_users(
    plane: Plane, crowd: Crowd, inside: dict[int, list[_Inside]], now_s: float, rng: np.random.Generator
) -> None:
    """Users whose success is booked already get the requests that are closest to an answer."""
    net, layout, state = plane.net, plane.layout, plane.state
    n_pods = len(net.pods)
    for i, found in inside.items():
        senders, regions, per_s = _senders(plane, i)
        if per_s.sum() <= 0.0:
            continue
        of_pod: dict[int, list[_Inside]] = {}
        for request in found:
            if crowd.jobs[request.job, JOB_OWNER_KIND] == OWNER_NONE:
                of_pod.setdefault(request.pod, []).append(request)
        for p, requests in of_pod.items():
            booked = state[2 * n_pods + p] * state[layout.quality + i]
            requests.sort(key=lambda request: request.sticks)
            n_booked = min(int(booked + rng.random()), len(requests))
            for request in requests[:n_booked]:
                k = int(rng.choice(len(senders), p=per_s / per_s.sum()))
                _link_user(plane, crowd, request, (senders[k], regions[k]), now_s, rng)


def _senders(plane: Plane, pool: int) -> tuple[list[int], list[int], Floats]:
    """Who sends user attempts to a pool: groups, the region's index in their routes, attempts per second."""
    net = plane.net
    n_groups, n_regions = net.health.shape
    shares = plane.state[plane.layout.share : plane.layout.share + n_groups * n_regions].reshape(n_groups, n_regions)
    entries = net.routes[:, :, ROUTE_ENTRY] == pool
    pairs = [(g, r) for g in range(n_groups) for r in range(n_regions) if entries[g, r]]
    per_s = np.array([max(shares[g, r] * net.group_algebra[g, FLOW_ATTEMPTS], 0.0) for g, r in pairs])
    return [g for g, _ in pairs], [r for _, r in pairs], per_s


def _link_user(
    plane: Plane, crowd: Crowd, request: _Inside, sender: tuple[int, int], now_s: float, rng: np.random.Generator
) -> None:
    g, region = sender
    by_number = np.array(attempts_by_number(plane, g)) + 1e-12
    deadline_s = plane.net.groups[g, GROUP_DEADLINE_S]
    client = new_client(g, crowd)
    crowd.group_sums[g, GROUP_OPEN] -= 1.0  # booked as good
    row = crowd.clients[client]
    row[CLIENT_ATTEMPT] = 1 + int(rng.choice(len(by_number), p=by_number / by_number.sum()))
    row[CLIENT_SERIAL] += 1
    row[[CLIENT_BOOKED, CLIENT_REGION]] = 1, region
    row[[CLIENT_JOB, CLIENT_JOB_SERIAL]] = request.job, crowd.jobs[request.job, JOB_SERIAL]
    owned = [OWNER_CLIENT, client, row[CLIENT_SERIAL]]
    crowd.jobs[request.job, [JOB_OWNER_KIND, JOB_OWNER, JOB_OWNER_SERIAL]] = owned
    ends_s = now_s + max(deadline_s - request.age_s, 0.01 * deadline_s)
    crowd.job_times[request.job, JOB_DEADLINE_S] = ends_s
    schedule(ends_s, EVENT_USER_LATE, client, row[CLIENT_SERIAL], crowd)


def _send_orbit(plane: Plane, crowd: Crowd, now_s: float, rng: np.random.Generator) -> Floats:
    """Users who wait to try again; what rounding leaves over by group."""
    net, layout = plane.net, plane.layout
    left_over = np.zeros(len(net.groups))
    for g in range(len(net.groups)):
        steps = int(net.groups[g, GROUP_STEPS])
        for k, in_steps in enumerate(waiting_to_retry(plane, g)):
            pause_s = retry_pause_s(net.groups, g, k) + net.group_algebra[g, FLOW_FAIL_S]
            waiting = float(np.maximum(in_steps, 0.0).sum())
            n = int(waiting + rng.random())
            left_over[g] += in_steps.sum() - n
            begun = rng.choice(RETRY_STEPS, n, p=np.maximum(in_steps, 0.0) / waiting) if n > 0 else ()
            for step in begun:
                client = new_client(g, crowd)
                row = crowd.clients[client]
                row[CLIENT_ATTEMPT], row[CLIENT_REGION] = k + 1, -1
                row[CLIENT_SERIAL] += 1
                # Where the pause varies as much as it can the rest is as long as all of it.
                left = rng.exponential() if steps == 1 else steps - step - rng.random()
                schedule(now_s + pause_s * left / steps, EVENT_USER_RETRY, client, row[CLIENT_SERIAL], crowd)
    plane.state[layout.orbit : layout.share] = 0.0
    return left_over


def _start_averages(plane: Plane, crowd: Crowd) -> None:
    """Averages begin with the mean rates' values."""
    net = plane.net
    n_groups, n_regions = net.health.shape
    attempts, success = net.group_algebra[:, FLOW_ATTEMPTS], net.group_algebra[:, FLOW_SUCCESS]
    crowd.group_sums[:, GROUP_ALL] = attempts * FORGET_S
    crowd.group_sums[:, GROUP_OK] = attempts * success * FORGET_S
    crowd.group_sums[:, GROUP_QUOTA] = net.groups[:, GROUP_PROVIDER_QUOTA]
    first = plane.layout.share
    shares = plane.state[first : first + n_groups * n_regions].reshape(n_groups, n_regions)
    crowd.region_sums[:, 1::2] = shares * attempts[:, None] * FORGET_S
    crowd.region_sums[:, ::2] = crowd.region_sums[:, 1::2] * net.health
    pools = net.pool_algebra
    crowd.pool_sums[:, POOL_ALL] = pools[:, OUT_OFFERED] * FORGET_S
    crowd.pool_sums[:, POOL_OK] = pools[:, OUT_OFFERED] * pools[:, OUT_SERVED] * FORGET_S
    of_edges, of_groups = _throttles(plane)
    crowd.edge_sums[: len(of_edges), [EDGE_WANTED, EDGE_ACCEPTED]] = of_edges
    crowd.group_sums[: len(of_groups), [GROUP_WANTED, GROUP_ACCEPTED]] = of_groups
    slots = net.tables[net.pods[:, POD_TABLE].astype(int), TABLE_HEAD, HEAD_SLOTS]
    crowd.busy_share[:] = net.pod_algebra[:, ALG_BUSY] / slots


def _throttles(plane: Plane) -> tuple[Floats, Floats]:
    """Views of the requests wanted and accepted of each edge and of each group, (n, 2); empty if nobody throttles."""
    layout, n_edges = plane.layout, len(plane.net.edges)
    both = plane.state[layout.throttle : layout.load].reshape(-1, 2)
    return both[:n_edges], both[n_edges:]


# --- back to mean rates ---------------------------------------------------------------------------------


def to_rates(plane: Plane, crowd: Crowd, left_over: Floats, now_s: float) -> None:
    """Write the requests into the state of the mean rates, which book what is still open by what they expect."""
    net, layout, state = plane.net, plane.layout, plane.state
    n_pods = len(net.pods)
    state[:n_pods] = crowd.queues[:, QUEUE_INSIDE]
    state[n_pods : 2 * n_pods] = state[:n_pods]  # as of a Poisson number; it relaxes with the queue
    state[2 * n_pods : 3 * n_pods] = 0.0
    of_edges, of_groups = _throttles(plane)
    of_edges[:] = crowd.edge_sums[: len(of_edges), [EDGE_WANTED, EDGE_ACCEPTED]]
    of_groups[:] = crowd.group_sums[: len(of_groups), [GROUP_WANTED, GROUP_ACCEPTED]]
    rate, slope = np.zeros(layout.size), np.zeros(layout.size)
    for _ in range(_SETTLE_ROUNDS):
        derivative(now_s, now_s, state, rate, slope, net)
        state[layout.hold : layout.quality] = np.maximum(net.pool_algebra[:, OUT_HOLD_TARGET_S], 1e-6)
        state[layout.quality : layout.breaker] = net.pool_algebra[:, OUT_QUALITY_TARGET]
        state[layout.load : layout.orbit] = net.pool_algebra[: layout.orbit - layout.load, OUT_OFFERED]
    derivative(now_s, now_s, state, rate, slope, net)
    for row in crowd.clients[crowd.clients[:, CLIENT_ATTEMPT] > 0]:
        g, attempt = int(row[CLIENT_GROUP]), int(row[CLIENT_ATTEMPT])
        good = _expect(plane, crowd, row)
        totals = layout.totals + g * N_TOTALS
        if not row[CLIENT_BOOKED]:
            state[totals + TOTAL_GOOD] += good
            state[totals + TOTAL_FIRST_GOOD] += good if attempt == 1 else 0.0
            state[totals + TOTAL_USABLE] += good
        open_share = 0.0 if row[CLIENT_BOOKED] else 1.0 - good
        again = 0.0
        if attempt < int(net.groups[g, GROUP_ATTEMPTS]):
            # Who waits for the next attempt has decided to make it; of those inside only a share will.
            again = net.groups[g, GROUP_RETRY_SHARE] if row[CLIENT_JOB] >= 0 else 1.0
            # They failed over the last minutes, not all at once: some have most of the pause behind them.
            steps = int(net.groups[g, GROUP_STEPS])
            waiting_to_retry(plane, g)[attempt - 1, :steps] += again * open_share / steps
        state[totals + TOTAL_FAILED] += (1.0 - again) * open_share
    for g in range(len(net.groups)):
        _give_back(plane, g, float(left_over[g]))


def _give_back(plane: Plane, g: int, left_over: float) -> None:
    """What rounding to whole users left over (negative: it made some up) goes where there is enough of it."""
    state, totals = plane.state, plane.layout.totals + g * N_TOTALS
    waiting = waiting_to_retry(plane, g).reshape(-1)
    failed = state[totals + TOTAL_FAILED : totals + TOTAL_FAILED + 1]
    if left_over > 0.0:
        (waiting if plane.net.groups[g, GROUP_ATTEMPTS] > 1 else failed)[0] += left_over
        left_over = 0.0
    # A made-up request may have been booked as good and then have failed.
    left_over += min(state[totals + TOTAL_GOOD], 0.0)
    good = max(state[totals + TOTAL_GOOD], 0.0)
    # Those who wait, or have given up; if all the users that were made up got their answer, it counts for less.
    for where in (waiting, failed):
        for k in range(len(where)):
            taken = min(-left_over, max(where[k], 0.0))
            where[k] -= taken
            left_over += taken
    good += min(left_over, 0.0)
    state[totals + TOTAL_GOOD] = good
    for total in (totals + TOTAL_FIRST_GOOD, totals + TOTAL_USABLE):
        state[total] = min(max(state[total], 0.0), good)


def _expect(plane: Plane, crowd: Crowd, client: Ints) -> float:
    """Probability that the present attempt of a user ends good; adds it to the credit of the pod."""
    net, job = plane.net, int(client[CLIENT_JOB])
    if job < 0 or crowd.jobs[job, JOB_SERIAL] != client[CLIENT_JOB_SERIAL]:
        return 0.0
    p = int(crowd.jobs[job, JOB_POD])
    pool = int(net.pods[p, POD_POOL])
    good = 1.0
    if not client[CLIENT_BOOKED]:
        let_in = max(1.0 - net.pool_algebra[pool, OUT_REJECTED], 1e-9)
        region = int(client[CLIENT_REGION])
        good = float(min(net.health[int(client[CLIENT_GROUP]), region] / let_in, 1.0))
    plane.state[2 * len(net.pods) + p] += good / max(plane.state[plane.layout.quality + pool], 1e-9)
    return good
