"""Demand curves: local hours in any zone, daylight-saving days, holidays, growth, steps and lines."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from worlds import users

from sim.scenario.schema import Calendar
from sim.traffic.demand import YEAR_S, demand_curve, peak_demand, stacked_curves, week_profile
from sim.traffic.layout import Floats
from sim.traffic.rates import demand_at

HOUR, DAY = 3600.0, 86400.0
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
RAMP = tuple(k / 100.0 for k in range(24))
"""The hour can be read from the value."""


def curve(start: datetime = MONDAY, days: float = 7.0, **fields: object) -> Floats:
    return stacked_curves([demand_curve(users(100.0, **fields), start, days * DAY)])


def at(curves: Floats, time_s: float) -> float:
    return demand_at(time_s, curves, 0)[0]


def test_a_constant_demand_has_no_nodes():
    curves = curve()
    assert demand_at(1e9, curves, 0) == (100.0, np.inf)


def test_hours_are_local_hours():
    curves = curve(timezone="Asia/Tokyo", calendar=Calendar(hours={"day": RAMP}, smooth=False))
    # Tokyo is 9 h ahead: at 0:00 UTC it is 9:00 there.
    assert [at(curves, h * HOUR) for h in range(16)] == pytest.approx([float((9 + h) % 24) for h in range(16)])


def test_zones_off_by_half_an_hour_jump_at_their_own_full_hours():
    curves = curve(timezone="Asia/Kolkata", calendar=Calendar(hours={"day": RAMP}, smooth=False))
    # 0:00 UTC is 5:30 there.
    assert at(curves, 0.0) == pytest.approx(5.0)
    assert at(curves, 1799.0) == pytest.approx(5.0)
    assert at(curves, 1801.0) == pytest.approx(6.0)
    assert demand_at(0.0, curves, 0)[1] == pytest.approx(1800.0)


def test_a_start_off_the_hour_keeps_jumps_at_full_hours():
    curves = curve(MONDAY + timedelta(minutes=15), calendar=Calendar(hours={"day": RAMP}, smooth=False))
    assert at(curves, 44.0 * 60.0) == pytest.approx(0.0)
    assert at(curves, 46.0 * 60.0) == pytest.approx(1.0)


def test_lines_join_the_hourly_values():
    curves = curve(calendar=Calendar(hours={"day": RAMP}))
    assert at(curves, 2.5 * HOUR) == pytest.approx(2.5)
    assert at(curves, 23.5 * HOUR) == pytest.approx(11.5)  # from 23 back to 0


@pytest.mark.parametrize(
    ("day", "before", "after"),
    [
        (datetime(2026, 3, 29, tzinfo=UTC), 1, 3),  # 2:00 does not exist: 1:00 CET, then 3:00 CEST
        (datetime(2026, 10, 25, tzinfo=UTC), 2, 2),  # 2:00 comes twice
    ],
)
def test_daylight_saving_moves_the_hours_at_one_o_clock_utc(day: datetime, before: int, after: int):
    curves = curve(day, timezone="Europe/Stockholm", calendar=Calendar(hours={"day": RAMP}, smooth=False))
    assert at(curves, 0.5 * HOUR) == pytest.approx(float(before))
    assert at(curves, 1.5 * HOUR) == pytest.approx(float(after))


@pytest.mark.parametrize(("day", "factor"), [(datetime(2026, 3, 29, tzinfo=UTC), 23), (datetime(2026, 10, 25), 25)])
def test_a_day_has_23_or_25_hours_when_the_clock_changes(day: datetime, factor: int):
    start = day.replace(tzinfo=UTC) - timedelta(hours=1 if factor == 23 else 2)  # midnight in Stockholm
    curves = curve(start, days=2.0, timezone="Europe/Stockholm", calendar=Calendar(hours={"day": RAMP}, smooth=False))
    hours = [at(curves, (k + 0.5) * HOUR) for k in range(26)]
    assert hours.index(23.0) == factor - 1
    assert hours[factor] == 0.0


def test_holidays_are_like_sundays():
    christmas = datetime(2026, 12, 25, tzinfo=UTC)  # a Friday
    hours = {"weekday": (1.0,) * 24, "weekend": (0.25,) * 24}
    with_them = curve(christmas, holidays="SE", calendar=Calendar(hours=hours, smooth=False))
    without = curve(christmas, calendar=Calendar(hours=hours, smooth=False))
    assert at(with_them, 12 * HOUR) == pytest.approx(25.0)
    assert at(without, 12 * HOUR) == pytest.approx(100.0)
    assert at(with_them, 3.5 * DAY) == at(without, 3.5 * DAY) == pytest.approx(100.0)  # Monday again


def test_the_particular_day_wins_over_the_general_one():
    calendar = Calendar(hours={"fri": (0.3,) * 24, "weekday": (0.2,) * 24, "day": (0.1,) * 24})
    assert week_profile(calendar)[:, 0].tolist() == [0.2, 0.2, 0.2, 0.2, 0.3, 0.1, 0.1]


def test_demand_grows_by_its_rate_per_year():
    curves = curve(days=400.0, growth=0.4)
    assert at(curves, 0.0) == pytest.approx(100.0)
    assert at(curves, YEAR_S) == pytest.approx(140.0)
    assert at(curves, YEAR_S / 2.0) == pytest.approx(100.0 * 1.4**0.5, rel=1e-6)


def test_the_next_bend_is_never_passed():
    """Between now and the announced bend the curve is one line: no step of the kernel jumps over a corner."""
    for calendar in ("office-hours", "extended-hours", Calendar(hours={"day": RAMP, "sun": (0.0,) * 24}, smooth=False)):
        curves = curve(days=14.0, calendar=calendar)
        for time_s in np.linspace(0.0, 13.9 * DAY, 257):
            value, left_s = demand_at(float(time_s), curves, 0)
            assert left_s > 0.0
            if not 1e-3 < left_s < np.inf:
                continue
            end_s = float(time_s) + left_s - 1e-6
            middle = at(curves, 0.5 * (float(time_s) + end_s))
            assert middle == pytest.approx(0.5 * (value + at(curves, end_s)), rel=1e-6, abs=1e-6)


def test_the_built_in_weeks_are_shares_with_a_full_hour_and_quiet_nights():
    for name in ("office-hours", "extended-hours"):
        week = week_profile(name)
        assert week.shape == (7, 24)
        assert week.max() == 1.0
        assert week.min() > 0.0
        assert week[:5].sum() > 5.0 * week[5:].sum() / 2.0
        assert peak_demand(users(100.0, calendar=name)) == 100.0


def test_after_the_last_node_the_last_value_holds():
    curves = curve(days=1.0, calendar=Calendar(hours={"day": RAMP}))
    assert demand_at(DAY, curves, 0)[1] == np.inf
    assert at(curves, 5.0 * DAY) == at(curves, DAY)
