"""What servers and clients do under load: settings that contradict each other, and those that do nothing."""

from collections.abc import Iterator

from sim.errors import listed
from sim.scenario.finding import Finding, warning
from sim.scenario.schema import Autoscale, Call, Population, Probe, Scenario, Service, Throttle
from sim.scenario.tree import Path
from sim.units import format_duration, format_memory, format_share


def check_load(scenario: Scenario) -> Iterator[Finding]:
    """Every service, call and population."""
    used = _used_by_people(scenario)
    for name, service in scenario.services.items():
        path: Path = ("services", name)
        yield from _queue(path, service, name in used)
        for key, probe in (("liveness", service.liveness), ("readiness", service.readiness)):
            if probe is not None:
                yield from _probe((*path, key), probe)
        if service.autoscale is not None:
            yield from _autoscale((*path, "autoscale"), name, service.autoscale, scenario)
        for position, (callee, call) in enumerate(service.calls.items(), start=1):
            yield from _call((*path, "calls", callee), call, is_last=position == len(service.calls))
    for name, population in scenario.populations.items():
        yield from _clients(("populations", name), population)


def _used_by_people(scenario: Scenario) -> set[str]:
    """Services that a request of some population reaches."""
    used: set[str] = set()
    open_ends = [population.journey for population in scenario.populations.values()]
    while open_ends:
        name = open_ends.pop()
        if name in scenario.services and name not in used:
            used.add(name)
            open_ends.extend(scenario.services[name].calls)
    return used


def _queue(path: Path, service: Service, is_used: bool) -> Iterator[Finding]:
    if service.deadline_aware and not is_used:
        message = "has no effect: no request of any population comes here, so that there is no deadline to know"
        yield warning((*path, "deadline_aware"), message)
    if service.order != "adaptive" and "adaptive_above" in service.model_fields_set:
        message = f"has no effect with order {service.order}: drop it, or set order: adaptive"
        yield warning((*path, "adaptive_above"), message)
    if service.order != "fifo" and service.queue == 0:
        yield warning((*path, "order"), f"got {service.order}, but nothing ever waits: give it a queue")
    if service.cold is not None and service.cold.slow == 1.0:
        yield warning((*path, "cold", "slow"), "got 1, which slows nothing down: drop cold, or give a larger factor")


def _probe(path: Path, probe: Probe) -> Iterator[Finding]:
    if probe.timeout > probe.every:
        message = (
            f"got {format_duration(probe.timeout)}, expected at most every, {format_duration(probe.every)}: one probe "
            "at a time"
        )
        yield Finding((*path, "timeout"), message)


def _autoscale(path: Path, name: str, rule: Autoscale, scenario: Scenario) -> Iterator[Finding]:
    service = scenario.services[name]
    for region, pods in scenario.place.items():
        placed = pods.get(name, 0)
        if placed == 0:
            continue
        if rule.most < placed:
            message = f"got {rule.most}, expected at least the {placed} pods placed in {region}"
            yield Finding((*path, "most"), message)
        if rule.least is not None and rule.least > placed:
            message = f"got {rule.least}, expected at most the {placed} pods placed in {region}: place more"
            yield Finding((*path, "least"), message)
        if service.needs is not None and rule.least is not None and rule.least < service.needs:
            message = f"got {rule.least}, but {name} needs {service.needs}: it would scale itself down and out"
            yield warning((*path, "least"), message)
        if service.memory is not None and region in scenario.regions:
            nodes = scenario.regions[region].nodes
            n_room = nodes.count * int(nodes.memory // service.memory.limit)
            if n_room < rule.most:
                message = (
                    f"got {rule.most} pods of {format_memory(service.memory.limit)}, but the nodes of {region} "
                    f"({nodes.count} of {format_memory(nodes.memory)}) hold {n_room} at most: the others would wait, "
                    "for nodes are added by people only"
                )
                yield warning((*path, "most"), message)
    highest = rule.target * (1.0 + rule.tolerance)
    if highest >= 1.0:
        message = (
            f"got {format_share(rule.target)} with a tolerance of {format_share(rule.tolerance)}: pods are added above "
            f"{format_share(highest)} busy slots, which never happens; expected less"
        )
        yield warning((*path, "target"), message)


def _call(path: Path, call: Call, *, is_last: bool) -> Iterator[Finding]:
    if call.handoff:
        yield from _handoff(path, call, is_last=is_last)
    if call.hedge_after is not None and call.hedge_after >= call.timeout:
        message = (
            f"got {format_duration(call.hedge_after)}, which is not before the timeout of "
            f"{format_duration(call.timeout)}: the second call is never sent"
        )
        yield warning((*path, "hedge_after"), message)
    if call.breaker is not None and call.breaker.trickle >= 1.0:
        message = (
            "a breaker without half-open: it closes after `open` whatever the state of the callee, and all load comes "
            "back at once; expected a trickle such as 5%"
        )
        yield warning((*path, "breaker", "trickle"), message)
    if call.throttle is not None:
        yield from _throttle((*path, "throttle"), call.throttle)


def _handoff(path: Path, call: Call, *, is_last: bool) -> Iterator[Finding]:
    given = {
        "attempts": call.attempts > 1,
        "fallback": call.fallback > 0.0,
        "breaker": call.breaker is not None,
        "throttle": call.throttle is not None,
        "hedge_after": call.hedge_after is not None,
        "retry_budget": call.retry_budget is not None,
        "calls": call.calls != 1.0,
    }
    together = [key for key, is_given in given.items() if is_given]
    if together:
        message = (
            f"got {listed(together).replace(' or ', ' and ')} with handoff: who hands a request over does not wait for "
            "an answer, so that there is nothing to repeat or to replace; drop one of them"
        )
        yield Finding((*path, "handoff"), message)
    if not is_last:
        message = "got a call after a handoff: who has handed a request over is done with it; put the handoff last"
        yield Finding((*path, "handoff"), message)


def _throttle(path: Path, throttle: Throttle) -> Iterator[Finding]:
    if throttle.ratio == 1.0:
        message = "got 1, so that every single failure keeps later requests from being sent; 2 is usual"
        yield warning((*path, "ratio"), message)


def _clients(path: Path, population: Population) -> Iterator[Finding]:
    without = [
        (population.backoff == 0.0, "without a backoff"),
        (population.attempts == 1, "with one attempt"),
    ]
    for has_none, why in without:
        if not has_none:
            continue
        if population.jitter != "none":
            yield warning((*path, "jitter"), f"got {population.jitter} {why}: there is no pause to vary")
        if population.backoff_growth > 1.0:
            yield warning((*path, "backoff_growth"), f"has no effect {why}: there is no pause to grow")
        break
    if population.throttle is not None:
        yield from _throttle((*path, "throttle"), population.throttle)
