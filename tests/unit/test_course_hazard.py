"""The hazard of one pod of the undisturbed course is that of all pods, and so is the knot before it is reached."""

import numpy as np
import pytest

from sim.scenario.load import load_experiment
from sim.world.trial import Trial


@pytest.fixture(scope="module")
def course():
    """Of the experiment's first design, whose pods may be killed at the peak of any day."""
    experiment = load_experiment(["experiments/single_vs_multi_region.yaml"], sets=("model.noise=never", "horizon=30d"))
    parking = Trial(experiment.scenarios["single"], "single", 0).traffic.parking
    assert parking is not None
    assert parking.course.has_hazard
    return parking.course


def test_the_hazard_of_one_pod(course):
    n_pods = len(course.net.pods)
    for at_s in (0.0, 1.0, 12_345.6, float(course.knot_s[7]), float(course.knot_s[-1]), 1e9):
        assert [course.hazard_of(pod, at_s) for pod in range(n_pods)] == course.hazard(at_s).tolist()
    assert course.hazard_at_end.tolist() == course.hazard(float(course.knot_s[-1])).tolist()


def test_the_knot_before_a_value_is_reached(course):
    """Also values that single precision does not hold, just above and below those at the knots."""
    first = course.blueprint.layout.hazard
    for pod in np.flatnonzero(course.hazard_at_end > 0.0)[:3].tolist():
        column = course.moving[:, first + pod].astype(np.float64)
        middle = float(column[len(column) // 2])
        for value in (0.0, middle, np.nextafter(middle, 1e9), np.nextafter(middle, 0.0), float(column[-1])):
            expected = course.knot_s[max(int(np.searchsorted(column, value)) - 1, 0)]
            assert course.hazard_reached_s(pod, float(value)) == expected
