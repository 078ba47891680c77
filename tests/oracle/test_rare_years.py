"""Years sampled by strata: exact downtime of a region that is hardly ever lost, and the intervals' coverage."""

import math
from pathlib import Path

import numpy as np
import pytest
from years_models import RARE_REGION, TapeTrial, exact_downtime_h

from sim.scenario.document import Experiment
from sim.scenario.load import load_experiment
from sim.study.options import RunOptions
from sim.study.rare_years import MEASURE, YearsEffort, rare_years

ONE = RunOptions(workers=1)


@pytest.fixture
def rare_region(tmp_path: Path) -> Experiment:
    path = tmp_path / "rare.yaml"
    path.write_text(RARE_REGION)
    return load_experiment([path])


def test_a_region_that_is_hardly_ever_lost_is_down_as_long_as_markov_says(rare_region: Experiment) -> None:
    found = rare_years(rare_region, YearsEffort(wanted=0.4, most_trials=400), ONE)
    mine, truth = found.designs["default"], exact_downtime_h()
    estimate = mine.estimates[MEASURE]
    assert estimate.low <= truth <= estimate.high
    assert abs(estimate.mean / truth - 1.0) < 0.2
    assert mine.worth > 3.0  # plain trials are three times as many for the same variance, at least
    unweighted = sum(mine.means[s] * n for s, n in mine.drawn.items()) / sum(mine.drawn.values())
    assert unweighted > 2.0 * truth  # grave years are drawn more often: without weights the answer is wrong
    availability = mine.estimates["availability_time"]
    assert availability.low <= 1.0 - truth / 8760.0 <= availability.high
    assert availability.low > 0.999


@pytest.mark.parametrize("heavy", [False, True])
def test_intervals_of_strata_hold_the_exact_mean(rare_region: Experiment, heavy: bool) -> None:
    scenario = rare_region.scenarios["default"]
    held = n = 0
    means = []
    for seed in range(24):
        seeded = rare_region.scenarios | {"default": scenario.model_copy(update={"seed": seed})}
        experiment = Experiment(rare_region.name, seeded)
        effort = YearsEffort(wanted=0.25, most_trials=600)
        found = rare_years(experiment, effort, ONE, trial_function=TapeTrial(heavy))
        estimate = found.designs["default"].estimates[MEASURE]
        means.append(estimate.mean)
        held += estimate.low <= exact_downtime_h() <= estimate.high
        n += 1
    assert held >= 20  # 22.8 expected; fewer than 20 of 24 has a chance of 0.6 % at 95 %
    error = float(np.std(means, ddof=1)) / math.sqrt(n)
    assert abs(float(np.mean(means)) - exact_downtime_h()) < 4.0 * error
