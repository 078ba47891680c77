"""`rare`: how often systems fail that hardly ever do, as a table and a document.

Files of elements are done here; designs with traffic in `rare_years`.
"""

from typing import TYPE_CHECKING, Any

from sim.commands.documents import estimate_document, print_document
from sim.commands.exits import print_error
from sim.commands.request import OutputChoice, RunChoice, ScenarioChoice
from sim.commands.show import print_table, stdout_console
from sim.errors import UsageError
from sim.scenario.document import Experiment
from sim.scenario.reliability import ReliabilityScenario
from sim.units import format_duration, parse_share

if TYPE_CHECKING:
    from collections.abc import Callable

    from sim.study.rare import Effort, Method, RareEstimate

STRATA = "strata"
MEASURES = ("unavailability_long_run", "failure_prob", "downtime_h")
TITLES = {
    "unavailability_long_run": "down in the long run",
    "failure_prob": "down at least once within {horizon}",
    "downtime_h": "expected hours down within {horizon}",
}


def show_rare(
    scenario: ScenarioChoice,
    choice: RunChoice,
    output: OutputChoice,
    *,
    method: str,
    precision: str,
    most_events: float,
    measure: str | None = None,
) -> None:
    """Estimate the rare failures of all architectures, or of the named ones, and show them."""
    from sim.study.rare import METHODS, Effort

    if method not in (*METHODS, STRATA):
        raise UsageError(f"--method is {method}, but must be one of {', '.join((*METHODS, STRATA))}")
    try:
        wanted = parse_share(precision)
    except ValueError as error:
        raise UsageError(f"--precision: {error}") from None
    if not 0.0 < wanted <= 1.0 or not most_events > 0:
        raise UsageError("--precision must be above 0%, such as 10%, and --events above 0")
    experiment = scenario.load()
    if not any(isinstance(design, ReliabilityScenario) for design in experiment.scenarios.values()):
        _show_years(experiment, choice, output, (method, wanted, measure))
        return
    if method == STRATA or measure is not None:
        raise UsageError("strata of years and --measure are for designs with traffic; this file has elements")
    effort = Effort(wanted=wanted, most_events=most_events)
    unknown = [name for name in choice.architectures if name not in experiment.scenarios]
    if unknown:
        raise UsageError(f"there is no architecture {unknown[0]}; there are {', '.join(experiment.scenarios)}")
    found: dict[str, dict[str, RareEstimate | str]] = {}
    for name in choice.architectures or experiment.scenarios:
        if not output.quiet:
            print_error(f"{name}: {method}")
        found[name] = _estimates(experiment.scenarios[name], method, effort, choice.seed)  # type: ignore[arg-type]
    horizon = format_duration(next(iter(experiment.scenarios.values())).horizon)
    if output.json:
        print_document(rare_document(found))
        return
    _print(found, horizon)


def _show_years(
    experiment: Experiment, choice: RunChoice, output: OutputChoice, asked: tuple[str, float, str | None]
) -> None:
    from sim.commands.rare_years import show_rare_years
    from sim.study.rare_years import MEASURE, YearsEffort

    method, wanted, measure = asked
    if method not in ("auto", STRATA):
        raise UsageError(f"--method {method} is for files of elements; designs with traffic are sampled by strata")
    effort = YearsEffort(measure or MEASURE, wanted, choice.trials or YearsEffort().most_trials)
    show_rare_years(experiment, choice, output, effort)


def _estimates(scenario: Any, method: "Method", effort: "Effort", seed: int | None) -> "dict[str, RareEstimate | str]":
    """Each measure, or why the method cannot have it."""
    from sim.study.elements import model_of
    from sim.study.rare import expected_downtime, failure_probability, long_run_unavailability

    if seed is not None:
        scenario = scenario.model_copy(update={"seed": seed})
    built, _ = model_of(scenario)
    machine = built.machine
    gate = built.gates[machine.names.systems[0]]
    asked: dict[str, Callable[[], RareEstimate]] = {
        "unavailability_long_run": lambda: long_run_unavailability(machine, gate, method, effort),
        "failure_prob": lambda: failure_probability(machine, gate, scenario.horizon, method, effort),
        "downtime_h": lambda: expected_downtime(machine, gate, scenario.horizon, method, effort),
    }
    found: dict[str, RareEstimate | str] = {}
    for measure, estimate in asked.items():
        try:
            found[measure] = estimate()
        except UsageError as error:
            found[measure] = str(error)
    if all(isinstance(value, str) for value in found.values()):
        raise UsageError("; ".join(dict.fromkeys(str(value) for value in found.values())))
    return found


def rare_document(found: "dict[str, dict[str, RareEstimate | str]]") -> dict[str, Any]:
    """Estimates with what they took, by architecture; what a method cannot have is under `refused` with the reason."""
    architectures, refused = {}, {}
    for name, mine in found.items():
        architectures[name] = {
            measure: _scaled(measure, estimate_document(one.estimate))
            | {"method": one.method, "n_events": one.n_events, "note": one.estimate.note}
            for measure, one in mine.items()
            if not isinstance(one, str)
        }
        refused[name] = {measure: one for measure, one in mine.items() if isinstance(one, str)}
    return {"architectures": architectures, "refused": refused}


def _scaled(measure: str, document: dict[str, Any]) -> dict[str, Any]:
    """Hours where the machine has seconds."""
    if measure != "downtime_h":
        return document
    return document | {
        key: None if document[key] is None else document[key] / 3600.0 for key in ("mean", "low", "high")
    }


def _print(found: "dict[str, dict[str, RareEstimate | str]]", horizon: str) -> None:
    document = rare_document(found)["architectures"]
    rows = []
    for name, mine in found.items():
        cells = [name]
        for measure in MEASURES:
            one = mine[measure]
            if isinstance(one, str):
                cells.append(one)
                continue
            shown = document[name][measure]
            high = "unbounded" if shown["high"] is None else f"{shown['high']:.3g}"
            note = f"\n{one.estimate.note}" if one.estimate.note else ""
            text = f"{shown['mean']:.3g} [{shown['low']:.3g}, {high}]"
            cells.append(f"{text}\n{one.method}, {one.n_events:,} events{note}")
        rows.append(cells)
    heads = [TITLES[measure].format(horizon=horizon) for measure in MEASURES]
    print_table(stdout_console(), "Rare failures, 95 % intervals", ["architecture", *heads], rows)
