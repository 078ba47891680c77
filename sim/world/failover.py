"""The failover controller: health probes of regions, switching load away, bringing it back in stages.

Every policy is the same machine with another answer to one question: who takes the load of a sick region?
Active-passive: the first other region; active-active: the others by their size; provider: the provider.
A sick region is noticed by probes at fixed times; clients follow a switch with the time constant of the
DNS record, and a share of them never does (those are in the kernel's shares).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from sim.scenario.schema import Failover, Population
from sim.traffic.assemble import PROVIDER, home_shares
from sim.traffic.layout import GUARD_HEALTH
from sim.world.capacity import capacity_per_s, spare_share
from sim.world.context import Context, Steps
from sim.world.fleet import Fleet
from sim.world.log import Kind
from sim.world.standby import Standby

_REFUSAL_SAID_FOR_S = 3600.0

_AUTOMATIC = "automatic"
_DRAIN_TIMES = 30.0
"""Times `ttl` that a standby runs on after the load went home: the clients that have not followed need it."""


@dataclass
class Side:
    """One region as the controller sees it for one population."""

    region: str
    base: float
    """Share of the load that is at home here."""
    below: bool = False
    """A probe at this moment would fail."""
    sick: bool = False
    """Enough probes in a row have failed."""
    kept: float = 1.0
    """Part of its base share that is (being) served here: 1 normal, 0 moved away."""
    generation: int = 0
    to: str | None = None
    """Region that its load was sent to; None: whoever is well takes its part, as the policy says."""
    stranded: bool = False
    """Sick, and there was nobody to take its load."""
    refused_s: float = -math.inf
    """When it was last said that nobody can take its load."""


class Controller:
    """Failover of one population."""

    def __init__(self, context: Context, fleet: Fleet, group: int, standby: Standby) -> None:
        self._context = context
        self._fleet = fleet
        self._group = group
        self._standby = standby
        self._names = context.traffic.names
        self.name = self._names.populations[group]
        self._population: Population = context.scenario.populations[self.name]
        self.policy: Failover = context.scenario.failover
        base = home_shares(context.scenario, self._names, self.name)
        self.sides = [Side(region, share) for region, share in zip(self._names.regions, base, strict=True)]
        self._targets = base
        self._tested_s = 0.0
        self._n_failovers = 0
        self._n_moves = 0
        self.followers: list[Callable[[str], None]] = []
        for r, side in enumerate(self.sides):
            if side.region != PROVIDER and self._names.pool(side.region, self._population.journey) is not None:
                context.watch(
                    GUARD_HEALTH,
                    group,
                    self.policy.detect.below,
                    lambda below, side=side: self._probe_changes(side, below),  # type: ignore[misc]
                    region=r,
                )
        if self.policy.dr_test_every is not None:
            context.process(self._tests(self.policy.dr_test_every))

    # -- what the people on call ask and do -----------------------------------------------------------

    @property
    def at_home(self) -> bool:
        """Whether all load is where it belongs."""
        return all(side.kept == 1.0 for side in self.sides if side.base > 0.0)

    def home_is_sick(self, region: str) -> bool:
        """Whether a region that carries load in normal times fails its probes now."""
        return any(side.below and side.base > 0.0 and side.region == region for side in self.sides)

    def switch_by_hand(self, region: str, to: str | None) -> bool:
        """Move the load of a region away; False if there is no place to go."""
        side = next((s for s in self.sides if s.region == region and s.base > 0.0), None)
        if side is None or side.kept == 0.0:
            return False
        return self._switch(side, "by hand", to if to is not None else self._largest(side))

    # -- noticing -------------------------------------------------------------------------------------

    def _probe_changes(self, side: Side, below: bool) -> None:
        side.below = below
        side.generation += 1
        if not below:
            for other in self.sides:
                if other.stranded and other.below:
                    self._attempt(other)
            if not self.at_home:
                self._steer()  # one more that can take its part
        generation = side.generation
        if below and self.policy.policy in ("none", "manual"):
            return
        if below:
            every = self.policy.detect.every
            now_s = self._context.now_s
            first_probe_s = -(-now_s // every) * every - now_s
            delay_s = first_probe_s + (self.policy.detect.failures - 1) * every + self.policy.decide
            self._context.after(delay_s, lambda: self._confirm_sick(side, generation))
        elif side.base == 0.0 or side.kept == 1.0:
            side.sick = side.stranded = False
        else:
            self._await_failback(side)

    def _await_failback(self, side: Side) -> None:
        """The side is well from now on: its load may come home if it stays so."""
        generation = side.generation
        if self.policy.failback.automatic:
            self._context.after(self.policy.failback.after, lambda: self._confirm_healthy(side, generation))

    def _confirm_sick(self, side: Side, generation: int) -> None:
        if side.generation != generation or side.sick:
            return
        side.sick = True
        if side.base > 0.0 and side.kept > 0.0:
            self._attempt(side)
        for other in self.sides:
            if other.sick and other.kept < 1.0 and other.to == side.region:
                self._attempt(other)  # it took the load of another one, and fails as well

    def _attempt(self, side: Side) -> None:
        """An automatic failover, if somebody can take the load; else again when a region gets well."""
        side.stranded = not self._takers(side, None)
        if side.stranded:
            self._refuse(side)
            return
        index = self._n_failovers
        self._n_failovers += 1
        success_prob = self.success_prob()
        works = self._context.draws.uniform(f"failover of {self.name}", "success", index) < success_prob
        self._context.excess["failed_failovers"] += success_prob - works
        if works:
            self._switch(side, _AUTOMATIC, None)
        else:
            self._context.record(
                Kind.FAILOVER_FAILED, "the failover did not work", region=side.region, population=self.name
            )

    def success_prob(self) -> float:
        """Probability that a failover works now."""
        success = self.policy.success
        if success.untested_half_life is None:
            return success.tested
        return float(success.tested * 0.5 ** ((self._context.now_s - self._tested_s) / success.untested_half_life))

    def _tests(self, every_s: float) -> Steps:
        while True:
            yield self._context.env.timeout(every_s)
            self._tested_s = self._context.now_s
            self._context.record(Kind.DR_TEST, "disaster-recovery test", population=self.name)

    # -- switching ------------------------------------------------------------------------------------

    def _switch(self, side: Side, how: str, to: str | None) -> bool:
        takers = self._takers(side, to)
        if not takers:
            self._refuse(side)
            return False
        names = ", ".join(taker.region for taker in takers)

        def move() -> None:
            if how == _AUTOMATIC and not side.sick:
                self._rest()  # it got well before its standby was ready
                return
            side.kept, side.to = 0.0, to if to is not None else self._settled_on(takers)
            self._n_moves += 1
            self._steer()
            self._context.record(
                Kind.FAILOVER, f"{how}: load of {side.region} to {names}", region=side.region, population=self.name
            )
            for action in self.followers:
                action(side.region)
            if not side.below:
                self._await_failback(side)

        self._standby.bring_up(self.name, [taker.region for taker in takers], move)
        return True

    def _settled_on(self, takers: list[Side]) -> str | None:
        """The one region that takes all, where it was decided on; None where whoever is well takes its part.

        What was decided holds: a standby that has just come up is not seen to be well yet.
        """
        return takers[0].region if self.policy.policy not in ("active-active", "provider") else None

    def _refuse(self, side: Side) -> None:
        """Nobody can take the load; said once, not at every beat of a crash loop."""
        if self._context.now_s - side.refused_s >= _REFUSAL_SAID_FOR_S:
            side.refused_s = self._context.now_s
            self._context.record(
                Kind.FAILOVER_FAILED, "no healthy region to take the load", region=side.region, population=self.name
            )

    def _takers(self, side: Side, to: str | None) -> list[Side]:
        """Who takes the load of a sick side, healthy ones only."""
        if to is None and self.policy.policy == "provider":
            return [s for s in self.sides if s.region == PROVIDER]
        others = self._others(side)
        if to is not None:
            return [s for s in others if s.region == to]
        healthy = [s for s in others if not s.below or self._standby.sleeps(s.region)]
        return healthy if self.policy.policy == "active-active" else healthy[:1]

    def _others(self, side: Side) -> list[Side]:
        """The other regions that could answer at all."""
        return [
            s for s in self.sides if s is not side and self._names.pool(s.region, self._population.journey) is not None
        ]

    def _largest(self, side: Side) -> str | None:
        """Where people send the load without a policy that says it: the most ready capacity."""
        takers = [s for s in self._others(side) if not s.below]
        if self.policy.policy not in ("none", "manual") or not takers:
            return None
        entry = self._population.journey
        return max(takers, key=lambda s: capacity_per_s(self._context, self._fleet, s.region, entry)).region

    def _rest(self) -> None:
        """Let the standby sleep again if all load is at home."""
        if self.at_home:
            self._standby.put_to_sleep(self.name)

    def _steer(self) -> None:
        """Tell the data plane where the load should be, from what each side keeps."""
        targets = [0.0] * len(self.sides)
        for r, side in enumerate(self.sides):
            if side.base == 0.0:
                continue
            takers = self._takers(side, side.to)
            movable = side.base * (1.0 - side.kept) * self.policy.move * (1.0 - self.policy.ignore_ttl)
            if not takers:
                movable = 0.0
            elif self.policy.capacity_check:
                movable = min(movable, self._spare(takers))
            targets[r] += side.base - movable
            weights = [taker.base if taker.base > 0.0 else 1.0 for taker in takers]
            for taker, weight in zip(takers, weights, strict=True):
                targets[self.sides.index(taker)] += movable * weight / sum(weights)
        if targets != self._targets:
            self._targets = targets
            self._context.traffic.set_targets(self._group, targets)

    def _spare(self, takers: list[Side]) -> float:
        regions = [taker.region for taker in takers if taker.region != PROVIDER]
        return spare_share(self._context, self._fleet, self._group, regions) if regions else 1.0

    # -- failback -------------------------------------------------------------------------------------

    def _confirm_healthy(self, side: Side, generation: int) -> None:
        if side.generation == generation and not side.below:
            side.sick = side.stranded = False
            self._context.process(self._come_home(side, generation))

    def _come_home(self, side: Side, generation: int) -> Steps:
        stages = self.policy.failback.stages
        while side.kept < 1.0:
            if side.generation != generation:
                return
            side.kept = min(1.0, round(side.kept * stages + 1.0) / stages)
            self._steer()
            share = sum(s.base * s.kept for s in self.sides)
            self._context.record(
                Kind.FAILBACK,
                f"{side.kept:.0%} of the load of {side.region} is home again",
                region=side.region,
                population=self.name,
                value=share,
            )
            if side.kept < 1.0:
                yield self._context.env.timeout(self.policy.failback.every)
        n_moves = self._n_moves
        yield self._context.env.timeout(_DRAIN_TIMES * self.policy.ttl)
        if self._n_moves == n_moves:
            self._rest()
