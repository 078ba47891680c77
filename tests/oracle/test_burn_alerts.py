"""Burn-rate alerts against B08 of the published truths: the closed form, the curve, and those of the people on call."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scenarios import DAY_S, HOUR_S, WEEK_S, at, fixed, one_pool, users

from sim.oracles.burn_alerts import BurnAlert
from sim.scenario.check import findings_of
from sim.scenario.schema import (
    AvailabilityObjective,
    BurnRate,
    Calendar,
    Detection,
    Effect,
    Fault,
    Monitor,
    Objectives,
    Operations,
    Repair,
    Scenario,
)
from sim.world.log import Kind
from sim.world.trial import run_trial

TRUTHS = json.loads((Path(__file__).parent / "truths" / "closed_form.json").read_text(encoding="utf-8"))
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


# --- the alerts of the people on call ------------------------------------------------------------------------

SECONDS = {"every": 1.0}
OF_THE_BOOK = {
    "I_1h_14.4": BurnRate(burn=14.4, over=HOUR_S, **SECONDS),
    "I_3d_1": BurnRate(burn=1.0, over=3 * DAY_S, every=60.0),
}


def failing(
    *errors: tuple[float, float, float],
    alert: BurnRate,
    demand: dict[str, object] | None = None,
    horizon_s: float = 0.0,
) -> Scenario:
    """One service; `errors` are (begin s, length s, share of requests that fail at once)."""
    faults = {
        f"errors-{k}": Fault(
            target="s", at=at(begin_s), effect=Effect(errors=share), repair=Repair(law=fixed(length_s))
        )
        for k, (begin_s, length_s, share) in enumerate(errors)
    }
    return one_pool(
        2,
        horizon_s or errors[-1][0] + errors[-1][1] + HOUR_S,
        populations={"u": users(**(demand or {}))},
        faults=faults,
        objectives=Objectives(availability=AvailabilityObjective(target=0.999)),
        operations=Operations(detection=Detection(burn_rate={"page": alert})),
    )


def paged_at_s(scenario: Scenario) -> list[float]:
    record = run_trial(scenario, "oracle", 0)
    paged = [r for r in record.records if r.kind is Kind.DETECTED]
    assert all(r.what == "burn rate page" and r.region == "r" for r in paged)
    return [r.at_s for r in paged]


@pytest.mark.parametrize(
    ("key", "error", "minutes"),
    [(key, float(n.removeprefix("t_min_err")), m) for key in OF_THE_BOOK for n, m in TRUTHS[key].items()],
)
def test_b08_in_a_trial(key: str, error: float, minutes: float | None):
    """A clean history longer than the window, then a step of the errors; late by one evaluation at the most."""
    alert = OF_THE_BOOK[key]
    found = paged_at_s(failing((3.5 * DAY_S, 8 * HOUR_S, error), alert=alert))
    if minutes is None:
        assert found == []
        return
    (at_s,) = found
    late_s, slack_s = at_s - 3.5 * DAY_S - 60.0 * minutes, 1e-3 * 60.0 * minutes
    assert -slack_s <= late_s <= alert.every + slack_s


def test_b08_in_a_trial_another_burn_rate_is_another_time():
    """Negative control."""
    other = BurnRate(burn=6.0, over=HOUR_S, **SECONDS)
    (found,) = paged_at_s(failing((3.5 * DAY_S, 8 * HOUR_S, 1.0), alert=other))
    assert abs(found - 3.5 * DAY_S - 60.0 * TRUTHS["I_1h_14.4"]["t_min_err1"]) > 20.0


STORIES = {
    "half a minute of silence": ((WEEK_S, 50.0, 1.0), (WEEK_S + 80.0, 3.0, 1.0)),
    "the short window forgets": ((WEEK_S, 50.0, 1.0), (WEEK_S + 1850.0, 3.0, 1.0)),
    "the short window is reached later": ((WEEK_S, 50.0, 1.0), (WEEK_S + 1850.0, 20.0, 0.5)),
    "many small ones": tuple((WEEK_S + 300.0 * k, 20.0, 0.5) for k in range(10)),
    "the long window forgets": ((WEEK_S, 51.0, 1.0), (WEEK_S + 4000.0, 5.0, 1.0)),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_trial_pages_when_the_curve_of_its_success_says_so(story: str):
    """Against the exact first crossing of both windows, with errors that come and go."""
    errors = STORIES[story]
    times_s, success = [0.0], [1.0]
    for begin_s, length_s, share in errors:
        times_s += [begin_s, begin_s + length_s]
        success += [1.0 - share, 1.0]
    expected_s = FAST.paged_at_s(np.array([*times_s, 2 * WEEK_S]), np.array([*success, 1.0]))
    found = paged_at_s(failing(*errors, alert=OF_THE_BOOK["I_1h_14.4"]))
    if math.isinf(expected_s):
        assert found == []
    else:
        assert 0.0 <= found[0] - expected_s + 0.05 <= 1.1


def test_the_errors_of_a_busy_hour_weigh_more_than_those_of_a_quiet_one():
    """Requests count, not time: with a tenth of the demand in the hour before, nine tenths less of it is good.

    All fail from 12:00 on; the window holds x seconds at the full rate and 3600 - x at a tenth of it: x = 0.0144 (x +
    360 - x / 10).
    """
    hours = (0.1,) * 12 + (1.0,) * 12
    calendar = Calendar(hours={"day": hours}, smooth=False)
    (found,) = paged_at_s(
        failing((1.5 * DAY_S, HOUR_S, 1.0), alert=OF_THE_BOOK["I_1h_14.4"], demand={"calendar": calendar})
    )
    assert found - 1.5 * DAY_S == pytest.approx(0.0144 * 360.0 / (1.0 - 0.0144 * 0.9), abs=1.05)


def test_at_the_start_the_past_was_clean():
    (found,) = paged_at_s(failing((0.0, HOUR_S, 1.0), alert=OF_THE_BOOK["I_1h_14.4"]))
    assert found == pytest.approx(60.0 * TRUTHS["I_1h_14.4"]["t_min_err1"], abs=1.0)


def test_an_alert_fires_again_when_it_has_been_silent():
    hour = OF_THE_BOOK["I_1h_14.4"]
    found = paged_at_s(failing((WEEK_S, 600.0, 1.0), (WEEK_S + DAY_S, 600.0, 1.0), alert=hour))
    assert [t - WEEK_S for t in found] == pytest.approx([51.84, DAY_S + 51.84], abs=1.0)


def test_the_first_of_several_ways_counts():
    """A monitor that waits five minutes, and a burn rate that pages within one."""
    scenario = failing((WEEK_S, HOUR_S, 1.0), alert=OF_THE_BOOK["I_1h_14.4"])
    both = Detection(monitor=Monitor(**{"for": 300.0}), burn_rate={"page": OF_THE_BOOK["I_1h_14.4"]})
    assert len(paged_at_s(scenario.model_copy(update={"operations": Operations(detection=both)}))) == 1


def test_people_stay_while_the_alert_fires():
    """3 % errors for four hours page after half an hour; in the second hour all fails: somebody is at it already."""
    scenario = failing((WEEK_S, 4 * HOUR_S, 0.03), (WEEK_S + HOUR_S, 2 * HOUR_S, 1.0), alert=OF_THE_BOOK["I_1h_14.4"])
    record = run_trial(scenario.model_copy(update={"horizon": WEEK_S + 6 * HOUR_S}), "oracle", 0)
    (paged,) = (r.at_s for r in record.records if r.kind is Kind.DETECTED)
    (closed,) = (r.at_s for r in record.records if r.kind is Kind.CLOSED)
    assert paged - WEEK_S == pytest.approx(0.0144 / 0.03 * HOUR_S, abs=2.0)
    # The last errors end after four hours; within five minutes the short window is clean.
    assert 4 * HOUR_S < closed - WEEK_S < 4 * HOUR_S + 400.0


@pytest.mark.parametrize("burn", [1000.0, 1001.0])
def test_an_alert_that_can_never_page_is_found(burn: float):
    """At 1000 times the budget of 0.1 % every request is lost, and more than all cannot be."""
    good, never = BurnRate(burn=999.0, over=HOUR_S), BurnRate(burn=burn, over=HOUR_S)
    assert findings_of(failing((0.0, 1.0, 1.0), alert=good)) == []
    (finding,) = findings_of(failing((0.0, 1.0, 1.0), alert=never))
    assert finding.severity == "warning"
    assert "never pages" in finding.message
    assert paged_at_s(failing((0.0, HOUR_S, 1.0), alert=never)) == []


def test_a_threshold_of_all_requests_exactly_never_pages():
    """Half of all requests may fail, in numbers that a float holds: twice as fast is all of them."""
    half = Objectives(availability=AvailabilityObjective(target=0.5))
    given = failing((0.0, HOUR_S, 1.0), alert=BurnRate(burn=2.0, over=HOUR_S)).model_copy(update={"objectives": half})
    assert paged_at_s(given) == []
    assert ["never pages" in finding.message for finding in findings_of(given)] == [True]
