"""Random valid scenarios over the whole language, by number, and what must hold in each of their trials.

The magnitudes are those that a slip of the unit makes (a microsecond of work, a day of deadline) as often as those of
real systems near saturation. Horizons are short, so that a trial takes well under a second. It knows no expected
values: only what is true of every system.
"""

import math
import random
from typing import Any

import numpy as np
from worlds import START, at, check

from sim.scenario.schema import (
    Autoscale,
    Breaker,
    BurnRate,
    Calendar,
    Call,
    Cold,
    CommonCause,
    CrashLoop,
    Deployments,
    Detect,
    Detection,
    Effect,
    ExponentialLaw,
    Failback,
    Failover,
    FailoverSuccess,
    Fault,
    GammaLaw,
    LawSpec,
    LognormalLaw,
    Model,
    Monitor,
    Nodes,
    Operations,
    PodMemory,
    Population,
    Probe,
    Provider,
    Region,
    Repair,
    Scenario,
    ScriptedStep,
    Service,
    Step,
    Throttle,
    WeibullLaw,
)
from sim.traffic.layout import TOTAL_FAILED, TOTAL_GOOD, TOTAL_OFFERED
from sim.world.trial import Trial

NODE_MIB = 200_000.0
SLOTS = (1, 2, 8, 40, 200, 5000)
QUEUES = (0, 1, 20, 300, 100_000)
ROUNDING = 1e-9


class Dice(random.Random):
    """Random numbers with the shapes that scenarios need."""

    def sometimes(self, prob: float) -> bool:
        """True with this probability."""
        return self.random() < prob

    def between(self, low: float, high: float) -> float:
        """Log-uniform."""
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def maybe(self, prob: float, value: Any) -> Any:
        """The value, or None."""
        return value if self.sometimes(prob) else None

    def share(self) -> float:
        """In [0, 1], often at an end."""
        return self.choice([0.0, 1.0, self.random(), self.random()])


def law(dice: Dice, low_s: float, high_s: float) -> LawSpec:
    """Any law with a typical value in the range."""
    typical_s = dice.between(low_s, high_s)
    kind = dice.randrange(5)
    if kind == 0:
        return LawSpec(exponential=ExponentialLaw(mean=typical_s))
    if kind == 1:
        return LawSpec(lognormal=LognormalLaw(median=typical_s, sigma=dice.uniform(0.1, 2.0)))
    if kind == 2:
        return LawSpec(weibull=WeibullLaw(mean=typical_s, shape=dice.uniform(0.5, 4.0)))
    if kind == 3:
        return LawSpec(gamma=GammaLaw(mean=typical_s, shape=dice.uniform(0.2, 8.0)))
    return LawSpec(fixed=dice.choice([0.0, typical_s]))


def random_scenario(number: int) -> Scenario:
    """The scenario of this number: the same in every process."""
    dice = Dice(number)
    regions = ["alpha", "beta", "gamma"][: dice.choice([1, 1, 2, 3])]
    services = [f"s{k}" for k in range(dice.choice([1, 1, 2, 2, 3, 4]))]
    noise = dice.choice(["never", "never", "auto", "auto", "auto", "always"])
    horizon_s = dice.choice([0.5, 30.0, 120.0, 600.0, 1800.0, dice.between(1e-3, 7200.0)])
    place = {r: {s: _pods(dice, r == regions[0]) for s in services} for r in regions}
    specs = {s: _service(dice, s, services, place, calm=noise == "always") for s in services}
    populations = {f"p{k}": _population(dice, specs, place) for k in range(dice.choice([0, 1, 1, 1, 2, 3]))}
    failover = _failover(dice, place, populations)
    faults = {
        f"fault{k}": _fault(dice, regions, services, populations, failover, horizon_s)
        for k in range(dice.choice([0, 1, 1, 2, 3, 5]))
    }
    if noise == "always":  # nothing else bounds its cost
        surge = max((f.effect.demand or 1.0 for f in faults.values()), default=1.0)
        per_s = sum(p.workers * p.requests * p.attempts for p in populations.values()) * max(surge, 1.0)
        horizon_s = max(min(horizon_s, 20_000.0 / max(per_s, 1e-9)), 1e-3)
    return Scenario(
        name=f"random {number}",
        start=START,
        horizon=horizon_s,
        seed=number,
        regions={r: _region(dice) for r in regions},
        services=specs,
        populations=populations,
        place=place,
        faults=faults,
        failover=failover,
        operations=_with_alerts(
            Dice(f"alerts {number}"), dice.maybe(0.5, _operations(dice, regions, specs, place, faults, horizon_s))
        ),
        model=Model(
            queues=dice.choice(["stationary", "stationary", "fluid"]),
            oom=dice.choice(["fluctuation", "fluctuation", "mean"]),
            tolerance=dice.choice([1.0, 10.0, 10.0, 100.0]),
            noise=noise,
            noise_above=dice.choice([0.05, 0.5, 0.9, 1.0]),
            noise_requests=dice.choice([0, 100, 20_000, 20_000, 20_000]),
        ),
    )


def _pods(dice: Dice, first: bool) -> int:
    return dice.choice([1, 1, 2, 3, 5]) if first else dice.choice([0, 1, 2, 3])


def _region(dice: Dice) -> Region:
    count = dice.choice([1, 2, 4])
    nodes = Nodes(
        count=count,
        memory=NODE_MIB,
        provision=dice.maybe(0.5, law(dice, 1.0, 1000.0)),
        quota=dice.maybe(0.5, count + dice.choice([0, 1, 3])),
        eviction=dice.choice([0.0, 5.0, 300.0]),
    )
    return Region(zones=dice.choice([1, 2, 3]), nodes=nodes)


def _service(dice: Dice, name: str, services: list[str], place: dict[str, dict[str, int]], *, calm: bool) -> Service:
    placed = [pods[name] for pods in place.values() if pods[name] > 0]
    slots, queue = dice.choice(SLOTS), dice.choice(QUEUES)
    given: dict[str, Any] = {
        "work_spread": dice.choice([0.0, 0.5, 1.0, 1.0, 3.0]),
        "contention": dice.choice([0.0, 0.0, 0.02, 1.0]),
        "order": dice.choice(["fifo", "fifo", "lifo", "adaptive"]),
        "adaptive_above": dice.choice([1e-4, 0.1, 10.0]),
        "cancels": dice.sometimes(0.3),
        "deadline_aware": dice.sometimes(0.3),
        "startup": law(dice, 1e-3, 100.0),
        "cold": dice.maybe(0.2, Cold(slow=dice.choice([1.0, 3.0, 1000.0]), **{"for": dice.between(0.01, 1000.0)})),
        "liveness": dice.maybe(0.25, _probe(dice)),
        "readiness": dice.maybe(0.25, _probe(dice)),
        "endpoint_lag": dice.choice([0.0, 0.0, 5.0, 100.0]),
        "crash_loop": dice.choice([CrashLoop(), CrashLoop(first=1.0, initial=1.0, longest=20.0, reset=10.0)]),
        "shed_above": dice.maybe(0.15, dice.choice([1, 5, 100])),
        "patience": dice.maybe(0.25, dice.between(1e-3, 1e3)),
        "needs": dice.maybe(0.15, dice.randint(1, min(placed))),
        "imbalance": dice.choice([0.0, 0.08, 0.9]),
        "load_shares": dice.maybe(0.1, tuple(dice.between(0.01, 100.0) for _ in range(max(placed)))),
        "autoscale": dice.maybe(0.25, _autoscale(dice, placed)),
        "memory": dice.maybe(0.5, _memory(dice, slots + queue)),
    }
    return Service(work=_work_s(dice), slots=slots, queue=queue, calls=_calls(dice, name, services, calm=calm), **given)


def _work_s(dice: Dice) -> float:
    return dice.choice([1e-6, 3600.0, dice.between(1e-6, 3600.0)]) if dice.sometimes(0.3) else dice.between(1e-3, 2.0)


def _probe(dice: Dice) -> Probe:
    every_s = dice.choice([0.2, 1.0, 10.0, 60.0])
    return Probe(
        every=every_s,
        timeout=every_s * dice.choice([1e-3, 0.1, 1.0]),
        failures=dice.choice([1, 3, 10]),
        delay=dice.choice([0.0, 30.0]),
    )


def _autoscale(dice: Dice, placed: list[int]) -> Autoscale:
    return Autoscale(
        least=dice.maybe(0.5, dice.randint(1, min(placed))),
        most=max(placed) + dice.choice([0, 2, 8]),
        target=dice.choice([0.05, 0.6, 0.9]),
        tolerance=dice.choice([0.0, 0.1, 1.0]),
        every=dice.choice([1.0, 15.0, 60.0]),
        up_after=dice.choice([0.0, 60.0]),
        down_after=dice.choice([0.0, 30.0, 300.0]),
    )


def _memory(dice: Dice, room: int) -> PodMemory:
    limit_mib = dice.choice([1.5, 500.0, 4000.0])
    base_mib = limit_mib * dice.choice([0.0, 0.5, 0.999])
    full = dice.choice([0.0, 0.5, 0.99, 1.0, 2.0, 50.0])  # memory of a full queue over the room that there is
    return PodMemory(
        base=base_mib,
        limit=limit_mib,
        per_request=full * (limit_mib - base_mib) / room,
        leak=dice.choice([0.0, 0.0, limit_mib / 2000.0, limit_mib / 5.0]),
    )


def _calls(dice: Dice, name: str, services: list[str], *, calm: bool) -> dict[str, Call]:
    later = services[services.index(name) + 1 :]
    callees = [s for s in later if dice.sometimes(0.6)]
    if not calm:
        callees += [s for s in services if s not in callees and s != name and dice.sometimes(0.15)]
        if dice.sometimes(0.03):
            callees.append(name)
    calls = {callee: _call(dice, calm=calm) for callee in callees}
    if callees and dice.sometimes(0.2):
        calls[callees[-1]] = Call(timeout=dice.between(1e-3, 100.0), handoff=True)
    return calls


def _call(dice: Dice, *, calm: bool) -> Call:
    timeout_s = dice.choice([1e-6, 86_400.0]) if dice.sometimes(0.1) else dice.between(1e-3, 30.0)
    return Call(
        timeout=timeout_s,
        attempts=dice.choice([1, 2, 3] if calm else [1, 1, 2, 3, 20]),
        backoff=dice.choice([0.0, 0.1, 5.0]),
        calls=dice.choice([0.001, 0.3, 1.0] if calm else [0.001, 0.3, 1.0, 1.0, 1.5, 3.0, 1000.0]),
        fast_fail=dice.choice([1e-6, 0.005, 1.0]),
        fallback=dice.share(),
        retry_budget=dice.maybe(0.3, dice.share()),
        breaker=dice.maybe(0.3, _breaker(dice)),
        throttle=dice.maybe(0.2, _throttle(dice)),
        hedge_after=dice.maybe(0.2, timeout_s * dice.choice([1.0, 0.3, 2.0]) + 1e-6),
    )


def _breaker(dice: Dice) -> Breaker:
    return Breaker(
        failures=dice.choice([1e-6, 0.1, 0.5, 1.0]),
        window=dice.between(0.1, 100.0),
        open=dice.between(0.1, 100.0),
        trickle=dice.choice([0.001, 0.05, 1.0]),
    )


def _throttle(dice: Dice) -> Throttle:
    return Throttle(ratio=dice.choice([1.0, 1.1, 2.0, 100.0]), window=dice.between(0.1, 1000.0))


def _capacity_per_s(spec: Service, pods: int) -> float:
    return pods * spec.slots / spec.work


def _population(dice: Dice, specs: dict[str, Service], place: dict[str, dict[str, int]]) -> Population:
    journey = dice.choice(list(specs))
    homes = [r for r, pods in place.items() if pods[journey] > 0]
    rate = dice.choice([0.0, 1e-6, 1e5, dice.between(1e-6, 1e5)])
    if dice.sometimes(0.6):  # near the capacity, where things happen
        rate = min(_capacity_per_s(specs[journey], place[homes[0]][journey]) * dice.between(0.3, 3.0), 1e5)
    night = Calendar(hours={"day": (0.0, 1.0, dice.random()) * 8}, smooth=dice.sometimes(0.5))
    backoff_s = dice.choice([0.0, 1e-3, 1.0, 60.0])
    attempts = dice.choice([1, 1, 2, 3, 20])
    return Population(
        workers=dice.choice([1.0, 1e3]) if rate <= 100.0 else 1.0,
        requests=rate if rate > 100.0 else rate / dice.choice([1.0, 1e3]),
        timezone=dice.choice(["UTC", "Europe/Stockholm", "Asia/Kolkata"]),
        calendar=dice.choice(["always", "always", "office-hours", "extended-hours", night]),
        growth=dice.choice([0.0, 0.0, 0.4, -0.5]),
        journey=journey,
        deadline=dice.choice([1e-3, 86_400.0]) if dice.sometimes(0.2) else dice.between(0.01, 60.0),
        attempts=attempts,
        backoff=backoff_s,
        backoff_growth=dice.choice([1.0, 2.0, 10.0]) if attempts < 20 else dice.choice([1.0, 2.0]),
        jitter=dice.choice(["none", "full", "exponential"]),
        retry_share=dice.choice([1.0, 1.0, 0.0, 0.7]),
        retry_budget=dice.maybe(0.3, dice.share()),
        throttle=dice.maybe(0.2, _throttle(dice)),
        home=dice.maybe(0.5, dice.choice(homes)),
    )


def _failover(dice: Dice, place: dict[str, dict[str, int]], populations: dict[str, Population]) -> Failover:
    policies = ["none", "manual", "provider"]
    if all(sum(pods[p.journey] > 0 for pods in place.values()) > 1 for p in populations.values()):
        policies += ["active-passive", "active-passive", "active-active"]
    policy = dice.choice(policies)
    provider = Provider(
        quota=dice.share(),
        quality=dice.share(),
        latency=dice.choice([0.0, 0.5, 100.0]),
        availability=dice.choice([1.0, 0.9, 0.1]),
        outage_mean=dice.between(1.0, 1e4),
    )
    return Failover(
        policy=policy,
        standby=dice.choice(["hot", "warm", "cold"]),
        detect=Detect(every=dice.choice([1.0, 10.0]), failures=dice.choice([1, 3]), below=dice.share()),
        decide=dice.choice([0.0, 60.0]),
        ttl=dice.choice([0.0, 1.0, 300.0]),
        ignore_ttl=dice.choice([0.0, 0.3]),
        move=dice.choice([1.0, 0.5]),
        capacity_check=dice.sometimes(0.3),
        success=FailoverSuccess(tested=dice.share(), untested_half_life=dice.maybe(0.3, 1e4)),
        dr_test_every=dice.maybe(0.2, 5000.0),
        failback=Failback(
            after=dice.choice([1.0, 100.0, 1800.0]),
            stages=dice.choice([1, 3]),
            every=dice.choice([1.0, 60.0]),
            automatic=dice.sometimes(0.8),
        ),
        provider=provider if policy == "provider" else None,
    )


def _fault(
    dice: Dice,
    regions: list[str],
    services: list[str],
    populations: dict[str, Population],
    failover: Failover,
    horizon_s: float,
) -> Fault:
    service, region = dice.choice(services), dice.choice(regions)
    targets = {
        "pod": ["any pod", "all pods", f"any pod of {service}", f"any pod of {service} in {region}"],
        "node": ["any node", f"any node in {region}"],
        "zone": ["any zone", f"zone 1 of {region}"],
        "region": [region, "any region", "all regions"],
        "service": ["any service", service, f"{service} in {region}", f"{service} in all regions"],
    }
    if populations:
        targets["population"] = [f"population {dice.choice(list(populations))}", "all populations"]
    if failover.provider is not None:
        targets["provider"] = ["provider"]
    kind = dice.choice(list(targets))
    target = dice.choice(targets[kind])
    repair = dice.choice([Repair(law=law(dice, 1.0, 1000.0)), Repair(until_fixed=True)])
    if kind == "pod" and dice.sometimes(0.4):
        repair = Repair(restart=True)
    deploys = target in (service, f"{service} in {region}", f"{service} in all regions") and dice.sometimes(0.3)
    every = law(dice, max(horizon_s / 30.0, 1.0), 3.0 * max(horizon_s, 1.0))
    if every.fixed == 0.0:  # a thousand strikes a second for as long as there is anything to hit
        every = LawSpec(fixed=1.0)
    cause: dict[str, Any] = {"every": every}
    if deploys:
        every_s = max(horizon_s / dice.choice([2.0, 20.0]), 1.0)
        cause = {"per_deployment": dice.share(), "deployments": Deployments(every=every_s, first=dice.maybe(0.5, 0.0))}
    elif dice.sometimes(0.6):
        cause = {"at": tuple(sorted(at(dice.choice([0.0, dice.random()]) * horizon_s) for _ in range(2)))}
    common = {"region": "regions", "service": "regions", "zone": "zones", "node": "nodes", "pod": "pods"}.get(kind)
    return Fault(
        target=target,
        effect=_effect(dice, kind),
        repair=repair,
        common_cause=CommonCause(**{common: dice.share()}) if common and dice.sometimes(0.3) else None,
        **cause,
    )


def _effect(dice: Dice, kind: str) -> Effect:
    if kind == "population":
        return Effect(demand=dice.choice([0.0, 0.5, 3.0, 1e4]))
    slow, errors = {"slow": dice.choice([1e-3, 0.5, 4.0, 1e6])}, {"errors": dice.share()}
    capacity, whole = {"capacity": dice.share()}, {"down": True}
    if kind == "provider":
        return Effect(**dice.choice([whole, slow, errors, capacity]))
    mib = dice.choice([0.0, 1.0, 300.0, 5000.0])
    effects: list[dict[str, Any]] = [
        whole,
        slow,
        errors,
        slow | errors,
        {"memory": mib},
        {"memory_factor": dice.choice([0.5, 3.0, 1000.0])},
        {"leak": dice.choice([1e-3, 1.0, 1e3])},
        {"memory_growth": mib, "over": dice.choice([1e-6, 600.0])},
    ]
    if kind in ("zone", "region", "service"):
        effects.append(capacity)
    if kind == "region":
        effects.append({"partition": True})
    return Effect(**dice.choice(effects))


def _operations(
    dice: Dice,
    regions: list[str],
    specs: dict[str, Service],
    place: dict[str, dict[str, int]],
    faults: dict[str, Fault],
    horizon_s: float,
) -> Operations:
    service = dice.choice(list(specs))
    memory = specs[service].memory
    fields: dict[str, dict[str, Any]] = {
        "restart": {"roll": dice.maybe(0.3, 5.0)},
        "rollback": {},
        "scale_out": {"service": service, "pods": dice.choice([1, 4])},
        "failover": {"to": dice.maybe(0.3, dice.choice(regions))},
        "shed": {"service": service, "in_flight": dice.choice([1, 10, 1000])},
        "disable_retries": {},
        "fix": {"helps_against": tuple(faults)},
    }
    if memory is not None:
        fields["raise_memory"] = {"service": service, "limit": 2.0 * memory.limit, "roll": dice.maybe(0.3, 10.0)}
    names = dice.sample(list(fields), dice.randint(1, len(fields)))
    takes = dice.maybe(0.5, law(dice, 0.1, 100.0))
    if dice.sometimes(0.4):
        moments = {name: at(dice.random() * horizon_s) for name in names}
        return Operations(script={n: ScriptedStep(at=moments[n], takes=takes, **fields[n]) for n in names})
    return Operations(
        detection=Detection(
            monitor=dice.maybe(0.8, Monitor(below=dice.choice([1.0, 0.95, 0.1]), **{"for": dice.choice([0.0, 60.0])})),
            users=law(dice, 1.0, 600.0),
        ),
        acknowledge=dice.maybe(0.5, law(dice, 0.1, 100.0)),
        diagnose=dice.maybe(0.5, law(dice, 0.1, 100.0)),
        crew=dice.choice([1, 3]),
        runbook={name: Step(takes=takes, **fields[name]) for name in names},
        first_action_wrong=dice.share(),
        reassess=dice.choice([0.0, 1.0, 300.0]),
    )


def _with_alerts(dice: Dice, operations: Operations | None) -> Operations | None:
    """A burn-rate alert for some; by dice of its own, so that the scenario of a number stays what it was."""
    if operations is None or operations.script or not dice.sometimes(0.5):
        return operations
    over_s = dice.between(1.0, 86_400.0)
    alert = BurnRate(
        burn=dice.choice([1e-3, 1.0, 14.4, 1e4]),
        over=over_s,
        short=dice.maybe(0.5, over_s * dice.choice([1e-3, 0.5, 1.0])),
        every=dice.choice([1.0, 60.0]),
    )
    detection = operations.detection.model_copy(update={"burn_rate": {"page": alert}})
    return operations.model_copy(update={"detection": detection})


# --- what must hold --------------------------------------------------------------------------------------


def run_checked(scenario: Scenario) -> Trial:
    """One trial; after every step of the master loop the books and the states are looked at."""
    trial = Trial(scenario, "random", 0)
    traffic, last_s, n_looks = trial.traffic, 0.0, 0
    advance = traffic.advance

    def looked_at(end_s: float) -> tuple[int, int]:
        nonlocal last_s, n_looks
        code = advance(end_s)
        assert last_s <= traffic.now_s <= end_s, "time went back, or too far"
        last_s = traffic.now_s
        n_looks += 1
        if n_looks < 200 or n_looks % 100 == 0:  # a crash loop has ten thousands of them
            check_books(trial)
        return code

    traffic.advance = looked_at  # type: ignore[method-assign]
    record = trial.run()
    check_books(trial)
    check(record, throttles=any(p.throttle is not None for p in scenario.populations.values()))
    return trial


def check_books(trial: Trial) -> None:
    """States in range; offered = good + failed + waiting for each population."""
    traffic = trial.traffic
    state, layout = traffic.state, traffic.layout
    assert np.all(np.isfinite(state)), "a state is not finite"
    at_totals = layout.totals
    assert state[:at_totals].min(initial=0.0) >= -1e-12, "a state is negative"
    assert state[layout.quality : layout.throttle].max(initial=0.0) <= 1.0 + 1e-9, "a share is above 1"
    for g in range(len(traffic.names.populations)):
        totals = traffic.totals(g)
        open_requests = traffic.open_requests(g)
        missing = totals[TOTAL_GOOD] + totals[TOTAL_FAILED] + open_requests - totals[TOTAL_OFFERED]
        assert abs(missing) <= ROUNDING * (1.0 + totals[TOTAL_OFFERED]), f"{missing} requests are missing"
        assert 0.0 <= traffic.success(g) <= 1.0 + 1e-12, "a success is no share"
