"""Burn-rate alerts against B08 of the published truths, and what makes them page late or never."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from sim.measures.burn_alerts import BurnAlert

TRUTHS = json.loads((Path(__file__).parents[1] / "oracle" / "truths" / "closed_form.json").read_text(encoding="utf-8"))
FAST, TICKET = BurnAlert(0.999, 14.4, 3600.0), BurnAlert(0.999, 1.0, 3 * 86_400.0)
CASES = [
    (alert, float(name.removeprefix("t_min_err")), minutes)
    for alert, key in ((FAST, "I_1h_14.4"), (TICKET, "I_3d_1"))
    for name, minutes in TRUTHS[key].items()
]


@pytest.mark.parametrize(("alert", "error", "minutes"), CASES)
def test_b08_detection_after_a_step(alert: BurnAlert, error: float, minutes: float | None):
    expected_s = math.inf if minutes is None else 60.0 * minutes
    assert alert.detection_s(error) == pytest.approx(expected_s, rel=1e-9)
    # The same from a curve: clean for a week, then the step.
    week_s = 7 * 86_400.0
    times_s = np.array([0.0, week_s, 2 * week_s])
    found_s = alert.paged_at_s(times_s, np.array([1.0, 1.0 - error, 1.0 - error]))
    assert found_s - week_s == pytest.approx(expected_s, rel=1e-9)


def test_b08_another_burn_rate_is_another_time():
    assert BurnAlert(0.999, 6.0, 3600.0).detection_s(1.0) != pytest.approx(60.0 * TRUTHS["I_1h_14.4"]["t_min_err1"])


def test_an_outage_that_ends_in_time_pages_nobody():
    """All fails for 50 s: 50 / 3600 of the window is less than the 0.0144 that page; for 52 s it is more."""
    assert 50.0 / 3600.0 < FAST.threshold < 52.0 / 3600.0
    times_s = np.array([0.0, 10_000.0, 10_050.0, 20_000.0])
    success = np.array([1.0, 0.0, 1.0, 1.0])
    assert FAST.paged_at_s(times_s, success) == math.inf
    times_s[2] = 10_052.0
    assert FAST.paged_at_s(times_s, success) == pytest.approx(10_000.0 + 51.84)


def test_the_short_window_keeps_an_old_outage_from_paging_again():
    """50 s of failure, half an hour's silence, 1 s of failure: the hour pages on 50.84 s, five minutes hold 1 s only.

    The short window needs 0.0144 x 300 = 4.32 s of its own.
    """
    times_s = np.array([0.0, 10_000.0, 10_050.0, 11_850.0, 11_853.0, 20_000.0])
    success = np.array([1.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    assert FAST.paged_at_s(times_s, success) == math.inf
    assert BurnAlert(0.999, 14.4, 3600.0, short_share=1.0).paged_at_s(times_s, success) == pytest.approx(11_851.84)
    times_s[4] = 11_860.0
    assert FAST.paged_at_s(times_s, success) == pytest.approx(11_854.32)


def test_a_curve_that_is_bad_from_its_begin():
    assert FAST.paged_at_s(np.array([0.0, 100.0]), np.array([0.0, 0.0])) == pytest.approx(51.84)
    assert FAST.paged_at_s(np.array([0.0, 50.0]), np.array([0.0, 0.0])) == math.inf
