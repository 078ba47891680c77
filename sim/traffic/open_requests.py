"""Users of the single-request gear at one moment as plain numbers, for whoever plays on from there.

The gear knows them one by one: who waits for an answer, whose attempt is lost without knowing it yet, who pauses before
the next attempt. It changes nothing.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.traffic.crowd import *
from sim.traffic.crowd import Crowd, planned
from sim.traffic.layout import Ints

if TYPE_CHECKING:
    from sim.traffic.engine import Traffic


Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A user request that is not decided.

    Attributes
    ----------
    group : int
        Of the user.
    attempt : int
        Number of the attempt under way, or of the one that failed last; 1 is the first.
    pod : int
        Where the request is that the user waits for; -1: nowhere.
    within_s : float
        With a pod: how long the user still waits. Without: when the attempt fails, or when the next one is sent.
    pauses : bool
        The attempt failed already, and the user waits to send the next one.
    booked : bool
        Counted as good already, by the mean rates that ran before.
    """

    group: int
    attempt: int
    pod: int
    within_s: float
    pauses: bool
    booked: bool


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call that a request inside a pod waits for.

    Attributes
    ----------
    edge : int
        Of the call.
    caller_pod : int
        Where the request is that calls.
    attempt : int
        Number of the attempt under way, or of the one that comes next.
    pod : int
        Where the request is that carries it; -1: nowhere.
    within_s : float
        When the attempt is over at the latest, or when it is sent.
    pauses : bool
        It is sent then.
    n_left : int
        Calls of the same edge that come after this one.
    """

    edge: int
    caller_pod: int
    attempt: int
    pod: int
    within_s: float
    pauses: bool
    n_left: int


def crowd_of(traffic: "Traffic") -> Crowd:
    """All single requests of the window that is being played."""
    gear = traffic._requests
    assert gear is not None, "mean rates have no single requests"
    return gear.crowd


def open_requests(crowd: Crowd, now_s: float) -> list[OpenRequest]:
    """All users with an open request, those whose time comes first before the others."""
    clients, jobs = crowd.clients, crowd.jobs
    pod_of = np.full(len(clients), -1)
    of_user = np.flatnonzero((jobs[:, JOB_STAGE] != STAGE_FREE) & (jobs[:, JOB_OWNER_KIND] == OWNER_CLIENT))
    awaited = of_user[clients[jobs[of_user, JOB_OWNER], CLIENT_SERIAL] == jobs[of_user, JOB_OWNER_SERIAL]]
    pod_of[jobs[awaited, JOB_OWNER]] = jobs[awaited, JOB_POD]
    kinds = (EVENT_USER_LATE, EVENT_USER_FAILED, EVENT_USER_RETRY)
    return [
        OpenRequest(
            group=int(clients[client, CLIENT_GROUP]),
            attempt=int(clients[client, CLIENT_ATTEMPT]),
            pod=int(pod_of[client]) if kind == EVENT_USER_LATE else -1,
            within_s=max(at_s - now_s, 0.0),
            pauses=kind == EVENT_USER_RETRY,
            booked=bool(clients[client, CLIENT_BOOKED]),
        )
        for at_s, kind, client in _first_due(crowd, kinds, clients[:, CLIENT_SERIAL], clients[:, CLIENT_ATTEMPT] > 0)
    ]


def open_calls(crowd: Crowd, now_s: float) -> list[OpenCall]:
    """All calls under way."""
    jobs, kinds = crowd.jobs, (EVENT_CALL_LATE, EVENT_CALL_FAILED, EVENT_CALL_RETRY, EVENT_CALL_REFUSED)
    found = []
    for at_s, kind, job in _first_due(crowd, kinds, jobs[:, JOB_CALL_SERIAL], jobs[:, JOB_STAGE] == STAGE_CALLING):
        row, pod = jobs[job], -1
        if kind == EVENT_CALL_LATE:
            for column in (JOB_CHILD, JOB_HEDGE):
                child = row[column]
                if child >= 0 and jobs[child, JOB_SERIAL] == row[column + 1]:
                    pod = int(jobs[child, JOB_POD])
                    break
        found.append(
            OpenCall(
                edge=int(row[JOB_EDGE]),
                caller_pod=int(row[JOB_POD]),
                attempt=int(row[JOB_ATTEMPT]),
                pod=pod,
                within_s=max(at_s - now_s, 0.0),
                pauses=kind == EVENT_CALL_RETRY,
                n_left=max(int(row[JOB_CALLS_LEFT]) - 1, 0),
            )
        )
    return found


def _first_due(crowd: Crowd, kinds: tuple[int, ...], serials: Ints, is_open: Bools) -> list[tuple[float, int, int]]:
    """(time s, kind, row) of the first event of each row that is open and has not gone on since it was scheduled."""
    at_s, kind, row, serial = planned(crowd)
    due = np.flatnonzero(np.isin(kind, kinds))
    due = due[(serials[row[due]] == serial[due]) & is_open[row[due]]]
    due = due[np.argsort(at_s[due], kind="stable")]
    _, first = np.unique(row[due], return_index=True)  # of some two: who learns of a failure before the deadline
    return [(float(at_s[k]), int(kind[k]), int(row[k])) for k in due[np.sort(first)]]
