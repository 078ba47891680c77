"""Users of the single-request gear at one moment as plain numbers, for whoever plays on from there.

The gear knows them one by one: who waits for an answer, whose attempt is lost without knowing it yet, who pauses before
the next attempt. It changes nothing.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sim.traffic.crowd import *
from sim.traffic.crowd import Crowd, planned

if TYPE_CHECKING:
    from sim.traffic.engine import Traffic


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


def crowd_of(traffic: "Traffic") -> Crowd:
    """All single requests of the window that is being played."""
    gear = traffic._requests
    assert gear is not None, "mean rates have no single requests"
    return gear.crowd


def open_requests(crowd: Crowd, now_s: float) -> list[OpenRequest]:
    """All users with an open request, those whose time comes first before the others."""
    clients, jobs = crowd.clients, crowd.jobs
    pod_of = np.full(len(clients), -1)
    owner, of_user = jobs[:, JOB_OWNER], (jobs[:, JOB_STAGE] != STAGE_FREE) & (jobs[:, JOB_OWNER_KIND] == OWNER_CLIENT)
    awaited = np.flatnonzero(of_user)
    awaited = awaited[clients[owner[awaited], CLIENT_SERIAL] == jobs[awaited, JOB_OWNER_SERIAL]]
    pod_of[owner[awaited]] = jobs[awaited, JOB_POD]
    at_s, kinds, rows, serials = planned(crowd)
    is_due = np.isin(kinds, (EVENT_USER_LATE, EVENT_USER_FAILED, EVENT_USER_RETRY))
    due = np.flatnonzero(is_due)
    due = due[(clients[rows[due], CLIENT_SERIAL] == serials[due]) & (clients[rows[due], CLIENT_ATTEMPT] > 0)]
    found, seen = [], set()
    for k in due[np.argsort(at_s[due], kind="stable")]:
        client = int(rows[k])
        if client in seen:
            continue  # who learns of a failure before the deadline
        seen.add(client)
        waits = kinds[k] == EVENT_USER_LATE
        found.append(
            OpenRequest(
                group=int(clients[client, CLIENT_GROUP]),
                attempt=int(clients[client, CLIENT_ATTEMPT]),
                pod=int(pod_of[client]) if waits else -1,
                within_s=max(float(at_s[k]) - now_s, 0.0),
                pauses=bool(kinds[k] == EVENT_USER_RETRY),
                booked=bool(clients[client, CLIENT_BOOKED]),
            )
        )
    return found
