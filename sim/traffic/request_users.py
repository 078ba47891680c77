"""Users of the request gear: arrivals, attempts, answers, retries, and what is booked for them.

Part of the request gear (see `requests`). Totals are booked when they are certain: offered at arrival, good or failed
when the request is decided.
"""

import numpy as np

from sim.traffic.compiled import F1, F8, I8, NOTHING, compiled
from sim.traffic.crowd import *
from sim.traffic.crowd import BUCKET, CROWD, Crowd, schedule, uniform, unit_exponential
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.network import NETWORK, Network
from sim.traffic.rates import demand_at
from sim.traffic.request_calls import refused_share
from sim.traffic.request_jobs import enter, pick_pod

LONGEST_GAP_S = 1.0
"""The rate of arrivals is looked up at least so often."""


@compiled(I8(I8, NETWORK))
def totals_at(group: int, net: Network) -> int:
    """Where the totals of a group begin in the state."""
    return int(net.counts[AT_TOTALS] + group * N_TOTALS)


@compiled(NOTHING(F8, I8, CROWD, NETWORK))
def plan_arrival(now_s: float, group: int, crowd: Crowd, net: Network) -> None:
    """Schedule the next arrival of a Poisson stream, or when to look at its rate again (serial 0)."""
    demand, bend_s = demand_at(now_s, net.curves, group)
    demand *= net.groups[group, GROUP_FACTOR]
    longest_s = min(LONGEST_GAP_S, max(bend_s, 1e-6))
    gap_s = unit_exponential(crowd.random) / demand if demand > 0.0 else np.inf
    if gap_s < longest_s:
        schedule(now_s + gap_s, EVENT_ARRIVAL, group, 1, crowd)
    else:
        schedule(now_s + longest_s, EVENT_ARRIVAL, group, 0, crowd)


@compiled(I8(I8, CROWD))
def new_client(group: int, crowd: Crowd) -> int:
    """A user request that is open: its row."""
    client = crowd.marks[MARK_FREE_CLIENT]
    row = crowd.clients[client]
    crowd.marks[MARK_FREE_CLIENT] = row[CLIENT_NEXT]
    crowd.marks[MARK_FREE_CLIENTS] -= 1
    row[CLIENT_GROUP], row[CLIENT_ATTEMPT], row[CLIENT_BOOKED], row[CLIENT_JOB] = group, 1, 0, -1
    crowd.group_sums[group, GROUP_OPEN] += 1.0
    return int(client)


@compiled(NOTHING(I8, CROWD))
def free_client(client: int, crowd: Crowd) -> None:
    """The user request is decided."""
    row = crowd.clients[client]
    row[CLIENT_ATTEMPT] = 0
    row[CLIENT_NEXT] = crowd.marks[MARK_FREE_CLIENT]
    crowd.marks[MARK_FREE_CLIENT] = client
    crowd.marks[MARK_FREE_CLIENTS] += 1


@compiled(I8(I8, F1, CROWD, NETWORK))
def pick_region(group: int, state: Floats, crowd: Crowd, net: Network) -> int:
    """Where an attempt goes, by the present shares."""
    counts = net.counts
    n_regions = counts[N_REGIONS]
    first = counts[AT_SHARE] + group * n_regions
    all_shares = 0.0
    for r in range(n_regions):
        all_shares += state[first + r]
    mark = uniform(crowd.random) * all_shares
    chosen = 0
    for r in range(n_regions):
        if state[first + r] > 0.0:
            chosen = r
            mark -= state[first + r]
            if mark < 0.0:
                break
    return chosen


@compiled(NOTHING(I8, I8, F1, CROWD, NETWORK))
def book_attempt(client: int, ok: int, state: Floats, crowd: Crowd, net: Network) -> None:
    """Success shares of the group, its region and its entry pool."""
    row = crowd.clients[client]
    g, region = row[CLIENT_GROUP], row[CLIENT_REGION]
    sums = crowd.group_sums[g]
    sums[GROUP_ALL] += 1.0
    sums[GROUP_OK] += ok
    sums[GROUP_ACCEPTED] += ok
    if region < 0:
        return
    crowd.region_sums[g, 2 * region] += ok
    crowd.region_sums[g, 2 * region + 1] += 1.0
    pool = int(net.routes[g, region, ROUTE_ENTRY])
    if pool >= 0:
        crowd.pool_sums[pool, POOL_ALL] += 1.0
        crowd.pool_sums[pool, POOL_OK] += ok


@compiled(NOTHING(I8, F8, F1, CROWD, NETWORK))
def book_good(client: int, sign: float, state: Floats, crowd: Crowd, net: Network) -> None:
    """Count a user request as good, or take that back."""
    row = crowd.clients[client]
    g, region = row[CLIENT_GROUP], row[CLIENT_REGION]
    totals = totals_at(g, net)
    by_provider = region == net.counts[N_REGIONS] - 1 and net.counts[HAS_PROVIDER] != 0
    state[totals + TOTAL_GOOD] += sign
    if row[CLIENT_ATTEMPT] == 1:
        state[totals + TOTAL_FIRST_GOOD] += sign
    state[totals + TOTAL_USABLE] += sign * (net.groups[g, GROUP_PROVIDER_QUALITY] if by_provider else 1.0)
    crowd.group_sums[g, GROUP_OPEN] -= sign


@compiled(NOTHING(I8, F1, CROWD, NETWORK))
def request_failed(client: int, state: Floats, crowd: Crowd, net: Network) -> None:
    """Nobody tries it again."""
    g = crowd.clients[client, CLIENT_GROUP]
    state[totals_at(g, net) + TOTAL_FAILED] += 1.0
    crowd.group_sums[g, GROUP_OPEN] -= 1.0
    free_client(client, crowd)


@compiled(NOTHING(F8, I8, I8, F1, CROWD, NETWORK))
def user_answered(now_s: float, client: int, ok: int, state: Floats, crowd: Crowd, net: Network) -> None:
    """The present attempt is over: the request is good, is tried again, or failed."""
    row = crowd.clients[client]
    g = row[CLIENT_GROUP]
    group = net.groups[g]
    row[CLIENT_SERIAL] = (row[CLIENT_SERIAL] + 1) & SERIAL_MASK
    book_attempt(client, ok, state, crowd, net)
    job = row[CLIENT_JOB]
    runs_for_nobody = job >= 0 and crowd.jobs[job, JOB_SERIAL] == row[CLIENT_JOB_SERIAL]
    if runs_for_nobody and net.pools[int(net.pods[crowd.jobs[job, JOB_POD], POD_POOL]), POOL_CANCELS] != 0.0:
        schedule(now_s, EVENT_CANCEL, job, row[CLIENT_JOB_SERIAL], crowd)
    row[CLIENT_JOB] = -1
    if ok:
        if row[CLIENT_BOOKED] == 0:
            book_good(client, 1.0, state, crowd, net)
        free_client(client, crowd)
        return
    if row[CLIENT_BOOKED] != 0:
        book_good(client, -1.0, state, crowd, net)
        row[CLIENT_BOOKED] = 0
    attempt = row[CLIENT_ATTEMPT]
    again = attempt < group[GROUP_ATTEMPTS]
    if again and group[GROUP_RETRY_SHARE] < 1.0:
        again = uniform(crowd.random) < group[GROUP_RETRY_SHARE]
    if not again:
        request_failed(client, state, crowd, net)
        return
    pause_s = group[GROUP_BACKOFF_S] * group[GROUP_BACKOFF_GROWTH] ** (attempt - 1)
    if group[GROUP_JITTER] == FULL_JITTER:
        pause_s *= uniform(crowd.random)
    elif group[GROUP_JITTER] == EXPONENTIAL_JITTER:
        pause_s *= unit_exponential(crowd.random)
    schedule(now_s + pause_s, EVENT_USER_RETRY, client, row[CLIENT_SERIAL], crowd)


@compiled(NOTHING(F8, I8, I8, F1, CROWD, NETWORK))
def ask_provider(now_s: float, client: int, region: int, state: Floats, crowd: Crowd, net: Network) -> None:
    """The other provider accepts up to its quota; a share of its answers is in time."""
    row = crowd.clients[client]
    g = row[CLIENT_GROUP]
    if crowd.group_sums[g, GROUP_QUOTA] < 1.0:
        fails_s = now_s + net.groups[g, GROUP_FAST_FAIL_S]
        schedule(fails_s, EVENT_USER_FAILED, client, row[CLIENT_SERIAL], crowd)
        return
    crowd.group_sums[g, GROUP_QUOTA] -= 1.0
    state[totals_at(g, net) + TOTAL_BY_PROVIDER] += 1.0
    if uniform(crowd.random) < net.groups[g, GROUP_PROVIDER_OK]:
        user_answered(now_s, client, 1, state, crowd, net)
    else:
        schedule(now_s + net.groups[g, GROUP_DEADLINE_S], EVENT_USER_LATE, client, row[CLIENT_SERIAL], crowd)


@compiled(NOTHING(F8, I8, F1, CROWD, NETWORK))
def send_user_attempt(now_s: float, client: int, state: Floats, crowd: Crowd, net: Network) -> None:
    """One attempt of a user."""
    row = crowd.clients[client]
    g = row[CLIENT_GROUP]
    group, sums = net.groups[g], crowd.group_sums[g]
    row[CLIENT_SERIAL] = (row[CLIENT_SERIAL] + 1) & SERIAL_MASK
    row[CLIENT_JOB] = -1
    crowd.marks[MARK_SENT] += 1
    serial = row[CLIENT_SERIAL]
    if np.isfinite(group[GROUP_THROTTLE]):
        refused = refused_share(sums[GROUP_WANTED], sums[GROUP_ACCEPTED], group[GROUP_THROTTLE])
        sums[GROUP_WANTED] += 1.0
        if uniform(crowd.random) < refused:
            row[CLIENT_REGION] = -1
            schedule(now_s + group[GROUP_FAST_FAIL_S], EVENT_USER_FAILED, client, serial, crowd)
            return
    state[totals_at(g, net) + TOTAL_ATTEMPTS] += 1.0
    sums[GROUP_SENT] += 1.0
    region = pick_region(g, state, crowd, net)
    row[CLIENT_REGION] = region
    if region == net.counts[N_REGIONS] - 1 and net.counts[HAS_PROVIDER] != 0:
        ask_provider(now_s, client, region, state, crowd, net)
        return
    pool = int(net.routes[g, region, ROUTE_ENTRY])
    deadline_s = now_s + group[GROUP_DEADLINE_S]
    if pool >= 0 and net.pools[pool, POOL_REACHABLE] == 0.0:
        schedule(deadline_s, EVENT_USER_LATE, client, serial, crowd)
        return
    pod = -1
    if pool >= 0:
        crowd.pool_sums[pool, POOL_ARRIVED] += 1.0
        pod = pick_pod(pool, crowd, net)
    if pod < 0:
        schedule(now_s + group[GROUP_FAST_FAIL_S], EVENT_USER_FAILED, client, serial, crowd)
        return
    schedule(deadline_s, EVENT_USER_LATE, client, serial, crowd)
    job = enter(now_s, pod, OWNER_CLIENT, client, serial, deadline_s, crowd, net)
    row[CLIENT_JOB], row[CLIENT_JOB_SERIAL] = job, crowd.jobs[job, JOB_SERIAL]


@compiled(NOTHING(F8, I8, I8, F1, CROWD, NETWORK))
def arrive(now_s: float, group: int, real: int, state: Floats, crowd: Crowd, net: Network) -> None:
    """A user request begins; the next one is planned."""
    if real:
        state[totals_at(group, net) + TOTAL_OFFERED] += 1.0
        sums = crowd.group_sums[group]
        if np.isfinite(net.groups[group, GROUP_BUDGET]):
            sums[GROUP_TOKENS] = min(BUCKET, sums[GROUP_TOKENS] + net.groups[group, GROUP_BUDGET])
        send_user_attempt(now_s, new_client(group, crowd), state, crowd, net)
    plan_arrival(now_s, group, crowd, net)


@compiled(NOTHING(F8, I8, F1, CROWD, NETWORK))
def retry(now_s: float, client: int, state: Floats, crowd: Crowd, net: Network) -> None:
    """The pause is over: the next attempt, if the budget has a token."""
    row = crowd.clients[client]
    g = row[CLIENT_GROUP]
    # A switch may have taken the retries away meanwhile ("disable retries").
    refused = row[CLIENT_ATTEMPT] >= net.groups[g, GROUP_ATTEMPTS]
    if not refused and np.isfinite(net.groups[g, GROUP_BUDGET]):
        if crowd.group_sums[g, GROUP_TOKENS] < 1.0:
            refused = True
        else:
            crowd.group_sums[g, GROUP_TOKENS] -= 1.0
    if refused:
        request_failed(client, state, crowd, net)
        return
    row[CLIENT_ATTEMPT] += 1
    send_user_attempt(now_s, client, state, crowd, net)
