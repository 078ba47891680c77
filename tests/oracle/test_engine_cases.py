"""The engine against a model of every single request: one pool under overload, retries, memory limits and leaks.

The fluid is a model, not the truth. Each row states how far it may be from the request-level model (the model error),
as measured; a row fails when the engine gets worse, and also when it gets better, so that the statement stays true.
Truths are the published figures and our own request-level runs (docs/validation-cases.md); both must agree with the
statement. Left out is K with a limit of 2 GiB: there pods return together unless their startup times vary, and the
engine's startup times do not.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest

from benchmarks.validation.cases import AS_PUBLISHED, MEAN_RATES, RECOVERED, case_scenario
from sim.scenario.schema import CrashLoop, Model
from sim.world import Kind
from sim.world.trial import Trial

CASES = RECOVERED
Z_MAX = 4.0
SAMPLE_EVERY_S, COLLAPSE_BIN_S = 10.0, 30.0
PLAIN = Model(queues="fluid", oom="mean", noise="never")
"""No queue below saturation and no fluctuation: what the published comparison calls plain."""
KILLED_AT_RANDOM = {"B": 48, "C": 48, "G": 48, "H": 150}
"""Trials of the cases in which chance decides when a pod is killed; the others have none in the engine."""


# --- the cases -------------------------------------------------------------------------------------------


@lru_cache
def engine(name: str, model: Model = MEAN_RATES, crash_loop: CrashLoop = AS_PUBLISHED) -> dict[str, np.ndarray]:
    """Measures of all trials of a case, by name, as the request-level model defines them."""
    scenario = case_scenario(name, model, crash_loop)
    rows = [_measures(Trial(scenario, "a", trial)) for trial in range(KILLED_AT_RANDOM.get(name, 1))]
    return {measure: np.array([row[measure] for row in rows]) for measure in rows[0]}


def _measures(trial: Trial) -> dict[str, float]:
    horizon_s = trial.context.scenario.horizon
    samples: list[float] = []
    for at_s in np.arange(60.0, horizon_s, SAMPLE_EVERY_S):
        trial.context.after(float(at_s), lambda: samples.append(trial.traffic.in_flight(0)))
    totals = [(0.0, 0.0)]
    for at_s in np.arange(COLLAPSE_BIN_S, horizon_s, COLLAPSE_BIN_S):
        trial.context.after(float(at_s), lambda: totals.append(trial.traffic.totals(0)[:2]))
    record = trial.run()
    kills = [entry.at_s for entry in record.records if entry.kind is Kind.OOM_KILL]
    crossings = [entry for entry in record.records if entry.kind in (Kind.SLI_BELOW, Kind.SLI_ABOVE)]
    recovered = not crossings or crossings[-1].kind is Kind.SLI_ABOVE
    offered, good, *_ = record.totals[0]
    in_bins = np.diff([*totals, (offered, good)], axis=0)
    fine = np.flatnonzero(in_bins[:, 1] >= 0.5 * in_bins[:, 0])
    collapsed = len(fine) == 0 or fine[-1] < len(in_bins) - 1
    return {
        "availability": good / offered,
        "in_flight_mean": float(np.mean(samples)),  # nothing varies within 10 s where this is compared
        "in_flight_sample_mean": float(np.mean(samples)),
        "oom_kills": float(len(kills)),
        "first_oom_s": kills[0] if kills else math.nan,
        "recovered_share": float(recovered),
        # The end of the last interval of 10 s that was below.
        "recovery_s": math.ceil(crossings[-1].at_s / 10.0) * 10.0 if crossings and recovered else math.nan,
        "collapsed_share": float(collapsed),
        # The start of the intervals that are bad to the end.
        "collapse_s": (fine[-1] + 1) * COLLAPSE_BIN_S if collapsed and len(fine) else math.nan,
    }


# --- what the fluid may be off by ------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """Engine less request-level model lies in [low, high]; chance may add at most `slack` to that."""

    case: str
    measure: str
    low: float
    high: float
    slack: float


ROWS = (
    # A to G: the cases that the engine has to meet.
    Row("A", "in_flight_mean", -0.2, 0.1, 0.3),
    Row("B", "first_oom_s", -10.0, 0.0, 30.0),
    Row("B", "oom_kills", -0.7, 0.1, 0.1),
    Row("B", "availability", -0.007, -0.002, 0.01),
    Row("C", "first_oom_s", -0.3, 0.0, 1.6),
    Row("C", "oom_kills", -0.1, 0.1, 0.1),
    # A kill takes back what was booked for those inside, who came last.
    Row("C", "availability", -0.0008, 0.0002, 0.0017),
    Row("D", "in_flight_sample_mean", 0.0, 2.0, 0.7),
    Row("D", "availability", -0.0015, 0.001, 0.0016),
    Row("E", "in_flight_sample_mean", 1.0, 3.0, 0.9),
    Row("E", "availability", -0.002, 0.001, 0.0017),
    Row("F", "recovery_s", -5.0, 15.0, 9.0),
    Row("F", "availability", -0.001, 0.005, 0.005),
    # The fluctuation hazard has the geometric tail of a queue in balance: 200 requests are far out in it.
    Row("G", "first_oom_s", -5.0, 2.0, 30.0),
    Row("G", "oom_kills", -0.6, 0.0, 1.4),
    Row("G", "availability", 0.0, 0.002, 0.0035),
    # For information: chance decides (A2, H), or a fluid is known to be off (I, J).
    Row("A2", "availability", -0.22, -0.12, 0.3),
    Row("F2", "recovery_s", -10.0, 20.0, 40.0),
    Row("F2", "availability", 0.002, 0.010, 0.01),
    Row("H", "recovered_share", 0.15, 0.32, 0.26),
    Row("I", "in_flight_mean", 1.0, 2.0, 0.4),
    Row("I", "availability", -0.036, -0.028, 0.008),
    Row("J", "availability", -0.026, -0.012, 0.011),
    # After the hang the slots empty at the pace of the work that they drew while it lasted.
    Row("K_4gib", "availability", -0.0008, 0.0006, 0.002),
    Row("K_4gib", "recovery_s", 0.0, 10.0, 9.0),
    Row("K_short_queue", "availability", -0.001, 0.0005, 0.0017),
    Row("K_short_queue", "recovery_s", 0.0, 10.0, 9.0),
)


def truths(row: Row) -> dict[str, tuple[float, float]]:
    """(mean, standard error) of the request-level figures; a published one without spread takes that of ours."""
    ours = CASES[row.case]["request_model"][row.measure]
    found = {"ours": (ours["mean"], ours["sd"] / math.sqrt(ours["n"]))}
    published = CASES[row.case]["published"].get(row.measure, {})
    if "request" in published:
        error = published.get("request_se", published.get("request_sd", ours["sd"]) / math.sqrt(12))
        found["published"] = (published["request"], error)
    return found


def disagreements(row: Row, values: np.ndarray) -> list[str]:
    """Truths that the engine is farther from than stated; a truth too vague to say so fails."""
    wrong = []
    error = values.std(ddof=1) / math.sqrt(values.size) if values.size > 1 else 0.0
    for source, (mean, standard_error) in truths(row).items():
        slack = Z_MAX * math.hypot(error, standard_error)
        assert slack <= row.slack, f"too vague to test anything: {slack} for {source}"
        distance = float(values.mean()) - mean
        if not row.low - slack <= distance <= row.high + slack:
            wrong.append(f"{source} {mean:.5g}, engine {distance:+.3g}, allowed {row.low} to {row.high} +- {slack:.2g}")
    return wrong


def row_id(row: Row) -> str:
    return f"{row.case}-{row.measure}"


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_case_within_the_stated_model_error(row: Row) -> None:
    assert not disagreements(row, engine(row.case)[row.measure])


def row_of(case: str, measure: str) -> Row:
    return next(row for row in ROWS if (row.case, row.measure) == (case, measure))


@pytest.mark.parametrize(
    ("case", "measure", "published"),
    [
        ("A", "in_flight_mean", 22.5),
        ("A2", "availability", 1.0),
        ("D", "in_flight_sample_mean", 1391.9),
        ("G", "first_oom_s", 969.0),
        ("I", "in_flight_mean", 109.4),
    ],
)
def test_the_plain_fluid_fails_where_it_is_known_to(case: str, measure: str, published: float) -> None:
    """Negative control: without fluctuation the same rows fail, by the published amount."""
    values = engine(case, PLAIN)[measure]
    assert len(disagreements(row_of(case, measure), values)) == len(truths(row_of(case, measure)))
    assert values.mean() == pytest.approx(published, rel=2e-3)


@pytest.mark.parametrize(("case", "measure"), [("B", "oom_kills"), ("C", "oom_kills")])
def test_another_back_off_fails(case: str, measure: str) -> None:
    """Negative control: Kubernetes restarts at once after the first kill, hence one kill more of each pod."""
    assert disagreements(row_of(case, measure), engine(case, MEAN_RATES, CrashLoop())[measure])


def test_a2_collapses_and_the_plain_fluid_never_does() -> None:
    """The hottest pod is at 96 %: nearly all request-level runs collapse, between 150 and 1200 s."""
    published = CASES["A2"]["published"]["collapse_s"]
    found = engine("A2")
    assert found["collapsed_share"] == [1.0]
    assert published["request_low"] < found["collapse_s"][0] < published["request_high"]
    assert engine("A2", PLAIN)["collapsed_share"] == [0.0]


def test_a3_the_engine_cannot_leave_by_chance() -> None:
    """Stated blindness: at 93 % half of the request-level runs collapse within two hours, the mean field never."""
    ours = CASES["A3"]["request_model"]["collapsed_share"]["mean"]
    assert min(ours, CASES["A3"]["published"]["collapsed_share"]["request"]) >= 0.5
    assert engine("A3")["collapsed_share"] == [0.0]


# --- the published fluid -----------------------------------------------------------------------------------

# Published figures of a prototype of the same equations, and how near (relative) the engine is to them: an interval of
# 30 s in the collapse, chance in what memory decides, the tolerance of the integration in the rest.
# G is left out: the prototype took the fluctuation as Gaussian and was late (924 s; request by request 907 s). So is F:
# in the prototype the requests under way became fast with their pod, and it was too good (.8956; .8927 to .8935). And
# availability of B and C: its kills took back what was served long ago (.048 and .0074; .060 and .0110). And what hangs
# on the pause before a retry, which was exponential: availability of A2 (.108; .26), requests inside E (1389; 1387.7).
PROTOTYPE = {
    ("A", "in_flight_mean"): 0.002,
    ("A2", "collapse_s"): 0.13,
    ("B", "first_oom_s"): 0.20,
    ("B", "oom_kills"): 0.04,
    ("C", "first_oom_s"): 0.08,
    ("D", "in_flight_sample_mean"): 0.0005,
    ("D", "availability"): 0.003,
    ("E", "availability"): 0.004,
    ("F2", "availability"): 0.001,
    ("I", "in_flight_mean"): 0.001,
    ("I", "availability"): 0.001,
    ("J", "availability"): 0.001,
}


@pytest.mark.parametrize(("case", "measure"), PROTOTYPE, ids="-".join)
def test_the_published_fluid_is_reproduced(case: str, measure: str) -> None:
    published = CASES[case]["published"][measure]["fluid"]
    assert engine(case)[measure].mean() == pytest.approx(published, rel=PROTOTYPE[case, measure])


def test_the_published_fluid_is_not_the_plain_one() -> None:
    """Negative control of the column above."""
    for case, measure in (("A", "in_flight_mean"), ("I", "in_flight_mean"), ("D", "in_flight_sample_mean")):
        published = CASES[case]["published"][measure]["fluid"]
        assert engine(case, PLAIN)[measure].mean() != pytest.approx(published, rel=PROTOTYPE[case, measure])
