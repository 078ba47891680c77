"""Remedies that are tried one by one: each is a changed scenario and the words that say what was changed."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sim.scenario.pods import hottest_share, most_inside, pod_slots
from sim.scenario.schema import Breaker, Call, Population, Scenario, Service
from sim.study.flows import holding_s
from sim.study.margins import hot_pod_today, queue_fits, utilisations
from sim.units import format_memory

BUDGET = 0.1
"""Retries per first attempt of the remedy `retry budget`."""


@dataclass(frozen=True)
class Remedy:
    """One change of a design."""

    name: str
    what: str
    """What exactly is changed, plain text."""
    scenario: Scenario


def remedies(scenario: Scenario) -> list[Remedy]:
    """Every remedy that changes something in this design."""
    makers = (_fitting_queues, _half_queues, _retry_budget, _no_retries, _breakers, _shedding, _more_memory, _more_pods)
    return [remedy for make in makers for remedy in make(scenario)]


def _fitting_queues(scenario: Scenario) -> Iterator[Remedy]:
    """Queue bounds that fit the memory limit."""
    queues: dict[str, int] = {}
    for fit in queue_fits(scenario):
        if not fit.fits:
            service = scenario.services[fit.service]
            assert service.memory is not None
            queues[fit.service] = max(0, most_inside(service.memory) - service.slots)
    if queues:
        changed = _services(scenario, lambda name, s: {"queue": queues[name]} if name in queues else {})
        yield Remedy("queue bound that fits memory", _changes("queue", queues), changed)


def _half_queues(scenario: Scenario) -> Iterator[Remedy]:
    queues = {name: s.queue // 2 for name, s in scenario.services.items() if s.queue > 0}
    if queues:
        changed = _services(scenario, lambda name, s: {"queue": s.queue // 2})
        yield Remedy("half the queue", _changes("queue", queues), changed)


def _retry_budget(scenario: Scenario) -> Iterator[Remedy]:
    def budget(client: Call | Population) -> dict[str, object]:
        present = 1.0 if client.retry_budget is None else client.retry_budget
        return {"retry_budget": BUDGET} if client.attempts > 1 and present > BUDGET else {}

    changed = _clients(scenario, budget, budget)
    if changed != scenario:
        yield Remedy("retry budget 10 %", "users and calls repeat at most 10 % of first attempts", changed)


def _no_retries(scenario: Scenario) -> Iterator[Remedy]:
    changed = _clients(scenario, lambda _: {"attempts": 1}, lambda _: {"attempts": 1})
    if changed != scenario:
        yield Remedy("no retries", "attempts: 1 for users and calls", changed)


def _breakers(scenario: Scenario) -> Iterator[Remedy]:
    def breaker(call: Call) -> dict[str, object]:
        return {} if call.breaker is not None and call.breaker.trickle < 1.0 else {"breaker": Breaker()}

    changed = _clients(scenario, breaker, lambda _: {})
    if changed != scenario:
        yield Remedy("breaker with half-open", "on every call: opens at 50 % failures, 30 s, then a trickle", changed)


def _shedding(scenario: Scenario) -> Iterator[Remedy]:
    """No more requests in flight at the entry than the hottest pod can serve, by Little's law."""
    used, holding = utilisations(scenario), holding_s(scenario)
    limits: dict[str, int] = {}
    for population in scenario.populations.values():
        entry = population.journey
        for region, pods in scenario.place.items():
            busiest = max((u for (r, _), u in used.items() if r == region), default=0.0)
            at_entry = used.get((region, entry), 0.0)
            if not pods.get(entry) or not 0.0 < busiest < math.inf:
                continue
            service = scenario.services[entry]
            at_hottest = at_entry * pod_slots(service, pods[entry])
            in_flight = at_hottest * pods[entry] / hottest_share(service, pods[entry])
            limits[entry] = min(limits.get(entry, 10**9), max(1, round(in_flight / busiest)))
    limits = {name: n for name, n in limits.items() if n < (scenario.services[name].shed_above or math.inf)}
    if limits and all(math.isfinite(holding[name]) for name in limits):
        changed = _services(scenario, lambda name, s: {"shed_above": limits[name]} if name in limits else {})
        yield Remedy("shedding at capacity", _changes("shed_above", limits), changed)


def _more_memory(scenario: Scenario) -> Iterator[Remedy]:
    limits = {name: 2.0 * s.memory.limit for name, s in scenario.services.items() if s.memory is not None}
    if limits:

        def double(_: str, service: Service) -> dict[str, object]:
            memory = service.memory
            return {} if memory is None else {"memory": memory.model_copy(update={"limit": 2.0 * memory.limit})}

        nodes = {
            name: region.model_copy(
                update={"nodes": region.nodes.model_copy(update={"memory": 2.0 * region.nodes.memory})}
            )
            for name, region in scenario.regions.items()
        }
        changed = _services(scenario, double).model_copy(update={"regions": nodes})
        texts = {name: format_memory(limit, digits=3) for name, limit in limits.items()}
        yield Remedy("memory limit x2", _changes("memory.limit", texts), changed)


def _more_pods(scenario: Scenario) -> Iterator[Remedy]:
    """A yardstick: what one more pod of the bottleneck does."""
    hot = hot_pod_today(scenario)
    if hot.region:
        n_pods = scenario.place[hot.region][hot.service] + 1
        place = {**scenario.place, hot.region: {**scenario.place[hot.region], hot.service: n_pods}}
        nodes = scenario.regions[hot.region].nodes
        region = scenario.regions[hot.region].model_copy(
            update={"nodes": nodes.model_copy(update={"count": nodes.count + 1})}
        )
        changed = scenario.model_copy(update={"place": place, "regions": {**scenario.regions, hot.region: region}})
        yield Remedy("one more pod", f"{n_pods} pods of {hot.service} in {hot.region}", changed)


def _services(scenario: Scenario, change: Callable[[str, Service], dict[str, object]]) -> Scenario:
    services = {name: s.model_copy(update=change(name, s)) for name, s in scenario.services.items()}
    return scenario.model_copy(update={"services": services})


def _clients(
    scenario: Scenario,
    of_call: Callable[[Call], dict[str, object]],
    of_users: Callable[[Population], dict[str, object]],
) -> Scenario:
    def calls(_: str, service: Service) -> dict[str, object]:
        return {"calls": {name: call.model_copy(update=of_call(call)) for name, call in service.calls.items()}}

    users = {name: p.model_copy(update=of_users(p)) for name, p in scenario.populations.items()}
    return _services(scenario, calls).model_copy(update={"populations": users})


def _changes(key: str, values: dict[str, int] | dict[str, str]) -> str:
    return ", ".join(f"{name}.{key}: {value}" for name, value in values.items())
