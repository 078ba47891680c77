"""Cross-references of a scenario of elements: names that must exist, circles, rules that can never hold."""

from collections.abc import Iterator

from sim.scenario.finding import Finding, unknown_name, warning
from sim.scenario.reliability import ReliabilityScenario, part_of, parts_of, roots_of
from sim.scenario.tree import Path


def check_reliability(scenario: ReliabilityScenario) -> Iterator[Finding]:
    """Every mistake and doubt."""
    yield from _names(scenario)
    yield from _elements(scenario)
    yield from _systems(scenario)
    yield from _crews(scenario)
    yield from _standby(scenario)
    yield from _service(scenario)


def _names(scenario: ReliabilityScenario) -> Iterator[Finding]:
    for name in scenario.systems:
        if name in scenario.elements:
            yield Finding(
                ("systems", name), f"got the name {name}, which an element has too; expected another", about="key"
            )


def _elements(scenario: ReliabilityScenario) -> Iterator[Finding]:
    for name, element in scenario.elements.items():
        path: Path = ("elements", name)
        if element.crew is not None and element.crew not in scenario.crews:
            yield unknown_name((*path, "crew"), "crew", scenario.crews, name=element.crew)
        if element.only_while is not None and element.only_while not in scenario.systems:
            yield unknown_name((*path, "only_while"), "system", scenario.systems, name=element.only_while)
        if element.common_cause and (element.fails is None or element.fails.exponential is None):
            message = "got a beta factor, expected `fails` with an exponential law: only rates can be split by a share"
            yield Finding((*path, "common_cause"), message)
        if element.common_cause and element.count == 1:
            yield Finding(
                (*path, "common_cause"), "got a beta factor, expected a count above 1: one has nobody to share with"
            )
        hit = any(name in shock.hits for shock in scenario.common_causes.values())
        can_fail = element.fails or element.ageing or element.common_cause or hit
        if not can_fail and element.maintenance is None:
            yield warning(
                path, f"{name} never fails: it has neither fails, ageing, maintenance nor a common cause", about="key"
            )
        if can_fail and element.repair is None:
            yield warning(path, f"{name} is never repaired: it has no repair", about="key")
    for name, shock in scenario.common_causes.items():
        for hit_name in shock.hits:
            if hit_name not in scenario.elements:
                yield unknown_name(("common_causes", name, "hits", hit_name), "element", scenario.elements)


def _systems(scenario: ReliabilityScenario) -> Iterator[Finding]:
    known = [*scenario.elements, *scenario.systems]
    for name, system in scenario.systems.items():
        for key in ("all", "any", "of"):
            for i, text in enumerate(getattr(system, key)):
                n, part = part_of(text)
                if part not in known:
                    yield unknown_name(("systems", name, key, i), "part", known, name=part)
                elif n is not None and n > (behind := width_of(scenario, part)):
                    message = f"got {text}, but there is only {behind} of {part}: it would always be down"
                    yield Finding(("systems", name, key, i), message)
        for key in ("soft", "capacity"):
            for part in getattr(system, key):
                if part not in known:
                    yield unknown_name(("systems", name, key, part), "part", known)
        if system.at_least is not None and not any(part_of(p)[1] not in known for p in system.of):
            inputs = sum(1 if part_of(p)[0] else width_of(scenario, part_of(p)[1]) for p in system.of)
            if system.at_least > inputs:
                message = f"got {system.at_least}, but `of` has only {inputs}: it would always be down"
                yield Finding(("systems", name, "at_least"), message)
        if circle := _circle(scenario, name):
            message = f"got a circle of systems: {' -> '.join(circle)}; expected a tree that ends at elements"
            yield Finding(("systems", name), message, about="key")


def width_of(scenario: ReliabilityScenario, part: str) -> int:
    """How many inputs a name stands for: the count of an element, 1 for a system."""
    return scenario.elements[part].count if part in scenario.elements else 1


def _circle(scenario: ReliabilityScenario, start: str) -> list[str]:
    """A way from a system back to itself; empty if there is none."""
    ways, seen = [[start]], set()
    while ways:
        way = ways.pop()
        system = scenario.systems.get(way[-1])
        for part in (
            () if system is None else (*(part_of(p)[1] for p in parts_of(system)), *system.soft, *system.capacity)
        ):
            if part == start:
                return [*way, start]
            if part not in seen:
                seen.add(part)
                ways.append([*way, part])
    return []


def _crews(scenario: ReliabilityScenario) -> Iterator[Finding]:
    for name, crew in scenario.crews.items():
        path: Path = ("crews", name)
        for key, order in (("call", "called"), ("look", "patrol")):
            has = getattr(crew, key) is not None
            if has != (crew.order == order):
                yield Finding(path, f"`{key}` and `order: {order}` go together", about="key")
        if crew.order == "patrol" and crew.size > 1:
            yield Finding((*path, "size"), f"got {crew.size}, expected 1: a patrol goes from kind to kind as one")
        if crew.preempts and crew.order in ("called", "patrol"):
            yield Finding(
                (*path, "preempts"), f"got a crew that interrupts repairs, expected an order other than {crew.order}"
            )
        if not any(element.crew == name for element in scenario.elements.values()):
            yield warning(path, f"{name} repairs nothing: no element names it", about="key", everywhere=True)


def _standby(scenario: ReliabilityScenario) -> Iterator[Finding]:
    owner: dict[str, str] = {}
    for name, pool in scenario.standby.items():
        for i, part in enumerate(pool.of):
            if part not in scenario.elements:
                yield unknown_name(("standby", name, "of", i), "element", scenario.elements, name=part)
            elif part in owner:
                yield Finding(("standby", name, "of", i), f"got {part}, which stands by in {owner[part]} already")
            elif scenario.elements[part].maintenance is not None:
                yield Finding(("standby", name, "of", i), f"got {part}, which has maintenance: not for what stands by")
            owner.setdefault(part, name)
        total = sum(scenario.elements[part].count for part in pool.of if part in scenario.elements)
        if pool.active > total and all(part in scenario.elements for part in pool.of):
            yield Finding(("standby", name, "active"), f"got {pool.active}, but there are only {total}")


def _service(scenario: ReliabilityScenario) -> Iterator[Finding]:
    if scenario.service is not None and scenario.service not in scenario.systems:
        yield unknown_name(("service",), "system", scenario.systems, name=scenario.service)
    elif scenario.service is None and len(roots := roots_of(scenario)) > 1:
        message = f"missing, expected the system whose availability is the answer, such as service: {roots[-1]}"
        yield Finding(("service",), message)
