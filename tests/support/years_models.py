"""A region that is hardly ever lost: its exact downtime, and trials that only read their tapes."""

import math
from statistics import NormalDist

import numpy as np

from sim.measures import measure_trial
from sim.randomness import uniform
from sim.scenario.schema import Scenario
from sim.study.tables import Tables
from sim.world.forecast import Forecast
from sim.world.log import TrialRecord
from sim.world.trial import run_trial

DOWN_H, UP_H, HORIZON_H = 10.0, 20.0 * 8760.0, 8760.0
RARE_REGION = """\
name: Rare region
start: 2026-01-01
horizon: 1y
seed: 5
regions: {a: {zones: 1, nodes: {count: 2, memory: 16Gi}}}
services: {web: {work: 50ms, slots: 50, startup: 5s}}
populations:
  all: {workers: 100, calendar: always, requests: 36/h, journey: web, deadline: 10s, home: a}
faults:
  region-loss: {target: any region, every: {exponential: {mean: 20y}}, effect: down, repair: {exponential: {mean: 10h}}}
place: {a: {web: 4}}
failover: none
objectives: {availability: {target: 99.9%, threshold: 95% success}}
"""


def exact_downtime_h(up_h: float = UP_H) -> float:
    """Expected hours down within the horizon of one repairable element that is up at the start (two-state chain)."""
    fails, repairs = 1.0 / up_h, 1.0 / DOWN_H
    both = fails + repairs
    return fails / both * (HORIZON_H - (1.0 - math.exp(-both * HORIZON_H)) / both)


class TapeTrial:
    """Trials that lose what their tape says, at once; if `heavy`, times a lognormal factor of mean 1 (log-sd 1)."""

    def __init__(self, heavy: bool) -> None:
        self._heavy = heavy
        self._of: Scenario | None = None

    def __call__(
        self, scenario: Scenario, architecture: str, trial: int, *, keep: bool = False
    ) -> tuple[TrialRecord, Tables]:
        if self._of is not scenario:
            self._of, self._forecast = scenario, Forecast([scenario])
            self._record = run_trial(scenario, architecture, 0)
            self._tables = measure_trial(self._record, scenario)
        hours = float(self._forecast.facts([trial])[0, :, 1].sum())
        if self._heavy:
            u = uniform(scenario.seed, trial, "heavy", "factor", 0)
            hours *= math.exp(NormalDist().inv_cdf(u) - 0.5)
        row = self._tables["trials"] | {
            "trial": np.array([trial]),
            "downtime_s": np.array([3600.0 * hours]),
            "availability_time": np.array([1.0 - hours / HORIZON_H]),
        }
        return self._record, self._tables | {"trials": row}
