"""The data plane against exact fluid queues, memory limits and a small queue solved by PRISM.

A fluid formula is deterministic: quantities to 1e-9, moments to 1e-6 s. Each trial starts in the state that its truth
assumes (all slots busy, nobody waiting), because the engine's own trials start empty. The expected values stand beside
each scenario; C17 and so on name the entries of the truths.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scenarios import DAY_S, FAR_S, at, fixed, one_pool, service, users

from sim.oracles import closed_forms as forms
from sim.oracles import queue_forms as queues
from sim.scenario.schema import CrashLoop, Effect, Fault, Model, PodMemory, Repair, Scenario
from sim.traffic.answers import look_up
from sim.traffic.assemble import assemble
from sim.traffic.engine import Traffic
from sim.traffic.layout import ALG_WAIT_S, GUARD, GUARD_IN_FLIGHT
from sim.world import Kind
from sim.world.trial import Trial

TRUTHS = json.loads((Path(__file__).parent / "truths" / "closed_form.json").read_text(encoding="utf-8"))
QUANTITY = {"rel": 1e-9}
MOMENT_S = 1e-6
SLOTS = 100.0
START_WAITING = 1e-9
"""Just above the kink of min(x, slots), on the side where the truth begins; too little to be seen at 1e-9."""


# --- C17, C18: a surge that overloads, a lull that empties -----------------------------------------------

SURGE_S, PATIENCE_S = 60.0, 10.0


def overload(patience_s: float | None, *, surge: float = 1.5, memory: PodMemory | None = None) -> Scenario:
    """Capacity 100/s (100 slots of 1 s); 80/s, times `surge` for the first minute."""
    boost = Fault(
        target="population u",
        at=at(0.0),
        effect=Effect(demand=surge),
        repair=Repair(law=fixed(SURGE_S)),
    )
    return one_pool(
        1,
        200.0,
        service=service(work=1.0, slots=int(SLOTS), queue=100_000, patience=patience_s, memory=memory),
        populations={"u": users(requests=80.0, deadline=FAR_S)},
        faults={"boost": boost},
        model=Model(queues="fluid", oom="mean", tolerance=1e-3, noise="never"),
    )


class Surge:
    """The data plane of `overload`, all slots busy at 0, driven by hand."""

    def __init__(self, patience_s: float | None, surge: float = 1.5) -> None:
        self.traffic = Traffic(assemble(overload(patience_s)), tolerance=1e-3)
        self.traffic.start_pod(0, oom_level=math.inf)
        self.traffic.state[0] = SLOTS + START_WAITING
        self.traffic.set_demand_factor(0, surge)

    def waiting_at(self, at_s: float) -> float:
        """Requests waiting at a moment of the surge."""
        self.traffic.advance(at_s)
        return self.traffic.in_flight(0) - SLOTS

    def empty_at_s(self) -> float:
        """When nobody waits any more, after the surge."""
        self.waiting_at(SURGE_S)
        self.traffic.set_demand_factor(0, 1.0)
        self.traffic.add_guard(GUARD_IN_FLIGHT, 1, SLOTS)
        assert self.traffic.advance(1000.0) == (GUARD, 0)
        return self.traffic.now_s

    def gone(self, arrived: float) -> float:
        """Requests that left the queue so far: arrived, less done (all slots were busy), less waiting."""
        return arrived - SLOTS * self.traffic.now_s - (self.traffic.in_flight(0) - SLOTS)


def c17(patience_s: float | None = PATIENCE_S, *, surge: float = 1.5) -> dict[str, tuple[float, object]]:
    """Every figure of C17 beside the one expected."""
    truth, plane = TRUTHS["F01"], Surge(patience_s, surge)
    found: dict[str, tuple[float, object]] = {
        "q(10)": (plane.waiting_at(10.0), pytest.approx(truth["q_t10"], **QUANTITY)),
        "q(60)": (plane.waiting_at(SURGE_S), pytest.approx(200 * -math.expm1(-6), **QUANTITY)),
    }
    arrived = 80.0 * surge * SURGE_S
    in_surge = plane.gone(arrived)
    found["left in the surge"] = (in_surge, pytest.approx(truth["abandoned_overload"], **QUANTITY))
    drain_s = plane.empty_at_s() - SURGE_S
    found["drain"] = (drain_s, pytest.approx(10 * math.log1p(truth["q_end"] / 200), abs=MOMENT_S))
    afterwards = plane.gone(arrived + 80.0 * drain_s) - in_surge
    # What is left after is known to 1e-6 s x 100/s.
    found["left in the lull"] = (afterwards, pytest.approx(truth["abandoned_drain"], abs=100 * MOMENT_S))
    # The engine books success at arrival: all who arrived before the queue was empty and did not leave were served.
    # Totals follow the states by trapezoids and have no error control of their own: 1e-5 was measured.
    good = plane.traffic.totals(0)[1]
    found["served"] = (good, pytest.approx(SLOTS * (SURGE_S + truth["drain_s"]), rel=3e-5))
    return found


def wrong(figures: dict[str, tuple[float, object]]) -> set[str]:
    """Names of the figures that are not as expected."""
    return {name for name, (found, expected) in figures.items() if found != expected}


def test_c17_overload_with_abandonment() -> None:
    figures = c17()
    assert not wrong(figures), {name: figures[name] for name in wrong(figures)}


@pytest.mark.parametrize("broken", [{"patience_s": None}, {"patience_s": 10.001}, {"surge": 1.5001}])
def test_c17_another_queue_fails(broken: dict[str, float]) -> None:
    assert wrong(c17(**broken)) >= {"q(10)", "q(60)", "left in the surge", "drain", "left in the lull"}


def test_c17_without_abandonment_more_are_served() -> None:
    """Negative control of the served: without abandonment it is everybody who came, 1000 more."""
    served, expected = c17(None)["served"]
    assert served != expected
    assert served == pytest.approx(120 * SURGE_S + 80 * TRUTHS["F02"]["drain_s"], rel=1e-6)


def c18(surge: float = 1.5) -> dict[str, tuple[float, object]]:
    """Every figure of C18 beside the one expected."""
    truth, plane = TRUTHS["F02"], Surge(None, surge)
    found: dict[str, tuple[float, object]] = {"q(60)": (plane.waiting_at(SURGE_S), pytest.approx(20 * 60, **QUANTITY))}
    longest_s = float(plane.traffic.net.pod_algebra[0, ALG_WAIT_S])
    found["longest wait"] = (longest_s, pytest.approx(truth["peak_wait_s"], **QUANTITY))
    found["empty"] = (plane.empty_at_s(), pytest.approx(SURGE_S + truth["drain_s"], abs=MOMENT_S))
    # Request-seconds: the area under the number waiting, which has one corner and is sampled there.
    again, waiting = Surge(None, surge), [0.0]
    for second in range(1, 121):
        if second == 61:
            again.traffic.set_demand_factor(0, 1.0)
        waiting.append(again.waiting_at(float(second)))
    found["delay"] = (float(np.trapezoid(waiting)), pytest.approx(truth["total_delay_job_s"], **QUANTITY))
    return found


def test_c18_overload_without_abandonment() -> None:
    figures = c18()
    assert not wrong(figures), {name: figures[name] for name in wrong(figures)}


def test_c18_a_larger_surge_fails() -> None:
    assert wrong(c18(surge=1.5001)) == {"q(60)", "longest wait", "empty", "delay"}


@pytest.mark.parametrize(("patience_s", "truth"), [(PATIENCE_S, "F01"), (None, "F02")])
def test_c17_c18_with_the_control_plane(patience_s: float | None, truth: str) -> None:
    """The surge as a fault, in a whole trial: guards fire at the published moments."""
    trial, moments = Trial(overload(patience_s), "a", 0), []
    trial.traffic.state[0] = SLOTS + START_WAITING
    # A guard notes a rise only 1e-6 above its level, so that it cannot flutter.
    watched = (SLOTS + TRUTHS["F01"]["q_t10"]) / (1 + 1e-6)

    def crossed(below: bool) -> None:
        moments.append((trial.context.now_s, below))

    trial.context.watch(GUARD_IN_FLIGHT, 1, SLOTS, crossed)
    trial.context.watch(GUARD_IN_FLIGHT, 1, watched, crossed)
    trial.run()
    rise_s = 10.0 if truth == "F01" else TRUTHS["F01"]["q_t10"] / 20.0
    above, empty = [at_s for at_s, below in moments if not below][:1], moments[-1]
    assert above == pytest.approx([rise_s], abs=MOMENT_S)
    assert empty == (pytest.approx(SURGE_S + TRUTHS[truth]["drain_s"], abs=MOMENT_S), True)


# --- C22, C23: memory ----------------------------------------------------------------------------------

LIMIT, BASE, PER_REQUEST = 1024.0, 256.0, 1.5
FULL_AT = forms.in_flight_at_oom(LIMIT, BASE, PER_REQUEST)  # 512


def killed(base: float, limit: float = LIMIT) -> tuple[float, float]:
    """When the pod of C17, without abandonment, is killed (s), and how many requests were inside then."""
    memory = PodMemory(base=base, per_request=PER_REQUEST, limit=limit)
    trial = Trial(overload(None, memory=memory), "a", 0)
    trial.traffic.state[0] = SLOTS + START_WAITING
    inside: list[float] = []
    kill = trial.fleet.oom_kill

    def note_and_kill(pod: object) -> None:
        inside.append(trial.traffic.in_flight(0))
        kill(pod)  # type: ignore[arg-type]

    trial.fleet.oom_kill = note_and_kill  # type: ignore[method-assign]
    record = trial.run()
    kills = [entry.at_s for entry in record.records if entry.kind is Kind.OOM_KILL]
    return kills[0], inside[0]


def test_c22_killed_at_512_in_flight() -> None:
    """Of the 512, 100 are in the slots already at 0: the rest come at 20/s."""
    assert TRUTHS["F06"]["inflight_at_oom"] == FULL_AT == 512
    assert killed(BASE) == (pytest.approx((512 - SLOTS) / 20, abs=MOMENT_S), pytest.approx(512, **QUANTITY))


def test_c22_killed_after_25_6_s() -> None:
    """The truth counts from an empty pod: the memory of the 100 in the slots belongs to its base."""
    at_s, inside = killed(BASE - PER_REQUEST * SLOTS)
    assert at_s == pytest.approx(TRUTHS["F06"]["t_oom_s"], abs=MOMENT_S) == 25.6
    assert inside - SLOTS == pytest.approx(TRUTHS["F06"]["inflight_at_oom"], **QUANTITY)


def test_c22_another_limit_fails() -> None:
    at_s, inside = killed(BASE, LIMIT + 0.001)
    assert at_s != pytest.approx((512 - SLOTS) / 20, abs=MOMENT_S)
    assert inside != pytest.approx(512, **QUANTITY)


LEAK = forms.leak_cycle(300.0, 1024.0, 2.0, 20 / 60)  # minutes: from 300 to 1024 MiB at 2 MiB/min, 20 s down


def leak_figures(leak_mib_per_min: float = 2.0, crash_loop: CrashLoop | None = None) -> dict[str, tuple[float, object]]:
    """Every figure of C23 over 50 whole cycles, beside the one expected."""
    truth, n_cycles = TRUTHS["F07"], 50
    cycle_s = truth["time_to_oom_s"] + 20.0
    leaky = service(
        memory=PodMemory(base=300.0, limit=1024.0, leak=leak_mib_per_min / 60),
        startup=20.0,
        crash_loop=CrashLoop() if crash_loop is None else crash_loop,
    )
    record = Trial(one_pool(1, n_cycles * cycle_s, service=leaky), "a", 0).run()
    kills = [entry.at_s for entry in record.records if entry.kind is Kind.OOM_KILL]
    ready = [0.0, *(entry.at_s for entry in record.records if entry.kind is Kind.POD_READY)]
    up_s = [kill - start for kill, start in zip(kills, ready, strict=False)]
    below = [entry for entry in record.records if entry.kind in (Kind.SLI_BELOW, Kind.SLI_ABOVE)]
    times = [entry.at_s for entry in below] + [record.horizon_s] * (len(below) % 2)
    down_s = sum(end - start for start, end in zip(times[::2], times[1::2], strict=True))
    return {
        "first": (kills[0], pytest.approx(LEAK.time_to_oom * 60, abs=MOMENT_S)),
        "longest": (max(up_s), pytest.approx(truth["time_to_oom_s"], abs=2 * MOMENT_S)),
        "shortest": (min(up_s), pytest.approx(truth["time_to_oom_s"], abs=2 * MOMENT_S)),
        "last": (kills[-1], pytest.approx(n_cycles * cycle_s - 20.0, abs=n_cycles * MOMENT_S)),
        "kills a day": (len(kills) / record.horizon_s * DAY_S, pytest.approx(truth["ooms_per_day"], **QUANTITY)),
        "availability": (1 - down_s / record.horizon_s, pytest.approx(truth["A"], **QUANTITY)),
    }


def test_c23_a_leak_kills_every_21720_s() -> None:
    figures = leak_figures()
    assert not wrong(figures), {name: figures[name] for name in wrong(figures)}


@pytest.mark.parametrize(
    ("broken", "failing"),
    [
        ({"leak_mib_per_min": 2.2}, {"first", "longest", "shortest", "last", "kills a day", "availability"}),
        # A back-off that never forgets grows to 300 s.
        ({"crash_loop": CrashLoop(reset=1e7)}, {"last", "kills a day", "availability"}),
    ],
)
def test_c23_another_leak_or_back_off_fails(broken: dict[str, object], failing: set[str]) -> None:
    assert wrong(leak_figures(**broken)) == failing  # type: ignore[arg-type]


# --- A07: M/M/1 with room for 3 ------------------------------------------------------------------------

A07 = queues.mmck(1, 3, 1.5, 3.0)


def small_queue(model: Model) -> Traffic:
    """Arrivals 1.5/s, service 3/s, room for 3 in all, empty at 0."""
    scenario = one_pool(
        1,
        1000.0,
        service=service(work=1 / 3, slots=1, queue=2),
        populations={"u": users(requests=1.5, deadline=FAR_S)},
        model=model,
    )
    plane = Traffic(assemble(scenario), tolerance=model.tolerance)
    plane.start_pod(0, oom_level=math.inf)
    return plane


FINE = Model(tolerance=0.01, noise="never")
FLUID = Model(queues="fluid", tolerance=0.01, noise="never")


def steady_state(model: Model) -> dict[str, tuple[float, object]]:
    """Where the data plane settles, beside the exact queue."""
    plane = small_queue(model)
    plane.advance(500.0)
    offered, good, *_ = plane.totals(0)
    plane.advance(1000.0)
    rejected = 1 - (plane.totals(0)[1] - good) / (plane.totals(0)[0] - offered)
    return {
        "rejected": (rejected, pytest.approx(1 / 15, abs=1e-6)),
        "in system": (plane.in_flight(0), pytest.approx(A07.in_system, abs=1e-5)),
    }


def test_a07_table() -> None:
    """At the exact mean number inside, the table gives the exact blocking and throughput."""
    busy, blocked, *_ = look_up(small_queue(FINE).net.tables, 0, A07.in_system)
    assert blocked == pytest.approx(TRUTHS["P01"]["S_full"], abs=1e-6) == 1 / 15
    assert busy * 3.0 == pytest.approx(A07.throughput, abs=1e-6)


def test_a07_steady_state() -> None:
    figures = steady_state(FINE)
    assert not wrong(figures), {name: figures[name] for name in wrong(figures)}


def test_a07_the_plain_fluid_rejects_nobody() -> None:
    """Negative control: min(x, slots) has no queue and no loss below saturation."""
    assert wrong(steady_state(FLUID)) == {"rejected", "in system"}


def transient(model: Model) -> dict[str, float]:
    """Errors, relative: mean in system at 1 s and services completed by 5.5 s, from empty."""
    plane = small_queue(model)
    plane.advance(1.0)
    in_system = plane.in_flight(0)
    plane.advance(5.5)
    # Success is booked at arrival; those inside are not completed yet.
    completed = plane.totals(0)[1] - plane.in_flight(0)
    return {
        "in system": in_system / TRUTHS["P01"]["queue_I1"] - 1,
        "completed": completed / TRUTHS["P01"]["served55"] - 1,
    }


# The table gives the busy share of a queue that has settled at the same mean. A queue that has just begun to fill is
# less spread out, hence busier: the engine completes less at first and has more inside.
A07_ERRORS = {"in system": (0.020, 0.030), "completed": (-0.003, -0.001)}


def beyond(errors: dict[str, float]) -> set[str]:
    """Names of the errors outside of what is stated."""
    return {name for name, (low, high) in A07_ERRORS.items() if not low <= errors[name] <= high}


def test_a07_transients_within_the_stated_error() -> None:
    errors = transient(FINE)
    assert not beyond(errors), errors


def test_a07_the_plain_fluid_is_beyond_it() -> None:
    """Negative control: -20 % inside and +10 % completed."""
    errors = transient(FLUID)
    assert beyond(errors) == set(A07_ERRORS)
    assert abs(errors["in system"]) > 5 * A07_ERRORS["in system"][1]
    assert errors["completed"] > 0.05
