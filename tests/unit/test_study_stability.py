"""The bench and the analysis: what a congested start is, verdicts, triggers, remedies, the scenario's own faults."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scenarios import call, exponential, fixed, one_pool, service, several, users
from small_study import small_experiment
from stability_fixture import make_stability

from sim.errors import UsageError
from sim.scenario.document import Experiment
from sim.scenario.schema import (
    Breaker,
    Calendar,
    CommonCause,
    CrashLoop,
    Effect,
    Fault,
    LawSpec,
    Model,
    Nodes,
    PodMemory,
    Probe,
    Region,
    Repair,
    Scenario,
)
from sim.study.margins import pool_kill_time_s
from sim.study.stability import (
    SETTLE_S,
    Blow,
    Cell,
    State,
    analyse,
    chance_load,
    collapses,
    column_of,
    columns_for,
    critical_load,
    highest_load,
    is_healthy,
    shortest_trigger_s,
    tips,
)
from sim.study.stability_all import analyse_all
from sim.study.stability_bench import Bench, Ending, Loss, slowdown, system_of
from sim.study.stability_cells import BEFORE_S, border_cells, cell_scenario
from sim.study.stability_faults import OwnTrigger, own_triggers
from sim.study.stability_remedies import remedies
from sim.traffic.layout import POD_SLOW
from sim.world import Kind, run_trial

FLUID = Model(queues="fluid", noise="never", tolerance=1.0)
DOWN, FOUR_TIMES, TEN_MINUTES = Effect(down=True), Effect(slow=4.0), Repair(law=fixed(600.0))
WAITING = {
    "s": service(work=0.005, slots=100, calls={"d": call(timeout=60.0)}),
    "d": service(work=0.095, slots=1000, work_spread=0.0),
}
"""Slots of `s` are held for 100 ms, 5 of them own work."""


def server(attempts: int = 2, *, pods: int = 1, **fields: object) -> Scenario:
    """100/s in all, queues of 10 s, clients that wait 5 s; the peak is 80/s."""
    pod = service(**({"work": 0.1, "slots": 10 // pods, "queue": 1000 // pods} | fields))
    clients = users(requests=80.0, deadline=5.0, attempts=attempts, backoff=0.1)
    return one_pool(pods, 3600.0, service=pod, populations={"u": clients}, model=FLUID)


def crashing(queue: int = 40) -> Scenario:
    """Four pods of 8 slots and 36 requests of memory: with a queue of 40 full pods are killed."""
    memory = PodMemory(base=600.0, per_request=40.0, limit=2048.0)
    pod = service(work=0.2, slots=8, queue=queue, memory=memory, startup=30.0, crash_loop=CrashLoop(first=10.0))
    clients = users(requests=120.0, deadline=2.0, attempts=4, backoff=1.0)
    return one_pool(4, 3600.0, service=pod, populations={"u": clients})


# --- the bench ---------------------------------------------------------------------------------------------------


def test_the_peak_of_a_calendar_is_the_load_of_one() -> None:
    half_day = Calendar(hours={"day": (0.25,) * 12 + (0.5,) * 12}, smooth=False)
    scenario = one_pool(1, 86400.0, populations={"u": users(requests=10.0, calendar=half_day, growth=0.5)})
    system = system_of(scenario)
    assert system.peak_per_s == pytest.approx(5.0)
    bench = Bench(system, 2.0)
    bench.run_for(10.0)
    assert bench.traffic.demand(0) == pytest.approx(10.0)


def test_faults_and_people_do_not_act() -> None:
    fault = Fault(target="s in r", every=fixed(1.0), effect=Effect(down=True), repair=Repair(until_fixed=True))
    assert is_healthy(system_of(one_pool(1, 3600.0, faults={"breakdown": fault})), 1.0)


def test_congested_is_every_queue_full_and_all_retries_on_their_way() -> None:
    bench = Bench(system_of(server(attempts=3)), 1.0)
    bench.congest()
    assert bench.traffic.in_flight(0) == 1010.0
    assert bench.traffic.waiting_by_attempts(0) == pytest.approx([80.0 * 5.1] * 2)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"backoff_growth": 3.0}, [80.0 * 5.1, 80.0 * 5.3]),
        ({"backoff_growth": 3.0, "jitter": "full"}, [80.0 * 5.05, 80.0 * 5.15]),
        ({"retry_share": 0.5}, [40.0 * 5.1, 20.0 * 5.1]),
        ({"retry_share": 0.5, "retry_budget": 0.25}, [40.0 * 5.1 / 3.0, 20.0 * 5.1 / 3.0]),
    ],
)
def test_pauses_that_grow_keep_more_users_about_to_retry(fields: dict[str, Any], expected: list[float]) -> None:
    """Little: those who fail the k-th time, per second, times 5 s until they know it and the mean pause that follows:
    0.1 s and 0.3 s, half of that with full jitter. Half as many come back each time: 40 and 20/s, of which a budget of
    a quarter of 80/s lets a third through.
    """
    scenario = server(attempts=3)
    users_too = {"u": scenario.populations["u"].model_copy(update=fields)}
    bench = Bench(system_of(scenario.model_copy(update={"populations": users_too})), 1.0)
    bench.congest()
    assert bench.traffic.waiting_by_attempts(0) == pytest.approx(expected)


def test_a_congested_caller_holds_its_slots_as_long_as_it_may_wait() -> None:
    services = {"s": service(calls={"d": call(timeout=2.0, attempts=3, backoff=1.0)}), "d": service()}
    bench = Bench(system_of(several(services, {"s": 1, "d": 1}, 3600.0)), 1.0)
    bench.congest()
    hold = bench.traffic.layout.hold
    assert list(bench.traffic.state[hold : hold + 2]) == pytest.approx([0.01 + 3 * 2.0 + 2 * 1.0, 0.01])


@pytest.mark.parametrize("lost", [0.2, 0.5, 0.75])
def test_a_loss_by_slowness_is_a_loss_of_capacity(lost: float) -> None:
    """Also where slots are held for calls most of the time: own work makes up for it."""
    services = {"s": service(work=0.1, slots=100, calls={"d": call()}), "d": service(work=0.3, slots=1000)}
    scenario = several(services, {"s": 1, "d": 1}, 3600.0)
    factor = slowdown(scenario, "s", lost)
    assert 0.1 * factor + 0.3 == pytest.approx((0.1 + 0.3) / (1.0 - lost))


def test_lost_pods_come_back_after_their_startup() -> None:
    bench = Bench(system_of(server(pods=2, startup=30.0)), 0.5)
    bench.lose(0, 0.5, Loss.PODS)
    assert bench.fleet.n_ready(0) == 1
    bench.run_for(100.0)
    bench.give_back(0, Loss.PODS)
    bench.run_for(29.0)
    assert bench.fleet.n_ready(0) == 1
    bench.run_for(2.0)
    assert bench.fleet.n_ready(0) == 2
    assert not bench.chance_decided


def test_pods_that_are_killed_restart() -> None:
    bench = Bench(system_of(crashing()), 1.0)
    bench.congest()
    assert not bench.settle(1800.0).healthy
    assert bench.chance_decided


def test_a_pod_that_a_readiness_probe_unlists_is_chance() -> None:
    """A full queue of 10 s fails a probe of every 5 s that waits 1 s; the pod is on the list again once it is short."""
    bench = Bench(system_of(server(readiness=Probe(every=5.0, timeout=1.0, failures=1))), 1.0)
    bench.congest()
    bench.run_for(7.0)
    assert bench.fleet.n_ready(0) == 1
    assert not bench.fleet.serving(0)
    assert bench.chance_decided


@pytest.mark.parametrize(("law", "is_drawn"), [(fixed(30.0), False), (exponential(30.0), True)])
def test_startup_times_that_are_drawn_are_chance(law: LawSpec, is_drawn: bool) -> None:
    bench = Bench(system_of(server(pods=2, startup=law)), 0.5)
    assert not bench.chance_decided
    bench.lose(0, 0.5, Loss.PODS)
    bench.give_back(0, Loss.PODS)
    assert bench.chance_decided is is_drawn


def test_a_run_that_is_at_rest_ends_early_and_one_that_never_rests_at_its_limit() -> None:
    calm = Bench(system_of(server()), 0.5)
    assert calm.settle(3600.0) == Ending(True, 0.0)
    assert calm.traffic.now_s <= 100.0
    restless = Bench(system_of(crashing()), 1.0)
    restless.congest()
    restless.settle(1200.0)
    assert restless.traffic.now_s == pytest.approx(1200.0)


# --- verdicts ----------------------------------------------------------------------------------------------------


def test_the_four_states_of_one_column() -> None:
    """80/s of 100/s, two attempts, for 10 min: as it is a trigger would tip it; a loss of half of it does."""
    system = system_of(server())
    states = column_of(system, 1.0, [Blow(0, lost) for lost in (0.0, 0.1, 0.5)])
    assert states == [State.VULNERABLE, State.VULNERABLE, State.METASTABLE]
    assert column_of(system, 0.5, [Blow(0, lost) for lost in (0.0, 0.5, 0.9)]) == [
        State.STABLE,
        State.VULNERABLE,
        State.OVERLOADED,
    ]
    assert column_of(system, 1.5, [Blow(0, lost) for lost in (0.0, 0.5)]) == [State.OVERLOADED] * 2


def test_a_loss_that_is_too_short_does_not_tip() -> None:
    system = system_of(server())
    assert not tips(system, 1.0, Blow(0, 0.5, lasts_s=1.0))
    assert tips(system, 1.0, Blow(0, 0.5, lasts_s=60.0))
    border_s = shortest_trigger_s(system, 1.0, Blow(0, 0.5))
    assert not tips(system, 1.0, Blow(0, 0.5, lasts_s=border_s / 1.02))
    assert tips(system, 1.0, Blow(0, 0.5, lasts_s=border_s))


def test_votes_end_when_they_are_decided_and_certainty_needs_none() -> None:
    asked: list[int] = []

    def run(verdicts: str, chance: bool) -> float:
        asked.clear()

        def one(draw: int) -> tuple[Ending, bool]:
            asked.append(draw)
            return Ending(verdicts[draw] == "+", 0.0), chance

        return collapses(one)

    assert (run("-+-", True), asked) == (2 / 3, [0, 1, 2])
    assert (run("++-", True), asked) == (0.0, [0, 1])
    assert (run("+", False), asked) == (0.0, [0])


def test_columns_go_through_today_and_beyond_the_border() -> None:
    for highest in (0.3, 0.9, 1.23, 3.7, 40.0, math.inf):
        loads = columns_for(highest)
        assert 1.0 in loads
        assert 2 <= len(loads) <= 24
        assert math.isinf(highest) or loads[-1] > highest


def test_memory_decides_where_the_queue_does_not_fit() -> None:
    """The crash loop that feeds itself is gone with a queue that fits."""
    with_crashes, without = system_of(crashing()), system_of(crashing(queue=20))
    assert critical_load(with_crashes) < 0.8 * critical_load(without)
    assert not Bench(without, 1.0).chance_decided


def test_the_load_from_which_chance_fills_a_pod() -> None:
    """At the border the first passage takes the half hour after which a system counts as healthy."""
    system = system_of(crashing())
    border = chance_load(system)
    hottest = 120.0 / 4 * 1.08 * 0.2 / 8
    assert 0.3 < border < 1.0
    assert pool_kill_time_s(system.scenario.services["s"], border * hottest, 4) == pytest.approx(SETTLE_S, rel=0.2)
    assert chance_load(system_of(crashing(queue=20))) == math.inf


# --- remedies, own faults, cells -----------------------------------------------------------------------------------


def test_remedies_change_what_they_say_and_nothing_that_is_there_already(tmp_path: Path) -> None:
    single = small_experiment(tmp_path).scenarios["single"]
    found = {remedy.name: remedy for remedy in remedies(single)}
    assert set(found) == {
        "queue bound that fits memory",
        "half the queue",
        "retry budget 10 %",
        "no retries",
        "breaker with half-open",
        "shedding at capacity",
        "memory limit x2",
        "one more pod",
    }
    fits = found["queue bound that fits memory"].scenario.services["store"]
    assert fits.memory is not None
    assert fits.memory.base + (fits.slots + fits.queue) * fits.memory.per_request < fits.memory.limit
    assert fits.memory.base + (fits.slots + fits.queue + 1) * fits.memory.per_request >= fits.memory.limit
    assert found["no retries"].scenario.services["web"].calls["store"].attempts == 1
    assert found["breaker with half-open"].scenario.services["web"].calls["store"].breaker == Breaker()
    assert found["one more pod"].scenario.place["north"]["web"] == 4
    assert all(remedy.scenario != single for remedy in found.values())
    plain = remedies(server(attempts=1, queue=0))
    assert {remedy.name for remedy in plain} == {"shedding at capacity", "one more pod"}


def test_shedding_leaves_as_many_in_flight_as_the_hottest_pod_can_take() -> None:
    """Little: 80/s hold 0.1 s, 8 in flight; the pod is full at 10."""
    [shedding] = [remedy for remedy in remedies(server()) if remedy.name == "shedding at capacity"]
    assert shedding.what == "s.shed_above: 10"


def test_shedding_knows_the_load_shares_that_are_stated() -> None:
    """8 in flight, three quarters of them in one of two pods: 6 of its 5 slots, so that 8 x 5 / 6 = 6.7 fill it."""
    scenario = server(pods=2, load_shares=(1.0, 3.0))
    [shedding] = [remedy for remedy in remedies(scenario) if remedy.name == "shedding at capacity"]
    assert shedding.what == "s.shed_above: 7"


def own(faults: dict[str, Fault], pods: int = 4, region: str = "r", **fields: Any) -> dict[str, OwnTrigger]:
    """What the faults do to `s` in a region of three zones and three nodes."""
    regions = {name: Region(zones=3, nodes=Nodes(count=3, memory=1e6)) for name in ("r", "q")}
    scenario = one_pool(pods, 3600.0, **{"service": service(startup=30.0), "regions": regions} | fields, faults=faults)
    return {t.fault: t for t in own_triggers(scenario, region, "s")}


def breaks(target: str, *, effect: Effect = DOWN, repair: Repair = TEN_MINUTES, **fields: Any) -> Fault:
    """A fault that is over in ten minutes."""
    return Fault(target=target, every=fixed(1e6), effect=effect, repair=repair, **fields)


def test_own_faults_as_triggers() -> None:
    """4 pods over 3 zones or nodes: 2, 1 and 1, of which the fullest counts; `capacity` takes whole pods."""
    found = own(
        {
            "slow": breaks("s in r", effect=Effect(slow=4.0), repair=Repair(law=fixed(60.0))),
            "pod": breaks("any pod", repair=Repair(restart=True)),
            "zone": breaks("any zone"),
            "node": breaks("any node"),
            "part": breaks("s in r", effect=Effect(capacity=0.3)),
            "people": breaks("s in r", repair=Repair(until_fixed=True)),
            "errors": breaks("s in r", effect=Effect(errors=0.5)),
            "elsewhere": breaks("q"),
        }
    )
    assert {name: (t.lost, t.how, t.lasts_s) for name, t in found.items()} == {
        "slow": (0.75, Loss.SLOW, 60.0),
        "pod": (0.25, Loss.PODS, 30.0),
        "zone": (0.5, Loss.PODS, 600.0),
        "node": (0.5, Loss.PODS, 600.0),
        "part": (0.5, Loss.PODS, 600.0),
    }


@pytest.mark.parametrize("target", ["all zones", "all nodes", "all pods of s", "all zones in r", "r", "all regions"])
def test_all_of_a_kind_are_the_whole_pool(target: str) -> None:
    found = own({"all": breaks(target), "other": breaks("all zones in q")})
    assert [(t.fault, t.lost, t.hits) for t in found.values()] == [("all", 1.0, ((1.0, 1.0),))]


def test_a_slow_fault_is_as_slow_as_it_says_where_slots_are_held_for_calls() -> None:
    """Own work of 5 of 100 ms, four times slower: 100 -> 115 ms, and 1 - 100 / 115 of the capacity; one zone of three
    has 2 of 6 pods.
    """
    scenario = several(
        WAITING, {"s": 6, "d": 1}, 3600.0, regions={"r": Region(zones=3, nodes=Nodes(count=3, memory=1e6))}
    )
    faults = {"slow": breaks("s in r", effect=FOUR_TIMES), "zone": breaks("any zone", effect=FOUR_TIMES)}
    triggers = own_triggers(scenario.model_copy(update={"faults": faults}), "r", "s")
    assert {t.fault: t.lost for t in triggers} == pytest.approx({"slow": 1 - 100 / 115, "zone": (1 - 100 / 115) / 3})
    assert {t.slow for t in triggers} == {4.0}
    bench = Bench(system_of(scenario), 1.0)
    bench.lose(0, triggers[1].hits[0].share, Loss.SLOW, triggers[1].slow)
    assert list(bench.traffic.net.pods[:7, POD_SLOW]) == [4.0] * 2 + [1.0] * 5
    bench.give_back(0, Loss.SLOW)
    assert list(bench.traffic.net.pods[:7, POD_SLOW]) == [1.0] * 7


def test_a_slow_fault_that_takes_an_eighth_does_not_tip_what_four_times_less_would() -> None:
    """80/s of 100/s (10 slots held for 100 ms, 5 of them own work): 13 % less leaves 87/s, which is enough; 75 % less
    leaves a queue of 10 s, and clients wait 5 s.
    """
    waiting = {"s": WAITING["s"].model_copy(update={"slots": 10, "queue": 1000}), "d": WAITING["d"]}
    clients = users(requests=80.0, deadline=5.0, attempts=2, backoff=0.1)
    faults = {"slow": breaks("s in r", effect=FOUR_TIMES)}
    scenario = several(waiting, {"s": 1, "d": 1}, 3600.0, populations={"u": clients}, model=FLUID, faults=faults)
    found = analyse("a", scenario, (1.0,), lasts_s=60.0)
    [(trigger, share)] = found.own
    assert (trigger.fault, share) == ("slow", 0.0)
    assert tips(system_of(scenario), 1.0, Blow(0, 0.75, lasts_s=600.0))


def test_a_common_cause_hits_more_of_the_pool_with_its_probability() -> None:
    """Three zones of 2, 2 and 2 pods, each other one hit with 20 %: one with 0.64, two with 0.32, three with 0.04. The
    mean is 1 + 2 x 0.2 zones of three.
    """
    beside = CommonCause(zones=0.2, regions=0.3)
    faults = {"here": breaks("any zone in r", common_cause=beside), "there": breaks("zone 2 of q", common_cause=beside)}
    found = own(faults, 6, place={"r": {"s": 6}, "q": {"s": 3}})
    assert found["here"].hits == tuple(pytest.approx(hit) for hit in ((1 / 3, 0.64), (2 / 3, 0.32), (1.0, 0.04)))
    assert found["here"].lost == pytest.approx(1.4 / 3)
    assert found["there"].hits == (pytest.approx((1 / 3, 0.3)),)
    pods = own({"pods": breaks("any pod", common_cause=CommonCause(pods=1.0))}, 6)["pods"]
    assert pods.hits == ((1.0, 1.0),)


def test_the_share_of_cases_that_tip_is_that_of_the_common_cause() -> None:
    """One of two pods gone for a minute: 80/s fill the queue of the other, 10 s of work for clients that wait 5 s, and
    two attempts keep it full. Both gone: nothing waits anywhere, and all is well once they are back. So 70 % of cases.
    """
    pod = breaks("any pod", repair=Repair(law=fixed(60.0)), common_cause=CommonCause(pods=0.3))
    scenario = server(pods=2, imbalance=0.0).model_copy(update={"faults": {"pod": pod}})
    [(trigger, share)] = analyse("a", scenario, (1.0,), lasts_s=60.0).own
    assert share == pytest.approx(0.7)
    assert trigger.lost == pytest.approx(0.7 * 0.5 + 0.3)


def test_cells_to_check_lie_on_both_sides_of_the_border() -> None:
    found = make_stability()
    today, *chosen = border_cells(found, 7)
    assert (today.load, today.lost) == (1.0, 0.0)
    assert len({(cell.load, cell.lost) for cell in chosen}) == 6
    assert [cell.state is State.METASTABLE for cell in chosen] == [True, False] * 3
    assert all(cell.load <= found.highest_load and 0.0 < cell.lost < 1.0 for cell in chosen)
    stable = border_cells(make_stability("x", 1.4, 1.4), 4)
    assert [cell.lost for cell in stable] == [0.0, 0.9, 0.9, 0.9]
    assert border_cells(found, 0) == []


def test_the_map_and_its_check_lose_the_same_pods() -> None:
    """Half of three pods are two whole ones, the first two, on the bench as by a fault with `capacity`."""
    scenario = server(pods=3)
    found = replace(make_stability(), pool=("r", "s"), how=Loss.PODS, lasts_s=60.0)
    repeated = cell_scenario(scenario, found, Cell(1.0, 0.5, State.METASTABLE))
    by_fault = {r.pod for r in run_trial(repeated, "a", 0).records if r.kind is Kind.POD_LOST}
    bench = Bench(system_of(scenario), 1.0)
    bench.lose(0, 0.5, Loss.PODS)
    assert {pod.name for pod in bench.fleet.pods if pod.holds} == by_fault == {"r/s/1", "r/s/2"}


def test_a_cell_as_a_scenario_of_its_own() -> None:
    scenario = server()
    system = system_of(scenario)
    found = replace(make_stability(), pool=("r", "s"))
    repeated = cell_scenario(scenario, found, Cell(0.5, 0.75, State.METASTABLE))
    assert system_of(repeated).peak_per_s == pytest.approx(0.5 * system.peak_per_s)
    assert repeated.faults["loss"].effect.slow == pytest.approx(4.0)
    assert repeated.horizon == BEFORE_S + found.lasts_s + SETTLE_S


# --- the whole -----------------------------------------------------------------------------------------------------


def test_the_analysis_of_one_design_is_of_a_piece() -> None:
    found = analyse("a", server(), (0.25, 0.5, 1.0, 1.5), lasts_s=60.0)
    assert found.pool == ("r", "s")
    assert found.today is State.VULNERABLE
    assert found.critical_load == pytest.approx(50.0 / 80.0, rel=0.01)
    assert found.highest_load == pytest.approx(100.0 / 80.0, rel=0.01)
    at_rest = {cell.load: cell.state for cell in found.cells if cell.lost == 0.0}
    assert at_rest == {0.25: "stable", 0.5: "stable", 1.0: "vulnerable", 1.5: "overloaded"}
    assert len(found.cells) == 4 * 11
    lengths = [t.shortest_s for t in found.tippings if math.isfinite(t.shortest_s)]
    assert lengths == sorted(lengths, reverse=True)
    assert [math.isinf(time_s) for _, time_s in found.recovery] == [False, False, True, True]
    gains = {effect.name: effect.critical_load for effect in found.remedies}
    assert list(gains.values()) == sorted(gains.values(), reverse=True)
    assert gains["no retries"] == pytest.approx(1.25, rel=0.01)
    assert gains["half the queue"] > found.critical_load


def test_several_workers_change_nothing() -> None:
    experiment = Experiment("x", {"a": server(), "b": server(attempts=1)}, architectures={"a": "a", "b": "b"})
    told: list[str] = []
    alone = analyse_all(experiment, progress=told.append)
    assert sorted(told) == ["a: vulnerable today", "b: stable today"]
    assert analyse_all(experiment, workers=2) == alone


def test_what_cannot_be_analysed_is_refused() -> None:
    experiment = Experiment("x", {"a": one_pool(1, 3600.0, populations={})})
    with pytest.raises(UsageError, match="a has no population"):
        analyse_all(experiment)
    with pytest.raises(UsageError, match="there is no architecture c"):
        analyse_all(experiment, ("c",))


def test_nothing_bounds_the_load_of_a_pod_that_does_no_work_to_speak_of() -> None:
    light = one_pool(1, 3600.0, service=service(work=1e-6, slots=1000), model=FLUID)
    assert math.isinf(highest_load(system_of(light)))
