"""Doubts: scenarios that are valid, and that an experienced engineer would ask about."""

import math
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from sim.errors import listed
from sim.scenario.finding import Finding, warning
from sim.scenario.pods import fewest_placed, full_pod_mib, most_inside, overflows, pod_room, pod_slots
from sim.scenario.schema import Scenario, Service
from sim.scenario.tree import Path
from sim.units import format_duration, format_memory, format_share


def lint(scenario: Scenario) -> Iterator[Finding]:
    """Every doubt about the scenario."""
    yield from lint_queues(scenario)
    yield from lint_timeouts(scenario)
    yield from lint_deadlines(scenario)
    yield from lint_attempts(scenario)
    yield from lint_breakers(scenario)
    yield from lint_cycles(scenario)
    yield from lint_unused(scenario)
    yield from lint_failover(scenario)


def lint_queues(scenario: Scenario) -> Iterator[Finding]:
    """Queue bounds that do not fit the memory limit: the condition of a crash loop that feeds itself."""
    for name, service in scenario.services.items():
        placed = fewest_placed(scenario, name)
        memory = service.memory
        if memory is None or not overflows(service, placed):
            continue
        fits = most_inside(memory) - pod_slots(service, placed)
        message = (
            f"a full queue does not fit the memory limit: {pod_room(service, placed)} requests need "
            f"{format_memory(full_pod_mib(service, placed), digits=3)} of {format_memory(memory.limit)}, so that "
            "overload ends in OOM kills; "
            + (f"a queue of {fits} fits" if fits > 0 else "even the slots alone do not leave room for a queue")
        )
        yield warning(("services", name, "queue"), message)


def lint_timeouts(scenario: Scenario) -> Iterator[Finding]:
    """Callers that give up before the services they call do: work that nobody waits for."""
    above_s: dict[str, tuple[float, str]] = {}
    for name, population in scenario.populations.items():
        _keep_longest(above_s, population.journey, population.deadline, f"the deadline of {name}")
    for caller, service in scenario.services.items():
        for callee, call in service.calls.items():
            _keep_longest(above_s, callee, call.timeout, f"the timeout of {caller}")
    for caller, service in scenario.services.items():
        longest_s, whose = above_s.get(caller, (float("inf"), ""))
        for callee, call in service.calls.items():
            if call.timeout > longest_s:
                message = (
                    f"got {format_duration(call.timeout)}, longer than {whose} above it, {format_duration(longest_s)}: "
                    f"{caller} waits for {callee} when nobody waits for {caller} any more"
                )
                yield warning(("services", caller, "calls", callee, "timeout"), message)


def _keep_longest(longest: dict[str, tuple[float, str]], service: str, wait_s: float, whose: str) -> None:
    if wait_s > longest.get(service, (0.0, ""))[0]:
        longest[service] = (wait_s, whose)


def lint_deadlines(scenario: Scenario) -> Iterator[Finding]:
    """Deadlines that even an idle system does not meet."""
    for name, population in scenario.populations.items():
        if population.journey not in scenario.services:
            continue
        least_s, services = _least_work(scenario.services, population.journey, ())
        if population.deadline < least_s:
            message = (
                f"got {format_duration(population.deadline)}, but {listed(services, joint=' + ')} work "
                f"{format_duration(least_s, digits=3)} on average when nothing waits: most answers come too late and "
                "the objective is out of reach; expected a longer deadline"
            )
            yield warning(("populations", name, "deadline"), message)


def _least_work(services: Mapping[str, Service], name: str, above: tuple[str, ...]) -> tuple[float, tuple[str, ...]]:
    """Mean work of a service and of all calls that it cannot do without, s, and their names.

    Left out: soft calls, calls that are handed over, and rounds of a circle after the first.
    """
    least_s, found = services[name].work, [name]
    for callee, call in services[name].calls.items():
        is_hard = call.fallback < 1.0 and not call.handoff
        if is_hard and callee in services and callee not in (*above, name):
            below_s, below = _least_work(services, callee, (*above, name))
            least_s += call.calls * below_s
            found += below
    return least_s, tuple(dict.fromkeys(found))


MANY_ATTEMPTS: Final = 8
"""Times that one request may be repeated on its way before it is doubted."""


def lint_attempts(scenario: Scenario) -> Iterator[Finding]:
    """Attempts that multiply over tiers: a retry storm at the bottom (4 x 4 x 4 = 64).

    A retry budget of b allows 1 + b attempts per first one, however many the client may make.

    Notes
    -----
    B. Beyer et al., Site Reliability Engineering (2016), chapter "Addressing Cascading Failures", "Retries".
    """
    below = _worst_paths(scenario.services)
    for name, population in scenario.populations.items():
        first = _times_sent(population.attempts, population.retry_budget)
        _, path = below.get(population.journey, (1.0, ()))
        factors = [first, *(factor for factor, _ in path)]
        product = math.prod(factors)
        if sum(factor > 1.0 for factor in factors) > 1 and product >= MANY_ATTEMPTS:
            way = " -> ".join([name, population.journey, *(callee for _, callee in path)])
            message = (
                f"attempts multiply over tiers ({way}): {' x '.join(f'{f:g}' for f in factors)} = {product:g} times "
                "the load when the last one fails; expected retries in one tier only, or a retry_budget"
            )
            yield warning(("populations", name, "attempts"), message)


def _times_sent(attempts: int, retry_budget: float | None) -> float:
    return float(attempts) if retry_budget is None else min(float(attempts), 1.0 + retry_budget)


def _worst_paths(services: Mapping[str, Service]) -> dict[str, tuple[float, tuple[tuple[float, str], ...]]]:
    """By service: the largest product of attempts on the way down from it, and that way as (attempts, callee).

    Calls within a circle are left out: `lint_cycles` has its own word on them.
    """
    circle_of = {name: k for k, circle in enumerate(circles_of(services)) for name in circle}
    worst: dict[str, tuple[float, tuple[tuple[float, str], ...]]] = dict.fromkeys(services, (1.0, ()))
    changed = True
    while changed:
        changed = False
        for caller, service in services.items():
            for callee, call in service.calls.items():
                if callee not in worst or circle_of.get(caller, -1) == circle_of.get(callee, -2):
                    continue
                factor = _times_sent(call.attempts, call.retry_budget)
                product = factor * worst[callee][0]
                if product > worst[caller][0] * (1.0 + 1e-9):
                    worst[caller] = product, ((factor, callee), *worst[callee][1])
                    changed = True
    return worst


def lint_breakers(scenario: Scenario) -> Iterator[Finding]:
    """Breakers without a half-open state: they close on all the load at once, and meet what they opened for."""
    for caller, service in scenario.services.items():
        for callee, call in service.calls.items():
            if call.breaker is not None and call.breaker.trickle >= 1.0:
                message = (
                    f"got 100%, a breaker without half-open state: after {format_duration(call.breaker.open)} all "
                    f"calls of {caller} meet {callee} at once, whether it has recovered or not; expected a trickle, "
                    "e.g. 5%"
                )
                yield warning(("services", caller, "calls", callee, "breaker", "trickle"), message)


def lint_cycles(scenario: Scenario) -> Iterator[Finding]:
    """Circles of calls in which the time a request holds its slot grows without bound.

    Notes
    -----
    Synchronous calls hold the caller: H_u = S_u + sum over calls of m_uv H_v. For positive S the solution is positive
    and finite if and only if the spectral radius of the matrix of m_uv is below 1 (Perron-Frobenius).
    """
    for circle in circles_of(scenario.services):
        calls = np.array([[_calls(scenario.services, u, v) for v in circle] for u in circle])
        try:
            holding = np.linalg.solve(np.eye(len(circle)) - calls, np.ones(len(circle)))
        except np.linalg.LinAlgError:
            holding = np.full(len(circle), np.inf)
        if not np.all((holding > 0) & (holding < _HOLDING_MAX)):
            members = listed([*circle, circle[0]], joint=" -> ")
            message = (
                f"services call each other in a circle ({members}) that feeds itself: each request brings forth one "
                "more or several, and would hold its slots for ever; expected fewer calls per round"
            )
            yield warning(("services", circle[0], "calls"), message, about="key")


_HOLDING_MAX = 1e9
"""In units of the services' own time; at a spectral radius of 1 rounding may leave a large number for infinity."""


def _calls(services: Mapping[str, Service], caller: str, callee: str) -> float:
    call = services[caller].calls.get(callee)
    return call.calls if call else 0.0


def circles_of(services: Mapping[str, Service]) -> list[list[str]]:
    """Sets of services each of which reaches each other by calls (strongly connected), in file order."""
    reach = {name: _reached(services, name) for name in services}
    circles: list[list[str]] = []
    seen: set[str] = set()
    for name in services:
        if name in reach[name] and name not in seen:
            circle = [other for other in services if other in reach[name] and name in reach[other]]
            seen.update(circle)
            circles.append(circle)
    return circles


def _reached(services: Mapping[str, Service], start: str) -> set[str]:
    reached: set[str] = set()
    open_ends = [start]
    while open_ends:
        for callee in services[open_ends.pop()].calls:
            if callee in services and callee not in reached:
                reached.add(callee)
                open_ends.append(callee)
    return reached


def lint_unused(scenario: Scenario) -> Iterator[Finding]:
    """Regions and services without a pod in any architecture."""
    for block, names in (("regions", scenario.regions), ("services", scenario.services)):
        for name in names:
            if block == "regions":
                n_pods = sum(scenario.place.get(name, {}).values())
            else:
                n_pods = sum(pods.get(name, 0) for pods in scenario.place.values())
            if n_pods == 0:
                path: Path = (block, name)
                yield warning(path, f"{name} has no pod in any architecture", about="key", everywhere=True)


def lint_failover(scenario: Scenario) -> Iterator[Finding]:
    """Clients that never follow a switch: enough of them, and no failover brings the objective back."""
    failover, threshold = scenario.failover, scenario.objectives.availability.threshold
    if failover.policy != "none" and failover.ignore_ttl >= 1.0 - threshold - 1e-12:
        message = (
            f"got {format_share(failover.ignore_ttl)} of clients that never follow a switch: with a whole region lost, "
            f"success stays below the objective's threshold of {format_share(threshold)} until that region is back"
        )
        yield warning(("failover", "ignore_ttl"), message)
