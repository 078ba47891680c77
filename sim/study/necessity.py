"""Is each fault of a sequence needed? The example trial is run again without it, on the same draws.

A fault is needed if without it less than half of the outage's minutes remain. Those that are not needed are taken out
together; what happens then is the minimal sequence, under which others with other bystanders fall as well.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.scenario.document import Experiment
from sim.scenario.schema import Scenario
from sim.study.dispatch import Dispatcher
from sim.study.shares import Example, Ranked
from sim.study.tables import Table
from sim.study.what_ifs import spared
from sim.study.work import Job, Task, TaskResult, TrialFunction, engine_trial
from sim.study.workers import Workers

REMAINS: Final = 0.5
"""A fault without which at least this part of the minutes remains was not needed."""
JOINTLY: Final = "without all that is not needed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the reruns say of one sequence.

    Parameters
    ----------
    text : str
        The minimal sequence; the sequence itself if all of it is needed.
    remains : tuple of (str, float)
        For each fault of the example: its label and the part of the outage's minutes that remains without it.
    not_needed : tuple of str
        Labels left out of the minimal sequence. Where two faults do each other's work, neither is needed alone; then
        both stay, and this is empty.
    """

    text: str
    remains: tuple[tuple[str, float], ...]
    not_needed: tuple[str, ...] = ()


def verdict_for(text: str, verdicts: Mapping[str, Verdict]) -> Verdict | None:
    """Return the verdict on a sequence, or on the first one that was cut down to it."""
    return verdicts.get(text) or next((verdict for verdict in verdicts.values() if verdict.text == text), None)


def without(scenario: Scenario, labels: Iterable[str]) -> Scenario | None:
    """Return the scenario in which these occurrences (`NAME#K@ELEMENT`) never happen; None if one is no fault of it."""
    faults = dict(scenario.faults)
    for label in labels:
        name, _, strike = label.partition("#")
        if name not in faults:
            return None
        faults[name] = spared(faults[name], [strike])
    return scenario.model_copy(update={"faults": faults})


def verdicts_of(
    scenario: Scenario,
    ranked: Sequence[Ranked],
    workers: Workers,
    *,
    trial_function: TrialFunction = engine_trial,
) -> dict[str, Verdict]:
    """Return the verdict on each sequence, by its text.

    Parameters
    ----------
    scenario : Scenario
        Of the trials.
    ranked : sequence of Ranked
        Those to be checked.
    workers : Workers
        Where the reruns go.
    trial_function : callable
        Runs and measures one trial.
    """
    alone = {
        (one.text, label): changed
        for one in ranked
        for label in one.example.faults
        if (changed := without(scenario, [label])) is not None
    }
    outages = _reruns(alone, {one.text: one.example.trial for one in ranked}, workers, trial_function)
    remains = {
        one.text: tuple(
            (label, _remaining(outages[one.text, label], one.example))
            for label in one.example.faults
            if (one.text, label) in outages
        )
        for one in ranked
    }
    spare = {text: tuple(label for label, part in parts if part >= REMAINS) for text, parts in remains.items()}
    joint = {
        (one.text, JOINTLY): changed
        for one in ranked
        if spare[one.text] and (changed := without(scenario, spare[one.text])) is not None
    }
    outages |= _reruns(joint, {one.text: one.example.trial for one in ranked}, workers, trial_function)
    found = {}
    for one in ranked:
        left = outages.get((one.text, JOINTLY))
        text = one.text
        if left is not None and _remaining(left, one.example) >= REMAINS:
            text = _longest_in(left, one.example)
            found[one.text] = Verdict(text, remains[one.text], spare[one.text])
        else:
            found[one.text] = Verdict(text, remains[one.text])
    return found


def _reruns(
    changed: dict[tuple[str, str], Scenario], trials: dict[str, int], workers: Workers, trial_function: TrialFunction
) -> dict[tuple[str, str], Table]:
    """Outages of the trials run again in changed scenarios."""
    if not changed:
        return {}
    names = {f"rerun {number}": key for number, key in enumerate(changed)}
    experiment = Experiment("reruns", {name: changed[key] for name, key in names.items()})
    tasks = iter([Task(name, trials[key[0]], 1) for name, key in names.items()])
    found: dict[tuple[str, str], Table] = {}

    def take(result: TaskResult) -> None:
        found[names[result.task.architecture]] = result.tables[0]["outages"]

    with Dispatcher(Job(json.dumps(experiment.to_document()), trial_function), workers) as dispatcher:
        dispatcher.run(lambda: next(tasks, None), take)
    return found


def _overlaps_s(outages: Table, one: Example) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    starts = np.maximum(outages["start_s"].astype(np.float64), one.start_s)
    ends = np.minimum(outages["end_s"].astype(np.float64), one.end_s)
    mine = outages["population"].astype(str) == one.population
    return np.where(mine, np.maximum(ends - starts, 0.0), 0.0)


def _remaining(outages: Table, one: Example) -> float:
    """Part of the example's minutes that the population is still without service."""
    return min(1.0, float(_overlaps_s(outages, one).sum()) / (one.end_s - one.start_s))


def _longest_in(outages: Table, one: Example) -> str:
    return str(outages["sequence"][int(np.argmax(_overlaps_s(outages, one)))])
