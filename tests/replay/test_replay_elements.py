"""Scenarios of elements give the same tables for any number of workers and any chunk; one trial alone is the same."""

import numpy as np
import pytest

import sim
from sim.scenario.load import load_experiment
from sim.study.replay import replay_trial

FILE = """
name: Two machines and a repairman
start: 2026-01-01
horizon: 90d
trials: 60
elements:
  web: {count: 3, fails: 10d, repair: {lognormal: {median: 2h, p95: 12h}}, crew: people, common_cause: 5%}
  db: {count: 2, fails: {weibull: {mean: 20d, shape: 0.7}}, repair: 8h, crew: people, priority: 1}
crews:
  people: {order: random, travel: 30m, preempts: true}
common_causes:
  rollout: {every: {fixed: 7d}, hits: {web: 20%, db: 10%}}
standby:
  pair: {of: [db], dormant: 10%, takes: 5m, success: 95%}
systems:
  service: {all: [2 of web, 1 of db]}
architectures:
  plain: {}
  two-crews: {set: {crews.people.size: 2}}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "elements.yaml"
    path.write_text(FILE)
    return path


def test_workers_and_chunks(file):
    hashes = {
        sim.compare(file, workers=workers, chunk=chunk).meta["table_hash"]
        for workers, chunk in ((1, None), (1, 7), (2, 13))
    }
    assert len(hashes) == 1
    assert sim.compare(file, workers=1, seed=5).meta["table_hash"] not in hashes, "the hash can differ"


def test_one_trial_alone(file):
    experiment = load_experiment(file)
    whole = sim.compare(experiment, workers=1)
    alone = replay_trial(experiment, "two-crews", trial=17)
    rows = whole.tables["trials"]
    mine = (rows["architecture"] == "two-crews") & (rows["trial"] == 17)
    assert alone.tables["trials"]["downtime_s"][0] == rows["downtime_s"][mine][0]
    kinds = [record.kind.value for record in alone.record.records]
    n_faults = int(rows["faults"][mine][0])
    assert kinds.count("fault") == n_faults
    assert np.all(np.diff([record.at_s for record in alone.record.records]) >= 0)


def test_more_crew_helps_on_the_same_histories(file):
    result = sim.compare(file, workers=1)
    assert result.differences["two-crews - plain"]["availability_time"].low > 0
    assert result.estimates["plain"]["first_outage_mean_h"].mean > 0
    assert "availability_requests" not in result.estimates["plain"]
