"""Passages of `docs/estimation.md`, from what the benchmarks of intervals and of rare events kept."""

from typing import Any

Rows = list[dict[str, Any]]


def _share(found: dict[str, Any] | None) -> str:
    return "" if found is None else f"{100 * found['coverage']:.1f}"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def render_means(found: dict[str, Any]) -> str:
    """Coverage of means by method, and how far the upper end reaches."""
    rows: Rows = found["means"]
    methods = list(rows[0]["methods"])
    lines = [
        f"Percent of {rows[0]['samples']:,} samples whose 95 % interval holds the truth; in brackets the median of "
    ]
    lines[0] += "upper end / truth of ours."
    body = []
    for row in rows:
        law, own = row["law"], row["methods"]["regionfall"]
        cells = [f"{law['log_sd']:g}", f"{law['rate']:g}", f"{law['n']:g}"]
        cells.append(f"**{_share(own)}** ({own['high_to_truth_median']:.3g})")
        body.append(cells + [_share(row["methods"].get(method)) for method in methods[1:]])
    head = ["log-sd", "losses a year", "trials", "Regionfall", *methods[1:]]
    lows = [100 * row["methods"]["regionfall"]["coverage"] for row in rows]
    promised = [100 * r["methods"]["regionfall"]["coverage"] for r in rows if r["law"]["log_sd"] <= 1.4]
    t = [100 * row["methods"]["student t"]["coverage"] for row in rows]
    summary = (
        f"Ours is never below {min(promised):.1f} % up to a log-sd of 1.4, and {min(lows):.1f} % over all; Student's t "
        f"goes down to {min(t):.1f} %."
    )
    return "\n".join([*lines, "", *_table(head, body), "", summary])


def render_stopping(found: dict[str, Any]) -> str:
    """Coverage when a run stops at a precision."""
    body = []
    for row in found["stopping"]:
        law, methods = row["law"], row["methods"]
        cells = [f"{law['log_sd']:g}", f"{law['rate']:g}", f"{law['wanted']:.0%}", f"{law['cap']:,g}"]
        body.append([*cells, _share(methods["regionfall"]), _share(methods["student t"])])
    lows = [100 * row["methods"]["regionfall"]["coverage"] for row in found["stopping"]]
    head = ["log-sd", "losses a year", "half-width wanted", "cap", "Regionfall", "student t"]
    return "\n".join([*_table(head, body), "", f"Lowest: {min(lows):.1f} %."])


def render_signals(found: dict[str, Any]) -> str:
    """Coverage of means by signals, and how much narrower they are."""
    body = []
    for row in found["signals"]:
        law, own, plain = row["law"], row["methods"]["regionfall"], row["methods"]["without signals"]
        n = f"until {law['wanted']:.0%}" if "wanted" in law else f"{law['n']:,g}"
        cells = [f"{law['log_sd']:g}", f"{law['luck']:g}", f"{law['rate']:g}", n, _share(own), _share(plain)]
        upper = [f"{method['high_to_truth_median']:.3g}" for method in (own, plain)]
        body.append([*cells, _share(row["methods"].get("student t of the rest")), *upper])
    rows: Rows = found["signals"]
    held = [[row["methods"][name]["coverage"] for name in ("regionfall", "without signals")] for row in rows]
    worse, low = max(plain - own for own, plain in held), min(own for own, _ in held)
    head = ["log-sd of lengths", "of luck", "strikes a year", "trials", "by signals", "without"]
    head += ["student t of the rest", "upper end / truth", "without signals"]
    text = f"{rows[0]['samples']:,} samples a row. Lowest: {100 * low:.1f} %; at most {100 * worse:.1f} points below "
    return "\n".join([*_table(head, body), "", text + "the plain interval of the same trials."])


def render_tails(found: dict[str, Any]) -> str:
    """Coverage of quantiles and tail means."""
    pairs: dict[tuple[float, ...], dict[str, dict[str, Any]]] = {}
    for row in found["tails"]:
        key = tuple(row["law"][name] for name in ("log_sd", "share", "level", "n"))
        pairs.setdefault(key, {})[row["what"]] = row["methods"]["regionfall"]
    body = []
    for (log_sd, share, level, n), both in pairs.items():
        reach = both["tail mean"]["high_to_truth_median"]
        upper = "refused" if reach is None else f"{reach:.3g}"
        cells = [f"{log_sd:g}", f"{share:.0%}", f"{level:.0%}", f"{n:g}"]
        body.append([*cells, _share(both["quantile"]), _share(both["tail mean"]), upper])
    head = ["log-sd", "years with a loss", "level", "trials", "quantile", "mean of the worst", "its upper end / truth"]
    return "\n".join(_table(head, body))


def render_counts(found: dict[str, Any]) -> str:
    """Coverage of probabilities, rates and ratios."""
    body = []
    for row in found["counts"]:
        law = ", ".join(f"{name} {value:g}" for name, value in row["law"].items())
        body += [[row["what"], law, name, _share(method)] for name, method in row["methods"].items()]
    return "\n".join(_table(["what", "law", "method", "coverage, %"], body))


def render_rare(found: dict[str, Any]) -> str:
    """Work of rare-event methods beside plain sampling."""
    about = found["measured_with"]
    body = []
    for system in found["systems"]:
        for row in system["rows"]:
            interval = f"{row['mean']:.4g} ({row['low']:.4g} to {row['high']:.4g})"
            cells = [system["system"], f"{system['exact']:.4g}", row["method"], interval]
            cells += [f"{row['events_to_10_percent']:.3g}", f"{row['seconds_to_10_percent']:.3g}"]
            body.append([*cells, f"{row['less_work_than_plain']:,.3g}", f"{row['less_time_than_plain']:,.3g}"])
    head = ["system", "exact", "method", "estimate", "events to 10 %", "seconds to 10 %", "less work", "less time"]
    text = (
        f"Regionfall {about['simulator']}, Python {about['python']}, Numba {about['numba']}, {about['processor']}, "
        f"load at the start {about['load_at_start']}. Events and seconds are those of the run times (half-width "
        "reached / 10 %)^2; where plain sampling stopped before 10 %, that is extrapolated from its measured variance."
    )
    return "\n".join([text, "", *_table(head, body)])


def render_years(found: dict[str, Any]) -> str:
    """Years by strata beside years as they come."""
    about = found["measured_with"]
    body = []
    for row in found["designs"]:
        interval = f"{row['mean']:.3g} ({row['low']:.3g} to {row['high']:.3g})"
        plain = "{:.3g} ({:.3g} to {:.3g})".format(*row["plain"])
        needed = row["plain_trials_to_wanted"]
        cells = [row["design"], f"{row['wanted']:.0%}", f"{row['trials']:,}", interval, plain]
        cells += ["unseen" if needed is None else f"{needed:,.0f}", f"{row['worth']:.2g}"]
        body.append(cells)
    head = ["design", "asked", "years", "by strata, h", "as many as they come, h", "of those it takes", "worth"]
    covered = [
        f"{row['loss']}: {row['coverage']:.1%} of {row['repetitions']:,} intervals hold the exact mean "
        f"({row['exact']:.4g} h), {row['below']:.1%} lie below it; mean of the estimates {row['mean']:.4g} "
        f"(standard error {row['standard_error']:.2g}), {row['trials']:,.0f} years each."
        for row in found["coverage"]
    ]
    text = (
        f"Expected downtime of a year. Regionfall {about['simulator']}, Python {about['python']}, "
        f"{about['processor']}, load at the start {about['load_at_start']}. `worth` is by variance: "
        "years as they come over years by strata. "
        f"The pilot's years ({found['designs'][-1]['pilot']} a design, one pilot for all) are not counted. "
        "The region that is lost once in twenty years is down "
        f"{found['coverage'][0]['exact']:.4g} h a year, by its two-state chain."
    )
    return "\n".join(
        [text, "", *_table(head, body), "", "Of the whole procedure, stops included:", "", *_list(covered)]
    )


def render_compared(found: dict[str, Any]) -> str:
    """What a comparison to a precision takes."""
    about, rows = found["measured_with"], found["rows"]
    body = [
        [
            row["design"],
            f"{row['years']:,}",
            f"{row['mean']:.3g} ({row['low']:.3g} to {row['high']:.3g})",
            f"{row['worth']:.1f}",
            "{:+.2g} ({:+.2g} to {:+.2g})".format(*row["less_chance"]),
        ]
        for row in rows
    ]
    head = ["design", "years", "hours down a year", "each worth, years"]
    head.append(f"less with single requests, {found['chance_years']} years")
    per_year_s = found["chance_seconds_per_year_of_all"]
    text = (
        f"Until downtime is known to {found['wanted']}, mean rates, two workers, from the start of the command to its "
        f"report: {found['seconds']:.0f} s. With single requests where chance decides (`model.noise: auto`) a year of "
        f"all six takes {per_year_s:.1f} s; the last column is the mean difference of downtime on the same histories, "
        f"h a year. Regionfall {about['simulator']}, Python {about['python']}, Numba {about['numba']}, "
        f"{about['processor']}, {about['cores']} cores, load at the start {about['load_at_start']} "
        "(`benchmarks/compare_precision.py`)."
    )
    return "\n".join([text, "", *_table(head, body)])


def _list(lines: list[str]) -> list[str]:
    return [f"- {line}" for line in lines]


RENDERERS = {
    "coverage-means": ("coverage/intervals", render_means),
    "coverage-signals": ("coverage/intervals", render_signals),
    "coverage-stopping": ("coverage/intervals", render_stopping),
    "coverage-tails": ("coverage/intervals", render_tails),
    "coverage-counts": ("coverage/intervals", render_counts),
    "rare-events": ("benchmarks/rare_events", render_rare),
    "compare-precision": ("benchmarks/compare_precision", render_compared),
    "rare-years": ("benchmarks/rare_years", render_years),
}
