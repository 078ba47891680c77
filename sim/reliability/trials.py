"""Trials of a machine, many in one compiled call: their outages, integrals and counts as columns.

Trial n depends on the model and n only, so that trials may be run in any order, anywhere, and in parts of any size.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.reliability import model as at
from sim.reliability.compiled import compiled, inner
from sim.reliability.expressions import evaluate
from sim.reliability.loop import accrue, begin, next_time, note_outage, step
from sim.reliability.model import Floats, Ints, Model, State, new_state


@dataclass(frozen=True)
class Histories:
    """What was recorded of `n` trials."""

    trials: Ints
    """(n,) their numbers."""
    horizon: float
    outage_trial: Ints
    """(n_outages,) ordered by trial, then by end, as all columns of outages."""
    outage_system: Ints
    outage_cause: Ints
    """Label of the event that began it; -1 if it was down at the start."""
    outage_start: Floats
    outage_end: Floats
    outage_censored: Ints
    """1: the horizon cut it."""
    rewards: Floats
    """(n, n_rewards) integrals over the horizon."""
    last_values: Floats
    """(n, n_rewards) values at the horizon."""
    tally: Ints
    """(n, n_labels) events that happened."""
    n_events: int
    """Of all trials."""


def run_trials(model: Model, trials: Any, horizon: float, n_labels: int) -> Histories:
    """Run trials of a model from the start to the horizon.

    Parameters
    ----------
    model : Model
        Of `Machine.compile`.
    trials : sequence of int
        Their numbers, each in [0, 2^64).
    horizon : float
        In the unit of the model's laws.
    n_labels : int
        Labels of its events, `len(machine.names.labels)`.
    """
    numbers = np.asarray(trials, dtype=np.int64)
    n = len(numbers)
    rewards, lasts = np.zeros((n, len(model.rewards))), np.zeros((n, len(model.rewards)))
    tally = np.zeros((n, n_labels), dtype=np.int64)
    state = new_state(model, n_labels)
    logs: list[tuple[Ints, Floats]] = []
    done, n_events = 0, 0
    while done < n:
        found, fired = _run_many(model, state, numbers[done:], horizon, (rewards[done:], lasts[done:], tally[done:]))
        kept = int(state.marks[at.N_LOG])
        logs.append((state.log[:kept].copy(), state.log_times[:kept].copy()))
        done, n_events = done + found, n_events + fired
        if found == 0:  # one trial alone has more outages than there is room for
            state = new_state(model, n_labels, log_room=4 * len(state.log))
    log = np.concatenate([part for part, _ in logs]) if logs else np.zeros((0, 4), dtype=np.int64)
    times = np.concatenate([part for _, part in logs]) if logs else np.zeros((0, 2))
    return Histories(
        trials=numbers,
        horizon=horizon,
        outage_trial=log[:, 0],
        outage_system=log[:, 1],
        outage_cause=log[:, 2],
        outage_start=times[:, 0],
        outage_end=times[:, 1],
        outage_censored=log[:, 3],
        rewards=rewards,
        last_values=lasts,
        tally=tally,
        n_events=n_events,
    )


@compiled
def _run_many(m: Any, s: Any, numbers: Any, horizon: float, out: Any) -> tuple[int, int]:
    """Run trials until all are done or the log is full; return how many are done, and their events."""
    rewards, lasts, tally = out
    n_log, n_events = 0, 0
    for i in range(len(numbers)):
        begin(m, s, numbers[i])
        s.marks[at.N_LOG] = n_log
        run_until(m, s, horizon)
        if s.marks[at.LOG_FULL] == 1:
            s.marks[at.N_LOG] = n_log  # the trial is run again, with room
            return i, n_events
        n_log = s.marks[at.N_LOG]
        n_events += s.marks[at.N_FIRED]
        for r in range(len(m.rewards)):
            rewards[i, r] = s.rewards[r, at.REWARD_SUM]
            lasts[i, r] = s.rewards[r, at.REWARD_VALUE]
        for k in range(len(s.tally)):
            tally[i, k] = s.tally[k]
    return len(numbers), n_events


@compiled
def run_until(m: Any, s: Any, horizon: float) -> None:
    """Run a history to the horizon, integrals and open outages included."""
    while next_time(s) <= horizon and s.marks[at.LOG_FULL] == 0:
        step(m, s)
    s.time[0] = horizon
    for r in range(len(m.rewards)):
        accrue(s, r)
    for i in range(len(m.systems)):
        if s.down_since[i] == s.down_since[i]:
            note_outage(s, i, 1)


@inner
def run_to_stop(m: Any, s: Any, stop: int, horizon: float) -> bool:
    """Run a history on until program `stop` is true; return whether it became so before the horizon.

    First passages and regenerative cycles: `stop` is the number of a program of the model, e.g. of a reward.
    """
    while evaluate(m, s, stop) == 0.0:
        if not next_time(s) <= horizon:
            return False
        step(m, s)
    return True


@dataclass(frozen=True)
class Passages:
    """First passages of `n` trials."""

    time: Floats
    """(n,) when it happened, or the horizon, in the unit of the model's laws."""
    cause: Ints
    """(n,) label of the event that made it so; -1 where it did not happen before the horizon."""
    rewards: Floats
    """(n, n_rewards) integrals until then."""


def first_passages(model: Model, trials: Any, reward: int, n_labels: int, *, horizon: float = math.inf) -> Passages:
    """Run trials until the expression of a reward is first true; without a horizon it must become so for certain."""
    numbers = np.asarray(trials, dtype=np.int64)
    found = Passages(
        time=np.zeros(len(numbers)),
        cause=np.zeros(len(numbers), dtype=np.int64),
        rewards=np.zeros((len(numbers), len(model.rewards))),
    )
    state: State = new_state(model, n_labels)
    out = (found.time, found.cause, found.rewards)
    _first_passages(model, state, numbers, int(model.rewards[reward]), horizon, out)
    return found


@compiled
def _first_passages(m: Any, s: Any, numbers: Any, stop: int, horizon: float, out: Any) -> None:
    times, causes, rewards = out
    for i in range(len(numbers)):
        begin(m, s, numbers[i])
        causes[i] = -1
        if run_to_stop(m, s, stop, horizon):
            causes[i] = m.events[s.marks[at.LAST], at.LABEL]
        else:
            s.time[0] = horizon
        times[i] = s.time[0]
        for r in range(len(m.rewards)):
            accrue(s, r)
            rewards[i, r] = s.rewards[r, at.REWARD_SUM]
        s.marks[at.N_LOG] = 0
