"""Write the table of `docs/validation-cases.md` from the stored figures of the reconstructed acceptance cases.

Usage: ``python benchmarks/cases/table.py`` from the root of the repository; ``--check`` only compares.  It must not run
any model: it prints what `reconstruct.py` stored.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "tests" / "oracle" / "cases" / "request_model_cases.json"
NOTE = ROOT / "docs" / "validation-cases.md"
BEGIN, END = "<!-- table: written by benchmarks/cases/table.py -->", "<!-- end of table -->"
_PUBLISHED_SEEDS = 12


def z_score(published: float, ours: dict[str, Any]) -> float:
    """Return (ours - published) in standard errors, our spread standing for both; NaN without spread."""
    sd = ours["sd"]
    if not sd:
        return math.nan
    return float((ours["mean"] - published) / (sd * math.sqrt(1 / ours["n"] + 1 / _PUBLISHED_SEEDS)))


def parameters_text(parameters: dict[str, Any]) -> str:
    """Return the parameters in which the cases differ, in one line."""
    client, memory = parameters["client"], parameters["memory"]
    parts = [f"{parameters['rate_per_s']:g}/s", f"{client['attempts']} attempt(s)"]
    if client["attempts"] > 1:
        parts.append(f"backoff {client['backoff_s']:g} s")
    if client["budget_share"] is not None:
        parts.append(f"retry budget {client['budget_share']:g}")
    parts += [f"x{s['factor']:g} from {s['start_s']:g} to {s['end_s']:g} s" for s in parameters["slowdowns"]]
    if memory is not None:
        room = (memory["limit_mib"] - memory["base_mib"]) / memory["per_request_mib"]
        parts.append(f"memory for {room:.4g} requests")
        if memory["leak_mib_per_s"]:
            parts.append(f"leak {memory['leak_mib_per_s'] / memory['per_request_mib']:g} requests/s")
    parts += [f"queue bound {parameters['queue_bound']}", f"deadline {client['deadline_s']:g} s"]
    return ", ".join(parts)


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.5g}"


def table_lines(document: dict[str, Any]) -> list[str]:
    """Return the two Markdown tables, parameters and figures, as lines."""
    lines = ["| case | what | parameters | certainty |", "|---|---|---|---|"]
    for name, case in document["cases"].items():
        lines.append(f"| {name} | {case['title']} | {parameters_text(case['parameters'])} | {case['certainty']} |")
    lines += ["", "| case | figure | published request | ours: mean, sd, n | z | published fluid | published plain |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name, case in document["cases"].items():
        for measure, published in case["published"].items():
            ours = case["request_model"].get(measure)
            theirs = published.get("request")
            if ours is None:
                continue
            if theirs is None:
                theirs_text, z = f"{published['request_low']:g} to {published['request_high']:g}", math.nan
            else:
                theirs_text, z = _number(theirs), z_score(theirs, ours)
            cells = [
                name,
                f"`{measure}`",
                theirs_text,
                f"{_number(ours['mean'])}, {_number(ours['sd'])}, {ours['n']}",
                "" if math.isnan(z) else f"{z:+.1f}",
                _number(published.get("fluid")),
                _number(published.get("plain")),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "How each set of parameters was found:", ""]
    lines += [f"* **{name}** {case['note']}" for name, case in document["cases"].items()]
    return lines


def rewritten(note: str, document: dict[str, Any]) -> str:
    """Return the note with the lines between the marks replaced."""
    before, rest = note.split(BEGIN)
    after = rest.split(END)[1]
    return "\n".join([f"{before}{BEGIN}", *table_lines(document), f"{END}{after}"])


def main(arguments: list[str]) -> int:
    """Write the note, or with ``--check`` return 1 if it is not what would be written."""
    note = NOTE.read_text(encoding="utf-8")
    new = rewritten(note, json.loads(DOCUMENT.read_text(encoding="utf-8")))
    if "--check" in arguments:
        return int(new != note)
    NOTE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
