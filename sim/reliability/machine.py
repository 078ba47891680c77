"""Events with guards over integer state: what a model is made of, element by element or by hand.

    machine = Machine(seed=7)
    jobs = machine.variable("jobs")
    machine.event("arrival", Exponential(2.0), when=jobs < 3, do={jobs: jobs + 1})
    machine.event("service", Exponential(1.0), when=jobs > 0, do={jobs: jobs - 1})
    machine.reward("full", jobs == 3)
    model = machine.compile()

An event runs its clock at the speed that its guard says (0 or false: it stands still), draws its duration by its law,
and when it is due does its assignments one after the other. Names make the random numbers, so that the same event has
the same history in another model. Elements, crews, pools of spares and gates are built in; see `elements`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from sim.laws import Law
from sim.randomness import key_of
from sim.reliability import model as at
from sim.reliability.durations import LawTable
from sim.reliability.expressions import COUNT, DEEPEST, UP, VARIABLE, Expression, deepest, expression, used
from sim.reliability.model import Ints, Model

Memory = Literal["forget", "keep"]
ORDERS: Final = ("first come", "random", "random kind", "called", "patrol")
"""In the order of their numbers in `model`."""


@dataclass(frozen=True, eq=False)
class Variable(Expression):
    """A whole number of the state; an element's is 0 while it works."""

    name: str = ""

    @property
    def number(self) -> int:
        """Its place in `State.x`."""
        return int(self.program[0][1])


@dataclass(frozen=True, eq=False)
class Gate(Expression):
    """Up while at least so many of its inputs are up; an expression that is 1 or 0."""

    name: str = ""

    @property
    def number(self) -> int:
        """Its place in `State.counts`."""
        return int(self.program[0][1])

    @property
    def n_up(self) -> Expression:
        """How many of its inputs are up."""
        return Expression(((COUNT, float(self.number)),))


@dataclass(frozen=True)
class Action:
    """What an event does to one target; made by the functions of `Machine` and of `actions`."""

    kind: int
    target: int
    value: int = 0
    prob: float = 1.0
    key: int = 0


@dataclass
class Event:
    """One event under construction."""

    name: str
    law: int
    speed_kind: int
    when: int
    value: int
    factor: float
    program: int
    key: int
    half: int
    memory: Memory
    label: int
    actions: list[Action] = field(default_factory=list)


@dataclass
class Names:
    """What the numbers of a compiled model stand for."""

    labels: list[str] = field(default_factory=list)
    """Of events, as told in causes and counts."""
    systems: list[str] = field(default_factory=list)
    rewards: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)


class Machine:
    """Collects variables, gates, events and rewards; `compile` makes them a `Model`.

    Parameters
    ----------
    seed : int
        Root of all random numbers.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.names = Names()
        self.laws = LawTable()
        self.events: list[Event] = []
        self.begins: list[int] = []
        self.rows: list[list[int]] = []
        """CREW, QUEUE, PRIORITY, POOL of each variable."""
        self.gate_needs: list[int] = []
        self.gate_inputs: list[list[Variable | Gate]] = []
        self.programs: list[tuple[tuple[int, float], ...]] = []
        self.rewards: list[int] = []
        self.systems: list[int] = []
        self.crews: list[tuple[list[int], int]] = []
        """SIZE, ORDER, TRAVELS, PREEMPTS; key."""
        self.queues: list[int] = []
        self.pools: list[tuple[int, int, float, int]] = []

    def variable(self, name: str, start: int = 0) -> Variable:
        """Add a whole number of the state."""
        self.begins.append(start)
        self.rows.append([-1, -1, 0, -1])
        return Variable(((VARIABLE, float(len(self.begins) - 1)),), name)

    def gate(self, name: str, need: int, inputs: Sequence["Variable | Gate"]) -> Gate:
        """Add a gate: up while `need` of its inputs are. A variable is up while it is 0; an input may come twice."""
        self.gate_needs.append(need)
        self.gate_inputs.append(list(inputs))
        return Gate(((UP, float(len(self.gate_needs) - 1)),), name)

    def label(self, name: str) -> int:
        """Number of a label, made when first asked for."""
        if name not in self.names.labels:
            self.names.labels.append(name)
        return self.names.labels.index(name)

    def system(self, name: str, gate: Gate) -> None:
        """Watch a gate: its outages are logged with what began them."""
        self.names.systems.append(name)
        self.systems.append(gate.number)

    def reward(self, name: str, value: Expression | float) -> None:
        """Integrate an expression over time."""
        self.names.rewards.append(name)
        self.rewards.append(self._program(expression(value)))

    def event(
        self,
        name: str,
        law: Law,
        *,
        when: Expression | float = 1.0,
        do: Mapping[Variable, Expression | int] | None = None,
        label: str | None = None,
        memory: Memory = "forget",
        purpose: str = "event",
        half: int = 0,
    ) -> int:
        """Add an event; returns its number.

        Parameters
        ----------
        name : str
            Element that it happens to; with `purpose` it makes the random numbers.
        law : Law
            Of the time from when it may happen until it does, at speed 1.
        when : expression
            Speed of its clock; 0 or a false condition holds it up.
        do : mapping of variable to expression
            Assignments, done in this order; later ones see what earlier ones did.
        label : str
            What is told as the cause of an outage and counted; the name by default.
        memory : str
            `forget`: held up, it draws anew when it may happen again; `keep`: it goes on with the time left.
        purpose, half : str, int
            Which numbers it draws: a repair takes the second half of its failure's.
        """
        kind, where, value, factor, program = self._speed(expression(when))
        self.names.events.append(name)
        self.events.append(
            Event(
                name=name,
                law=self.laws.add(law),
                speed_kind=kind,
                when=where,
                value=value,
                factor=factor,
                program=program,
                key=key_of(self.seed, name, purpose),
                half=half,
                memory=memory,
                label=self.label(label if label is not None else name),
            )
        )
        for target, new in (do or {}).items():
            self.act(self.set_to(target, new))
        return len(self.events) - 1

    def act(self, action: Action) -> None:
        """Let the event added last do this as well."""
        self.events[-1].actions.append(action)

    def set_to(self, target: Variable, new: Expression | int) -> Action:
        """An assignment."""
        if isinstance(new, Expression):
            return Action(at.COMPUTE, target.number, self._program(new))
        return Action(at.SET, target.number, int(new))

    def chance(self, action: Action, prob: float, element: str, purpose: str) -> Action:
        """The same action with a probability, decided by numbers of this name."""
        return Action(action.kind, action.target, action.value, prob, key_of(self.seed, element, purpose))

    def crew(self, name: str, size: int, order: str = "first come", *, travels: bool, preempts: bool) -> int:
        """Add a crew of so many people."""
        columns = [size, ORDERS.index(order), int(travels), int(preempts)]
        self.crews.append((columns, key_of(self.seed, name, "crew")))
        return len(self.crews) - 1

    def queue(self, crew: int) -> int:
        """Add a kind of element that a crew repairs."""
        self.queues.append(crew)
        return len(self.queues) - 1

    def pool(self, name: str, active: int, *, delayed: bool, success_prob: float) -> int:
        """Add a pool of elements of which `active` should work and the others are dormant."""
        self.pools.append((active, int(delayed), success_prob, key_of(self.seed, name, "switch-over")))
        return len(self.pools) - 1

    def send(self, name: str, law: Law, kind: int, *, to: int, action: int) -> None:
        """Add the event by which a crew is called (BY_CALL, to a queue) or looks around (BY_LOOK, a crew)."""
        self.event(name, law, purpose="crew event", label=name)
        self.events[-1].speed_kind, self.events[-1].when = kind, to
        self.act(Action(action, to))

    def _program(self, what: Expression) -> int:
        if deepest(what.program) > DEEPEST:
            raise ValueError(
                f"an expression holds more than {DEEPEST} values at a time: split it by a variable or gate"
            )
        self.programs.append(what.program)
        return len(self.programs) - 1

    def _speed(self, when: Expression) -> tuple[int, int, int, float, int]:
        """(kind, variable, value, factor, program); the common guard `x == 1` needs no program."""
        match when.program:
            case ((operation, variable), (0, value), (9, _)) if operation == VARIABLE:
                return at.BY_VALUE, int(variable), int(value), 1.0, 0
            case ((operation, variable), (0, value), (9, _), (0, factor), (6, _)) if operation == VARIABLE:
                return at.BY_VALUE, int(variable), int(value), factor, 0
        return at.BY_PROGRAM, -1, 0, 0.0, self._program(when)

    def compile(self) -> Model:
        """Return the model as flat arrays."""
        return _Compiler(self).model()


class _Compiler:
    """Lays a machine out."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.lists: list[int] = []

    def _listed(self, numbers: Sequence[int]) -> tuple[int, int]:
        self.lists.extend(numbers)
        return len(self.lists) - len(numbers), len(self.lists)

    def model(self) -> Model:
        m = self.machine
        offsets = np.cumsum([0, *(len(program) for program in m.programs)])
        flat = [operation for program in m.programs for operation in program]
        kinds, numbers, samples = m.laws.arrays()
        actions = [action for event in m.events for action in event.actions]
        variables, gates, crews, queues, pools = self._tables()
        return Model(
            events=self._events(),
            factors=np.array([e.factor for e in m.events], dtype=np.float64),
            keys=_keys(e.key for e in m.events),
            law_kinds=kinds,
            law_numbers=numbers,
            samples=samples,
            variables=variables,
            gates=gates,
            actions=_table([[a.kind, a.target, a.value] for a in actions], 3),
            action_probs=np.array([a.prob for a in actions], dtype=np.float64),
            action_keys=_keys(a.key for a in actions),
            crews=crews,
            crew_keys=_keys(key for _, key in m.crews),
            queues=queues,
            pools=pools,
            pool_probs=np.array([pool[2] for pool in m.pools], dtype=np.float64),
            pool_keys=_keys(pool[3] for pool in m.pools),
            lists=np.array(self.lists, dtype=np.int64),
            programs=np.array(offsets, dtype=np.int64),
            operations=np.array([operation for operation, _ in flat], dtype=np.int64),
            arguments=np.array([argument for _, argument in flat], dtype=np.float64),
            rewards=np.array(m.rewards, dtype=np.int64),
            systems=np.array(m.systems, dtype=np.int64),
        )

    def _events(self) -> Ints:
        rows, first = [], 0
        for e in self.machine.events:
            columns = [e.speed_kind, e.when, e.value, e.program, e.law, e.half, int(e.memory == "keep"), e.label]
            rows.append([*columns, first, first + len(e.actions)])
            first += len(e.actions)
        return _table(rows, at.N_EVENT_COLUMNS)

    def _tables(self) -> tuple[Ints, Ints, Ints, Ints, Ints]:
        m = self.machine
        by_variable = [self._dependents(VARIABLE, v) for v in range(len(m.begins))]
        variables = []
        for v, (begin, row) in enumerate(zip(m.begins, m.rows, strict=True)):
            gates = [g for g, inputs in enumerate(m.gate_inputs) for i in inputs if _is(i, VARIABLE, v)]
            events, rewards = by_variable[v]
            variables.append([begin, *row, *self._listed(events), *self._listed(gates)])
            variables[-1] = [*variables[-1], *self._listed(rewards)]
        gates_table = []
        counts = _first_counts(m)
        for g, need in enumerate(m.gate_needs):
            parents = [p for p, inputs in enumerate(m.gate_inputs) for i in inputs if _is(i, UP, g)]
            events, rewards = self._dependents(UP, g)
            columns = [need, counts[g], *self._listed(parents), *self._listed(events)]
            gates_table.append([*columns, *self._listed(rewards)])
        members = [[v for v, row in enumerate(m.rows) if row[1] == q] for q in range(len(m.queues))]
        queues = [[*self._listed(found), crew] for found, crew in zip(members, m.queues, strict=True)]
        crews = []
        for c, (columns, _) in enumerate(m.crews):
            of_crew = [v for v, row in enumerate(m.rows) if row[0] == c]
            own = [q for q, crew in enumerate(m.queues) if crew == c]
            crews.append([*columns, *self._listed(of_crew), *self._listed(own)])
        pools = [
            [active, delayed, *self._listed([v for v, row in enumerate(m.rows) if row[3] == p])]
            for p, (active, delayed, _, _) in enumerate(m.pools)
        ]
        return (
            _table(variables, at.N_VARIABLE_COLUMNS),
            _table(gates_table, at.N_GATE_COLUMNS),
            _table(crews, at.N_CREW_COLUMNS),
            _table(queues, at.N_QUEUE_COLUMNS),
            _table(pools, at.N_POOL_COLUMNS),
        )

    def _dependents(self, operation: int, number: int) -> tuple[list[int], list[int]]:
        """Events and rewards that look at a variable or gate."""
        m = self.machine
        looks = (VARIABLE,) if operation == VARIABLE else (UP, COUNT)
        events = [e for e, event in enumerate(m.events) if self._looks(event, operation, number)]
        rewards = [r for r, program in enumerate(m.rewards) if number in used(m.programs[program], *looks)]
        return events, rewards

    def _looks(self, event: Event, operation: int, number: int) -> bool:
        m = self.machine
        if event.speed_kind == at.BY_PROGRAM:
            looks = (VARIABLE,) if operation == VARIABLE else (UP, COUNT)
            return number in used(m.programs[event.program], *looks)
        if operation != VARIABLE:
            return False
        if event.speed_kind == at.BY_VALUE:
            return event.when == number
        crew = m.queues[event.when] if event.speed_kind == at.BY_CALL else event.when
        return m.rows[number][0] == crew


def _is(what: "Variable | Gate", operation: int, number: int) -> bool:
    return what.program[0] == (operation, float(number))


def _first_counts(m: Machine) -> list[int]:
    """Inputs of each gate that are up at the start; inputs are made before the gates above them."""
    counts: list[int] = []
    for inputs in m.gate_inputs:
        ups = [
            m.begins[i.number] == at.WORKS if isinstance(i, Variable) else counts[i.number] >= m.gate_needs[i.number]
            for i in inputs
        ]
        counts.append(sum(ups))
    return counts


def _table(rows: Sequence[Sequence[int]], n_columns: int) -> Ints:
    return np.array(rows, dtype=np.int64).reshape(len(rows), n_columns)


def _keys(keys: Iterable[int]) -> at.Keys:
    return np.array(list(keys), dtype=np.uint64)
