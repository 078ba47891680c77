"""What takes two blocks to tell: targets, room for pods, circles of calls, doubts; each beside its opposite."""

from pathlib import Path

import pytest

from sim.errors import Issue, ScenarioError
from sim.scenario.check import findings_of, unplaceable
from sim.scenario.check_faults import EFFECTS
from sim.scenario.lint import circles_of
from sim.scenario.load import load_experiment
from sim.scenario.schema import Call, Scenario, Service
from sim.scenario.targets import Scope, Target, TargetKind, matches, parse_target

GOOD = Path(__file__).parents[1] / "golden" / "bad_scenarios" / "good.yaml"


def told(*sets: str) -> list[Issue]:
    """Errors and warnings of the good scenario after some settings."""
    try:
        return list(load_experiment(GOOD, sets=sets).warnings)
    except ScenarioError as error:
        return list(error.issues)


ALERT = "operations.detection={burn_rate: {fast: {burn: 14.4, over: %s, short: %s, every: %s}}}"


@pytest.mark.parametrize(
    ("over", "short", "every", "words"),
    [
        ("1h", "5m", "5m", None),
        ("1h", "5m", "6m", "every: got 6m, longer than the short window of 5m"),
        ("28d", "1h", "1m", None),
        ("29d", "1h", "1m", "over: got 29d, longer than the horizon of 28d"),
    ],
)
def test_burn_rate_windows_that_miss_errors_or_outlast_the_horizon(
    over: str, short: str, every: str, words: str | None
) -> None:
    found = [f"{issue.path}: {issue.message}" for issue in told(ALERT % (over, short, every))]
    assert [words is not None and words in text for text in found] == ([] if words is None else [True])


def test_an_error_budget_is_written_without_rounding_noise() -> None:
    alert = "operations.detection={burn_rate: {fast: {burn: 2000, over: 1h}}}"
    [issue] = told("objectives.availability.target=99.9%", alert)
    assert "the error budget of 0.1% burns 1000 times too fast" in issue.message


@pytest.mark.parametrize(
    ("deadline", "call", "words"),
    [
        ("71ms", "{timeout: 50ms}", None),
        ("69ms", "{timeout: 50ms}", "got 69ms, but web + stock work 70ms on average"),
        ("119ms", "{timeout: 50ms, calls: 2}", "got 119ms, but web + stock work 120ms"),
        ("60ms", "{timeout: 50ms, fallback: 100%}", None),
        ("19ms", "{timeout: 10ms, fallback: 100%}", "got 19ms, but web work 20ms"),
    ],
)
def test_deadlines_below_the_work_itself(deadline: str, call: str, words: str | None) -> None:
    found = told(f"populations.buyers.deadline={deadline}", f"services.web.calls.stock={call}")
    found = [issue for issue in found if issue.path == "populations.buyers.deadline"]
    assert len(found) == (words is not None)
    assert all(words is not None and words in issue.message for issue in found)


@pytest.mark.parametrize("block", ["regions", "services"])
def test_an_empty_block_of_what_a_scenario_cannot_do_without(block: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text(GOOD.read_text().replace(f"\n{block}:\n", f"\n{block}: {{}}\nold_{block}:\n"))
    with pytest.raises(ScenarioError) as caught:
        load_experiment(empty)
    messages = {issue.path: issue.message for issue in caught.value.issues}
    assert messages[block].startswith("got an empty block, expected at least one: ")
    assert not any("expected nothing" in message for message in messages.values())


def test_the_bound_of_a_share_is_a_share() -> None:
    [issue] = told("objectives.availability.target=100%")
    assert issue.message == "got '100%', expected less than 100%"


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_experiment(GOOD).scenarios["two"]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("any pod", Target(TargetKind.POD, Scope.ANY)),
        ("any pod of web", Target(TargetKind.POD, Scope.ANY, service="web")),
        ("any pod of web in north", Target(TargetKind.POD, Scope.ANY, service="web", region="north")),
        ("any pod in north", Target(TargetKind.POD, Scope.ANY, region="north")),
        ("all pods of web", Target(TargetKind.POD, Scope.ALL, service="web")),
        ("any node", Target(TargetKind.NODE, Scope.ANY)),
        ("any node in any region", Target(TargetKind.NODE, Scope.ANY)),
        ("any zone in south", Target(TargetKind.ZONE, Scope.ANY, region="south")),
        ("zone 2 of south", Target(TargetKind.ZONE, Scope.ONE, region="south", zone=2)),
        ("any region", Target(TargetKind.REGION, Scope.ANY)),
        ("all regions", Target(TargetKind.REGION, Scope.ALL)),
        ("north", Target(TargetKind.REGION, Scope.ONE, region="north")),
        ("web", Target(TargetKind.SERVICE, Scope.ANY, service="web")),
        ("web in any region", Target(TargetKind.SERVICE, Scope.ANY, service="web")),
        ("web in all regions", Target(TargetKind.SERVICE, Scope.ALL, service="web")),
        ("web  in   south", Target(TargetKind.SERVICE, Scope.ONE, service="web", region="south")),
        ("any service", Target(TargetKind.SERVICE, Scope.ANY)),
        ("all services in north", Target(TargetKind.SERVICE, Scope.ALL, region="north")),
        ("provider", Target(TargetKind.PROVIDER, Scope.ONE)),
        ("population buyers", Target(TargetKind.POPULATION, Scope.ONE, population="buyers")),
        ("any population", Target(TargetKind.POPULATION, Scope.ANY)),
        ("all populations", Target(TargetKind.POPULATION, Scope.ALL)),
    ],
)
def test_targets(scenario: Scenario, text: str, target: Target) -> None:
    assert parse_target(text, scenario) == target


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("any region in north", "a region is in no region; did you mean any region?"),
        ("all pod", "did you mean all pods?"),
        ("zone 0 of north", "got zone 0, expected 1 to 3: the zones of north"),
        ("zone 9 of nort", "got the region nort, expected north or south; did you mean north?"),
        ("any pot", "did you mean any pod?"),
        ("porvider", "did you mean provider?"),
        ("x" * 1000, "expected a target: any pod"),
        ("", "got '', expected a target"),
    ],
)
def test_no_targets(scenario: Scenario, text: str, message: str) -> None:
    with pytest.raises(ValueError, match="^got") as caught:  # noqa: RUF043 - an anchor, not a text
        parse_target(text, scenario)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


def test_every_kind_of_target_has_its_effects() -> None:
    assert set(EFFECTS) == set(TargetKind)


def test_a_target_matches_what_the_architecture_has() -> None:
    one = load_experiment(GOOD).scenarios["one"]
    assert matches(parse_target("web in north", one), one)
    assert not matches(parse_target("web in south", one), one)
    assert not matches(parse_target("provider", one), one)
    assert matches(parse_target("population buyers", one), one)
    assert not matches(parse_target("zone 1 of south", one), one)


def test_first_fit_takes_the_largest_pods_first() -> None:
    base = load_experiment(GOOD, sets=["regions.north.nodes.count=2", "regions.north.nodes.memory=3Gi"]).scenarios[
        "one"
    ]
    region = base.regions["north"]
    memory = base.services["web"].memory
    assert memory is not None

    def left_over(n_small: int, n_large: int) -> dict[str, int]:
        services = {
            "small": Service(work=1.0, slots=1, memory=memory.model_copy(update={"limit": 1024.0})),
            "large": Service(work=1.0, slots=1, memory=memory.model_copy(update={"limit": 2048.0})),
            "free": Service(work=1.0, slots=1),
        }
        place = {"north": {"small": n_small, "large": n_large, "free": 1000}}
        return unplaceable(base.model_copy(update={"services": services, "place": place}), "north", region)

    assert left_over(2, 2) == {}  # 2 nodes of 3 Gi: a large and a small pod on each
    assert left_over(3, 2) == {"small": 1}
    assert left_over(0, 5) == {"large": 3}
    assert left_over(6, 0) == {}


@pytest.mark.parametrize(
    ("calls_web", "calls_stock", "diverges"),
    [(0.5, 0.5, False), (0.9, 0.9, False), (1.0, 1.0, True), (2.0, 0.4, False), (2.0, 0.6, True)],
)
def test_circles_of_calls_are_doubted_when_holding_diverges(
    calls_web: float, calls_stock: float, diverges: bool
) -> None:
    # Two services in a circle: the spectral radius is the root of the product of the calls.
    sets = (
        f"services.web.calls.stock={{timeout: 1s, calls: {calls_web}}}",
        f"services.stock.calls={{web: {{timeout: 1s, calls: {calls_stock}}}}}",
    )
    messages = [issue.message for issue in told(*sets)]
    assert (
        any("call each other in a circle (web -> stock -> web) that feeds itself" in message for message in messages)
        is diverges
    )
    assert ((calls_web * calls_stock) ** 0.5 >= 1) is diverges


def test_a_long_chain_is_no_circle() -> None:
    # The matrix of a chain with many calls is nilpotent; its computed eigenvalues need not be small.
    services = {
        f"s{n}": Service(work=1.0, slots=1, calls={f"s{n + 1}": Call(timeout=1.0, calls=900.0)} if n < 29 else {})
        for n in range(30)
    }
    assert circles_of(services) == []
    services["s29"] = Service(work=1.0, slots=1, calls={"s0": Call(timeout=1.0)})
    assert circles_of(services) == [list(services)]


def test_a_service_that_calls_itself_is_a_circle() -> None:
    assert circles_of({"a": Service(work=1.0, slots=1, calls={"a": Call(timeout=1.0)})}) == [["a"]]


@pytest.mark.parametrize(("queue", "is_told"), [(773, False), (774, True)])
def test_a_queue_that_just_fits_is_not_doubted(queue: int, is_told: bool) -> None:
    # 200 MiB + (50 + 774) x 1 MiB = 1024 MiB: at the limit a pod is killed
    assert bool(told(f"services.web.queue={queue}")) is is_told


def test_slots_that_do_not_fit_alone() -> None:
    (issue,) = told("services.web.slots=2000")
    assert issue.message.endswith("even the slots alone do not leave room for a queue")


@pytest.mark.parametrize(("timeout", "is_told"), [("5s", False), ("5001ms", True)])
def test_a_timeout_as_long_as_the_one_above_is_not_doubted(timeout: str, is_told: bool) -> None:
    assert bool(told(f"services.web.calls.stock.timeout={timeout}")) is is_told


def test_the_longest_caller_counts() -> None:
    sets = ["populations.sellers={workers: 5, requests: 1/h, journey: web, deadline: 20s, home: north}"]
    assert told(*sets, "services.web.calls.stock.timeout=19s") == []
    (issue,) = told(*sets, "services.web.calls.stock.timeout=21s")
    assert "longer than the deadline of sellers above it, 20s" in issue.message


@pytest.mark.parametrize("policy", ["active-passive", "active-active", "manual"])
def test_failover_to_nowhere(policy: str) -> None:
    (issue,) = told(f"architectures.one.failover={policy}")
    assert issue.severity == ("warning" if policy == "manual" else "error")
    assert issue.path == "architectures.one.failover"
    assert "web (buyers) has pods in one region only" in issue.message


def test_what_only_some_architectures_lack_is_no_doubt() -> None:
    fault = "faults.x={target: web in south, every: 9d, effect: down, repair: 1h, common_cause: {regions: 5%}}"
    assert told(fault) == []
    assert {issue.path for issue in told(fault, "architectures.two=null")} == {
        "regions.south",
        "faults.x.target",
        "faults.x.common_cause.regions",
    }


def test_needs_met_exactly_and_shares_for_every_pod() -> None:
    assert told("services.stock.needs=2", "services.stock.load_shares=[1, 1.2]") == []
    assert told("services.stock.needs=3") != []


def test_no_pod_at_all() -> None:
    issues = told("architectures.one.place={north: {web: 0}}")
    assert any(issue.message.startswith("got no pod in any region") for issue in issues)


def test_quota_below_the_nodes() -> None:
    (issue,) = told("regions.north.nodes.quota=3")
    assert issue.message == "got a quota of 3, expected at least the 4 nodes at the start"


@pytest.mark.parametrize("zone", ["Europe/Stockholm", "UTC", "America/New_York"])
def test_time_zones_that_exist(zone: str) -> None:
    assert told(f"populations.buyers.timezone={zone}", "populations.buyers.holidays=DE") == []


def test_money_of_every_block_names_the_currency() -> None:
    issues = told(
        "currency=SEK",
        "costs={node: 1 EUR/h, pod: {web: 1 EUR/h}}",
        "objectives.sla={credits: {below 99%: 5%}, fee: 9 EUR/month}",
        "architectures.one.failover={policy: provider, provider: {price: 1 EUR/request}}",
    )
    assert [issue.message for issue in issues] == ["got EUR, expected SEK: money names the scenario's currency"] * len(
        issues
    )
    assert len(issues) == 5


def test_a_script_is_checked_like_a_runbook() -> None:
    issues = told(
        "operations.script={notice: {at: 2026-03-02}, late: {at: 2027-01-01, action: fix}, "
        "add: {at: 2026-03-02, action: scale_out, service: web, pods: +2}, odd: {at: 2026-03-02, action: notise}}"
    )
    assert [(issue.severity, issue.message[:40]) for issue in issues] == [
        ("error", "got 'notise', expected restart, rollback"),
    ]
    issues = told("operations.script={late: {at: 2027-01-01, action: fix}}")
    assert [(issue.severity, issue.message[:22]) for issue in issues] == [("warning", "is outside the horizon")]


def test_a_notice_belongs_to_scripts_only() -> None:
    (issue,) = told("operations.runbook.notice={takes: 5m}")
    assert "got the step notice without an action" in issue.message


def test_a_limit_that_is_not_raised() -> None:
    (issue,) = told("operations.runbook.raise_memory={service: web, limit: 1Gi}")
    assert (issue.severity, issue.message) == ("warning", "got 1Gi, which is no more than the limit of 1Gi")


def test_a_valid_scenario_has_no_findings(scenario: Scenario) -> None:
    assert findings_of(scenario) == []


@pytest.mark.parametrize(("share", "is_told"), [("5%", True), ("4.9%", False)])
def test_clients_that_never_follow_a_switch_can_keep_the_objective_out_of_reach(share: str, is_told: bool) -> None:
    issues = told("failover.policy=manual", f"failover.ignore_ttl={share}")
    assert any("never follow a switch" in issue.message for issue in issues) is is_told
