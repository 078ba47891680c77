"""Rare failures by balanced failure biasing inside regenerative cycles, for models whose laws are all exponential.

A cycle goes from the state of the start back to it. While the system is up, the next event is a failure with
probability `bias` instead of the tiny one that it has beside repairs; each kind of failure that can happen is equally
likely, and within a kind each element (balanced: Shahabuddin 1994, Management Science 40(3); a kind is those with the
same mean time, so that thirty workstations do not hide three switches). The product of the ratios of probabilities is
the cycle's weight. From the first failure of the system on, nothing is biased. Time in a state is counted by its mean.
A cycle is a few events long, so weights stay tame; over whole years they degenerate and look precise, which is why
there is no such function here.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.reliability import model as at
from sim.reliability.compiled import compiled, uniform_pair
from sim.reliability.durations import EXPONENTIAL
from sim.reliability.heap import place
from sim.reliability.loop import begin, hazards, step
from sim.reliability.machine import Machine
from sim.reliability.model import Floats, Ints, Model, new_state
from sim.reliability.rare_levels import Levels
from sim.reliability.rare_splitting import is_down, is_start


@dataclass(frozen=True)
class Cycles:
    """What was found in each of n biased cycles."""

    down: Floats
    """(n,) mean time that the system was down, not weighted."""
    failures: Floats
    """(n,) times that it went down."""
    weights: Floats
    """(n,) likelihood ratio of the cycle up to its first system failure, or to its end; of mean 1."""
    n_events: int


def biased_cycles(
    model: Model, levels: Levels, failures: Ints, numbers: Ints, key: int, *, bias: float = 0.5
) -> Cycles:
    """Simulate biased cycles.

    Parameters
    ----------
    model : Model
        All laws exponential, see `refuse_biasing`.
    levels : Levels
        Of the watched system.
    failures : ndarray of int
        (n_events,) number of the kind, from 1, of events that are failures, else 0; see `failure_events`.
    numbers : ndarray of int
        Numbers of the cycles.
    key : int
        Of the random numbers that choose events, 64 bits.
    bias : float
        Probability that the next event is a failure where repairs could happen too, in (0, 1).
    """
    if not 0.0 < bias < 1.0:
        raise ValueError(f"the bias is a probability above 0 and below 1; got {bias!r}")
    state = new_state(model, int(model.events[:, at.LABEL].max()) + 1, log_room=1)
    out = np.zeros((len(numbers), 3))
    rates, kinds = np.zeros(len(model.events)), np.zeros(int(failures.max()) + 1, dtype=np.int64)
    n_events = _run(model, state, levels, failures, numbers, (np.uint64(key), bias, kinds), rates, out)
    return Cycles(out[:, 0], out[:, 1], out[:, 2], int(n_events))


def failure_events(machine: Machine, model: Model) -> Ints:
    """Return which events are failures, by kinds from 1: those that let an element of the start go down.

    An event is one if it strikes an element, or sets a variable that works at the start to something else, and can
    happen while everything works.
    """
    state = new_state(model, len(machine.names.labels), log_room=1)
    begin(model, state, 0)
    found = np.zeros(len(model.events), dtype=np.int64)
    kinds: dict[tuple[float, float], int] = {}
    for e, event in enumerate(machine.events):
        strikes = any(
            action.kind == at.STRIKE
            or (action.kind == at.SET and action.value != at.WORKS)
            or action.kind == at.COMPUTE
            for action in event.actions
        )
        if strikes and state.clocks[e, at.SPEED] > 0.0:
            same = (float(model.law_numbers[event.law, 0]), float(state.clocks[e, at.SPEED]))
            found[e] = kinds.setdefault(same, len(kinds) + 1)
    return found


def refuse_biasing(model: Model, failures: Ints) -> str:
    """Return why cycles of a model cannot be biased; empty if they can."""
    laws = model.events[:, at.LAW]
    if (model.law_kinds[laws] != EXPONENTIAL).any():
        n = int((model.law_kinds[laws] != EXPONENTIAL).sum())
        return f"{n} of {len(laws)} events have a law that is not exponential; splitting takes any law"
    if not failures.any():
        return "no event is a failure of an element that works at the start"
    return ""


@compiled
def _run(m: Any, s: Any, levels: Any, failures: Any, numbers: Any, how: Any, rates: Any, out: Any) -> int:
    n_events = 0
    for i in range(len(numbers)):
        n_events += _cycle(m, s, levels, failures, numbers[i], how, rates, out, i)
    return n_events


@compiled
def _cycle(m: Any, s: Any, levels: Any, failures: Any, number: int, how: Any, rates: Any, out: Any, i: int) -> int:
    key, bias, kinds = how
    begin(m, s, number)
    weight, has_failed, n_events = 1.0, False, 0
    while True:
        total = hazards(m, s, rates)
        if not total > 0.0:
            break
        was_down = is_down(m, s, levels)
        if was_down:
            has_failed = True
            out[i, 0] += 1.0 / total
        u = uniform_pair(key, s.trial[0], n_events)[0]
        e, ratio = _chosen(rates, failures, kinds, total, 0.0 if has_failed else bias, u)
        weight *= ratio
        place(s, e, -math.inf)  # to the front, whatever else is due
        s.clocks[e, at.DUE] = s.time[0] + 1.0 / total
        s.marks[at.N_LOG] = 0
        s.marks[at.LOG_FULL] = 0
        step(m, s)
        n_events += 1
        if not was_down and is_down(m, s, levels):
            out[i, 1] += 1.0
        if is_start(m, s):
            break
    out[i, 2] = weight
    return n_events


@compiled
def _chosen(rates: Any, failures: Any, kinds: Any, total: float, bias: float, u: float) -> tuple[int, float]:
    """Choose the next event by a uniform number; return it and the ratio of its true to its biased probability."""
    n_kinds, failing = 0, 0.0
    for kind in range(len(kinds)):
        kinds[kind] = 0
    for e in range(len(rates)):
        if failures[e] > 0 and rates[e] > 0.0:
            n_kinds += 1 if kinds[failures[e]] == 0 else 0
            kinds[failures[e]] += 1
            failing += rates[e]
    if bias == 0.0 or n_kinds == 0:
        return _nth(rates, failures, False, u * total), 1.0
    if failing >= total * (1.0 - 1e-12):
        bias = 1.0  # nothing to repair
    if u < bias:
        place = u / bias * n_kinds
        kind, wanted = 0, min(int(place), n_kinds - 1)
        for k in range(1, len(kinds)):
            if kinds[k] > 0:
                if wanted == 0:
                    kind = k
                    break
                wanted -= 1
        wanted = min(int((place - math.floor(place)) * kinds[kind]), kinds[kind] - 1)
        for e in range(len(rates)):
            if failures[e] == kind and rates[e] > 0.0:
                if wanted == 0:
                    return e, rates[e] / total * n_kinds * kinds[kind] / bias
                wanted -= 1
    share = (total - failing) / total
    return _nth(rates, failures, True, (u - bias) / (1.0 - bias) * (total - failing)), share / (1.0 - bias)


@compiled
def _nth(rates: Any, failures: Any, others_only: bool, at_rate: float) -> int:
    """The event at which the running sum of rates passes `at_rate`; of those that are no failures, if so asked."""
    last = -1
    for e in range(len(rates)):
        if rates[e] > 0.0 and not (others_only and failures[e] > 0):
            last = e
            at_rate -= rates[e]
            if at_rate < 0.0:
                return e
    return last
