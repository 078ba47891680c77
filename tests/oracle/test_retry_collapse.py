"""D02: the probability that a peak of w seconds collapses a service under retries, an S-curve.

Published: 600 runs for each width; the test adds that error to its own. The request-level model takes a second a run:
normally it looks at the ends of the curve and roughly at its middle. The engine's own requests, which share no code
with it, take some 0.03 s. The mean-field has no probability at all: it collapses from about 11 s on.
"""

import json
import math
from pathlib import Path

import pytest
from agreement import Comparison, check, refute
from brooker import brooker, engine_collapses, request_model_collapses

TRUTH = json.loads((Path(__file__).parent / "truths" / "metastable.json").read_text(encoding="utf-8"))[
    "D02_brooker_spike"
]
COLLAPSES = {width: (share, error) for width, share, error in TRUTH["rows"]}
PLAYERS = {"request model": request_model_collapses, "engine": engine_collapses}
N_AT_5 = {"request model": 16, "engine": 200}


def share_of_runs(player: str, n: int, width_s: float, **changes: object) -> Comparison:
    """Share of n runs that collapse beside the published one; both errors are binomial and add up."""
    scenario = brooker(width_s, **changes)
    hits = sum(PLAYERS[player](scenario, seed) for seed in range(n))
    expected, error = COLLAPSES[width_s]
    return Comparison(hits / n, math.hypot(math.sqrt(expected * (1.0 - expected) / n), error), expected)


CURVE = [("request model", 3, 8, 0.2), ("request model", 5, 16, 0.5), ("request model", 7, 4, 0.1)]
CURVE += [("engine", 3, 200, 0.04), ("engine", 5, 200, 0.15), ("engine", 7, 100, 0.03)]
SLOW = [("request model", 3, 200, 0.04), ("request model", 5, 200, 0.15), ("request model", 7, 100, 0.03)]


@pytest.mark.parametrize(
    ("player", "width_s", "n", "half_width"), [*CURVE, *(pytest.param(*row, marks=pytest.mark.slow) for row in SLOW)]
)
def test_d02_probability_of_collapse(player: str, width_s: int, n: int, half_width: float):
    check(share_of_runs(player, n, width_s), half_width)


@pytest.mark.parametrize("player", PLAYERS)
def test_d02_back_off_with_full_jitter_prevents_it(player: str):
    jitter = {"backoff": 20.0, "backoff_growth": 2.0, "jitter": "full"}
    none, of = TRUTH["backoff_jitter_width5"]
    assert (none, of) == (0, 200)
    found = share_of_runs(player, N_AT_5[player], 5, **jitter)
    assert found.estimate <= 0.02  # a true share of 2 % gives none in 200 runs in one of 57 cases
    refute(found, 0.5)


@pytest.mark.parametrize("player", PLAYERS)
def test_d02_with_less_contention_it_hardly_happens(player: str):
    refute(share_of_runs(player, N_AT_5[player], 5, contention=0.008), 0.5)


def test_d02_the_mean_field_needs_twice_the_peak():
    """At 5 s, where three of four real runs collapse, and at 7 s, where all do, the mean recovers."""
    assert not engine_collapses(brooker(7.0, noise="never"), 0)
    assert engine_collapses(brooker(20.0, noise="never"), 0)
