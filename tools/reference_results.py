"""Regenerate the reference answers that README and documents quote, and the passages that quote them.

`python tools/reference_results.py` runs the packaged experiments, writes `results/reference/NAME.json`, and fills every
`<!-- generated:NAME -->` ... `<!-- /generated -->` passage of the documents, also those that quote what benchmarks and
validation keep under `results/`. `--documents` does only the latter.
Numbers in prose come from here, never from a keyboard; `tests/examples/test_reference.py` holds the two together.
"""

import argparse
import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from estimation_pages import RENDERERS as ESTIMATION

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
PASSAGE = re.compile(r"(<!-- generated:(?P<name>[\w-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)
DIGITS = 6
"""Significant digits kept: fewer than differ between machines, more than any sentence quotes."""

DAY = "sweden_central.yaml"
COMPARISON = "single_vs_multi_region.yaml"
WHAT_MATTERS = "what_matters.yaml"


def documents() -> list[Path]:
    """Files that may quote reference answers."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def rounded(value: Any) -> Any:
    """The document with every float at DIGITS significant digits, so that machines agree."""
    if isinstance(value, float):
        return value if value == 0 or not math.isfinite(value) else float(f"{value:.{DIGITS - 1}e}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return value


def day_document() -> dict[str, Any]:
    """The replayed day, without its events."""
    import sim
    from sim.commands.documents import replay_document

    experiment = sim.load(ROOT / "experiments" / DAY)
    replays = {}
    for name in experiment.scenarios:
        replay = sim.replay(experiment, name)
        document = replay_document(replay)
        del document["events"]
        replays[name] = document | {"oom_kills": int(replay.tables["trials"]["oom_kills"][0])}
    return {"experiment": experiment.name, "file": DAY, "replays": replays}


def comparison_document() -> dict[str, Any]:
    """Every architecture of the comparison."""
    import sim
    from sim.commands.documents import result_document

    result = sim.compare(ROOT / "experiments" / COMPARISON)
    document = result_document(result)
    del document["run"], document["warnings"]
    trials = max(result.meta["trials_asked"].values())
    head = {"experiment": result.experiment.name, "file": COMPARISON, "trials": trials}
    return head | {"seed": result.meta["seed"]} | document


def sensitivity_reference() -> dict[str, Any]:
    """What matters in the packaged shop: half a minute on two cores."""
    import sim
    from sim.commands.sensitivity import sensitivity_document
    from sim.study import RunOptions
    from sim.study.sensitivity import Choice, sensitivity_of

    experiment = sim.load(ROOT / "experiments" / WHAT_MATTERS)
    choice = Choice(
        knobs=(
            *("services.stock.slots", "services.web.calls.stock.attempts"),
            *("populations.office.requests", "place.north.stock=1,4"),
        ),
        sobol=("faults.stock-slow.effect.slow=2,12", "faults.stock-slow.repair.lognormal.median=10m,60m,log"),
        sobol_samples=8,
    )
    found = sensitivity_of(experiment, choice, RunOptions(trials=16))
    document = sensitivity_document(found, None)
    del document["run"], document["page"]
    return {"experiment": experiment.name, "file": WHAT_MATTERS, "seed": found.scenario.seed} | document


SOURCES: dict[str, Callable[[], dict[str, Any]]] = {
    "day": day_document,
    "comparison": comparison_document,
    "sensitivity": sensitivity_reference,
}


def render_day(reference: dict[str, Any]) -> str:
    """The day in every architecture, as a table."""
    lines = [
        "| architecture | down from (UTC) | until | minutes down | requests served | OOM kills |",
        "|---|---|---|---|---|---|",
    ]
    for name, replay in reference["replays"].items():
        outages = replay["outages"]
        start = min((outage["start"] for outage in outages), default=None)
        end = max((outage["end"] or "" for outage in outages), default=None)
        minutes = sum(outage["duration_s"] for outage in outages) / 60
        cells = [name, clock(start), clock(end), f"{minutes:.0f}", percent(replay["availability_requests"], 1)]
        lines.append("| " + " | ".join([*cells, str(replay["oom_kills"])]) + " |")
    return "\n".join(lines)


def render_comparison(reference: dict[str, Any]) -> str:
    """The compared architectures with intervals, as a table."""
    lines = [
        f"{reference['trials']} trials of a year each, seed {reference['seed']}, 95 % intervals.",
        "",
        "| architecture | availability by time | downtime, h per year | a cascade in a year | total cost per year |",
        "|---|---|---|---|---|",
    ]
    for name, found in reference["architectures"].items():
        cells = [
            name,
            interval(found["availability_time"], lambda v: percent(v, 3)),
            interval(found["downtime_h_per_year"], lambda v: f"{v:.3g}"),
            interval(found["cascade_year_prob"], lambda v: percent(v, 1)),
            interval(found["total_cost_per_year"], lambda v: f"{v:,.0f}") if "total_cost_per_year" in found else "-",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def render_kernel_speed(measured: dict[str, Any]) -> str:
    """Time of a step of the data plane, as a table."""
    about = measured["measured_with"]
    lines = [
        f"Regionfall {about['simulator']}, Python {about['python']}, Numba {about['numba']}, NumPy {about['numpy']}, "
        f"{about['processor']}, {about['system']}; load of the machine at the start {about['load_at_start']}.",
        "",
        "| pools of 8 pods | us per step | per pool | per pool, equal pods | by hand (Numba), us per step "
        "| ratio to the one by hand | faster than pure Python |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in measured["rows"]:
        low, high = row["ratio_to_hand_range"]
        cells = [
            f"{row['us_per_step']:.3g}",
            f"{row['us_per_step_and_pool']:.3g}",
            f"{row['us_per_step_and_pool_equal_pods']:.2g}",
            f"{row['us_per_step_hand']:.3g}",
            f"{row['ratio_to_hand']:.2f} ({low:.2f} to {high:.2f})",
            f"{row['python_to_compiled']:.0f} times",
        ]
        lines.append("| " + " | ".join([str(row["pools"]), *cells]) + " |")
    return "\n".join(lines)


def render_random_scenarios(found: dict[str, Any]) -> str:
    """What random scenarios found, as a sentence and a list."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    checked = "with bounds checks" if found["bounds_checked"] else "without bounds checks"
    text = (
        f"{found['n_scenarios']} random valid scenarios ran {checked} ({versions}): {found['n_steps']:,} steps, "
        f"{found['n_events']:,} events, {found['n_single_requests']:,} single requests, "
        f"{found['n_with_windows']} trials that shifted gears. "
        f"{len(found['found']) or 'None'} of them showed anything that must not be."
    )
    return "\n".join([text, *(f"- number {row['number']}: {row['found']}" for row in found["found"])])


def _list_of(values: list[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


def render_flagship(measured: dict[str, Any]) -> str:
    """Year-trials per second, and where the time goes, as a table."""
    about = measured["measured_with"]
    lines = [
        "Two regions x three services x eight pods, 71 elements, mean rates (`benchmarks/flagship.py`). "
        f"Regionfall {about['simulator']}, Python {about['python']}, Numba {about['numba']}, NumPy {about['numpy']}, "
        f"SimPy {about['simpy']}, {about['machine']}; load of the machine at the start {about['load_at_start']}. "
        f"The least of {len(measured['ms_of_rounds'])} rounds in turns, of {_list_of(measured['ms_of_rounds'])} ms.",
        "",
        "| way | CPU ms per year-trial | year-trials per second and core | kernel | control plane | measures | set-up "
        "| steps | windows | hours integrated | faults | of them played |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in measured["rows"].items():
        times = [f"{row[part]:.3g}" for part in ("kernel_ms", "control_ms", "measure_ms", "build_ms")]
        rest = [f"{row['steps']:,.0f}", f"{row['windows']:.0f}", f"{row['hours_integrated']:,.0f}"]
        rest += [f"{row['faults']:.0f}", f"{row['played']:.0f}"]
        lines.append("| " + " | ".join([name, f"{row['ms']:.3g}", f"{1e3 / row['ms']:.3g}", *times, *rest]) + " |")
    naive_ms = measured["naive_ms"]
    lines.append(f"| naive SimPy and NumPy | {naive_ms:.3g} | {1e3 / naive_ms:.3g} | | | | | | | | | |")
    return "\n".join(lines)


def minutes(change: dict[str, Any]) -> str:
    """Hours per year as minutes per year with their interval."""
    if abs(60.0 * change["mean"]) < 1e-3:
        return "none worth naming"
    scaled = {key: value and 60.0 * value for key, value in change.items()}
    return interval(scaled, lambda v: f"{v:+,.0f}" if abs(v) >= 100.0 else f"{v:+.3g}")


def render_sensitivity_effects(reference: dict[str, Any]) -> str:
    """Changes of the minutes down, as a table."""
    base = interval({k: v and 60.0 * v for k, v in reference["base"]["downtime_h_per_year"].items()}, "{:,.0f}".format)
    lines = [
        f"`{reference['file']}`, {reference['architecture']}, {reference['trials']} trials, seed {reference['seed']}; "
        f"down {base} minutes a year.",
        "",
        "| what | changed | minutes down per year |",
        "|---|---|---|",
    ]
    for effect in reference["effects"]:
        change = effect["changes"]["downtime_h_per_year"]
        lines.append(
            f"| {effect['about']} | {effect['setting']} | {minutes(change) if change['mean'] else 'no difference'} |"
        )
    return "\n".join(lines)


def render_sensitivity_elements(reference: dict[str, Any]) -> str:
    """Birnbaum's importance, as a table."""
    lines = ["| fault @ element | Birnbaum importance |", "|---|---|"]
    for effect in sorted(reference["birnbaum"], key=lambda effect: effect["changes"]["availability_time"]["mean"]):
        up = effect["changes"]["availability_time"]
        flipped = {"mean": -up["mean"], "low": -up["high"], "high": -up["low"]}
        lines.append(f"| {effect['about']} | {interval(flipped, lambda v: f'{100 * v + 0.0:.3f} %')} |")
    return "\n".join(lines)


def render_sensitivity_sequences(reference: dict[str, Any]) -> str:
    """The smallest set of sequences, as a table."""
    lines = [
        "| sequence | share of minutes | outages | replay | minutes that remain without |",
        "|---|---|---|---|---|",
    ]
    for one in reference["sequences"]:
        if one["in_set"]:
            share = interval(one["share"], lambda v: percent(v, 0))
            remains = ", ".join(f"{label}: {percent(v, 0)}" for label, v in (one["remains_without"] or {}).items())
            trial = f"`--trial {one['example']['trial']}`, {one['example']['start'][:16].replace('T', ' ')}"
            lines.append(f"| {one['sequence']} | {share} | {one['outages']} | {trial} | {remains} |")
    return "\n".join(lines)


def render_sensitivity_sobol(reference: dict[str, Any]) -> str:
    """Sobol indices, as a table."""
    sobol = reference["sobol"]
    lines = ["| number | range | first order | total | SciPy's, of the means |", "|---|---|---|---|---|"]
    for name, knob in sobol["knobs"].items():
        first, total = (interval(knob[key], lambda v: f"{v:.2f}") for key in ("first", "total"))
        plain = f"{knob['first_plain']:.2f}, {knob['total_plain']:.2f}"
        lines.append(f"| {name} | {knob['range']} | {first} | {total} | {plain} |")
    return "\n".join(
        [*lines, "", f"Share of the simulator's own error in the variance: {percent(sobol['noise_share'], 1)}."]
    )


def render_cluster_scaling(found: dict[str, Any]) -> str:
    """Speed over one worker by number of workers and length of a chunk, and what limits it."""
    costs, curve, trial_s = found["measured"], found["efficiency"], found["trial_s"]
    chunks = list(curve)
    lines = ["| workers | " + " | ".join(f"chunks of {c} s" for c in chunks) + " |", "|---|" + "---|" * len(chunks)]
    for n in curve[chunks[0]]:
        cells = [f"{int(n) * curve[c][n]:.0f}x ({curve[c][n]:.0%})" for c in chunks]
        lines.append(f"| {n} | " + " | ".join(cells) + " |")
    dask_s, store_s = costs["dask_s_per_task"], costs["unpack_s_per_trial"] + costs["store_s_per_trial"]
    most = trial_s / store_s
    text = (
        f"Measured: a task of {costs['task_bytes'] / 1e3:.1f} kB, {costs['result_bytes_per_trial'] / 1e3:.2f} kB of "
        f"result per trial, {1e3 * dask_s:.2f} ms of Dask per task and {1e6 * store_s:.0f} us of the parent per trial "
        f"to unpack and store. The first asks for long chunks: N workers need chunks longer than about N x "
        f"{1e3 * dask_s:.2f} ms, which is {1000 * dask_s:.1f} s for 1,000 workers. The second is a limit that no chunk "
        f"moves: with trials of {trial_s:g} s the parent keeps up with about {most:.0f} workers, with trials of 1 s "
        f"with {1.0 / store_s:,.0f}."
    )
    return "\n".join([*lines, "", text])


RENDERERS: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "sweden-central-day": ("reference/day", render_day),
    "single-vs-multi-region": ("reference/comparison", render_comparison),
    "kernel-speed": ("benchmarks/kernel_speed", render_kernel_speed),
    "cluster-scaling": ("benchmarks/cluster_scaling", render_cluster_scaling),
    "flagship": ("benchmarks/flagship", render_flagship),
    "sensitivity-effects": ("reference/sensitivity", render_sensitivity_effects),
    "sensitivity-elements": ("reference/sensitivity", render_sensitivity_elements),
    "sensitivity-sequences": ("reference/sensitivity", render_sensitivity_sequences),
    "sensitivity-sobol": ("reference/sensitivity", render_sensitivity_sobol),
    "random-scenarios": ("validation/random_scenarios", render_random_scenarios),
    **ESTIMATION,
}
"""Passage -> where under `results/` its numbers are, and how they are written."""


def clock(text: str | None) -> str:
    """`2026-01-27T09:00:03.000Z` -> `09:00`; `-` for none."""
    return text[11:16] if text else "-"


def percent(share: float | None, digits: int) -> str:
    """A share in per cent; `-` for none."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def interval(estimate: dict[str, Any], write: Callable[[float], str]) -> str:
    """`mean [low, high]`; an end without bound is shown as `...`."""
    low, high = (write(estimate[end]) if estimate[end] is not None else "..." for end in ("low", "high"))
    return f"{write(estimate['mean'])} [{low}, {high}]"


def passage(name: str) -> str:
    """The text of a passage; raises KeyError for an unknown name, FileNotFoundError without its numbers."""
    source, render = RENDERERS[name]
    return render(json.loads((RESULTS / f"{source}.json").read_text(encoding="utf-8")))


def filled(text: str) -> str:
    """A document with every passage as it must be."""
    return PASSAGE.sub(lambda found: f"{found[1]}{passage(found['name'])}\n{found[3]}", text)


def main(arguments: list[str]) -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--documents", action="store_true", help="only fill the documents from the stored answers")
    if not parser.parse_args(arguments).documents:
        (RESULTS / "reference").mkdir(parents=True, exist_ok=True)
        for name, run in SOURCES.items():
            text = json.dumps(rounded(run()), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
            path = RESULTS / "reference" / f"{name}.json"
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))
    for path in documents():
        text = path.read_text(encoding="utf-8")
        if (new := filled(text)) != text:
            path.write_text(new, encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main(sys.argv[1:])
