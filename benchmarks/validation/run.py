"""Run the validation cases by one model and keep mean, deviation and number of runs of each measure.

Usage, from the root of the repository::

    python -m benchmarks.validation.run COLUMN [--runs N] [--fresh] [CASE ...]

COLUMN is `request`, `fluid`, `noise`, `auto` or `all`. A case that has as many runs already is left as it is, so that
the command goes on where it was interrupted; `--fresh` forgets what is stored, which is needed after the model changed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

from benchmarks.validation.cases import BISTABLE, NAMES, ROOT
from benchmarks.validation.columns import engine_run, request_run

FOLDER = ROOT / "results" / "validation"
COLUMNS: dict[str, Callable[[str, int], dict[str, float]]] = {
    "request": request_run,
    "fluid": partial(engine_run, "never"),
    "noise": partial(engine_run, "always"),
    "auto": partial(engine_run, "auto"),
}
RUNS, RUNS_BISTABLE = 24, 48
RUNS_OF_GEARS = 2
"""The engine is cheap: so many times the runs of the request model, so that its chance adds less."""
Figures = dict[str, dict[str, float]]


def runs_wanted(column: str, name: str) -> int:
    """Return how many runs of a case a column has by default."""
    return (RUNS_BISTABLE if name in BISTABLE else RUNS) * (1 if column == "request" else RUNS_OF_GEARS)


def with_run(figures: Figures, found: dict[str, float]) -> Figures:
    """Return the figures with one more run (Welford 1962); a measure that is not defined for the run stays."""
    grown = dict(figures)
    for measure, value in found.items():
        if not math.isfinite(value):
            continue
        old = figures.get(measure, {"mean": 0.0, "sd": 0.0, "n": 0})
        n = old["n"] + 1
        mean = old["mean"] + (value - old["mean"]) / n
        squares = old["sd"] ** 2 * max(old["n"] - 1, 0) + (value - old["mean"]) * (value - mean)
        grown[measure] = {"mean": mean, "sd": math.sqrt(squares / (n - 1)) if n > 1 else 0.0, "n": n}
    return grown


def play(column: str, name: str, first: int, last: int) -> Figures:
    """Return the figures of the runs number first .. last - 1 of a case."""
    figures: Figures = {}
    for k in range(first, last):
        figures = with_run(figures, COLUMNS[column](name, k))
    return figures


def rounded(figures: Figures) -> Figures:
    """Return the figures with twelve digits, which machines agree on."""
    return {
        measure: {key: value if key == "n" else float(f"{value:.12g}") for key, value in each.items()}
        for measure, each in figures.items()
    }


def stored(column: str) -> dict[str, Any]:
    """Return what is kept of a column; empty if nothing is."""
    path = FOLDER / f"{column}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"column": column, "cases": {}}


def store(document: dict[str, Any]) -> None:
    """Write a column, with what it ran on."""
    document["versions"] = {name: version(name) for name in ("numpy", "numba", "simpy")}
    document["machine"] = {"python": platform.python_version(), "processor": platform.machine(), "cpus": os.cpu_count()}
    cases = document["cases"]
    document["cases"] = {name: cases[name] for name in NAMES if name in cases}
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1, sort_keys=False)
    (FOLDER / f"{document['column']}.json").write_text(text + "\n", encoding="utf-8")


def run_column(column: str, names: list[str], runs: int | None, *, fresh: bool) -> None:
    """Play the cases and write the column after each."""
    one_run = COLUMNS[column]
    for name in names:
        document = stored(column)
        case = {"runs": 0, "measures": {}} if fresh else document["cases"].get(name, {"runs": 0, "measures": {}})
        begun_s, first = time.perf_counter(), case["runs"]
        for k in range(first, runs if runs is not None else runs_wanted(column, name)):
            case = {"runs": k + 1, "measures": with_run(case["measures"], one_run(name, k))}
        if case["runs"] > first:
            document = stored(column)
            document["cases"][name] = case | {"measures": rounded(case["measures"])}
            store(document)
            print(f"{column} {name}: {case['runs']} runs, {time.perf_counter() - begun_s:.1f} s", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("column", choices=[*COLUMNS, "all"])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--runs", type=int, help="runs of each case; default: 24, of bistable cases 48; engine: x2")
    parser.add_argument("--fresh", action="store_true", help="forget what is stored")
    given = parser.parse_intermixed_args()
    if unknown := set(given.cases) - set(NAMES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    for column in COLUMNS if given.column == "all" else [given.column]:
        run_column(column, given.cases or list(NAMES), given.runs, fresh=given.fresh)


if __name__ == "__main__":
    main()
