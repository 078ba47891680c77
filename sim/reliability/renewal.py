"""The fast form of a machine in which no state couples elements: each is a tape of renewal cycles of its own.

One clock per element instead of two events, and no list of what to look at again. The k-of-n gates are the same, and so
are the random numbers: the histories are those of the machine. `is_uncoupled` says whether a scenario may take it.
"""

from typing import Any, NamedTuple

import numpy as np

from sim.laws import law_of
from sim.reliability import model as at
from sim.reliability.compiled import compiled, uniform_pair
from sim.reliability.durations import duration, rows_of
from sim.reliability.elements import Built
from sim.reliability.model import Floats, Ints, Keys, Model
from sim.reliability.trials import Histories
from sim.scenario.reliability import ReliabilityScenario


class Tapes(NamedTuple):
    """Elements and gates as flat arrays."""

    keys: Keys
    law_kinds: Ints
    """(2, n_elements) of the time to failure and of the repair."""
    law_numbers: Floats
    """(2, n_elements, 2)"""
    samples: Floats
    variables: Ints
    gates: Ints
    lists: Ints
    systems: Ints
    labels: Ints
    """(n_elements, 2) label of the failure and of the repair."""
    kinds: Ints
    """(n_elements,) number of the element's kind."""


def is_uncoupled(scenario: ReliabilityScenario) -> bool:
    """Whether each element lives by itself: only failures and repairs, nobody waits, nothing stands by."""
    measured = scenario.systems[scenario.measured]
    plain = all(
        element.fails is not None
        and element.repair is not None
        and not element.common_cause
        and (element.crew, element.only_while, element.ageing, element.maintenance) == (None,) * 4
        for element in scenario.elements.values()
    )
    return plain and not (scenario.common_causes or scenario.standby or measured.soft or measured.capacity)


def tapes_of(scenario: ReliabilityScenario, built: Built, model: Model) -> Tapes:
    """Lay the elements of an uncoupled scenario out."""
    m = built.machine
    members = [(number, kind) for number, kind in enumerate(scenario.elements) for _ in built.members[kind]]
    specs = [scenario.elements[kind] for _, kind in members]
    laws = [law_of(spec.fails) for spec in specs if spec.fails] + [law_of(spec.repair) for spec in specs if spec.repair]
    kinds, numbers, samples = rows_of(laws)
    n = len(members)
    failures = [e for e in m.events if e.half == 0]
    repairs = [e for e in m.events if e.half == 1]
    return Tapes(
        keys=np.array([e.key for e in failures], dtype=np.uint64),
        law_kinds=kinds.reshape(2, n),
        law_numbers=numbers.reshape(2, n, 2),
        samples=samples,
        variables=model.variables,
        gates=model.gates,
        lists=model.lists,
        systems=model.systems,
        labels=np.array([[f.label, r.label] for f, r in zip(failures, repairs, strict=True)], dtype=np.int64),
        kinds=np.array([number for number, _ in members], dtype=np.int64),
    )


def run_tapes(tapes: Tapes, trials: Any, horizon: float, n_labels: int) -> Histories:
    """Run trials to the horizon; the same histories as `trials.run_trials` of the machine."""
    numbers = np.asarray(trials, dtype=np.int64)
    n, n_elements, n_kinds = len(numbers), len(tapes.keys), int(tapes.kinds.max()) + 1
    rewards, lasts = np.zeros((n, 1 + n_kinds)), np.zeros((n, 1 + n_kinds))
    tally = np.zeros((n, n_labels), dtype=np.int64)
    floats = np.zeros((2, n_elements + len(tapes.systems)))
    ints = np.zeros((4, max(n_elements, len(tapes.gates), len(tapes.systems), len(tapes.lists)) + 64), dtype=np.int64)
    log, times = np.zeros((4096, 4), dtype=np.int64), np.zeros((4096, 2))
    logs: list[tuple[Ints, Floats]] = []
    done = n_events = 0
    while done < n:
        out = (rewards[done:], lasts[done:], tally[done:], log, times)
        found, n_log, fired = _run(tapes, numbers[done:], horizon, out, (floats, ints))
        logs.append((log[:n_log].copy(), times[:n_log].copy()))
        done, n_events = done + found, n_events + fired
        if found == 0:
            log, times = np.zeros((4 * len(log), 4), dtype=np.int64), np.zeros((4 * len(log), 2))
    rows = np.concatenate([part for part, _ in logs]) if logs else log[:0]
    spans = np.concatenate([part for _, part in logs]) if logs else times[:0]
    return Histories(
        trials=numbers,
        horizon=horizon,
        outage_trial=rows[:, 0],
        outage_system=rows[:, 1],
        outage_cause=rows[:, 2],
        outage_start=spans[:, 0],
        outage_end=spans[:, 1],
        outage_censored=rows[:, 3],
        rewards=rewards,
        last_values=lasts,
        tally=tally,
        n_events=n_events,
    )


@compiled
def _run(t: Any, numbers: Any, horizon: float, out: Any, scratch: Any) -> tuple[int, int, int]:
    """Run trials until all are done or the log is full; return trials done, rows logged, events."""
    log = out[3]
    n_log = n_events = 0
    for i in range(len(numbers)):
        end, fired = _one(t, i, numbers[i], (horizon, n_log), out, scratch)
        if end > len(log):
            return i, n_log, n_events
        n_log, n_events = end, n_events + fired
    return len(numbers), n_log, n_events


@compiled
def _one(t: Any, i: int, trial: int, span: Any, out: Any, scratch: Any) -> tuple[int, int]:
    """One trial; returns the rows of the log then in use (more than it has if it is full), and its events."""
    rewards, lasts, tally, log, times = out
    horizon, n_log = span
    due, since = scratch[0][0], scratch[0][1]
    heap, cycles, counts = scratch[1][0], scratch[1][1], scratch[1][2]
    stack = scratch[1][3]
    n, n_systems, first = len(t.keys), len(t.systems), np.uint64(trial)
    for g in range(len(t.gates)):
        counts[g] = t.gates[g, at.BEGIN_COUNT]
    for k in range(n_systems):
        since[k] = -1.0
    for e in range(n):
        cycles[e] = 0  # twice the number of whole cycles, plus 1 while down
        u = uniform_pair(t.keys[e], first, 0)[0]
        due[e] = duration(t.law_kinds[0, e], t.law_numbers[0, e, 0], t.law_numbers[0, e, 1], u, t.samples)
        heap[e] = e
        rewards[i, 1 + t.kinds[e]] += horizon
        lasts[i, 1 + t.kinds[e]] += 1.0
    for place in range(n // 2 - 1, -1, -1):
        _down(heap, due, place, n)
    rewards[i, 0], lasts[i, 0] = horizon, 1.0
    n_events = 0
    while due[heap[0]] <= horizon:
        e = heap[0]
        now, half = due[e], cycles[e] & 1
        n_events += 1
        tally[i, t.labels[e, half]] += 1
        change = 1 if half == 1 else -1
        rewards[i, 1 + t.kinds[e]] += change * (horizon - now)
        lasts[i, 1 + t.kinds[e]] += change
        flipped = _count(t, e, change, counts, stack)
        cycles[e] += 1
        pair = uniform_pair(t.keys[e], first, cycles[e] >> 1)
        u = pair[0] if half == 1 else pair[1]
        law = 1 - half
        due[e] = now + duration(t.law_kinds[law, e], t.law_numbers[law, e, 0], t.law_numbers[law, e, 1], u, t.samples)
        _down(heap, due, 0, n)
        if not flipped:
            continue
        for k in range(n_systems):
            is_up = counts[t.systems[k]] >= t.gates[t.systems[k], at.NEED]
            if is_up and since[k] >= 0.0:
                if now > since[k]:
                    n_log = _note(log, times, n_log, (trial, k, stack[len(stack) - 1 - k], 0), (since[k], now))
                if k == 0:
                    rewards[i, 0] += horizon - now
                    lasts[i, 0] = 1.0
                since[k] = -1.0
            elif not is_up and since[k] < 0.0:
                since[k] = now
                stack[len(stack) - 1 - k] = t.labels[e, half]
                if k == 0:
                    rewards[i, 0] -= horizon - now
                    lasts[i, 0] = 0.0
    for k in range(n_systems):
        if 0.0 <= since[k] < horizon:
            n_log = _note(log, times, n_log, (trial, k, stack[len(stack) - 1 - k], 1), (since[k], horizon))
    if n_log > len(log):  # it is run again: nothing of it stays
        for k in range(tally.shape[1]):
            tally[i, k] = 0
        for r in range(rewards.shape[1]):
            rewards[i, r] = lasts[i, r] = 0.0
    return n_log, n_events


@compiled
def _note(log: Any, times: Any, row: int, what: Any, span: Any) -> int:
    if row >= len(log):
        return len(log) + 1
    log[row, 0], log[row, 1], log[row, 2], log[row, 3] = what
    times[row, 0], times[row, 1] = span
    return row + 1


@compiled
def _count(t: Any, v: int, change: int, counts: Any, stack: Any) -> bool:
    """Tell the gates above an element; return whether a gate that nothing stands above, or is watched, flipped."""
    any_flipped = False
    n = 0
    for i in range(t.variables[v, at.VAR_GATES], t.variables[v, at.VAR_GATES + 1]):
        stack[n] = t.lists[i]
        n += 1
    while n > 0:
        n -= 1
        g = stack[n]
        need = t.gates[g, at.NEED]
        was_up = counts[g] >= need
        counts[g] += change
        if was_up != (counts[g] >= need):
            any_flipped = True
            for i in range(t.gates[g, at.GATE_PARENTS], t.gates[g, at.GATE_PARENTS + 1]):
                stack[n] = t.lists[i]
                n += 1
    return any_flipped


@compiled
def _down(heap: Any, due: Any, i: int, n: int) -> None:
    """Let the element at place i sink; equal times by the elements' order."""
    e = heap[i]
    mine = due[e]
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        below = heap[child]
        if child + 1 < n:
            other = heap[child + 1]
            if due[other] < due[below] or (due[other] == due[below] and other < below):
                child, below = child + 1, other
        if due[below] > mine or (due[below] == mine and below > e):
            break
        heap[i] = below
        i = child
    heap[i] = e
