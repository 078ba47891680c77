"""What holds for the engine in every scenario: names and units of time do not matter, redundancy never hurts."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import RESTART, at, availability, check, fault, lasting, lines, memory, region, run, service, users, world

from sim.scenario.check import findings_of
from sim.scenario.schema import (
    Breaker,
    Calendar,
    Call,
    CommonCause,
    CrashLoop,
    Detect,
    Detection,
    Effect,
    ExponentialLaw,
    Failback,
    Failover,
    LawSpec,
    Model,
    Monitor,
    Operations,
    Provider,
    Scenario,
    ScriptedStep,
    Step,
)
from sim.world.trial import Trial

SLOW_ENOUGH = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
MOMENTS = st.lists(st.integers(1, 6000), min_size=1, max_size=3, unique=True).map(
    lambda t: tuple(map(float, sorted(t)))
)
NAMES = st.permutations(["alpha", "north", "zulu"])


def _three(names: list[str], struck: tuple[float, ...], policy: str) -> Scenario:
    """Regions by the names given, in this order; the first is home. Nothing is drawn."""
    first, second, third = names
    return world(
        horizon=8000.0,
        regions={name: region(2, zones=2) for name in names},
        services={
            "web": service(startup=20.0, calls={"db": Call(timeout=1.0)}),
            "db": service(),
        },
        place={first: {"web": 2, "db": 2}, second: {"web": 2, "db": 2}, third: {"web": 1, "db": 1}},
        populations={"staff": users(60.0, home=first, attempts=2)},
        failover=Failover(policy=policy, failback=Failback(after=300.0, stages=2, every=60.0)),
        faults={
            "dark": fault(first, at_s=struck, until=400.0),
            "zone": fault(f"zone 1 of {second}", at_s=struck[0] + 50.0, until=700.0),
            "crash": fault(f"any pod of web in {third}", at_s=struck[-1] + 10.0, until=RESTART),
        },
    )


@settings(SLOW_ENOUGH, max_examples=15)
@given(NAMES, MOMENTS, st.sampled_from(["none", "active-passive", "active-active"]))
def test_the_names_of_regions_are_only_names(names: list[str], struck: tuple[float, ...], policy: str) -> None:
    plain = ["alpha", "north", "zulu"]
    expected = run(_three(plain, struck, policy))
    found = run(_three(names, struck, policy))
    back = dict(zip(names, plain, strict=True))
    renamed = [(t, " ".join(_renamed(word, back) for word in text.split(" "))) for t, text in lines(found)]
    assert renamed == lines(expected)
    assert found.totals.tobytes() == expected.totals.tobytes()


def _renamed(text: str, back: dict[str, str]) -> str:
    marked = text
    for k, name in enumerate(back):
        marked = marked.replace(name, f"<{k}>")
    for k, name in enumerate(back.values()):
        marked = marked.replace(f"<{k}>", name)
    return marked


def _in_units(unit_s: float, struck: tuple[float, ...], rate: float) -> Scenario:
    """The same story with every time in units of `unit_s`."""
    loop = CrashLoop(first=0.0, initial=10.0 * unit_s, longest=300.0 * unit_s, reset=600.0 * unit_s)
    policy = Failover(
        policy="active-passive",
        detect=Detect(every=10.0 * unit_s),
        ttl=60.0 * unit_s,
        failback=Failback(after=300.0 * unit_s),
    )
    return world(
        horizon=8000.0 * unit_s,
        regions={name: region(2, zones=2, eviction=300.0 * unit_s) for name in ("home", "spare")},
        services={"web": service(0.5 * unit_s, startup=20.0 * unit_s, crash_loop=loop)},
        place={"home": {"web": 2}, "spare": {"web": 2}},
        populations={
            "staff": users(rate / unit_s, home="home", deadline=4.0 * unit_s, attempts=2, backoff=3.0 * unit_s)
        },
        failover=policy,
        faults={
            "slow": fault(
                "web in home", Effect(slow=4.0), at_s=tuple(t * unit_s for t in struck), until=200.0 * unit_s
            ),
            "dark": fault("home", at_s=(struck[0] + 500.0) * unit_s, until=300.0 * unit_s),
        },
        model=Model(tolerance=1.0, noise="never"),
    )


@settings(SLOW_ENOUGH, max_examples=10)
@given(st.sampled_from([2.0, 7.0, 30.0]), MOMENTS, st.sampled_from([4.0, 20.0, 27.0]))
def test_the_unit_of_time_changes_nothing(unit_s: float, struck: tuple[float, ...], rate: float) -> None:
    """Only the 50 ms after which users know of a rejection are a time of their own, and 1 ms of a pod's start."""
    expected, found = run(_in_units(1.0, struck, rate)), run(_in_units(unit_s, struck, rate))
    assert availability(found) == _near(availability(expected), 3e-3)
    kinds = [r.kind for r in expected.records]
    assert [r.kind for r in found.records] == kinds
    for a, b in zip(found.records, expected.records, strict=True):
        assert abs(a.at_s / unit_s - b.at_s) < 5.0


class _near:  # noqa: N801
    """Equal up to an absolute difference; shows both numbers when it is not."""

    def __init__(self, value: float, slack: float) -> None:
        self.value, self.slack = value, slack

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and abs(other - self.value) <= self.slack

    def __repr__(self) -> str:
        return f"{self.value} +- {self.slack}"


@settings(SLOW_ENOUGH, max_examples=20)
@given(
    st.integers(1, 4),
    st.dictionaries(st.integers(1, 3), MOMENTS, max_size=3),
    st.sampled_from([5.0, 60.0, 150.0, 300.0]),
    st.sampled_from([1, 3]),
)
def test_one_pod_more_never_lowers_availability(
    n_pods: int, zones: dict[int, tuple[float, ...]], rate: float, n_attempts: int
) -> None:
    def of(n: int) -> float:
        return availability(
            run(
                world(
                    horizon=8000.0,
                    regions={"home": region(6, 1000.0, eviction=100_000.0)},
                    services={"web": service(startup=30.0, memory=memory())},
                    place={"home": {"web": n}},
                    populations={"staff": users(rate, attempts=n_attempts)},
                    faults={
                        f"zone{zone}": fault(f"zone {zone} of home", at_s=struck, until=250.0)
                        for zone, struck in zones.items()
                    },
                )
            )
        )

    assert of(n_pods + 1) >= of(n_pods) - 1e-3


@settings(SLOW_ENOUGH, max_examples=12)
@given(MOMENTS, st.sampled_from(["active-passive", "active-active"]), st.sampled_from([30.0, 120.0]))
def test_a_second_region_that_fits_the_load_never_lowers_availability(
    struck: tuple[float, ...], policy: str, rate: float
) -> None:
    def of(place: dict[str, dict[str, int]], failover: Failover) -> float:
        faults = {"dark": fault("home", at_s=struck, until=500.0)}
        return availability(
            run(
                world(
                    horizon=8000.0,
                    regions={name: region() for name in place},
                    place=place,
                    populations={"staff": users(rate, home="home")},
                    failover=failover,
                    faults=faults,
                )
            )
        )

    alone = of({"home": {"web": 2}}, Failover())
    assert of({"home": {"web": 2}, "spare": {"web": 2}}, Failover(policy=policy)) >= alone - 1e-3


# -- anything valid -----------------------------------------------------------------------------------------

SHARES = st.sampled_from([0.0, 0.3, 1.0])
TIMES = st.sampled_from([0.0, 1.0, 60.0, 1000.0])
REPAIRS = st.sampled_from([60.0, 2000.0, None])


@st.composite
def effects(draw: st.DrawFn, *, regional: bool) -> Effect:
    kind = draw(st.sampled_from(["down", "slow", "errors", "memory", "leak", "capacity", "partition", "growth"]))
    if kind in ("partition", "capacity") and not regional:
        kind = "down"
    given: dict[str, Any] = {
        "down": {"down": True},
        "slow": {"slow": draw(st.sampled_from([0.1, 4.0, 1000.0]))},
        "errors": {"errors": draw(SHARES)},
        "memory": {"memory": draw(st.sampled_from([0.0, 100.0, 5000.0])), "memory_factor": 3.0},
        "leak": {"leak": draw(st.sampled_from([0.01, 50.0]))},
        "capacity": {"capacity": draw(SHARES)},
        "partition": {"partition": True},
        "growth": {"memory_growth": 400.0, "over": draw(st.sampled_from([1e-6, 1000.0]))},
    }[kind]
    return Effect(**given)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    names = ["home", "spare", "third"][: draw(st.integers(1, 3))]
    n_db = {name: draw(st.integers(0, 2)) for name in names}
    n_db["home"] = max(n_db["home"], 1)
    place = {name: {"web": draw(st.integers(1, 3)), "db": n_db[name]} for name in names}
    call = Call(
        timeout=draw(st.sampled_from([0.001, 0.5, 10.0])),
        attempts=draw(st.sampled_from([1, 4])),
        calls=draw(st.sampled_from([0.2, 1.0, 3.0])),
        fallback=draw(SHARES),
        breaker=draw(st.sampled_from([None, Breaker(window=5.0), Breaker(failures=1.0, trickle=1.0)])),
        retry_budget=draw(st.sampled_from([None, 0.0, 0.2])),
    )
    services = {
        "web": service(
            draw(st.sampled_from([0.001, 0.1, 2.0])),
            calls={"db": call},
            startup=draw(st.sampled_from([0.0, 30.0])),
            memory=draw(st.sampled_from([None, memory(100.0, 20.0, 400.0), memory(100.0, 1.0, 300.0, leak=0.2)])),
            patience=draw(st.sampled_from([None, 0.01, 5.0])),
            shed_above=draw(st.sampled_from([None, 3, 20])),
        ),
        "db": service(0.05, calls=draw(st.sampled_from([{}, {"web": Call(timeout=1.0, calls=0.3)}]))),
    }
    night = Calendar(hours={"day": (0.0, 1.0) * 12}, smooth=draw(st.booleans()))
    people = {
        f"group{k}": users(
            draw(st.sampled_from([0.0, 1.0, 100.0, 1e5])),
            attempts=draw(st.sampled_from([1, 3, 20])),
            backoff=draw(st.sampled_from([0.0, 5.0])),
            deadline=draw(st.sampled_from([0.01, 5.0])),
            retry_budget=draw(st.sampled_from([None, 0.1])),
            home=draw(st.sampled_from([None, names[-1]])),
            calendar=draw(st.sampled_from(["always", "office-hours", night])),
        )
        for k in range(draw(st.integers(1, 2)))
    }
    faults = {}
    for k in range(draw(st.integers(0, 4))):
        target = draw(st.sampled_from(["any pod", "any node", "any zone", "home", "web in home", "all regions"]))
        regional = target in ("home", "all regions")
        cause: dict[str, Any] = draw(
            st.sampled_from(
                [{"at_s": (0.0, 1000.0)}, {"at_s": 1000.0}, {"every": LawSpec(exponential=ExponentialLaw(mean=4000.0))}]
            )
        )
        repair = draw(REPAIRS)
        until: Any = RESTART if target == "any pod" and draw(st.booleans()) else repair
        effect = Effect(down=True) if until is RESTART else draw(effects(regional=regional))
        common = CommonCause(regions=0.5) if target in ("home", "web in home") and draw(st.booleans()) else None
        faults[f"fault{k}"] = fault(target, effect, until=until, common_cause=common, **dict(cause))
    policies = ["none", "manual", "provider"] + (["active-passive", "active-active"] if len(names) > 1 else [])
    policy = draw(st.sampled_from(policies))
    failover = Failover(
        policy=policy,
        standby=draw(st.sampled_from(["hot", "warm", "cold"])),
        ttl=draw(st.sampled_from([0.0, 60.0])),
        failback=Failback(after=draw(st.sampled_from([1.0, 600.0])), stages=draw(st.integers(1, 3)), every=60.0),
        capacity_check=draw(st.booleans()),
        provider=Provider(quota=0.5, availability=0.9) if policy == "provider" else None,
    )
    steps = {
        "restart": Step(),
        "scale_out": Step(service="web", pods=2),
        "shed": Step(service="web", in_flight=5),
        "disable_retries": Step(),
        "failover": Step(),
        "fix": Step(helps_against=tuple(faults)),
    }
    if services["web"].memory is not None:
        steps["raise_memory"] = Step(service="web", limit=900.0, roll=draw(st.sampled_from([None, 30.0])))
    operations = draw(
        st.sampled_from(
            [
                None,
                Operations(
                    detection=Detection(monitor=Monitor(below=1.0, **{"for": 0.0})),
                    reassess=0.0,
                    first_action_wrong=1.0,
                    runbook=steps,
                ),
                Operations(script={name: _scripted(step, at(900.0)) for name, step in steps.items()}),
            ]
        )
    )
    return world(
        horizon=draw(st.sampled_from([0.5, 7200.0, 40_000.0])),
        seed=draw(st.integers(0, 3)),
        regions={
            name: region(2, 2000.0, zones=2, provision=lasting(draw(TIMES)), quota=3, eviction=draw(TIMES))
            for name in names
        },
        services=services,
        place=place,
        populations=people,
        faults=faults,
        failover=failover,
        operations=operations,
        model=Model(
            queues=draw(st.sampled_from(["stationary", "fluid"])),
            oom=draw(st.sampled_from(["mean", "fluctuation"])),
            noise="never",
        ),
    )


def _scripted(step: Step, moment: Any) -> ScriptedStep:
    return ScriptedStep(at=moment, **{name: getattr(step, name) for name in Step.model_fields})


@settings(SLOW_ENOUGH, max_examples=40)
@given(scenarios())
def test_any_valid_scenario_runs_and_its_numbers_are_numbers(scenario: Scenario) -> None:
    assert [f.message for f in findings_of(scenario) if f.severity == "error"] == []
    trial = Trial(scenario, "test", 0)
    record = trial.run()
    check(record)
    state, layout = trial.traffic.state, trial.traffic.layout
    assert all(math.isfinite(v) for v in state)
    assert state[: layout.totals].min() >= 0.0
    assert state[layout.quality : layout.throttle].max() <= 1.0 + 1e-9
    for g, p in enumerate(scenario.populations.values()):
        offered, good, *_, failed = record.totals[g]
        waiting = trial.traffic.waiting_to_retry(g)
        assert abs(good + failed + waiting - offered) <= 1e-9 * (1.0 + offered)
        assert 0.0 <= trial.traffic.success(g) <= 1.0
        assert record.totals[g, 2] <= p.attempts * record.totals[g, 0] * (1.0 + 1e-6) + 1e-6
