"""From a scenario of elements to a machine: each block of the file as variables, gates and events.

An element kind of count n is n variables `NAME/1` ... `NAME/n`, so that a design with more of them shares the histories
of those that both have. A failure draws the first half of its element's n-th number, the
repair that follows the second.
"""

from dataclasses import dataclass
from typing import Final

from sim.laws import Exponential, Fixed, Law, law_of
from sim.reliability import model as at
from sim.reliability.expressions import Expression, expression
from sim.reliability.machine import Action, Gate, Machine, Variable
from sim.scenario.reliability import Element, ReliabilityScenario, System, part_of, roots_of

REPAIR: Final = "repair: "
"""Begins the label of a repair."""
OTHER: Final = "other"
DELIVERED: Final = "delivered"
"""Name of the reward of what the measured system delivers; the first of all."""
CYCLE: Final = "cycle"


@dataclass(frozen=True)
class Built:
    """A machine and what its gates stand for."""

    machine: Machine
    gates: dict[str, Gate]
    """By system, and by element kind (up while all of the kind are; `n_up` counts them)."""
    members: dict[str, list[Variable]]


def build(scenario: ReliabilityScenario) -> Built:
    """Make the machine of a scenario; times are seconds.

    The watched systems are the one whose availability is the answer, then the others that no system names.
    """
    return _Builder(scenario).built()


class _Builder:
    """Adds one block after the other; variables first, because gates and events look at them."""

    def __init__(self, scenario: ReliabilityScenario) -> None:
        self.scenario = scenario
        self.machine = Machine(scenario.seed)
        self.members: dict[str, list[Variable]] = {}
        self.gates: dict[str, Gate] = {}
        self.ages: dict[int, Variable] = {}
        self.pool_of = {part: name for name, pool in scenario.standby.items() for part in pool.of}

    def built(self) -> Built:
        self._variables()
        self._crews()
        self._pools()
        for name in self.scenario.elements:
            self._kind_gate(name)
        for name in self.scenario.systems:
            self._system_gate(name)
        for name, element in self.scenario.elements.items():
            self._life(name, element)
        for name, shock in self.scenario.common_causes.items():
            self._shock(name, law_of(shock.every), dict(shock.hits))
        self._watch()
        return Built(self.machine, self.gates, self.members)

    def _variables(self) -> None:
        for name, element in self.scenario.elements.items():
            self.members[name] = [self.machine.variable(f"{name}/{i}") for i in range(1, element.count + 1)]

    def _crews(self) -> None:
        m = self.machine
        for name, crew in self.scenario.crews.items():
            number = m.crew(name, crew.size, crew.order, travels=crew.travel is not None, preempts=crew.preempts)
            for kind, element in self.scenario.elements.items():
                if element.crew != name:
                    continue
                queue = m.queue(number)
                for member in self.members[kind]:
                    m.rows[member.number][:3] = [number, queue, element.priority]
                if crew.call is not None:
                    m.send(f"{name}: {kind}", law_of(crew.call), at.BY_CALL, to=queue, action=at.ASSIGN)
                    m.events[-1].label = m.label(OTHER)
            if crew.look is not None:
                m.send(name, law_of(crew.look), at.BY_LOOK, to=number, action=at.LOOK)
                m.events[-1].label = m.label(OTHER)

    def _pools(self) -> None:
        m = self.machine
        for name, pool in self.scenario.standby.items():
            number = m.pool(name, pool.active, delayed=pool.takes is not None, success_prob=pool.success)
            members = [member for part in pool.of for member in self.members[part]]
            for i, member in enumerate(members):
                m.rows[member.number][3] = number
                m.begins[member.number] = at.WORKS if i < pool.active else at.DORMANT
                if pool.takes is not None:
                    self._event(member.name, law_of(pool.takes), member == at.STARTING, "start")
                    start = Action(at.START, member.number)
                    m.act(m.chance(start, pool.success, member.name, "switch-over"))

    def _kind_gate(self, name: str) -> None:
        members = self.members[name]
        self.gates[name] = self.machine.gate(name, len(members), members)

    def _system_gate(self, name: str) -> None:
        """Gates from below upwards: a system's parts come first."""
        if name in self.gates:
            return
        system = self.scenario.systems[name]
        inputs: list[Variable | Gate] = []
        for text in (*system.all, *system.any, *system.of):
            need, part = part_of(text)
            if part in self.scenario.systems:
                self._system_gate(part)
                inputs.append(self.gates[part])
            elif need is not None:
                inputs.append(self.machine.gate(text, need, self.members[part]))
            else:
                inputs.extend(self.members[part])
        need = len(inputs) if system.all else system.at_least or 1
        self.gates[name] = self.machine.gate(name, need, inputs)

    def _event(self, name: str, law: Law, when: Expression | float, purpose: str, label: str = OTHER) -> int:
        return self.machine.event(name, law, when=when, purpose=purpose, label=label, memory="keep")

    def _alive(self, name: str, member: Variable) -> Expression:
        """Speed at which a member's life goes by."""
        element = self.scenario.elements[name]
        speed: Expression = member == at.WORKS
        if name in self.pool_of and (dormant := self.scenario.standby[self.pool_of[name]].dormant):
            speed = speed + dormant * ((member == at.DORMANT) | (member == at.STARTING))
        return speed * self.gates[element.only_while] if element.only_while else speed

    def _life(self, name: str, element: Element) -> None:
        m, beta = self.machine, element.common_cause or 0.0
        for member in self.members[name]:
            if element.fails is not None and beta < 1.0:
                law = law_of(element.fails)
                law = Exponential(law.mean_s / (1.0 - beta)) if beta else law
                self._event(member.name, law, self._alive(name, member), CYCLE, name)
                m.act(Action(at.STRIKE, member.number))
            renewals = self._ageing(name, element, member)
            self._repairs(name, element, member, renewals)
            if element.maintenance is not None:
                self._maintenance(name, element, member, renewals)
            crew = self.scenario.crews[element.crew] if element.crew else None
            if crew is not None and crew.travel is not None:
                self._event(member.name, law_of(crew.travel), member == at.TRAVELLED_TO, "travel")
                m.act(m.set_to(member, at.REPAIRED))
        if beta and element.fails is not None:
            law = Exponential(law_of(element.fails).mean_s / beta)
            held = self.gates[element.only_while] if element.only_while else expression(1.0)
            m.event(name, law, when=held, purpose="common cause", label=f"{name} (common cause)", memory="keep")
            for member in self.members[name]:
                m.act(Action(at.STRIKE, member.number))

    def _ageing(self, name: str, element: Element, member: Variable) -> list[Action]:
        """Add the second way to fail; return what makes the element young again."""
        if element.ageing is None:
            return []
        m, alive = self.machine, self._alive(name, member)
        aged = m.variable(f"{member.name} aged")
        self.ages[member.number] = aged
        onset = self._event(member.name, law_of(element.ageing.onset), alive * (aged == 0), "ageing onset")
        m.act(m.set_to(aged, 1))
        fails = self._event(
            member.name, law_of(element.ageing.fails), alive * (aged == 1), "ageing", f"{name} (ageing)"
        )
        m.act(m.set_to(aged, 2))
        m.act(Action(at.STRIKE, member.number))
        return [m.set_to(aged, 0), Action(at.RENEW, onset), Action(at.RENEW, fails)]

    def _repairs(self, name: str, element: Element, member: Variable, renewals: list[Action]) -> None:
        m, aged = self.machine, self.ages.get(member.number)
        own_repair = element.ageing.repair if element.ageing is not None else None
        ways: list[tuple[Law, Expression, str]] = []
        down = member == at.REPAIRED
        if element.repair is not None:
            when = down * (aged != 2) if aged is not None and own_repair is not None else down
            ways.append((law_of(element.repair), when, CYCLE))
        if aged is not None and own_repair is not None:
            ways.append((law_of(own_repair), down * (aged == 2), "repair of ageing"))
        for law, when, purpose in ways:
            self._event(member.name, law, when, purpose, REPAIR + name)
            m.events[-1].half = 1
            m.act(Action(at.SERVE, member.number))
            for action in renewals:
                m.act(action)

    def _maintenance(self, name: str, element: Element, member: Variable, renewals: list[Action]) -> None:
        m, plan = self.machine, element.maintenance
        assert plan is not None, "asked by _life"
        self._event(member.name, Fixed(plan.every), 1.0, "maintenance due", f"{name} (maintenance)")
        works = member == at.WORKS
        m.act(m.set_to(member, works * at.MAINTAINED + (~works) * member))
        self._event(member.name, law_of(plan.takes), member == at.MAINTAINED, "maintenance")
        m.act(m.set_to(member, at.WORKS))
        for action in renewals if plan.renews else ():
            m.act(action)

    def _shock(self, name: str, law: Law, hits: dict[str, float]) -> None:
        self.machine.event(name, law, purpose="shock", label=name)
        for kind, prob in hits.items():
            for member in self.members[kind]:
                strike = Action(at.STRIKE, member.number)
                self.machine.act(self.machine.chance(strike, prob, f"{name} on {member.name}", "strike"))

    def _watch(self) -> None:
        m = self.machine
        m.reward(DELIVERED, self._delivered(self.scenario.measured, self.scenario.systems[self.scenario.measured]))
        for name in self.scenario.elements:
            m.reward(name, self.gates[name].n_up)
        for name in dict.fromkeys([self.scenario.measured, *roots_of(self.scenario)]):
            m.system(name, self.gates[name])

    def _delivered(self, name: str, system: System) -> Expression:
        """What a system's answer is worth now: 0 while it is down."""
        worth: Expression = self.gates[name]
        for part, without in system.soft.items():
            worth = worth * (without + (1.0 - without) * self.gates[part])
        if not system.capacity:
            return worth
        total: Expression = expression(0.0)
        for part, share in system.capacity.items():
            n = len(self.members[part]) if part in self.members else 0
            total = total + (self.gates[part].n_up * (share / n) if n else self.gates[part] * share)
        return worth * total
