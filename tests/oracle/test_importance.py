"""Birnbaum's importance, risk reduction and shares of downtime of small systems, against their closed forms.

Two pods of `web` stand in parallel, one pod of `db`, which web calls, in series with them. Pods fail and are repaired
by themselves with exponential times; whoever finds no pod is not served, so users see the structure function.
"""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from worlds import region, service, users, world

from sim.estimate import Estimate
from sim.scenario.document import Experiment
from sim.scenario.schema import Call, Effect, ExponentialLaw, Fault, LawSpec, Repair, Scenario
from sim.study import RunOptions, run_experiment
from sim.study.sensitivity import Choice, Sensitivity, sensitivity_of
from sim.study.sensitivity import Effect as Change
from sim.study.shares import downtime_shares
from sim.study.what_ifs import never
from sim.study.work import engine_trial

HOUR = 3600.0
HORIZON_H = 200.0
WEB, DB = (20.0, 2.0), (60.0, 1.0)
"""Mean time to failure and to repair, h."""
MOST_Z = 4.0


def exponential(mean_h: float) -> LawSpec:
    return LawSpec(exponential=ExponentialLaw(mean=mean_h * HOUR))


def breaking(target: str, times: tuple[float, float]) -> Fault:
    return Fault(
        target=target, every=exponential(times[0]), effect=Effect(down=True), repair=Repair(law=exponential(times[1]))
    )


def system(**changes: object) -> Scenario:
    """Nothing but the pods decides: no start-up time, ample capacity, requests that fail at once."""
    given: dict[str, object] = {
        "horizon": HORIZON_H * HOUR,
        "seed": 5,
        "regions": {"home": region(4)},
        "services": {
            "web": service(calls={"db": Call(timeout=1.0)}),
            "db": service(),
            "batch": service(),
        },
        "populations": {"staff": users(1.0)},
        "place": {"home": {"web": 2, "db": 1, "batch": 1}},
        "faults": {
            "web-dies": breaking("any pod of web", WEB),
            "db-dies": breaking("any pod of db", DB),
            "batch-dies": breaking("any pod of batch", WEB),
        },
        **changes,
    }
    return world(**given)


def down_prob(times: tuple[float, float], t_h: float) -> float:
    """P(a unit that was up at 0 is down at t): two-state Markov chain."""
    failure, repair = 1.0 / times[0], 1.0 / times[1]
    return failure / (failure + repair) * (1.0 - math.exp(-(failure + repair) * t_h))


def averaged(function: object) -> float:
    """Mean over the horizon."""
    value, _ = quad(function, 0.0, HORIZON_H, limit=200, epsabs=1e-12)
    return value / HORIZON_H


def unavailability(web: tuple[float, float] = WEB, db: tuple[float, float] = DB) -> float:
    return averaged(lambda t: 1.0 - (1.0 - down_prob(web, t) ** 2) * (1.0 - down_prob(db, t)))


@pytest.fixture(scope="module")
def found() -> Sensitivity:
    scenario = system()
    experiment = Experiment("system", {"system": scenario})
    choice = Choice(with_knobs=False, check=False)
    return sensitivity_of(experiment, choice, RunOptions(trials=100, workers=1))


def z_of(estimate: Estimate, expected: float, most_error: float) -> float:
    """Distance in standard errors, which must be below the precision asked."""
    error = (estimate.high - estimate.low) / (2 * 1.96)
    assert 0.0 < error <= most_error, f"not precise enough: {error:g}"
    return (estimate.mean - expected) / error


def importance(found: Sensitivity, about: str) -> Estimate:
    up = next(effect for effect in found.birnbaum if effect.about == about).changes["availability_time"]
    return Estimate(-up.mean, -up.high, -up.low, up.confidence, up.n)


def test_the_system_itself(found: Sensitivity):
    up = found.base["availability_time"]
    expected = unavailability()
    estimate = Estimate(1.0 - up.mean, 1.0 - up.high, 1.0 - up.low, up.confidence, up.n)
    assert abs(z_of(estimate, expected, 0.08 * expected)) <= MOST_Z


def test_birnbaum_of_a_series_element(found: Sensitivity):
    """I(db) = h(web alone works) = 1 - q_web^2."""
    expected = averaged(lambda t: 1.0 - down_prob(WEB, t) ** 2)
    assert abs(z_of(importance(found, "db-dies @ home/db/1"), expected, 0.003)) <= MOST_Z


def test_birnbaum_of_a_parallel_element(found: Sensitivity):
    """I(web 1) = q_web (1 - q_db): it decides while the other is down and the series element up."""
    expected = averaged(lambda t: down_prob(WEB, t) * (1.0 - down_prob(DB, t)))
    value = importance(found, "web-dies @ home/web/1")
    assert abs(z_of(value, expected, 0.005)) <= MOST_Z
    series = averaged(lambda t: down_prob(WEB, t) + down_prob(DB, t))  # negative control: web in series
    assert abs(z_of(value, series, 0.005)) > MOST_Z


def change(found: Sensitivity, about: str, kind: str) -> Estimate:
    down = next(e for e in found.effects if (e.about, e.kind) == (about, kind)).changes["availability_time"]
    return Estimate(-down.mean, -down.high, -down.low, down.confidence, down.n)


@pytest.mark.parametrize(
    ("kind", "web"), [("never", (WEB[0], 1e-12)), ("more", (WEB[0] / 2, WEB[1])), ("repair", (WEB[0], WEB[1] / 2))]
)
def test_risk_reduction_and_achievement(found: Sensitivity, kind: str, web: tuple[float, float]):
    """U with the changed law less U: the same formula with other means."""
    expected = unavailability(web) - unavailability()
    value = change(found, "web-dies", kind)
    assert abs(z_of(value, expected, 0.25 * abs(expected))) <= MOST_Z
    series = averaged(lambda t: 2.0 * (down_prob(web, t) - down_prob(WEB, t)))  # negative control: web in series
    assert abs(z_of(value, series, abs(expected))) > MOST_Z


def test_what_nobody_uses_has_no_importance_to_the_last_bit(found: Sensitivity):
    """`batch` is called by nobody. Negative control: web and db change something in the very same comparison."""
    effects: list[Change] = [*found.effects, *found.birnbaum]
    idle = [effect for effect in effects if effect.about.startswith("batch")]
    assert len(idle) == 4
    for effect in idle:
        assert effect.is_same
        assert effect.changes["availability_time"].mean == 0.0
        assert effect.changes["downtime_h_per_year"].mean == 0.0
        assert abs(effect.changes["lost_hours_per_year"].mean) < 1e-6
    assert not any(effect.is_same for effect in effects if not effect.about.startswith("batch"))


# -- shares ---------------------------------------------------------------------------------------------


def series_share(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Share of the outages begun by a, of two elements in series, by the chain of what is down during an outage.

    E_a = mean rest of an outage with a down, E_b, E_ab: the other element goes on failing meanwhile. An outage begins
    with a at rate 1/MTTF_a; so the share of a is rate_a E_a / (rate_a E_a + rate_b E_b).
    """
    rates, repairs = (1.0 / a[0], 1.0 / b[0]), (1.0 / a[1], 1.0 / b[1])
    matrix = np.array(
        [
            [repairs[0] + rates[1], 0.0, -rates[1]],
            [0.0, repairs[1] + rates[0], -rates[0]],
            [-repairs[1], -repairs[0], repairs[0] + repairs[1]],
        ]
    )
    lengths = np.linalg.solve(matrix, np.ones(3))
    return float(rates[0] * lengths[0] / (rates[0] * lengths[0] + rates[1] * lengths[1]))


def test_shares_of_independent_faults_in_series():
    """Two elements in series with rates and repairs of their own; the horizon cuts one outage in 20 at most."""
    web, db = (10.0, 0.5), (30.0, 3.0)
    scenario = system(
        place={"home": {"web": 1, "db": 1}},
        faults={"web-dies": breaking("any pod of web", web), "db-dies": breaking("any pod of db", db)},
    )
    result = run_experiment(Experiment("series", {"series": scenario}), RunOptions(trials=60, workers=1, keep=False))
    found = downtime_shares(result.tables, "series", confidence=0.95)
    share = found["fault"]["web-dies"]
    expected = series_share(web, db)
    assert expected == pytest.approx(
        web[1] / web[0] / (web[1] / web[0] + db[1] / db[0]), abs=0.02
    )  # rate x mean repair
    assert abs(z_of(share, expected, 0.04)) <= MOST_Z
    assert abs(z_of(share, 0.5, 0.04)) > MOST_Z  # negative control: equal shares
    for shares in found.values():
        assert math.fsum(s.mean for s in shares.values()) == pytest.approx(1.0, abs=1e-12)
    assert found["element"]["home/web/1"].mean == share.mean
    assert found["level"]["pod"].mean == pytest.approx(1.0)


def test_a_changed_fault_leaves_the_others_as_they_were():
    """Common random numbers: without web's failures the outages are those of db alone, second by second."""
    scenario = system(place={"home": {"web": 1, "db": 1}})
    alone = system(place={"home": {"web": 1, "db": 1}}, faults={"db-dies": scenario.faults["db-dies"]})
    quiet = {**scenario.faults, "web-dies": never(scenario.faults["web-dies"], scenario.horizon)}
    without = scenario.model_copy(update={"faults": quiet})
    for trial in range(3):
        expected = engine_trial(alone, "a", trial)[1]["outages"]["start_s"]
        assert len(expected)
        np.testing.assert_array_equal(engine_trial(without, "a", trial)[1]["outages"]["start_s"], expected)
        assert len(engine_trial(scenario, "a", trial)[1]["outages"]["start_s"]) > len(expected)
