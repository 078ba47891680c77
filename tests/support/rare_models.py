"""Systems that hardly ever fail, as machines, and their exact values: closed forms, published chains, sparse solves."""

import math
from itertools import product

import numpy as np
from scipy import sparse, stats
from scipy.sparse.linalg import expm_multiply, spsolve

from sim.laws import Exponential, Law
from sim.reliability import model as at
from sim.reliability.machine import Action, Gate, Machine, Variable


def unit(machine: Machine, name: str, failure: Law, repair: Law, queue: tuple[int, int] | None = None) -> Variable:
    """An element that fails and is repaired, by itself or by the crew whose queue (crew, queue) it waits in."""
    x = machine.variable(name)
    if queue is not None:
        machine.rows[x.number] = [queue[0], queue[1], 0, -1]
    machine.event(name, failure, when=x == at.WORKS, label=f"failure of {name}", purpose="failure")
    machine.act(Action(at.STRIKE, x.number))
    machine.event(name, repair, when=x == at.REPAIRED, label=f"repair of {name}", purpose="repair")
    machine.act(Action(at.SERVE, x.number))
    return x


def k_of_n(n: int, down_with: int, failure: Law, repair: Law, *, seed: int = 1, crew: int = 0) -> tuple[Machine, Gate]:
    """n alike units; the system is down with so many of them down. A crew of so many, or each repaired by itself."""
    machine = Machine(seed)
    queue = None
    if crew:
        number = machine.crew("crew", crew, travels=False, preempts=False)
        queue = (number, machine.queue(number))
    units = [unit(machine, f"unit {i}", failure, repair, queue) for i in range(n)]
    gate = machine.gate("system", n - down_with + 1, units)
    machine.system("system", gate)
    return machine, gate


def binomial_unavailability(n: int, down_with: int, failure_rate: float, repair_rate: float) -> float:
    """Independent repair: the binomial tail."""
    return float(stats.binom.sf(down_with - 1, n, failure_rate / (failure_rate + repair_rate)))


def two_groups(*, seed: int = 1) -> tuple[Machine, Gate]:
    """Two 2-of-3 groups, 0.001 failures per unit and hour, one repairer each at 0.1 per hour; down when both are."""
    machine = Machine(seed)
    groups = []
    for name in ("one", "two"):
        crew = machine.crew(f"repairer {name}", 1, travels=False, preempts=False)
        queue = (crew, machine.queue(crew))
        units = [unit(machine, f"{name} {i}", Exponential(1000.0), Exponential(10.0), queue) for i in range(3)]
        groups.append(machine.gate(f"group {name}", 2, units))
    gate = machine.gate("either", 1, groups)
    machine.system("either", gate)
    return machine, gate


def two_groups_exact(horizon_h: float = 8760.0) -> tuple[float, float]:
    """P(both groups down at once by the horizon) and long-run probability that they are, by the chain of 16 states."""
    states = list(product(range(4), repeat=2))
    index = {state: i for i, state in enumerate(states)}
    q = np.zeros((16, 16))
    for state in states:
        for g in (0, 1):
            for step, rate in ((1, 0.001 * (3 - state[g])), (-1, 0.1 if state[g] else 0.0)):
                to = list(state)
                to[g] += step
                if rate > 0:
                    q[index[state], index[(to[0], to[1])]] += rate
    np.fill_diagonal(q, -q.sum(axis=1))
    down = [index[state] for state in states if min(state) >= 2]
    balance = q.T.copy()
    balance[-1] = 1.0
    right = np.zeros(16)
    right[-1] = 1.0
    long_run = spsolve(sparse.csc_matrix(balance), right)
    absorbing = q.copy()
    absorbing[down] = 0.0
    start = np.zeros(16)
    start[0] = 1.0
    at_horizon = expm_multiply(sparse.csc_matrix(absorbing.T) * horizon_h, start)
    return float(at_horizon[down].sum()), float(long_run[down].sum())


def cluster(n: int, *, seed: int = 1) -> tuple[Machine, Gate]:
    """A01, A04: two sub-clusters of n workstations, a switch each, a backbone, one repairman; minimum service; h."""
    machine = Machine(seed)
    crew = machine.crew("repairman", 1, "called", travels=False, preempts=False)

    def kind(name: str, count: int, mttf: float, repair: float) -> list[Variable]:
        queue = machine.queue(crew)
        found = [
            unit(machine, f"{name} {i}", Exponential(mttf), Exponential(repair), (crew, queue)) for i in range(count)
        ]
        machine.send(f"call for {name}", Exponential(0.1), at.BY_CALL, to=queue, action=at.ASSIGN)
        return found

    left, right = kind("left", n, 500.0, 0.5), kind("right", n, 500.0, 0.5)
    left_switch, right_switch = kind("left switch", 1, 4000.0, 4.0), kind("right switch", 1, 4000.0, 4.0)
    backbone = kind("backbone", 1, 5000.0, 8.0)
    k = math.floor(0.75 * n)
    sides = [
        machine.gate(f"{name} side", 2, [machine.gate(f"{name} stations", k, stations), *switch])
        for name, stations, switch in (("left", left, left_switch), ("right", right, right_switch))
    ]
    both = machine.gate(
        "together", 4, [machine.gate("all stations", k, left + right), *left_switch, *right_switch, *backbone]
    )
    gate = machine.gate("minimum", 1, [*sides, both])
    machine.system("minimum", gate)
    return machine, gate


def z_of(mean: float, low: float, high: float, truth: float) -> float:
    """How many standard errors the estimate is off, by the half of the interval on that side."""
    arm = (high - mean) if truth > mean else (mean - low)
    return abs(truth - mean) / (arm / 1.96)
