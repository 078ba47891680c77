"""The coverage experiment of the documents: some cells quickly, all of them with `-m slow`, and what it keeps."""

import json
import math

import pytest

from benchmarks.interval_coverage import RESULT, SECTIONS, measure

BEYOND = 1.7
"""Log-sd above which no method that does not know the law keeps 95 %."""
MOST_LOST = {"mean": 0.06, "mean, stopped": 0.045, "quantile": 0.0, "tail mean": 0.04}
"""Coverage that heavy tails (and stopping) may cost, as documented."""

MOST_BY_SIGNALS = 0.015
"""Coverage of the plain interval of the same trials that one by signals may lack."""


def allowed(what: str, law: dict[str, float], samples: int) -> float:
    error = 4 * math.sqrt(0.95 * 0.05 / samples)
    lost = MOST_LOST.get(what, 0.0) if law.get("log_sd", 0.0) > BEYOND or what == "mean, stopped" else 0.0
    return 0.95 - error - lost


def check(rows: list[dict[str, object]]) -> None:
    for row in rows:
        methods: dict[str, dict[str, float]] = row["methods"]  # type: ignore[assignment]
        found = methods["regionfall"]["coverage"]
        least = allowed(row["what"], row["law"], row["samples"])  # type: ignore[arg-type]
        if "without signals" in methods:  # signals may not cost coverage, nor do they mend what few heavy years hide
            plain = methods["without signals"]["coverage"]
            least = max(min(least, plain), plain - MOST_BY_SIGNALS)
        assert found >= least, row


@pytest.mark.parametrize("section", ["tails", "counts"])
def test_some_cells(section: str) -> None:
    check([measure(cell, 100) for cell in list(SECTIONS[section]())[::6]])


@pytest.mark.slow
@pytest.mark.parametrize("section", list(SECTIONS))
def test_all_cells(section: str) -> None:
    check([measure(cell, 2000) for cell in SECTIONS[section]()])


def test_what_is_kept_is_complete_and_covers() -> None:
    kept = json.loads(RESULT.read_text(encoding="utf-8"))
    for section, cells in SECTIONS.items():
        assert [row["law"] for row in kept[section]] == [cell.law for cell in cells()]
        assert min(row["samples"] for row in kept[section]) >= 2000
        check(kept[section])


def test_taking_signals_at_their_word_would_fail_the_same_check_negative_control() -> None:
    kept = json.loads(RESULT.read_text(encoding="utf-8"))["signals"]
    naive = [row for row in kept if "student t of the rest" in row["methods"]]
    with pytest.raises(AssertionError):
        check(
            [
                row | {"methods": row["methods"] | {"regionfall": row["methods"]["student t of the rest"]}}
                for row in naive
            ]
        )


def test_others_would_fail_the_same_check_negative_control() -> None:
    kept = json.loads(RESULT.read_text(encoding="utf-8"))
    for method in ("student t", "bootstrap BCa", "empirical likelihood"):
        with pytest.raises(AssertionError):
            check(
                [
                    row | {"methods": {"regionfall": row["methods"][method]}}
                    for row in kept["means"]
                    if method in row["methods"]
                ]
            )
