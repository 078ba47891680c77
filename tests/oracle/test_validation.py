"""The engine against the request model on the validation cases: single requests, and the gears by themselves.

The truth are the stored figures of the request model (`results/validation/request.json`, SimPy, another code); the
engine is run here. |z| <= 4 with the standard errors of both. What mean rates may be off by is asserted in
`test_engine_cases`; here they are the negative control. All cases, and the request model itself, run under `slow`.
"""

import math
from functools import cache

import pytest

from benchmarks.validation import page
from benchmarks.validation.cases import BISTABLE, NAMES, TWO_TIERS
from benchmarks.validation.compare import Figure, column, difference, figure, rows, z_score
from benchmarks.validation.run import RUNS, RUNS_BISTABLE, play, stored

Z_MAX = 4.0
TRIALS = 24
KNOWN_BIAS = {
    ("auto", "H", "first_oom_s"): 0.7,
    ("auto", "K", "first_oom_s"): 0.9,
    ("auto", "K_budget", "first_oom_s"): 0.7,
    ("auto", "D", "in_flight_mean"): 1.0,
    ("auto", "E", "in_flight_mean"): 1.2,
}
"""How far windows of single requests may be off, as mean rates decide what is before and after them: how a queue
fills, a collapse that is certain."""
FAST_NOISE = ("B", "F", "F2", "G", "H", "I", "K", TWO_TIERS)
FAST_AUTO = ("C", "H", "J", "K_budget", "K_short_queue")


@cache
def figures(name: str, case: str, first: int, last: int) -> dict[str, Figure]:
    """Figures of trials that are run now."""
    return {measure: figure(measure, **each) for measure, each in play(name, case, first, last).items()}


def disagree(found: Figure, truth: Figure, allowed: float) -> bool:
    """Whether two figures differ by more than chance and what is allowed besides explain."""
    apart = difference(found, truth)
    return bool(apart) and abs(apart) > allowed + Z_MAX * math.hypot(found.error, truth.error)


def disagreements(name: str, case: str, first: int = 0, last: int = TRIALS) -> list[str]:
    """Measures in which a column and the request model differ by more than chance explains."""
    truth, found = column("request")[case], figures(name, case, first, last)
    return [
        f"{measure}: {found[measure].mean:.5g} +- {found[measure].error:.2g}, request model {truth[measure].mean:.5g} "
        f"+- {truth[measure].error:.2g}"
        for measure in truth
        if measure in found and disagree(found[measure], truth[measure], KNOWN_BIAS.get((name, case, measure), 0.0))
    ]


@pytest.mark.parametrize("case", FAST_NOISE)
def test_single_requests_agree_with_the_request_model(case: str) -> None:
    assert not disagreements("noise", case)


@pytest.mark.parametrize("case", FAST_AUTO)
def test_windows_of_single_requests_agree_with_the_request_model(case: str) -> None:
    assert not disagreements("auto", case)


@pytest.mark.parametrize(
    ("case", "measure"),
    [
        ("A3", "collapsed_share"),
        ("I", "availability"),
        ("J", "availability"),
        (TWO_TIERS, "J x6: in flight U"),
    ],
)
def test_mean_rates_do_not(case: str, measure: str) -> None:
    """Negative control: the same comparison refutes the fluid where it is known to be off."""
    assert any(text.startswith(f"{measure}:") for text in disagreements("fluid", case, 0, TRIALS))


@pytest.mark.parametrize(
    ("case", "measure"),
    [
        ("F", "in_flight_mean"),
        ("K_4gib", "availability"),
        ("K_4gib", "in_flight_mean"),
        ("K_short_queue", "availability"),
        ("K_short_queue", "in_flight_mean"),
        (TWO_TIERS, "after the hang: in flight U"),
        (TWO_TIERS, "after the hang: in flight J"),
        (TWO_TIERS, "after the hang: success"),
    ],
)
def test_mean_rates_know_that_work_under_way_keeps_its_time(case: str, measure: str) -> None:
    assert not any(text.startswith(f"{measure}:") for text in disagreements("fluid", case, 0, 1))


def test_mean_rates_take_back_what_a_kill_loses_and_no_more() -> None:
    assert not any(text.startswith("availability:") for text in disagreements("fluid", "C"))


def test_another_case_does_not() -> None:
    """Negative control: a gear that played a case with a third of the queue would be found out."""
    truth, other = column("request")["K_budget"], figures("auto", "K_short_queue", 0, TRIALS)
    assert abs(z_score(other["availability"], truth["availability"])) > Z_MAX


# --- what is stored


def test_every_case_has_its_runs() -> None:
    for case in NAMES:
        assert stored("request")["cases"][case]["runs"] >= (RUNS_BISTABLE if case in BISTABLE else RUNS), case
        for name in ("fluid", "noise", "auto"):
            assert stored(name)["cases"][case]["runs"] >= RUNS, (name, case)


@pytest.mark.parametrize("name", ["noise", "auto"])
def test_stored_gears_agree_and_no_row_is_worse_than_the_prototype(name: str) -> None:
    n_checked = 0
    for row in rows():
        allowed = KNOWN_BIAS.get((name, row.case, row.measure), 0.0)
        assert not disagree(row.columns[name], row.request, allowed), (row, allowed)
        if not math.isnan(row.worse_by(name)):
            n_checked += 1
            assert row.worse_by(name) <= page.ALLOWED_WORSE, row
    assert n_checked >= 20


def test_what_is_stored_is_what_the_engine_does() -> None:
    """Nothing is drawn here; if this fails, `python -m benchmarks.validation.run all --fresh` is due."""
    for case in ("A", "I", "J"):
        kept, now = column("fluid")[case]["in_flight_mean"], figures("fluid", case, 0, 2)["in_flight_mean"]
        assert now.mean == pytest.approx(kept.mean, rel=5e-3)


@pytest.mark.parametrize(("measure", "request_figure", "fluid_figure"), page.PROTOTYPE_TWO_TIERS)
def test_two_tiers_are_better_than_the_exceptions_of_the_prototype(
    measure: str, request_figure: float, fluid_figure: float
) -> None:
    truth, found = column("request")[TWO_TIERS][measure], figures("noise", TWO_TIERS, 0, TRIALS)[measure]
    theirs = abs(fluid_figure / request_figure - 1.0)
    error = math.hypot(truth.error, found.error) / truth.mean
    assert abs(found.mean / truth.mean - 1.0) <= theirs + 2.0 * error
    assert abs(z_score(found, truth)) <= Z_MAX


def test_the_page_says_what_the_figures_say() -> None:
    assert page.main(["--check"]) == 0


# --- slow


@pytest.mark.slow
@pytest.mark.parametrize("case", NAMES)
@pytest.mark.parametrize("name", ["noise", "auto"])
def test_all_cases_agree_on_other_trials(name: str, case: str) -> None:
    assert not disagreements(name, case, 1000, 1000 + TRIALS)


@pytest.mark.slow
@pytest.mark.parametrize("case", NAMES)
def test_the_request_model_is_what_was_stored(case: str) -> None:
    assert not disagreements("request", case, 1000, 1008)
