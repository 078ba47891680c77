"""The undisturbed course of an architecture: a trial in which nothing goes wrong, and where it is quiet.

Trials follow it while they are at rest (`sim.traffic.parking`). What happens without any fault, such as a pod that
is too hot at the peak of December, is not quiet: trials simulate it.
"""

from dataclasses import replace
from functools import lru_cache, partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sim.scenario.schema import Scenario
from sim.traffic import kernel
from sim.traffic.course import NEVER_KILLED, Course
from sim.traffic.engine import Traffic
from sim.traffic.layout import N_CLOCK, POD_OOM_LEVEL, POD_READY, POD_ROOM_LOSS, Floats
from sim.traffic.network import Network, copied
from sim.traffic.once import Arrays
from sim.traffic.parking import Courses
from sim.traffic.sameness import find_idle, same_parameters
from sim.world.design import PerDesign, design_text
from sim.world.log import Kind
from sim.world.shared_courses import made_once

if TYPE_CHECKING:
    from sim.world.trial import Trial

SHORTEST_S: Final = 14.0 * 86400.0
"""On shorter horizons the course costs as much as it saves."""
_KNOT_S: Final = 3600.0
_MOST_KNOTS: Final = 20_000
_MOST_COURSES: Final = 8
_LARGE: Final = ("moving", "totals", "traces")
"""A year of these is megabytes: workers share the memory, too."""
_PLAIN: Final = ("knot_s", *_LARGE, "is_open", "guards")


def why_simulated(scenario: Scenario) -> str:
    """Why no time of this architecture is skipped; empty if it may be."""
    if scenario.model.quiet == "simulate":
        return "model.quiet is simulate"
    if scenario.horizon < SHORTEST_S:
        return "the horizon is short"
    if not scenario.populations:
        return "nobody uses it"
    if scenario.model.noise == "always":
        return "model.noise is always"
    if scenario.operations is not None and scenario.operations.script:
        return "operations follow a script"
    scaled = [name for name, service in scenario.services.items() if service.autoscale is not None]
    return f"{scaled[0]} is scaled by an autoscaler" if scaled else ""


def courses_of(scenario: Scenario) -> Courses | None:
    """Courses of a design, each made once per process when first asked for; None if no time may be skipped."""
    return _courses.of(scenario)


def _courses_of_design(scenario: Scenario) -> Courses | None:
    if why_simulated(scenario):
        return None
    courses = lru_cache(maxsize=_MOST_COURSES)(partial(_course_of_run, scenario))
    return None if courses(()).is_open.all() else courses


_courses = PerDesign(_courses_of_design)


def _course_of_run(scenario: Scenario, more: tuple[int, ...]) -> Course:
    """The same as `_course`, of which one worker of a run makes the numbers, and answers questions, for all."""
    from sim.world.trial import blueprint_of

    made: list[Course] = []

    def make() -> Arrays:
        made.append(_course(scenario, more))
        plain = {name: getattr(made[0], name) for name in _PLAIN}
        return plain | {f"net.{name}": values for name, values in made[0].net._asdict().items()}

    name = sha256(f"{design_text(scenario)}\0{more!r}".encode()).digest()
    arrays, once = made_once(name, ("course",), make), partial(made_once, name)
    if made:
        return replace(made[0], once=once)
    net = Network(**{name: arrays[f"net.{name}"].copy() for name in Network._fields})
    plain: dict[str, Any] = {name: arrays[name] if name in _LARGE else arrays[name].copy() for name in _PLAIN}
    return Course(blueprint_of(scenario), scenario.model.tolerance, net=net, once=once, **plain)


def _course(scenario: Scenario, more: tuple[int, ...]) -> Course:
    """The course with these pods (rows) more than are placed, as people leave them after an incident."""
    from sim.world.trial import Trial, blueprint_of

    blueprint = blueprint_of(scenario)
    trial = Trial(_undisturbed(scenario), "undisturbed", 0, blueprint=blueprint)
    for row in more:
        trial.fleet.begin(trial.fleet.pods[row], warm=True)
    traffic, pods = trial.traffic, trial.traffic.net.pods
    leaks = pods[:, POD_ROOM_LOSS].copy()
    pods[np.isfinite(pods[:, POD_OOM_LEVEL]), POD_OOM_LEVEL] = NEVER_KILLED
    pods[:, POD_ROOM_LOSS] = 0.0
    knot_s = _knots(scenario.horizon)
    n = len(knot_s) - 1
    at, is_open = blueprint.layout.totals, np.zeros(n, dtype=bool)
    moving, totals = np.zeros((n + 1, at), dtype=np.float32), np.zeros((n + 1, blueprint.layout.size - at))
    traces = np.zeros((n + 1, 1 + 3 * len(traffic.names.populations) + 5 * len(traffic.names.pools)))
    moving[0], totals[0] = traffic.state[:at], traffic.state[at:]
    net, guards = traffic.net, traffic.guards
    for k, end_s in enumerate(knot_s[1:].tolist()):
        before = traffic.n_crossings, _n_events(trial)
        trial.play_to(end_s)
        moving[k + 1], totals[k + 1] = traffic.state[:at], traffic.state[at:]
        kernel.write_trace(end_s, traffic.state, traces[k + 1 : k + 2], np.zeros(N_CLOCK), traffic.net)
        if k == 0:  # guards of what is always below its level have flipped by now
            net, guards = copied(traffic.net), traffic.guards.copy()
        is_open[k] = before != (traffic.n_crossings, _n_events(trial)) or not _is_nominal(traffic, net, guards)
    net.pods[:, POD_ROOM_LOSS] = leaks
    return Course(blueprint, scenario.model.tolerance, knot_s, moving, totals, traces, is_open, net, guards)


def _knots(horizon_s: float) -> Floats:
    """Every full hour, where demand curves bend, and the horizon; fewer on the longest horizons."""
    distance_s = max(_KNOT_S, horizon_s / _MOST_KNOTS)
    return np.append(np.arange(np.ceil(horizon_s / distance_s)) * distance_s, horizon_s)


def _n_events(trial: "Trial") -> int:
    """Things that happened and that a trial at rest could not skip."""
    return sum(record.kind is not Kind.DR_TEST for record in trial.context.records)


def _is_nominal(traffic: Traffic, net: Network, guards: Floats) -> bool:
    idle = np.zeros(len(net.pools))
    find_idle(net, idle)
    running = (traffic.net.pods[:, POD_READY] == net.pods[:, POD_READY]).all()
    return bool(running) and same_parameters(traffic.net, traffic.guards, net, guards, idle)


def _undisturbed(scenario: Scenario) -> Scenario:
    """The same without faults; of single requests there are none."""
    failover = scenario.failover
    if failover.provider is not None:
        failover = failover.model_copy(update={"provider": failover.provider.model_copy(update={"availability": 1.0})})
    model = scenario.model.model_copy(update={"noise_requests": 0})
    return scenario.model_copy(update={"faults": {}, "failover": failover, "model": model})
