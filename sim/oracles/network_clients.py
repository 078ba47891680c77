"""Users in the request-level model: arrivals, attempts, deadlines, retries, routing between regions.

A group is the users of one population.  It must not know the engine.

Notes
-----
Where the semantics leave a choice:

- demand is constant between two whole steps of `DEMAND_STEP_S` (its value in the middle), which is exact for constant
  calendars; when it changes, the time to the next arrival is drawn anew, as the Poisson stream allows;
- the retry budget is asked when the attempt fails, so that who is refused fails at that moment;
- the provider refuses above its quota by a token bucket that holds what it accepts in one second; an accepted attempt
  that is not usable fails at the deadline, a usable one is answered after a draw of its latency within the deadline.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import simpy

from sim.oracles.network_jobs import Job
from sim.oracles.network_kit import Budget, Throttling, TimerLine, after, stream
from sim.oracles.network_pods import Pool
from sim.oracles.network_run import BIN_S, ClientStart, PopulationTotals, Remembered
from sim.scenario.schema import Failover, Population, Scenario

USER_FAST_FAIL_S = 0.05
"""Time until a user learns that an attempt was turned away."""
DEMAND_STEP_S = 10.0
PROVIDER = "provider"

Demand = Callable[[str, float], float]
"""Requests per second of a population at a time (s since the scenario's start), without the script's factors."""


def constant_demand(scenario: Scenario) -> Demand:
    """Demand of populations that do not change in time.

    Raises
    ------
    ValueError
        If a population has a calendar with different hours, or growth: pass a demand function then.
    """
    rates: dict[str, float] = {}
    for name, population in scenario.populations.items():
        activity = _constant_activity(population)
        if activity is None or population.growth != 0.0:
            raise ValueError(
                f"the demand of population {name} changes in time: pass demand=, a function of population and time (s)"
            )
        rates[name] = population.workers * population.requests * activity
    return lambda name, at_s: rates[name]


def _constant_activity(population: Population) -> float | None:
    calendar = population.calendar
    if isinstance(calendar, str):
        return 1.0 if calendar == "always" else None
    hours = {share for shares in calendar.hours.values() for share in shares}
    whole_week = "day" in calendar.hours or {"weekday", "weekend"} <= set(calendar.hours)
    return hours.pop() if len(hours) == 1 and whole_week else None


class Routes:
    """Shares of a population's clients by region; they follow new targets exponentially."""

    def __init__(self, now_s: float, shares: Mapping[str, float], targets: Mapping[str, float], ttl_s: float) -> None:
        self.regions = list(targets)
        self._shares = [shares.get(region, 0.0) for region in self.regions]
        self._targets = [targets[region] for region in self.regions]
        self._at_s, self._ttl_s = now_s, max(ttl_s, 1.0)
        self._settle_only()

    def _settle_only(self) -> None:
        ones = [k for k, share in enumerate(self._targets) if share == 1.0]
        self._only = self.regions[ones[0]] if ones and self._shares[ones[0]] >= 1.0 - 1e-12 else None

    def shares(self, now_s: float) -> list[float]:
        """Shares by region, adding up to 1."""
        kept = math.exp((self._at_s - now_s) / self._ttl_s)
        return [t + (s - t) * kept for s, t in zip(self._shares, self._targets, strict=True)]

    def turn(self, now_s: float, targets: Mapping[str, float]) -> None:
        """Follow these targets from now on."""
        assert set(targets) <= set(self.regions)
        self._shares = self.shares(now_s)
        self._targets = [targets.get(region, 0.0) for region in self.regions]
        self._at_s = now_s
        self._settle_only()

    def draw(self, now_s: float, coins: Any) -> str:
        """Region of one attempt."""
        if self._only is not None:
            return self._only
        mark = next(coins)
        for region, share in zip(self.regions, self.shares(now_s), strict=True):
            mark -= share
            if mark < 0.0:
                return region
        return self.regions[-1]


class ProviderGate:
    """The fallback provider as one population meets it."""

    def __init__(self, ok_share: float, quota_per_s: float, latency_s: float, deadline_s: float) -> None:
        self.ok_share, self.quota_per_s = ok_share, quota_per_s
        self._in_time = 1.0 if latency_s == 0.0 else -math.expm1(-deadline_s / latency_s)
        self._latency_s = latency_s
        self._tokens, self._at_s = max(quota_per_s, 1.0), 0.0

    def accepts(self, now_s: float) -> bool:
        """Whether one more attempt is within the quota."""
        most = max(self.quota_per_s, 1.0)
        self._tokens = min(most, self._tokens + self.quota_per_s * (now_s - self._at_s))
        self._at_s = now_s
        if self._tokens < 1.0 or self.quota_per_s == 0.0:
            return False
        self._tokens -= 1.0
        return True

    def answer_s(self, coin: float) -> float:
        """Latency of a usable answer: exponential, given that it is within the deadline."""
        return -self._latency_s * math.log1p(-coin * self._in_time)


def home_targets(scenario: Scenario, population: Population) -> dict[str, float]:
    """Where the clients of a population go when nothing is wrong: share by region, the provider included."""
    pods = {region: services.get(population.journey, 0) for region, services in scenario.place.items()}
    with_entry = [region for region, n in pods.items() if n > 0]
    regions = [region for region, services in scenario.place.items() if any(services.values())]
    if scenario.failover.policy == PROVIDER:
        regions.append(PROVIDER)
    if scenario.failover.policy == "active-active":
        return {region: pods.get(region, 0) / sum(pods.values()) for region in regions}
    home = population.home if population.home in with_entry else with_entry[0]
    return {region: float(region == home) for region in regions}


def provider_gate(failover: Failover, population: Population) -> ProviderGate | None:
    """The provider of a scenario in normal times; its quota is a share of the peak demand without growth."""
    provider, calendar = failover.provider, population.calendar
    if provider is None:
        return None
    hours = (1.0,) if isinstance(calendar, str) else tuple(h for day in calendar.hours.values() for h in day)
    peak_per_s = population.workers * population.requests * max(hours)
    in_time = 1.0 if provider.latency == 0.0 else -math.expm1(-population.deadline / provider.latency)
    return ProviderGate(in_time, provider.quota * peak_per_s, provider.latency, population.deadline)


class Group:
    """The users of one population."""

    def __init__(
        self,
        env: simpy.Environment,
        name: str,
        spec: Population,
        entries: Mapping[str, Pool],
        routes: Routes,
        provider: ProviderGate | None,
        demand: Demand,
        horizon_s: float,
        rng: np.random.Generator,
    ) -> None:
        self.env, self.name, self.spec = env, name, spec
        self._entries, self.routes, self.provider = entries, routes, provider
        self._demand, self._horizon_s, self._start_s = demand, horizon_s, env.now
        arrivals, coins, pauses = rng.spawn(3)
        self._gaps = stream(arrivals.standard_exponential)
        self._coins = stream(coins.random)
        self._pauses = stream(pauses.random)
        self.attempts_most, self._deadline_s = spec.attempts, spec.deadline
        self.factors: dict[str, float] = {}
        self.rate_per_s, self._stream = 0.0, 0
        self._budget = None if spec.retry_budget is None else Budget(spec.retry_budget)
        self._throttling = None if spec.throttle is None else Throttling(env.now, spec.throttle)
        self._deadlines = TimerLine(env, spec.deadline, self._late)
        n_bins = max(1, math.ceil((horizon_s - env.now) / BIN_S - 1e-9))
        self.bin_offered, self.bin_good, self.bin_first_good = [0] * n_bins, [0] * n_bins, [0] * n_bins
        self.offered = self.good = self.first_good = self.failed = self.open = 0
        self.ended_good = self.ended_failed = 0
        self.arrived = self.attempts = self.throttled = self.by_provider = self.ended_well = self.ended_badly = 0

    # --- arrivals

    def demand_now(self) -> float:
        """Requests per second of the step that begins now."""
        return self._demand(self.name, self.env.now + 0.5 * DEMAND_STEP_S) * math.prod(self.factors.values())

    def refresh_demand(self, _: Any = None) -> None:
        """Set the rate of arrivals to what it is now."""
        self.rate_per_s = self.demand_now()
        self._stream += 1
        if self.rate_per_s > 0.0:
            after(self.env, next(self._gaps) / self.rate_per_s, self._on_arrival, self._stream)

    def _on_arrival(self, event: Any) -> None:
        if event.value != self._stream:
            return
        now_s = self.env.now
        after(self.env, next(self._gaps) / self.rate_per_s, self._on_arrival, self._stream)
        self.arrived += 1
        if now_s < self._horizon_s:
            self.offered += 1
            self.open += 1
            self.bin_offered[int((now_s - self._start_s) / BIN_S)] += 1
        if self._budget is not None:
            self._budget.earn()
        self._send(1, now_s)

    def resume(self, client: ClientStart) -> None:
        """A client of before the run, whose request does not count."""
        if client.fails:
            after(self.env, client.in_s, self._on_rejected, Job(self, client.number, -math.inf, math.inf))
        else:
            after(self.env, client.in_s, self._on_retry, (client.number, -math.inf))

    def resume_within(self, number: int, spread_s: float) -> None:
        """A client of before the run that waits to send attempt `number`, some time within the spread."""
        self.resume(ClientStart(number, spread_s * next(self._pauses)))

    def adopt(self, job: Job, number: int = 1, left_s: float | None = None) -> None:
        """A request of before the run that somebody still waits for, the whole deadline or what is left of it."""
        left_s = self._deadline_s if left_s is None else left_s
        job.owner, job.awaiting, job.number = self, 1, number
        job.expires_at_s = self.env.now + left_s
        after(self.env, left_s, self._on_deadline, job)

    def _on_deadline(self, event: Any) -> None:
        if event.value.awaiting:
            self._late(event.value)

    def remember(self, past: Remembered) -> None:
        """What the users know of their attempts before the run."""
        if self._budget is not None and past.tokens is not None:
            self._budget.set_tokens(past.tokens)
        if self._throttling is not None and past.wanted is not None and past.usable is not None:
            self._throttling.remember(past.wanted, past.usable)

    # --- attempts

    def _send(self, number: int, arrived_at_s: float) -> None:
        now_s = self.env.now
        self.attempts += 1
        job = Job(self, number, arrived_at_s, now_s + self._deadline_s)
        if self._throttling is not None and self._throttling.refuses(now_s, next(self._coins)):
            self.throttled += 1
            after(self.env, USER_FAST_FAIL_S, self._on_rejected, job)
            return
        region = self.routes.draw(now_s, self._coins)
        if region == PROVIDER:
            self._ask_provider(job)
            return
        pool = self._entries.get(region)
        if pool is not None and not pool.reachable:
            self._deadlines.start(job)
        elif pool is not None and pool.receive(job):
            if job.awaiting:  # it may have died with its pod at once
                self._deadlines.start(job)
        else:
            after(self.env, USER_FAST_FAIL_S, self._on_rejected, job)

    def _ask_provider(self, job: Job) -> None:
        provider = self.provider
        assert provider is not None
        if not provider.accepts(self.env.now):
            after(self.env, USER_FAST_FAIL_S, self._on_rejected, job)
            return
        self.by_provider += 1
        self._deadlines.start(job)
        if next(self._coins) < provider.ok_share:
            after(self.env, provider.answer_s(next(self._coins)), self._on_provided, job)

    def _on_provided(self, event: Any) -> None:
        if event.value.awaiting:
            self.answered(event.value, True)

    def _on_rejected(self, event: Any) -> None:
        if event.value.awaiting:
            self.answered(event.value, False)

    def _late(self, job: Job) -> None:
        if job.pool is not None:
            job.pool.abandon(job)
        self._failed(job)

    def answered(self, job: Job, ok: bool) -> None:
        """The attempt ended within its deadline."""
        if not ok:
            self._failed(job)
            return
        job.awaiting = 0
        self.ended_well += 1
        self.ended_good += self.env.now < self._horizon_s
        if self._throttling is not None:
            self._throttling.accepted(self.env.now)
        if self._counts(job.arrived_at_s):
            self.open -= 1
            place = int((job.arrived_at_s - self._start_s) / BIN_S)
            self.good += 1
            self.bin_good[place] += 1
            if job.number == 1:
                self.first_good += 1
                self.bin_first_good[place] += 1

    def _counts(self, arrived_at_s: float) -> bool:
        return self._start_s <= arrived_at_s < self._horizon_s

    def _failed(self, job: Job) -> None:
        job.awaiting = 0
        self.ended_badly += 1
        spec = self.spec
        if (
            job.number < self.attempts_most
            and (spec.retry_share == 1.0 or next(self._coins) < spec.retry_share)
            and (self._budget is None or self._budget.spend())
        ):
            after(self.env, self._pause_s(job.number), self._on_retry, (job.number + 1, job.arrived_at_s))
        else:
            self._given_up(job.arrived_at_s)

    def _given_up(self, arrived_at_s: float) -> None:
        self.ended_failed += self.env.now < self._horizon_s
        if self._counts(arrived_at_s):
            self.open -= 1
            self.failed += 1

    def _pause_s(self, number: int) -> float:
        spec = self.spec
        pause_s = spec.backoff * spec.backoff_growth ** (number - 1)
        if spec.jitter == "full":
            return pause_s * next(self._pauses)
        if spec.jitter == "exponential":
            return -pause_s * math.log1p(-next(self._pauses))
        return pause_s

    def _on_retry(self, event: Any) -> None:
        number, arrived_at_s = event.value
        if number <= self.attempts_most:
            self._send(number, arrived_at_s)
        else:  # retries were disabled during the pause
            self._given_up(arrived_at_s)

    def totals(self, attempts: int, throttled: int, by_provider: int) -> PopulationTotals:
        """Requests that arrived before the horizon, with attempts counted up to it."""
        assert self.offered == self.good + self.failed + self.open
        return PopulationTotals(
            offered=self.offered,
            good=self.good,
            first_good=self.first_good,
            failed=self.failed,
            open=self.open,
            attempts=attempts,
            throttled=throttled,
            by_provider=by_provider,
            ended_good=self.ended_good,
            ended_failed=self.ended_failed,
        )
