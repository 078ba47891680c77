"""The people on call: noticing, acknowledging, diagnosing, working through the runbook.

One incident covers one region (the home of the populations that suffer); `crew` of them are worked on at a
time, further ones wait. With a script, steps happen at stated times and nobody acts on his own.
"""

from dataclasses import dataclass
from functools import partial

import simpy

from sim.laws import law_of
from sim.scenario.schema import LawSpec, Operations, ScriptedStep, Step, moment_s
from sim.traffic.layout import GUARD_SUCCESS
from sim.world.actions import Actions
from sim.world.burn_rate import BurnAlert
from sim.world.context import Context, Steps
from sim.world.failover import Controller
from sim.world.faults import Faults
from sim.world.log import Kind

_SHORTEST_ROUND_S = 60.0
"""Least time from one step to the next: people who find nothing to do look again after a minute."""


@dataclass
class Watched:
    """One population as the monitor sees it."""

    group: int
    name: str
    region: str
    """Region that answers for it: its home."""
    below: bool = False
    generation: int = 0
    n_outages: int = 0


class OnCall:
    """Detection and the work on incidents."""

    def __init__(
        self, context: Context, operations: Operations, faults: Faults, controllers: list[Controller], actions: Actions
    ) -> None:
        self._context = context
        self._operations = operations
        self._faults = faults
        self._controllers = controllers
        self._actions = actions
        self._crew = simpy.Resource(context.env, capacity=operations.crew)
        self._open: set[str] = set()
        # Draws are numbered by what they are for: what happens elsewhere must not shift them.
        self._n_incidents: dict[str, int] = {}
        self._n_taken: dict[tuple[str, str], int] = {}
        self._turned: set[tuple[str, int]] = set()
        """Incidents, by region and number, whose first step is chosen: chosen again, the draw is the same."""
        self._alerts: list[tuple[str, BurnAlert]] = []
        self._watched: list[Watched] = []
        names = context.traffic.names
        for group, controller in enumerate(controllers):
            home = context.scenario.populations[names.populations[group]].home
            carrying = [side.region for side in controller.sides if side.base > 0.0]
            region = home if home in carrying else carrying[0]
            watched = Watched(group, names.populations[group], region)
            self._watched.append(watched)
        if operations.script:
            for name, step in operations.script.items():
                context.process(self._scripted(name, step))
            return
        monitor = operations.detection.monitor
        level = context.scenario.objectives.availability.threshold if monitor is None else monitor.below
        for watched in self._watched:
            context.watch(
                GUARD_SUCCESS,
                watched.group,
                level,
                lambda below, w=watched: self._success_changes(w, below),  # type: ignore[misc]
            )
            for name, alert in operations.detection.burn_rate.items():
                how = f"burn rate {name}"
                page = partial(self._detected, watched.region, how, watched.name)
                self._alerts.append((watched.region, BurnAlert(context, watched.group, alert, page)))
        for controller in controllers:
            controller.followers.append(self._after_failover)

    # -- noticing -------------------------------------------------------------------------------------

    def _success_changes(self, watched: Watched, below: bool) -> None:
        watched.below = below
        watched.generation += 1
        if not below:
            return
        generation = watched.generation
        index = watched.n_outages
        watched.n_outages += 1
        detection = self._operations.detection

        def notice(how: str) -> None:
            if watched.generation == generation and watched.below:
                self._detected(watched.region, how, watched.name)

        if detection.monitor is not None:
            self._context.after(detection.monitor.for_, lambda: notice("monitor"))
        if detection.users is not None:
            element = f"population {watched.name}"
            delay_s = self._context.draw(law_of(detection.users), element, "reports of users", index)
            self._context.after(delay_s, lambda: notice("reports of users"))

    def _after_failover(self, region: str) -> None:
        """A failover pages the people on call, whatever users see: the home region is still sick."""
        self._detected(region, "failover", "")

    def _detected(self, region: str, how: str, population: str) -> None:
        if region in self._open:
            return
        self._open.add(region)
        self._context.record(Kind.DETECTED, how, region=region, population=population)
        self._context.process(self._incident(region))

    # -- working --------------------------------------------------------------------------------------

    def _incident(self, region: str) -> Steps:
        context, operations = self._context, self._operations
        number = self._n_incidents[region] = self._n_incidents.get(region, 0) + 1
        element = f"incident in {region}"
        with self._crew.request() as crew:
            yield crew
            if operations.acknowledge is not None:
                yield context.env.timeout(self._delay(operations.acknowledge, element, "acknowledge", number))
            context.record(Kind.ACKNOWLEDGED, "", region=region)
            if operations.diagnose is not None:
                yield context.env.timeout(self._delay(operations.diagnose, element, "diagnose", number))
            context.record(Kind.DIAGNOSED, "", region=region)
            tried: list[str] = []
            while not self._is_over(region) or self._known_remedies(region, tried):
                began_s = context.now_s
                choice = self._choose(region, tried, number)
                if choice is None:
                    tried.clear()
                else:
                    name, right = choice
                    tried.append(name)
                    yield from self._take(name, operations.runbook[name], [region], right)
                yield context.env.timeout(max(operations.reassess, _SHORTEST_ROUND_S - (context.now_s - began_s), 0.0))
        self._actions.close_incident(region)
        self._open.discard(region)
        context.record(Kind.CLOSED, "", region=region)

    def _is_over(self, region: str) -> bool:
        """Users of the region are well, no alert fires for them, and the region itself can serve again."""
        if any(w.below for w in self._watched if w.region == region):
            return False
        if any(alert.firing for where, alert in self._alerts if where == region):
            return False
        return not any(controller.home_is_sick(region) for controller in self._controllers)

    def _known_remedies(self, region: str, tried: list[str]) -> bool:
        """Whether a step not tried yet helps against a fault that is active in the region.

        People who found the cause remove it before they close the incident, even if users are well meanwhile: behind
        a failover the region looks healthy without load, and would fail again as soon as the load comes home.
        """
        active = set(self._faults.active_names([region]))
        return any(
            name not in tried and active & set(step.helps_against) and not active & set(step.makes_worse)
            for name, step in self._operations.runbook.items()
        )

    def _choose(self, region: str, tried: list[str], number: int) -> tuple[str, bool] | None:
        """The next step and whether it is one that helps: one that helps against what is wrong, else the next.

        With the probability of a wrong turn the first step is one that does not help.
        """
        operations = self._operations
        active = set(self._faults.active_names())
        helpful: list[str] = []
        others: list[str] = []
        for name, step in operations.runbook.items():
            if name in tried or active & set(step.makes_worse):
                continue
            (helpful if active & set(step.helps_against) else others).append(name)
        draws, element = self._context.draws, f"incident in {region}"
        if not tried and others and self._turns_wrong(region, number, matters=bool(helpful)):
            # Without a step that is known to help, no step can be called wrong.
            pick = int(draws.uniform(element, "which wrong turn", number) * len(others))
            return others[pick], not helpful
        if helpful:
            return helpful[0], True
        return (others[0], True) if others else None

    def _turns_wrong(self, region: str, number: int, *, matters: bool) -> bool:
        """Whether the first step of an incident is one that does not help; `matters` if another one would."""
        wrong_prob = self._operations.first_action_wrong
        turns = self._context.draws.uniform(f"incident in {region}", "wrong turn", number) < wrong_prob
        if matters and (region, number) not in self._turned and self._users_suffer:
            self._context.excess["wrong_turns"] += turns - wrong_prob
        self._turned.add((region, number))
        return turns

    def _take(self, name: str, step: Step, regions: list[str], right: bool | None) -> Steps:
        context = self._context
        value = float("nan") if right is None else float(right)
        where = regions[0] if len(regions) == 1 else ""
        context.record(Kind.ACTION, name, region=where, service=step.service or "", value=value)
        if step.takes is not None:
            number = self._n_taken[name, where] = self._n_taken.get((name, where), 0) + 1
            yield context.env.timeout(self._delay(step.takes, f"step {name} in {where}", "takes", number))
        yield from self._actions.perform(name, step, self._reach(step, regions), where)
        context.record(Kind.ACTION_DONE, name, region=where, service=step.service or "", value=value)

    def _reach(self, step: Step, regions: list[str]) -> list[str]:
        """Regions acted on: those of the incident, and wherever a fault is active that the step helps against."""
        helped = set(step.helps_against)
        sick = [o.element.region for o in self._faults.active.values() if o.fault in helped and o.element.region]
        return list(dict.fromkeys([*regions, *sick]))

    def _scripted(self, name: str, step: ScriptedStep) -> Steps:
        delay_s = moment_s(step.at, self._context.scenario.start)
        if delay_s < 0.0:
            return
        yield self._context.env.timeout(delay_s)
        regions = [step.region] if step.region is not None else list(self._context.scenario.place)
        if (step.action or name) == "notice":
            for watched in self._watched:
                self._context.record(Kind.DETECTED, name, region=watched.region, population=watched.name)
            return
        yield from self._take(name, _plain(step), regions, None)

    def _delay(self, spec: LawSpec, element: str, purpose: str, index: int) -> float:
        """How long people take, s; notes what of it was not to be expected."""
        law = law_of(spec)
        delay_s = self._context.draw(law, element, purpose, index)
        excess_h, kind = (delay_s - law.mean_s) / 3600.0, "steps" if purpose == "takes" else purpose
        self._context.excess[f"{kind}_h"] += excess_h
        if self._users_suffer:
            self._context.excess[f"{kind}_while_down_h"] += excess_h
        return delay_s

    @property
    def _users_suffer(self) -> bool:
        return any(watched.below for watched in self._watched)


def _plain(step: ScriptedStep) -> Step:
    """The step without its time and place."""
    return Step.model_construct(**{key: getattr(step, key) for key in Step.model_fields})
