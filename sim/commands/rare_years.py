"""`rare` for designs with traffic: what a year costs, from trials chosen by what their tapes say."""

from typing import TYPE_CHECKING, Any

from sim.commands.documents import estimate_document, print_document
from sim.commands.exits import print_error
from sim.commands.progress import shown_progress
from sim.commands.request import OutputChoice, RunChoice
from sim.commands.show import COLUMNS, TITLES, interval_text, print_table, stdout_console
from sim.scenario.document import Experiment

if TYPE_CHECKING:
    from rich.console import Console

    from sim.estimate import Estimate
    from sim.study.rare_years import RareYears, YearsEffort


def show_rare_years(experiment: Experiment, choice: RunChoice, output: OutputChoice, effort: "YearsEffort") -> None:
    """Sample the years of all designs, or of the named ones, by strata and show the estimates."""
    from sim.study.rare_years import rare_years
    from sim.study.result import InterruptedRunError

    try:
        with shown_progress(output.quiet) as progress:
            found = rare_years(experiment, effort, choice.stored(), progress=progress)
    except InterruptedRunError as error:
        if choice.out is not None:
            print_error(f"to continue, give the same command with --out {choice.out}")
        raise error
    if output.json:
        print_document(years_document(found))
    else:
        _print(experiment, found, effort)


def years_document(found: "RareYears") -> dict[str, Any]:
    """Estimates by design and pair, and the strata behind them."""

    def nested(estimates: "dict[str, dict[str, Estimate]]") -> dict[str, Any]:
        return {
            name: {
                measure: estimate_document(one) | ({"note": one.note} if one.note else {})
                for measure, one in mine.items()
            }
            for name, mine in estimates.items()
        }

    strata = found.stratification
    return {
        "architectures": nested({name: mine.estimates for name, mine in found.designs.items()}),
        "differences": nested(found.differences),
        "strata": [
            {
                "name": stratum.name,
                "share": strata.shares[stratum.name],
                "threats": list(stratum.threats),
                "trials": {name: mine.drawn[stratum.name] for name, mine in found.designs.items()},
                "means": {name: mine.means[stratum.name] for name, mine in found.designs.items()},
            }
            for stratum in strata.strata
        ],
        "pilot_trials": found.n_pilot,
        "worth": {name: None if mine.worth != mine.worth else mine.worth for name, mine in found.designs.items()},
        "unmet": found.unmet,
    }


def _print(experiment: Experiment, found: "RareYears", effort: "YearsEffort") -> None:
    console = stdout_console()
    currency = next(iter(experiment.scenarios.values())).currency
    shown = {name: mine.estimates for name, mine in found.designs.items()}
    _print_estimates(console, f"{experiment.name}: 95 % intervals, from strata of years", shown, currency)
    if found.differences:
        console.print()
        title = "Differences on the same random histories"
        _print_estimates(console, title, found.differences, currency, difference=True)
    console.print()
    _print_strata(console, found, effort)
    for name, mine in found.designs.items():
        n = sum(mine.drawn.values())
        worth = f", worth {mine.worth * n:,.0f} as they come" if mine.worth == mine.worth else ""
        console.print(f"- {name}: {n} trials{worth}; {found.n_pilot} more for the pilot", soft_wrap=True)
    for name in found.unmet:
        console.print(
            f"- {effort.measure} of {name} is not known to {effort.wanted:.0%}: give more --trials", soft_wrap=True
        )


def _print_estimates(
    console: "Console", title: str, found: "dict[str, dict[str, Estimate]]", currency: str, *, difference: bool = False
) -> None:
    measures = [m for m in COLUMNS if any(m in mine for mine in found.values())]
    rows = [
        [name, *(interval_text(m, mine.get(m), currency, difference=difference) for m in measures)]
        for name, mine in found.items()
    ]
    print_table(console, title, ["pair" if difference else "architecture", *(TITLES[m] for m in measures)], rows)


def _print_strata(console: "Console", found: "RareYears", effort: "YearsEffort") -> None:
    strata = found.stratification
    rows = []
    for k, stratum in enumerate(strata.strata):
        about = "more than usual of " + " and ".join(stratum.threats) if stratum.threats else "nothing grave"
        cells = [f"{len(stratum.members) / strata.n_tapes:.1%}", about if k or stratum.threats else "the mildest"]
        cells += [
            f"{mine.means[stratum.name]:.3g}\n{mine.drawn[stratum.name]} trials" for mine in found.designs.values()
        ]
        rows.append(cells)
    console_title = f"{effort.measure} by what the year's tape says (shares counted on {strata.n_tapes:,} tapes)"
    print_table(console, console_title, ["years", "in which there is", *found.designs], rows)
