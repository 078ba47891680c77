"""What the user asked for, gathered from options into three frozen records."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sim.errors import UsageError
from sim.scenario.document import Experiment
from sim.scenario.load import load_experiment

if TYPE_CHECKING:
    from sim.study.options import RunOptions


@dataclass(frozen=True, slots=True)
class ScenarioChoice:
    """A scenario file with its overlays and changes."""

    paths: tuple[Path, ...]
    sets: tuple[str, ...] = ()
    sweep: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, file: Path, overlay: Sequence[Path] | None, sets: Sequence[str] | None, sweep: Sequence[str] | None = None
    ) -> "ScenarioChoice":
        """From options, where None means not given."""
        return cls((file, *(overlay or ())), tuple(sets or ()), tuple(sweep or ()))

    def load(self) -> Experiment:
        """The experiment; raises ScenarioError with every mistake."""
        return load_experiment(list(self.paths), sets=self.sets, sweep=self.sweep)


@dataclass(frozen=True, slots=True)
class RunChoice:
    """Which trials to run, and where."""

    architectures: tuple[str, ...] = ()
    trials: int | None = None
    seed: int | None = None
    workers: int | None = None
    chunk: int | None = None
    out: Path | None = None
    executor: str = "processes"
    scheduler: str | None = None

    @classmethod
    def of(
        cls,
        architectures: Sequence[str] | None,
        *,
        trials: int | None = None,
        seed: int | None = None,
        workers: int | None = None,
        chunk: int | None = None,
        out: Path | None = None,
    ) -> "RunChoice":
        """From options, where None means not given."""
        return cls(tuple(architectures or ()), trials, seed, workers, chunk, out)

    def placed(self, executor: str, scheduler: str | None) -> "RunChoice":
        """The same choice with the place where trials run."""
        return replace(self, executor=executor, scheduler=scheduler)

    def stored(self) -> "RunOptions":
        """Options of a study that stores its results where the user said, else nowhere."""
        return self.options(self.out, self.architectures)

    def options(self, out: Path | None, architectures: tuple[str, ...]) -> "RunOptions":
        """Options of a study that stores its results in `out`."""
        from sim.study.options import RunOptions

        return RunOptions(
            trials=self.trials,
            seed=self.seed,
            workers=self.workers,
            chunk=self.chunk,
            out=out,
            executor=self.executor,
            scheduler=self.scheduler,
            architectures=architectures,
            command=command_line(),
        )


@dataclass(frozen=True, slots=True)
class OutputChoice:
    """What is shown and written besides the results."""

    json: bool = False
    quiet: bool = False
    report: bool = True
    gates: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, output: str, *, quiet: bool = False, report: bool = True, gates: Sequence[str] | None = None
    ) -> "OutputChoice":
        """From options; raises UsageError for an unknown kind of output."""
        if output not in ("table", "json"):
            raise UsageError(f"--output is {output}, but must be table or json")
        return cls(output == "json", quiet, report, tuple(gates or ()))


def command_line() -> str:
    """What the user typed, as a shell would take it."""
    return shlex.join(["regionfall", *sys.argv[1:]])
