"""The command line: what can be asked, and which exit code answers.

Each command imports what it needs when it is called, so that `regionfall --help` is quick. Knows nothing of
how a command does its work.
"""

import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sim import __version__
from sim.commands.exits import EXIT_INTERRUPTED, EXIT_RUN_ERROR, EXIT_USAGE, print_error
from sim.errors import RegionfallError, ScenarioError, UsageError

DEBUG_VARIABLE = "REGIONFALL_DEBUG"


def exit_code_for(error: BaseException) -> int:
    """Print what went wrong on stderr, one issue per line, and say which exit code that is."""
    if isinstance(error, KeyboardInterrupt):  # InterruptedRunError is one too
        print_error(str(error) or "interrupted")
        return EXIT_INTERRUPTED
    if isinstance(error, ScenarioError | UsageError):
        print_error(str(error))
        return EXIT_USAGE
    if isinstance(error, RegionfallError):
        print_error(str(error))
        return EXIT_RUN_ERROR
    if os.environ.get(DEBUG_VARIABLE) == "1":
        traceback.print_exception(error)
    print_error(
        f"regionfall {__version__} met an error of its own: {type(error).__name__}: {error}\n"
        f"Please report it with the command and the scenario; {DEBUG_VARIABLE}=1 shows where it happened."
    )
    return EXIT_RUN_ERROR


class GuardedGroup(TyperGroup):
    """Turns every error of a command into a message and an exit code; never a traceback for a user's mistake."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader of stdout has seen enough, as in `regionfall schema | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except (RegionfallError, KeyboardInterrupt) as error:
            raise typer.Exit(exit_code_for(error)) from None
        except Exception as error:
            if type(error).__module__.startswith(("typer", "click")):  # usage errors and Exit: theirs to show
                raise
            raise typer.Exit(exit_code_for(error)) from None


app = typer.Typer(
    name="regionfall",
    cls=GuardedGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What uptime to expect of a cloud architecture, how faults cascade, and what an outage costs.",
)

Scenario = Annotated[Path, typer.Argument(metavar="FILE", help="Scenario file (YAML).")]
Overlays = Annotated[list[Path] | None, typer.Option("--file", "-f", help="Overlay: a later file wins. Repeatable.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Change one value: a.b=v. Repeatable.")]
Sweeps = Annotated[list[str] | None, typer.Option("--sweep", help="Vary one value: a.b=10s,30s. Repeatable.")]
Architectures = Annotated[list[str] | None, typer.Option("--architecture", "-A", help="Only this one. Repeatable.")]
Architecture = Annotated[str | None, typer.Option("--architecture", "-A", help="Which one; the first by default.")]
Trials = Annotated[int | None, typer.Option("--trials", "-n", min=1, help="Trials per architecture.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Root of all random numbers.")]
WorkerCount = Annotated[int | None, typer.Option("--workers", "-w", min=1, help="Processes; all cores by default.")]
Chunk = Annotated[int | None, typer.Option("--chunk", min=1, help="Trials per task; changes no result.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder of the results; the same run is continued there.")]
ExecutorKind = Annotated[
    str, typer.Option("--executor", metavar="processes|dask", help="Worker processes, or a Dask cluster on loopback.")
]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", metavar="ADDRESS", help="Dask scheduler to use; only one that you trust.")
]
Output = Annotated[str, typer.Option("-o", "--output", metavar="table|json", help="What stdout gets.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Report = Annotated[bool, typer.Option("--report/--no-report", help="Write report.html.")]
FailUnder = Annotated[
    list[str] | None,
    typer.Option("--fail-under", help="Exit 1 unless sure: 'availability>=99.9%', 'NAME:downtime_h_per_year<=8'."),
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"regionfall {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Common to all commands."""


@app.command()
def demo(out: Out = None, workers: WorkerCount = None, output: Output = "table", quiet: Quiet = False) -> None:
    """The Sweden Central day replayed, and one region against two: about a minute, one report."""
    from sim.commands.demo import demonstrate
    from sim.commands.request import OutputChoice, RunChoice

    demonstrate(RunChoice(out=out, workers=workers), OutputChoice.of(output, quiet=quiet))


@app.command()
def run(
    file: Scenario,
    architecture: Architectures = None,
    overlay: Overlays = None,
    set_: Sets = None,
    trials: Trials = None,
    seed: Seed = None,
    workers: WorkerCount = None,
    chunk: Chunk = None,
    executor: ExecutorKind = "processes",
    scheduler: Scheduler = None,
    out: Out = None,
    fail_under: FailUnder = None,
    output: Output = "table",
    quiet: Quiet = False,
    report: Report = True,
) -> None:
    """Simulate one architecture (the first, or those given with -A)."""
    from sim.commands.request import OutputChoice, RunChoice, ScenarioChoice
    from sim.commands.run import run_first

    scenario = ScenarioChoice.of(file, overlay, set_)
    choice = RunChoice.of(architecture, trials=trials, seed=seed, workers=workers, chunk=chunk, out=out)
    choice = choice.placed(executor, scheduler)
    run_first(scenario, choice, OutputChoice.of(output, quiet=quiet, report=report, gates=fail_under))


@app.command()
def compare(
    file: Scenario,
    architecture: Architectures = None,
    overlay: Overlays = None,
    set_: Sets = None,
    trials: Trials = None,
    seed: Seed = None,
    workers: WorkerCount = None,
    chunk: Chunk = None,
    executor: ExecutorKind = "processes",
    scheduler: Scheduler = None,
    out: Out = None,
    fail_under: FailUnder = None,
    output: Output = "table",
    quiet: Quiet = False,
    report: Report = True,
) -> None:
    """Simulate all architectures of a file on the same random histories, and compare them."""
    from sim.commands.request import OutputChoice, RunChoice, ScenarioChoice
    from sim.commands.run import run_all

    scenario = ScenarioChoice.of(file, overlay, set_)
    choice = RunChoice.of(architecture, trials=trials, seed=seed, workers=workers, chunk=chunk, out=out)
    choice = choice.placed(executor, scheduler)
    run_all(scenario, choice, OutputChoice.of(output, quiet=quiet, report=report, gates=fail_under))


@app.command()
def sweep(
    file: Scenario,
    sweep_: Sweeps = None,
    architecture: Architectures = None,
    overlay: Overlays = None,
    set_: Sets = None,
    trials: Trials = None,
    seed: Seed = None,
    workers: WorkerCount = None,
    chunk: Chunk = None,
    executor: ExecutorKind = "processes",
    scheduler: Scheduler = None,
    out: Out = None,
    output: Output = "table",
    quiet: Quiet = False,
    report: Report = True,
) -> None:
    """Simulate all combinations of swept values (--sweep, or the file's sweep block)."""
    from sim.commands.request import OutputChoice, RunChoice, ScenarioChoice
    from sim.commands.run import run_sweep

    scenario = ScenarioChoice.of(file, overlay, set_, sweep_)
    choice = RunChoice.of(architecture, trials=trials, seed=seed, workers=workers, chunk=chunk, out=out)
    choice = choice.placed(executor, scheduler)
    run_sweep(scenario, choice, OutputChoice.of(output, quiet=quiet, report=report))


@app.command()
def replay(
    file: Scenario,
    architecture: Architecture = None,
    trial: Annotated[int, typer.Option("--trial", min=0, help="Which trial.")] = 0,
    overlay: Overlays = None,
    set_: Sets = None,
    seed: Seed = None,
    out: Out = None,
    output: Output = "table",
    quiet: Quiet = False,
    report: Report = True,
) -> None:
    """Run one trial and show its timeline."""
    from sim.commands.replay import replay_one
    from sim.commands.request import OutputChoice, RunChoice, ScenarioChoice

    scenario = ScenarioChoice.of(file, overlay, set_)
    choice = RunChoice.of([architecture] if architecture else None, seed=seed, out=out)
    replay_one(scenario, choice, OutputChoice.of(output, quiet=quiet, report=report), trial=trial)


@app.command()
def zoom(
    file: Scenario,
    from_: Annotated[str, typer.Option("--from", help="Begin: 2026-01-27T09:00 (UTC), or 9h since the start.")],
    for_: Annotated[str, typer.Option("--for", help="Length of the window, e.g. 10m.")] = "10m",
    architecture: Architecture = None,
    trial: Annotated[int, typer.Option("--trial", min=0, help="Which trial.")] = 0,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=1000, help="Request-level runs of the window.")] = 5,
    overlay: Overlays = None,
    set_: Sets = None,
    seed: Seed = None,
    workers: WorkerCount = None,
    out: Out = None,
    output: Output = "table",
    report: Report = True,
) -> None:
    """Play a window of one trial request by request, beside the engine."""
    from sim.commands.request import OutputChoice, RunChoice, ScenarioChoice
    from sim.commands.zoom import WindowChoice, zoom_in

    scenario = ScenarioChoice.of(file, overlay, set_)
    choice = RunChoice.of([architecture] if architecture else None, seed=seed, workers=workers, out=out)
    window = WindowChoice(trial, from_, for_, seeds)
    zoom_in(scenario, choice, OutputChoice.of(output, report=report), window)


@app.command()
def stability(
    file: Scenario,
    architecture: Architectures = None,
    overlay: Overlays = None,
    set_: Sets = None,
    loss: Annotated[
        str, typer.Option("--loss", metavar="slow|pods", help="How the bottleneck loses capacity.")
    ] = "slow",
    lasts: Annotated[str, typer.Option("--lasts", help="How long the losses of the map last.")] = "10m",
    check: Annotated[
        int, typer.Option("--check", min=0, help="Cells near the borders to check request by request (slow).")
    ] = 0,
    workers: WorkerCount = None,
    out: Out = None,
    output: Output = "table",
    quiet: Quiet = False,
    report: Report = True,
) -> None:
    """Show at which load and loss each design collapses and stays down, and what helps most."""
    from sim.commands.request import OutputChoice, RunChoice, ScenarioChoice
    from sim.commands.stability import show_stability

    scenario = ScenarioChoice.of(file, overlay, set_)
    choice = RunChoice.of(architecture, workers=workers, out=out)
    output_choice = OutputChoice.of(output, quiet=quiet, report=report)
    show_stability(scenario, choice, output_choice, loss=loss, lasts=lasts, check=check)


@app.command()
def rare(
    file: Scenario,
    architecture: Architectures = None,
    overlay: Overlays = None,
    set_: Sets = None,
    method: Annotated[
        str,
        typer.Option("--method", metavar="auto|strata|plain|splitting|biasing", help="How they are reached."),
    ] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="Half-width of intervals over the estimate.")] = "10%",
    events: Annotated[float, typer.Option("--events", min=1, help="Elements: most events for each number.")] = 1e8,
    measure: Annotated[
        str | None, typer.Option("--measure", help="Traffic: whose precision; downtime_h_per_year by default.")
    ] = None,
    trials: Annotated[int | None, typer.Option("--trials", "-n", min=1, help="Traffic: most trials a design.")] = None,
    seed: Seed = None,
    workers: WorkerCount = None,
    out: Out = None,
    executor: ExecutorKind = "processes",
    scheduler: Scheduler = None,
    output: Output = "table",
    quiet: Quiet = False,
) -> None:
    """Estimate what plain trials hardly see: rare failures of elements, grave years of designs with traffic."""
    from sim.commands.rare import show_rare
    from sim.commands.request import OutputChoice, RunChoice, ScenarioChoice

    scenario = ScenarioChoice.of(file, overlay, set_)
    choice = RunChoice.of(architecture, trials=trials, seed=seed, workers=workers, out=out)
    choice = choice.placed(executor, scheduler)
    output_choice = OutputChoice.of(output, quiet=quiet)
    show_rare(scenario, choice, output_choice, method=method, precision=precision, most_events=events, measure=measure)


@app.command()
def sensitivity(
    file: Scenario,
    architecture: Architecture = None,
    knob: Annotated[
        list[str] | None, typer.Option("--knob", help="Only this number: path, or path=low,high. Repeatable.")
    ] = None,
    step: Annotated[str, typer.Option("--step", help="How far numbers are turned down and up.")] = "20%",
    knobs: Annotated[bool, typer.Option("--knobs/--no-knobs", help="Turn the numbers of the design.")] = True,
    elements: Annotated[str, typer.Option("--elements", metavar="like|all|none", help="Birnbaum of which.")] = "like",
    sobol: Annotated[
        list[str] | None, typer.Option("--sobol", help="Over a range: path=low,high or path=low,high,log. Repeatable.")
    ] = None,
    sobol_samples: Annotated[int, typer.Option("--sobol-samples", min=2, help="Power of two.")] = 32,
    covered: Annotated[str, typer.Option("--cover", help="Lost minutes that the sequences make up.")] = "80%",
    check: Annotated[bool, typer.Option("--check/--no-check", help="Prove faults needed by reruns.")] = True,
    overlay: Overlays = None,
    set_: Sets = None,
    trials: Trials = None,
    seed: Seed = None,
    workers: WorkerCount = None,
    chunk: Chunk = None,
    out: Out = None,
    output: Output = "table",
    quiet: Quiet = False,
    report: Report = True,
) -> None:
    """Show what matters most in one design: faults, elements, numbers, and how outages come about."""
    from sim.commands.request import OutputChoice, RunChoice, ScenarioChoice
    from sim.commands.sensitivity import choice_of, show_sensitivity

    asked = choice_of(architecture, knob, sobol, step=step, covered=covered)
    asked = asked.with_parts(knobs=knobs, elements=elements, samples=sobol_samples, check=check)
    choice = RunChoice.of(None, trials=trials, seed=seed, workers=workers, chunk=chunk, out=out)
    output_choice = OutputChoice.of(output, quiet=quiet, report=report)
    show_sensitivity(ScenarioChoice.of(file, overlay, set_), choice, output_choice, asked)


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Scenario files; each is checked alone.")],
    overlay: Overlays = None,
    set_: Sets = None,
    output: Output = "table",
) -> None:
    """Check scenario files; every mistake with file, line and column."""
    from sim.commands.request import OutputChoice, ScenarioChoice
    from sim.commands.validate import validate_files

    choices = [ScenarioChoice.of(file, overlay, set_) for file in files]
    validate_files(choices, OutputChoice.of(output))


@app.command()
def schema() -> None:
    """Print the JSON Schema of a scenario file, for editors."""
    from sim.commands.validate import print_schema

    print_schema()


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Results folder.")],
    output: Output = "table",
    quiet: Quiet = False,
) -> None:
    """Write report.html again from a results folder, without running anything."""
    from sim.commands.request import OutputChoice
    from sim.commands.stored import rebuild_report

    rebuild_report(run, OutputChoice.of(output, quiet=quiet))


@app.command()
def results(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FOLDER] | show RUN | verify RUN | remove RUN...", help="What to do; else lists."),
    ] = None,
    state: Annotated[str | None, typer.Option("--state", help="List only: done, interrupted, killed ...")] = None,
    sort: Annotated[str, typer.Option("--sort", help="List by: started, name, size, trials.")] = "started",
    yes: Annotated[bool, typer.Option("--yes", help="Remove without a question.")] = False,
    output: Output = "table",
) -> None:
    """List the runs that are stored; show, verify or remove one."""
    from sim.commands.request import OutputChoice
    from sim.commands.stored import ListChoice, results_command

    results_command(arguments or [], ListChoice(state, sort), OutputChoice.of(output), sure=yes)


def main() -> None:
    """Entry point of `regionfall`; a termination request is answered like Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)
    app()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
