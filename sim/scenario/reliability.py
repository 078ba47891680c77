"""A scenario without traffic: elements that fail and are repaired, and the systems that are made of them.

The blocks of a file that has `elements` instead of regions, services and populations. Names join them: a system names
elements and other systems, an element names its crew. Every docstring here is hover text in editors.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from sim.scenario.quantities import Name, PositiveDuration, Share
from sim.scenario.schema import Architecture, Placement, Scenario, SweepValues
from sim.scenario.spec import Spec, StepTime, TimeToFailure
from sim.scenario.system import Population, Region, Service

Count = Annotated[int, Field(ge=1, le=10_000)]
Part = Annotated[str, Field(pattern=r"^([1-9][0-9]{0,4} of )?[A-Za-z][A-Za-z0-9_-]{0,62}$")]
"""An element or system by name, or `2 of NAME`: at least two of those that stand behind the name."""


class Maintenance(Spec):
    """Planned downtime on a fixed clock, or rejuvenation before something fails."""

    every: PositiveDuration
    """It begins this often, counted from the start; left out while the element is down."""
    takes: StepTime
    """How long the element is away."""
    renews: bool = False
    """Ageing begins anew afterwards."""


class Ageing(Spec):
    """A second way to fail: first the element ages, unseen, then it fails."""

    onset: TimeToFailure
    """Time until it has aged."""
    fails: TimeToFailure
    """Time from then until it fails."""
    repair: StepTime | None = None
    """Repair of that failure; the element's own by default. Either makes it young again."""


class Element(Spec):
    """Something that works or is down; a `count` of like ones are counted from 1: `disk/1`, `disk/2` ..."""

    count: Count = 1
    """How many of the kind there are, each with a life of its own."""
    fails: TimeToFailure | None = None
    """Time to failure, from new or repaired; without it, it never fails by itself."""
    repair: StepTime | None = None
    """Time to repair, once somebody works on it; without it, it stays down."""
    crew: Name | None = None
    """Who repairs it; without a crew its repair begins at once."""
    priority: Annotated[int, Field(ge=0, le=1000)] = 0
    """Among those that wait for a crew, a larger one comes first."""
    only_while: Name | None = None
    """A system: while it is down, this element's life stands still."""
    common_cause: Share | None = None
    """Beta factor: this share of the failures takes all of the `count` at once. Needs an exponential `fails`."""
    ageing: Ageing | None = None
    maintenance: Maintenance | None = None


class Crew(Spec):
    """People who repair, so many elements at a time."""

    size: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Elements that are worked on at the same time."""
    order: Literal["first come", "random", "random kind", "called", "patrol"] = "first come"
    """Who is next among equal priorities. `random kind`: each kind that waits is equally likely; `called`: each kind
    that waits calls, and whose call arrives first is repaired; `patrol`: from kind to kind in the file's order."""
    travel: StepTime | None = None
    """Time from being chosen until the repair begins; the crew is busy with it."""
    call: StepTime | None = None
    """With `called`: time until a call arrives."""
    look: StepTime | None = None
    """With `patrol`: time at each kind until it is seen whether something waits there."""
    preempts: bool = False
    """A higher priority interrupts a repair; what was done of it is kept."""


class Standby(Spec):
    """Elements of which some work and the others wait to take over."""

    of: Annotated[tuple[Name, ...], Field(min_length=1, max_length=100)]
    """The elements, in the order in which they are taken."""
    active: Count = 1
    """How many should work."""
    dormant: Share = 0.0
    """Rate of failure of a waiting one beside that of a working one: 0% cold, 100% hot, warm between."""
    takes: StepTime | None = None
    """Time to take over; at once by default."""
    success: Annotated[Share, Field(gt=0)] = 1.0
    """Probability that one that is to take over works; else it is found to be down."""


class Shock(Spec):
    """One event that may take down several elements at the same moment."""

    every: TimeToFailure
    """Time from one such event to the next."""
    hits: Annotated[dict[Name, Share], Field(min_length=1)]
    """Probability for each element of the named kind, such as {web: 20%, db: 100%}."""


class System(Spec):
    """What must be up: exactly one of `all`, `any` or `at_least` with `of`."""

    all: tuple[Part, ...] = ()
    """Every one of these."""
    any: tuple[Part, ...] = ()
    """One of these."""
    at_least: Count | None = None
    """So many ..."""
    of: tuple[Part, ...] = ()
    """... of these; a kind with a count stands for each of its elements."""
    soft: dict[Name, Share] = Field(default_factory=dict)
    """Soft dependencies: what an answer is still worth without one, such as {cache: 70%}."""
    capacity: dict[Name, Share] = Field(default_factory=dict)
    """Share of the full service that each of these delivers, such as {left: 50%, right: 50%}."""

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        given = [bool(self.all), bool(self.any), self.at_least is not None or bool(self.of)]
        if sum(given) != 1 or (self.at_least is None) != (not self.of):
            raise ValueError("a system has exactly one of: all, any, or at_least with of; e.g. {all: [web, 2 of disk]}")
        return self


def _refused(value: object) -> object:
    if value:
        raise ValueError("got a block of a scenario with traffic beside elements: remove it, or remove the elements")
    return value


_Refused = BeforeValidator(_refused)


class ReliabilityScenario(Scenario):
    """One architecture of elements, resolved."""

    regions: Annotated[dict[Name, Region], _Refused] = Field(default_factory=dict)
    services: Annotated[dict[Name, Service], _Refused] = Field(default_factory=dict)
    populations: Annotated[dict[Name, Population], _Refused] = Field(default_factory=dict)
    place: Annotated[Placement, _Refused] = Field(default_factory=dict)
    elements: Annotated[dict[Name, Element], Field(min_length=1)]
    """What fails and is repaired, by name, such as {disk: {count: 4, fails: 3y, repair: 8h}}. A file with elements has
    no regions, services or populations: only failures and repairs are simulated."""
    crews: dict[Name, Crew] = Field(default_factory=dict)
    """Who repairs, by name."""
    systems: Annotated[dict[Name, System], Field(min_length=1)]
    """What is made of elements and other systems, by name."""
    service: Name | None = None
    """The system whose availability is the answer. Default: the only one that no other system names."""
    common_causes: dict[Name, Shock] = Field(default_factory=dict)
    """What may take down several elements at once, by name."""
    standby: dict[Name, Standby] = Field(default_factory=dict)
    """Elements that take over from each other, by name."""

    @property
    def measured(self) -> str:
        """Name of the system whose availability is the answer."""
        return self.service or roots_of(self)[0]


class ReliabilityFile(ReliabilityScenario):
    """An experiment of elements."""

    architectures: dict[Name, Architecture] = Field(default_factory=dict)
    """The designs that are compared."""
    sweep: dict[str, SweepValues] = Field(default_factory=dict)
    """Values to try by dotted path."""


def part_of(text: str) -> tuple[int | None, str]:
    """`2 of disk` -> (2, "disk"); `disk` -> (None, "disk")."""
    n, of, name = text.partition(" of ")
    return (int(n), name) if of else (None, text)


def parts_of(system: System) -> tuple[str, ...]:
    """All parts that a system names in its rule."""
    return (*system.all, *system.any, *system.of)


def roots_of(scenario: ReliabilityScenario) -> list[str]:
    """Systems that no other one names, those that only say when something is held up left out."""
    named = {part_of(part)[1] for system in scenario.systems.values() for part in parts_of(system)}
    named |= {name for system in scenario.systems.values() for name in (*system.soft, *system.capacity)}
    named |= {element.only_while for element in scenario.elements.values() if element.only_while}
    return [name for name in scenario.systems if name not in named] or list(scenario.systems)[-1:]


def scenario_model(tree: Any) -> type[Scenario]:
    """The model that a scenario of these top-level keys is checked by."""
    return ReliabilityScenario if "elements" in tree else Scenario
