"""The engine's lost work against exact shares of the working week (C26, J02 and the overlap of E01)."""

import json
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from agreement import Comparison, check, mean_of, refute
from scenarios import HOUR_S, WEEK_S, YEAR_S, down, exponential, fixed, one_pool, users

from sim.measures import measure_trial
from sim.oracles import closed_forms as forms
from sim.scenario.schema import Calendar, Effect, Fault, Repair, Scenario
from sim.world import run_trial

TRUTHS = json.loads((Path(__file__).parent / "truths" / "closed_form.json").read_text(encoding="utf-8"))
OFFICE = (0.0,) * 9 + (1.0,) * 8 + (0.0,) * 7
"""9-17, each hour whole."""
PEOPLE, DEPENDENCE, WAGE = 10_000, 0.3, 60.0
WEEKS = 52
N_TRIALS = 120


def calendar(days: str) -> Calendar:
    """Eight hours on each of the `days`; 8 h x 5 d of 168 h with `weekday`."""
    return Calendar(hours={days: OFFICE}, smooth=False)  # type: ignore[dict-item]


def working_week(days: str = "weekday") -> Scenario:
    """Down 0.1 % of the time, 6 min on average and uniform in time: U = 0.1 h / 100 h."""
    staff = users(
        workers=PEOPLE, requests=36 / HOUR_S, calendar=calendar(days), cost=WAGE, dependence=DEPENDENCE, deadline=5.0
    )
    return one_pool(
        1,
        WEEKS * WEEK_S,
        populations={"u": staff},
        faults={"breakdown": down("any pod of s", exponential(99.9 * HOUR_S), exponential(0.1 * HOUR_S))},
    )


@lru_cache
def figures(days: str = "weekday") -> dict[str, Comparison]:
    """Cost per year (J02), and the share of the downtime that fell into working hours (C26)."""
    scenario = working_week(days)
    rows = [measure_trial(run_trial(scenario, "a", trial), scenario)["trials"] for trial in range(N_TRIALS)]
    cost = np.array([row["productivity_cost"][0] for row in rows])
    lost_h = np.array([row["lost_hours"][0] for row in rows]) / (PEOPLE * DEPENDENCE)
    down_h = np.array([row["downtime_s"][0] for row in rows]) / HOUR_S
    share = float(lost_h.sum() / down_h.sum())
    error = float((lost_h - share * down_h).std(ddof=1) / down_h.mean() / np.sqrt(N_TRIALS))
    return {
        # 0.001 x 8760 h x 40/168 x 10000 x 0.3 x 60 = 375428.57
        "cost": mean_of(cost * YEAR_S / scenario.horizon, TRUTHS["J02"]["annual_cost_uniform"]),
        "share": Comparison(share, error, 40 / 168),
    }


COST_WITHIN, SHARE_WITHIN = 0.15 * TRUTHS["J02"]["annual_cost_uniform"], 0.035


def test_c26_cost_of_a_year() -> None:
    expected = forms.yearly_productivity_cost(0.001, PEOPLE, DEPENDENCE, WAGE)
    assert expected == pytest.approx(TRUTHS["J02"]["annual_cost_uniform"], rel=1e-9)
    check(figures()["cost"], COST_WITHIN)


def test_c26_share_of_the_downtime_in_working_hours() -> None:
    assert TRUTHS["J01"]["frac_business_hours"] == pytest.approx(40 / 168, rel=1e-11)
    check(figures()["share"], SHARE_WITHIN)


def test_c26_work_on_all_seven_days_fails() -> None:
    """Negative control: 56 of 168 hours."""
    refute(figures("day")["share"], SHARE_WITHIN)
    refute(figures("day")["cost"], 1.4 * COST_WITHIN)


# --- E01: 27 January 2026, 09:00 to 16:12 UTC, in Sweden ---------------------------------------------------


def sweden(timezone: str = "Europe/Stockholm", days: str = "weekday") -> tuple[float, float]:
    """(hours of each worker lost, hours of the outage)."""
    start = datetime(2026, 1, 26, tzinfo=UTC)
    outage = Fault(
        target="s in r",
        at=(datetime(2026, 1, 27, 9, tzinfo=UTC),),
        effect=Effect(down=True),
        repair=Repair(law=fixed(7.2 * HOUR_S)),
    )
    staff = users(workers=1000, requests=36 / HOUR_S, timezone=timezone, calendar=calendar(days))
    scenario = one_pool(1, 3 * 24 * HOUR_S, start=start, populations={"u": staff}, faults={"outage": outage})
    row = measure_trial(run_trial(scenario, "a", 0), scenario)["trials"]
    return float(row["lost_hours"][0]) / 1000, float(row["downtime_s"][0]) / HOUR_S


def test_c26_overlap_of_the_sweden_central_day() -> None:
    """10:00 to 17:12 local of a day from 9 to 17."""
    assert forms.overlap(10.0, 17.2, 9.0, 17.0) == pytest.approx(TRUTHS["J01"]["sweden_overlap_h"])
    lost_h, down_h = sweden()
    # Requests in flight when it began (10 ms of work) are lost too, and the pod takes 1 ms to start.
    assert lost_h == pytest.approx(TRUTHS["J01"]["sweden_overlap_h"], rel=1e-5)
    assert down_h == pytest.approx(TRUTHS["J01"]["sweden_total_h"], rel=1e-6)


@pytest.mark.parametrize(
    ("broken", "expected_h"), [({"timezone": "UTC"}, 7.2), ({"timezone": "America/New_York"}, 2.2)]
)
def test_c26_another_time_zone_loses_other_hours(broken: dict[str, str], expected_h: float) -> None:
    """Negative control: the whole outage in UTC, and 14:00 to 16:12 UTC for people in New York."""
    lost_h, _ = sweden(**broken)
    assert lost_h != pytest.approx(TRUTHS["J01"]["sweden_overlap_h"], rel=1e-3)
    assert lost_h == pytest.approx(expected_h, rel=1e-5)
