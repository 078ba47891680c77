"""One run of a case by each model: the request model (SimPy), and the engine in each of its gears."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from benchmarks.validation.cases import case_scenario
from benchmarks.validation.measures import Observed, look_times_s, measures
from sim.oracles.network_faults import scheduled_script
from sim.oracles.network_kit import after
from sim.oracles.network_model import Network
from sim.oracles.network_run import NetworkStart
from sim.scenario.schema import Model
from sim.traffic.layout import TOTAL_FAILED, TOTAL_GOOD, TOTAL_OFFERED
from sim.world import Kind
from sim.world.trial import Trial

SEED = 20_260_301
"""Of the request model: `default_rng([SEED, k])` for run k."""
Noise = Literal["never", "always", "auto"]


def request_run(name: str, seed: int) -> dict[str, float]:
    """Return the measures of one run of the request model."""
    scenario = case_scenario(name)
    rng = np.random.default_rng([seed])
    network = Network(scenario, NetworkStart(), None, scenario.horizon, rng)
    group, ended = network.groups["u"], []

    def look(_: Any) -> None:
        ended.append((group.good, group.failed))

    for at_s in (*look_times_s(name), scenario.horizon - 1e-6):
        after(network.env, float(at_s), look)
    run = network.run(scheduled_script(scenario), 0.0, None)
    good, failed = np.array(ended, dtype=float).T
    inside = {key.split("/")[1]: values[: len(good) - 1] for key, values in run.curves.in_flight.items()}
    return measures(name, Observed(run.availability, good, failed, inside, [at_s for at_s, _ in run.oom_kills]))


def engine_run(noise: Noise, name: str, trial: int) -> dict[str, float]:
    """Return the measures of one trial of the engine."""
    return measures(name, observe(Trial(case_scenario(name, Model(noise=noise)), "validation", trial), name))


def observe(trial: Trial, name: str) -> Observed:
    """Play a trial and look at it on the way."""
    traffic, ended = trial.traffic, []
    inside: dict[str, list[float]] = {service: [] for _, service in traffic.names.pools}

    def look() -> None:
        totals = traffic.totals(0)
        ended.append((totals[TOTAL_GOOD], totals[TOTAL_FAILED]))
        for pool, (_, service) in enumerate(traffic.names.pools):
            inside[service].append(traffic.in_flight(pool))

    for at_s in look_times_s(name):
        trial.context.after(float(at_s), look)
    # What the horizon cuts off is booked when the trial ends.
    trial.context.after(trial.context.scenario.horizon - 1e-6, look)
    record = trial.run()
    good, failed = np.array(ended).T
    totals = record.totals[0]
    return Observed(
        availability=float(totals[TOTAL_GOOD] / totals[TOTAL_OFFERED]),
        good=good,
        failed=failed,
        inside={service: np.array(values[:-1]) for service, values in inside.items()},
        killed_at_s=[entry.at_s for entry in record.records if entry.kind is Kind.OOM_KILL],
    )
