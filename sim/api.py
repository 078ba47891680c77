"""The command line's verbs for Python programs.

result = sim.compare("experiments/single_vs_multi_region.yaml", trials=20)
result.estimates["single"]["availability_time"].low
result.frame("outages").df()
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sim.scenario.document import Experiment
from sim.scenario.load import load_experiment

if TYPE_CHECKING:
    from sim.study import RunResult
    from sim.study.options import RunOptions
    from sim.study.rare_years import RareYears, YearsEffort
    from sim.study.replay import Replay
    from sim.study.sensitivity import Choice, Sensitivity

Source = Experiment | str | Path | Iterable[str | Path]
"""An experiment that is loaded already, a scenario file, or a file with its overlays."""


def load(source: Source, *, sets: Iterable[str] = (), sweep: Iterable[str] = ()) -> Experiment:
    """Load an experiment; later files win, then `sets` (`a.b=v`), then `sweep` (`a.b=10s,30s`).

    Raises ScenarioError with every mistake found.
    """
    if isinstance(source, Experiment):
        return source
    paths = [source] if isinstance(source, str | Path) else list(source)
    return load_experiment([Path(path) for path in paths], sets=tuple(sets), sweep=tuple(sweep))


def run(source: Source, options: "RunOptions | None" = None, **choices: object) -> "RunResult":
    """Simulate one architecture, the first unless `architectures` names others.

    Parameters
    ----------
    source : see `load`.
    options : RunOptions; or its fields by name, e.g. `trials=100, workers=2`.

    Raises
    ------
    ScenarioError, UsageError, RunError
        A wrong file, a wrong option, a run that could not be completed.
    """
    from dataclasses import replace

    experiment = load(source)
    options = _options(options, choices)
    if not options.architectures:
        options = replace(options, architectures=(next(iter(experiment.scenarios)),))
    return compare(experiment, options)


def compare(source: Source, options: "RunOptions | None" = None, **choices: object) -> "RunResult":
    """Simulate all architectures on the same random histories; parameters and errors as for `run`."""
    from sim.study import run_experiment

    return run_experiment(load(source), _options(options, choices))


def replay(source: Source, architecture: str | None = None, *, trial: int = 0, seed: int | None = None) -> "Replay":
    """Run one trial with its event log and trace; parameters and errors as for `sim.study.replay.replay_trial`."""
    from sim.study.replay import replay_trial

    return replay_trial(load(source), architecture, trial=trial, seed=seed)


def sensitivity(
    source: Source, choice: "Choice | None" = None, options: "RunOptions | None" = None, **choices: object
) -> "Sensitivity":
    """What matters most in one architecture; `choice` says what is asked, the rest is as for `run`."""
    from sim.study.sensitivity import sensitivity_of

    return sensitivity_of(load(source), choice, _options(options, choices))


def rare_years(
    source: Source, effort: "YearsEffort | None" = None, options: "RunOptions | None" = None, **choices: object
) -> "RareYears":
    """What a year costs, from years chosen by their tapes; `effort` says how sure, the rest is as for `run`."""
    from sim.study.rare_years import rare_years as sampled

    return sampled(load(source), effort, _options(options, choices))


def _options(options: "RunOptions | None", choices: dict[str, object]) -> "RunOptions":
    from sim.errors import UsageError
    from sim.study.options import RunOptions

    if options is not None and choices:
        raise UsageError("give either options or single choices, not both")
    if options is not None:
        return options
    unknown = set(choices) - set(RunOptions.__dataclass_fields__)
    if unknown:
        raise UsageError(f"there is no option {min(unknown)}; there are {', '.join(RunOptions.__dataclass_fields__)}")
    return RunOptions(**choices)  # type: ignore[arg-type]  # values are checked by RunOptions
