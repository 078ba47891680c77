"""Trials of a scenario of elements: whole tasks at once, as one set of tables, and one trial with its event log.

The machine of a scenario is built once per process; a task costs its events, not its trials.
"""

from functools import lru_cache

import numpy as np

from sim.measures.reliability import measure_histories
from sim.reliability import model as at
from sim.reliability.elements import OTHER, REPAIR, Built, build
from sim.reliability.loop import begin
from sim.reliability.model import Model, new_state
from sim.reliability.renewal import is_uncoupled, run_tapes, tapes_of
from sim.reliability.trials import run_trials, run_until
from sim.scenario.reliability import ReliabilityScenario
from sim.study.parameters import INNER, uncertain_laws, with_drawn_parameters
from sim.study.tables import Tables, merge
from sim.world.log import Kind, Record, TrialRecord

MOST_TRACED = 1_000_000
"""Events of a replayed trial that are told; later ones are simulated without a record."""


@lru_cache(maxsize=4)
def _compiled(document: str) -> tuple[Built, Model]:
    built = build(ReliabilityScenario.model_validate_json(document, context={"from_file": True}))
    return built, built.machine.compile()


def model_of(scenario: ReliabilityScenario) -> tuple[Built, Model]:
    """The machine of a scenario and its compiled form, built once per process."""
    return _compiled(scenario.model_dump_json(by_alias=True, context={"currency": scenario.currency}))


def measured_trials(scenario: ReliabilityScenario, architecture: str, trials: range) -> Tables:
    """Run and measure consecutive trials; the rows of each depend on its number only."""
    if uncertain_laws(scenario):  # those of one draw of the parameters together
        draws = sorted({trial // INNER for trial in trials})
        parts = []
        for draw in draws:
            mine = range(max(trials.start, draw * INNER), min(trials.stop, (draw + 1) * INNER))
            drawn = with_drawn_parameters(scenario, mine.start)
            assert isinstance(drawn, ReliabilityScenario)
            parts.append(_measured(drawn, architecture, mine))
        return merge(parts, [architecture])
    return _measured(scenario, architecture, trials)


def _measured(scenario: ReliabilityScenario, architecture: str, trials: range) -> Tables:
    built, model = model_of(scenario)
    labels = built.machine.names.labels
    numbers = np.arange(trials.start, trials.stop)
    if is_uncoupled(scenario):
        histories = run_tapes(tapes_of(scenario, built, model), numbers, scenario.horizon, len(labels))
    else:
        histories = run_trials(model, numbers, scenario.horizon, len(labels))
    return measure_histories(histories, labels, list(scenario.elements), scenario, architecture)


def recorded_trial(scenario: ReliabilityScenario, architecture: str, trial: int) -> tuple[TrialRecord, Tables]:
    """One trial with its event log; there are no curves, because there is no traffic."""
    drawn = with_drawn_parameters(scenario, trial)
    assert isinstance(drawn, ReliabilityScenario)
    built, model = model_of(drawn)
    names = built.machine.names
    state = new_state(model, len(names.labels), log_room=MOST_TRACED, trace_room=MOST_TRACED)
    begin(model, state, trial)
    run_until(model, state, scenario.horizon)
    record = TrialRecord(
        architecture=architecture,
        trial=trial,
        seed=scenario.seed,
        start=scenario.start,
        horizon_s=scenario.horizon,
        populations=(),
        pools=(),
    )
    n = int(state.marks[at.N_TRACE])
    for at_s, e in zip(state.trace_times[:n].tolist(), state.trace[:n].tolist(), strict=True):
        label = names.labels[int(model.events[e, at.LABEL])]
        if label == OTHER:
            continue
        kind = Kind.REPAIR if label.startswith(REPAIR) else Kind.FAULT
        element = names.events[e]
        what = element if label.removeprefix(REPAIR) == element.rpartition("/")[0] else f"{label}: {element}"
        record.records.append(Record(at_s=at_s, kind=kind, what=what, fault=label.removeprefix(REPAIR)))
    return record, measured_trials(scenario, architecture, range(trial, trial + 1))
