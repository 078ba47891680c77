"""Many equal queues side by side in one request-level run: each is an independent sample of the same queue.

Queue i is service `q<i>` with one pod in region `r`, and population `u<i>` with a Poisson stream of its own.
"""

from typing import Any

import numpy as np
from scenarios import service, several, users

from sim.oracles.network_model import run_requests
from sim.oracles.network_run import PoolTotals, PopulationTotals, RequestRun
from sim.scenario.schema import Model, Scenario
from sim.world.trial import Trial

Floats = np.ndarray[Any, np.dtype[np.float64]]
ENDLESS = 1_000_000
"""A queue bound that is never reached."""


def battery(n: int, rate_per_s: float, horizon_s: float, *, client: dict[str, Any], **pod: Any) -> Scenario:
    """n queues of one pod each; `pod` are fields of the service, `client` those of the population."""
    return several(
        {f"q{i}": service(**pod) for i in range(n)},
        {f"q{i}": 1 for i in range(n)},
        horizon_s,
        populations={f"u{i}": users(requests=rate_per_s, journey=f"q{i}", **client) for i in range(n)},
        model=Model(noise="never"),
    )


class Battery:
    """What one run of a battery showed, queue by queue."""

    def __init__(self, scenario: Scenario, *, warm_up_s: float, seed: int = 1) -> None:
        self.horizon_s, self.warm_up_s = scenario.horizon, warm_up_s
        rng = np.random.default_rng([20260101, seed])
        self.run: RequestRun = run_requests(scenario, rng=rng, window_start_s=warm_up_s)
        n = len(scenario.populations)
        self.pools: list[PoolTotals] = [self.run.pools[f"r/q{i}"] for i in range(n)]
        self.clients: list[PopulationTotals] = [self.run.populations[f"u{i}"] for i in range(n)]
        self.inside: Floats = np.array([self.run.curves.in_flight[f"r/q{i}"] for i in range(n)])
        """(n queues, samples)."""

    def inside_at(self, time_s: float) -> Floats:
        """Requests inside each queue at a sample."""
        (found,) = np.flatnonzero(np.abs(self.run.curves.times_s - time_s) < 1e-9)
        return self.inside[:, found]

    def settled(self) -> Floats:
        """Samples after the warm-up, (n queues, samples)."""
        return self.inside[:, self.run.curves.times_s >= self.warm_up_s]

    def inside_mean(self) -> list[float]:
        """Time average of each queue after the warm-up."""
        return [pool.inside_mean for pool in self.pools]

    def waiting_mean(self) -> list[float]:
        """The same of those that wait."""
        return [pool.waiting_mean for pool in self.pools]

    def busy_mean(self) -> list[float]:
        """The same of busy slots."""
        return [pool.busy_mean for pool in self.pools]


class EngineBattery:
    """The same battery played by the engine's own single requests (`noise: always`), sampled every 10 s."""

    def __init__(self, scenario: Scenario, *, warm_up_s: float, trial: int = 0) -> None:
        played = Trial(scenario.model_copy(update={"model": Model(noise="always")}), "a", trial)
        n, traffic = len(scenario.populations), played.traffic
        self.horizon_s, self.warm_up_s = scenario.horizon, warm_up_s
        self.times_s = np.arange(10.0, scenario.horizon - 1e-6, 10.0)
        pools = range(len(traffic.names.pools))
        samples: list[list[tuple[float, float]]] = []
        warm: list[Floats] = []

        def totals() -> Floats:
            return np.array([traffic.totals(g)[:4] for g in range(n)])

        def sample() -> None:
            samples.append([(traffic.in_flight(i), traffic.offered(i)) for i in pools])

        for time_s in self.times_s:
            played.context.after(float(time_s), sample)
        # At the end of a trial those still inside are settled; just before it they count as they did at the warm-up.
        for time_s in (warm_up_s, scenario.horizon - 1e-3):
            played.context.after(time_s, lambda: warm.append(totals()))
        played.run()
        self.inside: Floats
        """Requests inside, (n pools, samples)."""
        self.arriving: Floats
        """Arrivals per second, (n pools, samples)."""
        self.inside, self.arriving = np.array(samples).transpose(2, 1, 0)
        settled = warm[1] - warm[0]
        self.offered, self.good, self.attempts, self.first_good = settled.T
        """By client, counted after the warm-up."""

    def inside_at(self, time_s: float) -> Floats:
        """Requests inside each queue at a sample."""
        (found,) = np.flatnonzero(np.abs(self.times_s - time_s) < 1e-9)
        return self.inside[:, found]

    def settled(self) -> Floats:
        """Samples after the warm-up, (n queues, samples)."""
        return self.inside[:, self.times_s >= self.warm_up_s]

    def lost_shares(self) -> Floats:
        """Requests that did not end well, of those offered; for each queue."""
        return 1.0 - self.good / self.offered
