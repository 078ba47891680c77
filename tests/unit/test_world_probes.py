"""Probes under load: drawn by name, with the chance of a free slot, and only where one may fail."""

import math
from collections import Counter
from typing import Any

import pytest
from worlds import fault, lines, run, service, users, world

from sim.randomness import Draws
from sim.scenario.schema import Effect, Probe, Scenario
from sim.world import Kind, TrialRecord, probes
from sim.world.probes import sure_level
from sim.world.trial import Trial


def lost(record: TrialRecord) -> int:
    """Pods that a probe restarted."""
    return sum(r.kind is Kind.POD_LOST and "probe" in r.what for r in record.records)


def blocked_share(load: float, slots: int, queue: int) -> float:
    """Erlang's loss formula with a waiting room: the chance that M/M/c/K is full."""
    weights = [load**n / math.factorial(n) for n in range(slots + 1)]
    weights += [weights[slots] * (load / slots) ** n for n in range(1, queue + 1)]
    return weights[-1] / sum(weights)


def busy_pod(rate_per_s: float, *, n_pods: int = 1, horizon: float = 400.0, **fields: Any) -> Scenario:
    """Pods of 8 slots and 8 places, 0.1 s of work: 80/s each."""
    return world(
        services={"web": service(startup=30.0, imbalance=0.0, **fields)},
        place={"home": {"web": n_pods}},
        populations={"staff": users(rate_per_s)},
        horizon=horizon,
    )


def test_a_probe_fails_as_often_as_the_queue_is_full():
    """96/s on 80/s: the wait is under a second for sure, so that only a full queue fails a probe.

    The number of probes before the first that fails is geometric with the blocking of M/M/8/16 at 9.6 erlang.
    """
    blocked = blocked_share(9.6, 8, 8)
    assert blocked == pytest.approx(0.187, abs=0.03)
    probe = Probe(every=10.0, timeout=1.0, failures=1, delay=5.0)
    n = 300
    before = []
    for trial in range(n):
        record = run(busy_pod(96.0, liveness=probe, horizon=600.0), trial)
        first_s = next(r.at_s for r in record.records if r.kind is Kind.POD_LOST)
        before.append(round((first_s - 5.0) / 10.0))
    mean, se = sum(before) / n, math.sqrt(1.0 - blocked) / blocked / math.sqrt(n)
    assert abs(mean - (1.0 - blocked) / blocked) <= 4.0 * se
    other = 1.5 * blocked  # negative control: the test would see half as much again
    assert abs(mean - (1.0 - other) / other) > 4.0 * math.sqrt(1.0 - other) / other / math.sqrt(n)


def test_draws_are_keyed_by_pod_start_and_number(monkeypatch: pytest.MonkeyPatch):
    asked: Counter[tuple[str, str, int]] = Counter()
    plain = Draws.uniform

    def uniform(self: Draws, element: str, purpose: str, index: int) -> float:
        asked[element, purpose, index] += 1
        return plain(self, element, purpose, index)

    monkeypatch.setattr(Draws, "uniform", uniform)
    run(busy_pod(200.0, n_pods=2, liveness=Probe(failures=2), readiness=Probe(failures=1)))
    drawn = {key for key in asked if " of start " in key[1]}
    assert {element for element, _, _ in drawn} == {"home/web/1", "home/web/2"}
    assert {purpose.split()[0] for _, purpose, _ in drawn} == {"liveness", "readiness"}
    assert len({purpose for _, purpose, _ in drawn}) > 4, "every start has its own"
    assert max(index for _, _, index in drawn) < 100 + 400 / 10


def test_what_another_pod_does_changes_no_outcome():
    """The same pod under the same load in a design with another service that has probes too."""
    probe = Probe(failures=2, timeout=1.0)
    alone = run(busy_pod(96.0, liveness=probe))
    both = run(
        world(
            services={"web": service(startup=30.0, imbalance=0.0, liveness=probe), "other": service(liveness=probe)},
            place={"home": {"web": 1, "other": 1}},
            populations={"staff": users(96.0), "others": users(200.0, journey="other")},
            horizon=400.0,
        )
    )
    of_web = [[(r.at_s, r.kind) for r in record.records if r.pod == "home/web/1"] for record in (alone, both)]
    assert lost(alone) > 0
    assert [k for _, k in of_web[0]] == [k for _, k in of_web[1]]
    assert [t for t, _ in of_web[0]] == pytest.approx([t for t, _ in of_web[1]], abs=1e-3)


def test_recording_and_running_again_change_nothing():
    scenario = busy_pod(190.0, n_pods=2, liveness=Probe(failures=2), readiness=Probe(failures=1), endpoint_lag=5.0)
    first, again, kept = run(scenario), run(scenario), run(scenario, keep=True)
    assert lines(first) == lines(again) == lines(kept)
    assert first.totals.tobytes() == again.totals.tobytes() == kept.totals.tobytes()
    assert lines(run(scenario, 1)) != lines(first), "another trial has other draws"


@pytest.mark.parametrize("rate_per_s", [60.0, 75.0, 90.0, 150.0])
def test_looking_ahead_changes_no_outcome(rate_per_s: float, monkeypatch: pytest.MonkeyPatch):
    """A pod that is busy for hours, and slower for a while: the same restarts whether all its probes are judged."""
    probe, faults = Probe(failures=2), {"slow": fault("web in home", Effect(slow=1.4), at_s=5000.0, until=1000.0)}
    scenario = busy_pod(rate_per_s, horizon=9_000.0, liveness=probe, readiness=Probe(every=7.0, failures=1, delay=3.5))
    scenario = scenario.model_copy(update={"faults": world(faults=faults).faults})
    found = []
    for ahead in (0, 100):
        monkeypatch.setattr(probes, "_AHEAD", ahead)
        of_pod = [(round(r.at_s, 3), r.kind) for r in run(scenario).records if r.pod]
        found.append(of_pod)
    assert found[0] == found[1]
    assert len(found[0]) > 2


def test_a_pod_that_is_a_little_slow_is_not_looked_at_all_the_time():
    """70/s on 80/s: one probe of 30 or so meets a full queue; a day has 8640 of them."""
    blocked = blocked_share(7.0, 8, 8)
    trial = Trial(busy_pod(70.0, horizon=86_400.0, liveness=Probe(failures=1000)), "test", 0)
    trial.run()
    assert 0.005 < blocked < 0.05
    assert trial.traffic.n_steps < 3.0 * 4.0 * blocked * 8640.0 + 300.0


def test_pods_that_can_answer_are_not_probed():
    """A day at half load takes as many steps with probes every 10 s (8640 of each pod) as without."""
    steps = []
    for probe in (Probe(), None):
        trial = Trial(busy_pod(80.0, n_pods=2, horizon=86_400.0, liveness=probe, readiness=probe), "test", 0)
        record = trial.run()
        assert lost(record) == 0
        steps.append(trial.traffic.n_steps)
    assert steps[0] <= steps[1] + 20


@pytest.mark.parametrize("probed", [True, False])
def test_probes_that_time_out_under_load_are_a_cascade_of_their_own(probed: bool):
    """Four pods at 75 % of capacity, and a minute at three times that: without probes it is over with the minute.

    With them all pods are restarted, come back one by one to the load of four, and are restarted again.
    """
    scenario = busy_pod(240.0, n_pods=4, horizon=1800.0, liveness=Probe(failures=1) if probed else None)
    spike = {"spike": fault("population staff", Effect(demand=3.0), at_s=300.0, until=60.0)}
    scenario = scenario.model_copy(update={"faults": world(faults=spike).faults})
    record = run(scenario)
    above = [r.at_s for r in record.records if r.kind is Kind.SLI_ABOVE]
    if probed:
        assert lost(record) > 8
        assert not above or above[-1] > 500.0
    else:
        assert lost(record) == 0
        assert above[-1] == pytest.approx(360.0, abs=2.0)


@pytest.mark.parametrize(("failures", "level"), [(1, 1.0 - 1e-6), (2, 1.0 - 1.78e-5), (3, 1.0 - 6.82e-4)])
def test_what_is_not_drawn_is_rare(failures: int, level: float):
    """Probes every 10 s: 3.15e6 a year, so that 1e-3 restarts a year are (1e-3 / 3.15e6) ** (1 / failures) a probe."""
    assert 1.0 - sure_level(Probe(failures=failures)) == pytest.approx(1.0 - level, rel=1e-2)


def test_a_pod_is_probed_once_at_a_time_even_when_it_starts_at_a_probe():
    """No delay: the first probe is at the very moment of ready, when the pod is empty."""
    record = run(busy_pod(1e4, liveness=Probe(every=5.0, failures=1, delay=0.0)))
    lives = [r.at_s for r in record.records if r.kind is Kind.POD_READY]
    deaths = [r.at_s for r in record.records if r.kind is Kind.POD_LOST]
    assert deaths[0] == pytest.approx(5.0)
    for ready_s, death_s in zip(lives, deaths[1:], strict=False):
        assert death_s - ready_s == pytest.approx(5.0)
