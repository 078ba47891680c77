"""D02: the probability that a peak of w seconds collapses a service under retries, an S-curve.

Published: 600 runs for each width; the test adds that error to its own. The normal run looks at the ends of the curve
and roughly at its middle, `slow` at all of it with enough runs to place it.
"""

import json
import math
from pathlib import Path

import pytest
from agreement import Comparison, check, refute
from brooker import brooker, request_model_collapses

TRUTH = json.loads((Path(__file__).parent / "truths" / "metastable.json").read_text(encoding="utf-8"))[
    "D02_brooker_spike"
]
COLLAPSES = {width: (share, error) for width, share, error in TRUTH["rows"]}
PLAYERS = {"request model": request_model_collapses}


def share_of_runs(player: str, n: int, width_s: float, **changes: object) -> Comparison:
    """Share of n runs that collapse beside the published one; both errors are binomial and add up."""
    scenario = brooker(width_s, **changes)
    hits = sum(PLAYERS[player](scenario, seed) for seed in range(n))
    expected, error = COLLAPSES[width_s]
    return Comparison(hits / n, math.hypot(math.sqrt(expected * (1.0 - expected) / n), error), expected)


@pytest.mark.parametrize("player", PLAYERS)
def test_d02_the_curve_is_there(player: str):
    check(share_of_runs(player, 8, 3), 0.2)
    check(share_of_runs(player, 16, 5), 0.5)
    check(share_of_runs(player, 4, 7), 0.1)


@pytest.mark.parametrize("player", PLAYERS)
def test_d02_back_off_with_full_jitter_prevents_it(player: str):
    jitter = {"backoff": 20.0, "backoff_growth": 2.0, "jitter": "full"}
    none, of = TRUTH["backoff_jitter_width5"]
    assert (none, of) == (0, 200)
    found = share_of_runs(player, 16, 5, **jitter)
    assert found.estimate == none
    refute(found, 0.5)


@pytest.mark.parametrize("player", PLAYERS)
def test_d02_with_less_contention_it_hardly_happens(player: str):
    refute(share_of_runs(player, 16, 5, contention=0.008), 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize(("width_s", "n", "half_width"), [(3, 200, 0.04), (5, 200, 0.15), (7, 100, 0.03)])
def test_d02_the_whole_curve(player: str, width_s: int, n: int, half_width: float):
    check(share_of_runs(player, n, width_s), half_width)
