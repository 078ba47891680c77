"""What every failover policy keeps to: whole shares, only where pods are, home again, still when all is well."""

from typing import Any, Literal

import numpy as np
import pytest
from worlds import RESTART, check, fault, lasting, memory, region, run, service, users, world

from sim.scenario.schema import (
    Call,
    ExponentialLaw,
    Failback,
    Failover,
    LawSpec,
    LognormalLaw,
    Model,
    Operations,
    Provider,
    Repair,
    Scenario,
    Step,
)
from sim.study.rerouting import entering_per_s
from sim.traffic.assemble import PROVIDER, home_shares
from sim.traffic.layout import ROUTE_TARGET
from sim.world import Kind, Record
from sim.world.trial import Trial

QUICK: dict[str, Any] = {"ttl": 30.0, "failback": Failback(after=300.0, stages=2, every=60.0)}
BY_HAND = Operations(runbook={"failover": Step()}, reassess=60.0)
POLICIES: dict[str, Failover] = {
    "none": Failover(policy="none", **QUICK),
    "manual": Failover(policy="manual", **QUICK),
    "active-passive hot": Failover(policy="active-passive", **QUICK),
    "active-passive warm": Failover(policy="active-passive", standby="warm", **QUICK),
    "active-passive cold": Failover(policy="active-passive", standby="cold", **QUICK),
    "active-passive, a part with a capacity check": Failover(
        policy="active-passive", move=0.7, ignore_ttl=0.1, capacity_check=True, **QUICK
    ),
    "active-active": Failover(policy="active-active", **QUICK),
    "provider": Failover(policy="provider", provider=Provider(quota=0.8), **QUICK),
}
MOVING = {name for name in POLICIES if name != "none"}


Noise = Literal["never", "always"]
"""Controllers see the same whether mean rates are computed or single requests simulated."""


def scenario(policy: str, noise: Noise = "never", **fields: Any) -> Scenario:
    """Three regions; `bare` has no pod of the entry service, so it can never take load."""
    place = {"home": {"web": 2, "db": 1}, "bare": {"db": 1}, "spare": {"web": 3, "db": 1}}
    given: dict[str, Any] = {
        "regions": {name: region(provision=lasting(60.0)) for name in place},
        "services": {"web": service(startup=20.0, memory=memory()), "db": service()},
        "populations": {"staff": users(home="home"), "others": users(5.0, home="home", deadline=2.0)},
        "place": place,
        "failover": POLICIES[policy],
        "operations": BY_HAND if policy == "manual" else None,
        "horizon": 10_000.0,
        "model": Model(noise=noise),
        **fields,
    }
    return world(**given)


class Watched(Trial):
    """A trial that keeps every target its controllers set."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario, "test", 0)
        self.targets: list[tuple[int, list[float]]] = []
        told = self.traffic.set_targets

        def tell(group: int, shares: list[float]) -> None:
            self.targets.append((group, list(shares)))
            told(group, shares)

        self.traffic.set_targets = tell  # type: ignore[method-assign]


LOSS = {"dark": fault("home", at_s=1000.0, until=2000.0)}


@pytest.mark.parametrize("noise", ["never", "always"])
@pytest.mark.parametrize("policy", POLICIES)
class TestEveryPolicy:
    def test_shares_are_whole_and_go_only_where_pods_are(self, policy: str, noise: Noise):
        trial = Watched(scenario(policy, noise, faults=LOSS))
        check(trial.run())
        regions = trial.traffic.names.regions
        assert bool(trial.targets) == (policy in MOVING)
        for _, shares in trial.targets:
            assert sum(shares) == pytest.approx(1.0, abs=1e-9)
            assert min(shares) >= 0.0
            assert shares[regions.index("bare")] == 0.0
        layout, n_regions = trial.traffic.layout, len(regions)
        where = trial.traffic.state[layout.share : layout.totals].reshape(-1, n_regions)
        assert where.sum(axis=1) == pytest.approx([1.0, 1.0], abs=1e-9)

    def test_the_load_leaves_a_lost_region_and_comes_home(self, policy: str, noise: Noise):
        trial = Watched(scenario(policy, noise, faults=LOSS))
        record = trial.run()
        names = trial.traffic.names
        home = names.regions.index("home")
        for group, population in enumerate(names.populations):
            base = home_shares(trial.context.scenario, names, population)
            least = min((shares[home] for g, shares in trial.targets if g == group), default=base[home])
            assert (least < base[home]) == (policy in MOVING)
            assert trial.traffic.net.routes[group, :, ROUTE_TARGET] == pytest.approx(base)
        moved = [r.population for r in record.records if r.kind is Kind.FAILOVER]
        returned = [r.population for r in record.records if r.kind is Kind.FAILBACK and r.what.startswith("100%")]
        assert sorted(moved) == sorted(returned) == (["others", "staff"] if policy in MOVING else [])

    def test_nothing_moves_while_regions_are_well(self, policy: str, noise: Noise):
        """A pod that crashes while another one serves, and a region without load, are no reason to move."""
        calm = {
            "crash": fault("any pod of web in spare", at_s=(500.0, 3000.0), until=RESTART),
            "bare": fault("bare", at_s=1000.0, until=500.0),
        }
        for faults in ({}, calm):
            trial = Watched(scenario(policy, noise, faults=faults))
            record = trial.run()
            assert trial.targets == []
            assert not [r for r in record.records if r.kind in (Kind.FAILOVER, Kind.FAILOVER_FAILED, Kind.FAILBACK)]

    def test_nobody_is_asked_who_is_lost_as_well(self, policy: str, noise: Noise):
        """Both regions are lost, spare comes back first: the load goes there then, not before."""
        both = {
            "dark": fault("home", at_s=1000.0, until=4000.0),
            "gone": fault("spare", at_s=990.0, until=1010.0),
        }
        record = run(scenario(policy, noise, faults=both))
        moves = [r.at_s for r in record.records if r.kind is Kind.FAILOVER and r.region == "home"]
        if policy in MOVING:
            assert len(moves) == 2
            if policy != "provider":
                assert min(moves) >= 2000.0
            assert max(moves) < 2500.0
        else:
            assert moves == []

    def test_switching_gives_users_no_less_than_staying(self, policy: str, noise: Noise):
        staying = run(scenario("none", noise, faults=LOSS)).totals[:, 1]
        chance = 1.0 if noise == "never" else 4.0 * np.sqrt(2.0 * staying)  # other requests arrive
        assert np.all(run(scenario(policy, noise, faults=LOSS)).totals[:, 1] >= staying - chance)

    def test_designs_that_share_elements_see_the_same_faults(self, policy: str, noise: Noise):
        """Random faults of regions, zones and nodes: all of home's, at the same instants, alone or not."""

        def history(records: list[Record]) -> list[tuple[float, str, str]]:
            return [
                (r.at_s, r.kind.value, r.fault)
                for r in records
                if r.kind in (Kind.FAULT, Kind.REPAIR) and r.region == "home"
            ]

        repair = Repair(law=LawSpec(lognormal=LognormalLaw(median=600.0, p95=3600.0)))
        faults = {
            name: fault(target, every=LawSpec(exponential=ExponentialLaw(mean=mean_s)), until=repair)
            for name, target, mean_s in (
                ("dark", "any region", 20_000.0),
                ("cooling", "any zone", 30_000.0),
                ("box", "any node", 30_000.0),
            )
        }
        alone = scenario("none", faults=faults, horizon=86_400.0, place={"home": {"web": 2, "db": 1}})
        both = scenario(policy, noise, faults=faults, horizon=86_400.0)
        for trial in range(2):
            expected = history(run(alone, trial).records)
            assert len(expected) > 8
            assert history(run(both, trial).records) == expected
        assert history(run(both, 1).records) != history(run(both, 0).records)


@pytest.mark.parametrize("noise", ["never", "always"])
@pytest.mark.parametrize("standby", ["warm", "cold", "hot"])
def test_a_standby_that_has_just_come_up_takes_the_load(standby: Literal["warm", "cold", "hot"], noise: Noise):
    """One pod in each of two tiers: users are served from the moment on in which the last pod is ready.

    Lost at 1000; three probes: 1020; a cold node needs 60 s, the slower tier 120 s more; clients follow within minutes
    (30 s of TTL). Home again at 5000, and in charge 300 s later.
    """
    record = run(
        scenario(
            "none",
            noise,
            services={
                "web": service(startup=20.0, calls={"db": Call(timeout=1.0)}),
                "db": service(0.05, startup=120.0),
            },
            populations={"staff": users(home="home")},
            place={"home": {"web": 1, "db": 1}, "spare": {"web": 1, "db": 1}},
            failover=Failover(policy="active-passive", standby=standby, **QUICK),
            faults={"dark": fault("home", at_s=1000.0, until=4000.0)},
        )
    )
    (moved,) = (r.at_s for r in record.records if r.kind is Kind.FAILOVER)
    late_s = {"hot": 0.0, "warm": 120.0, "cold": 180.0}[standby]
    assert moved == pytest.approx(1020.0 + late_s, abs=15.0)
    # Lost: everything until then, then what has not followed yet, 30 s of the load in all; little at the way back.
    lost_s = (record.totals[0, 0] - record.totals[0, 1]) / 10.0
    assert lost_s == pytest.approx(moved - 1000.0 + 30.0, abs=25.0)


def test_a_region_that_took_the_load_and_fails_as_well_hands_it_on():
    """Home is lost at 1000, the first standby at 3000, and there is a second one."""
    record = run(
        scenario(
            "none",
            place={"home": {"web": 2, "db": 1}, "bare": {"web": 2}, "spare": {"web": 2}},
            failover=Failover(policy="active-passive", **QUICK),
            faults={"dark": fault("home", at_s=1000.0, until=5000.0), "gone": fault("bare", at_s=3000.0, until=400.0)},
            populations={"staff": users(home="home")},
        )
    )
    moves = [(r.what, r.at_s) for r in record.records if r.kind is Kind.FAILOVER]
    assert [what for what, _ in moves] == ["automatic: load of home to bare", "automatic: load of home to spare"]
    # It stays there when the first standby is back: nobody moves without a reason.
    assert [at_s for _, at_s in moves] == pytest.approx([1020.0, 3020.0], abs=15.0)


def test_people_may_name_the_region_and_it_is_kept():
    """The policy would take `spare`, the first one; the runbook says `far`."""
    operations = Operations(runbook={"failover": Step(to="far")}, reassess=60.0)
    regions = {name: region() for name in ("home", "spare", "far")}
    trial = Watched(
        world(
            regions=regions,
            place={name: {"web": 2} for name in regions},
            failover=POLICIES["manual"],
            operations=operations,
            faults=LOSS,
            horizon=5000.0,
        )
    )
    trial.run()
    assert [shares for _, shares in trial.targets] == [[0.0, 0.0, 1.0], [0.5, 0.0, 0.5], [1.0, 0.0, 0.0]]


def test_people_choose_the_largest_region():
    regions = {name: region() for name in ("home", "small", "large")}
    trial = Watched(
        world(
            regions=regions,
            place={"home": {"web": 2}, "small": {"web": 1}, "large": {"web": 4}},
            failover=POLICIES["manual"],
            operations=BY_HAND,
            faults=LOSS,
        )
    )
    trial.run()
    assert trial.targets[0] == (0, [0.0, 0.0, 1.0])


def test_a_standby_that_another_population_still_needs_is_not_stopped():
    """`late` has its own home, lost longer: when the load of `early` is home again, the shared standby stays."""
    regions = {name: region() for name in ("east", "west", "spare")}
    record = run(
        world(
            regions=regions,
            place={name: {"web": 2} for name in regions},
            populations={"early": users(home="east"), "late": users(home="west")},
            failover=Failover(policy="active-passive", standby="warm", ttl=10.0, failback=Failback(after=60.0)),
            faults={
                "one": fault("east", at_s=1000.0, until=500.0),
                "two": fault("west", at_s=1000.0, until=5000.0),
            },
            horizon=9000.0,
        )
    )
    below = [(r.kind.value, r.population) for r in record.records if r.kind in (Kind.SLI_BELOW, Kind.SLI_ABOVE)]
    assert below == [("sli_below", "early"), ("sli_below", "late"), ("sli_above", "early"), ("sli_above", "late")]


def test_a_service_that_the_home_calls_elsewhere_is_no_standby():
    """`db` runs in `spare` only; a warm standby must not put it to sleep."""
    record = run(
        world(
            regions={"home": region(), "spare": region()},
            services={
                "web": service(calls={"db": {"timeout": 1.0}}),
                "db": service(),
            },
            place={"home": {"web": 2}, "spare": {"web": 1, "db": 1}},
            failover=Failover(policy="active-passive", standby="warm"),
        )
    )
    assert record.totals[0][1] == pytest.approx(record.totals[0][0], rel=1e-3)


def test_a_move_by_hand_from_a_region_that_answers_comes_home_too():
    """Half of home's answers are errors: too few to fail a probe, enough for people to move the load."""
    from sim.scenario.schema import Effect

    record = run(
        world(
            regions={"home": region(), "spare": region()},
            place={"home": {"web": 2}, "spare": {"web": 2}},
            failover=POLICIES["manual"],
            operations=BY_HAND,
            faults={"bad": fault("web in home", Effect(errors=0.3), at_s=500.0, until=1500.0)},
            horizon=5000.0,
        )
    )
    kinds = [r.kind for r in record.records]
    assert kinds.index(Kind.FAILOVER) < kinds.index(Kind.FAILBACK)


def test_a_region_named_provider_is_impossible_so_routes_cannot_be_confused():
    from sim.scenario.targets import RESERVED

    assert PROVIDER in RESERVED


def by_hand(**step: Any) -> dict[str, Any]:
    """Nobody but people moves the load."""
    return {"failover": Failover(policy="manual"), "operations": Operations(runbook={"failover": Step(**step)})}


AFTER_THE_LOSS: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
    "active-passive: the first other region, not the largest": (
        {"failover": Failover(policy="active-passive")},
        {"b": 60.0},
    ),
    "active-passive: a part of those who follow": (
        {"failover": Failover(policy="active-passive", move=0.7, ignore_ttl=0.1)},
        {"b": 60.0 * 0.7 * 0.9},
    ),
    "active-passive: as much as b has room for": (
        {"failover": Failover(policy="active-passive", capacity_check=True), "staff_per_s": 100.0},
        {"b": 0.85 * 8 / 0.1 - 5.0},
    ),
    "active-active: a part of those who follow, by size": (
        {"failover": Failover(policy="active-active", move=0.7, ignore_ttl=0.1)},
        {"b": 60 / 9 + 60 * 4 / 9 * 0.63 / 5, "c": 60 * 4 / 9 + 60 * 4 / 9 * 0.63 * 4 / 5},
    ),
    "by hand: the most capacity": (by_hand(), {"c": 60.0}),
    "by hand: where the runbook says": (by_hand(to="b"), {"b": 60.0}),
    "another provider": ({"failover": POLICIES["provider"]}, {}),
}
"""What is changed, and the load of the staff of 60/s by region once home (4 of 9 pods) is lost, by hand.

b has one pod of 8 slots and 0.1 s, full at 85 %, and serves 5/s of others.
"""


@pytest.mark.parametrize("case", AFTER_THE_LOSS)
def test_the_margins_send_a_lost_regions_load_where_the_controller_does(case: str):
    fields, expected = AFTER_THE_LOSS[case]
    fields = dict(fields)
    place = {"home": {"web": 4}, "b": {"web": 1}, "c": {"web": 4}}
    given = world(
        regions={name: region() for name in place},
        services={"web": service(imbalance=0.0)},
        populations={"staff": users(fields.pop("staff_per_s", 60.0), home="home"), "others": users(5.0, home="b")},
        place=place,
        horizon=4000.0,
        faults={"dark": fault("home", at_s=1000.0)},
        **fields,
    )
    margins = {region: per_s for (region, _), per_s in entering_per_s(given, "home")["staff"].items() if per_s > 0.0}
    assert margins == pytest.approx(expected)
    trial = Watched(given)
    trial.run()
    names, staff = trial.traffic.names, 0
    assert names.populations[staff] == "staff"
    shares = [targets for group, targets in trial.targets if group == staff][-1]
    demand_per_s = given.populations["staff"].workers * given.populations["staff"].requests
    engine = {
        name: share * demand_per_s
        for name, share in zip(names.regions, shares, strict=True)
        if share > 0.0 and name not in ("home", PROVIDER)
    }
    assert engine == pytest.approx(expected, rel=1e-3)
