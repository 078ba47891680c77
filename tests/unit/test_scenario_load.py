"""What a file means: internal units, overlays, settings, architectures, sweeps, samples, documents."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sim.errors import Issue, ScenarioError, UsageError
from sim.scenario.document import Experiment
from sim.scenario.load import load_experiment
from sim.scenario.quantities import FROM_FILE
from sim.scenario.schema import Call, Fault, LawSpec, Nodes, Scenario, Service, moment_s
from sim.units import Money

GOLDEN = Path(__file__).parents[1] / "golden"
EXAMPLE = GOLDEN / "scenario-example.yaml"
GOOD = GOLDEN / "bad_scenarios" / "good.yaml"


@pytest.fixture(scope="module")
def example() -> Experiment:
    return load_experiment(EXAMPLE)


def test_the_example_has_its_six_architectures(example: Experiment) -> None:
    assert example.name == "LLM service in Sweden Central"
    assert list(example.scenarios) == [
        "single",
        "single-bounded-queue",
        "active-passive-hot",
        "active-active",
        "active-active-headroom",
        "other-provider",
    ]
    assert example.architectures == {name: name for name in example.scenarios}
    assert example.sweep_axes == {}


def test_the_example_in_internal_units(example: Experiment) -> None:
    scenario = example.scenarios["single"]
    assert scenario.start == datetime(2026, 1, 1, tzinfo=UTC)
    assert (scenario.horizon, scenario.seed, scenario.trials) == (365 * 86_400, 20260127, 1000)
    nodes = scenario.regions["sweden-central"].nodes
    assert (nodes.count, nodes.memory, nodes.quota, nodes.eviction) == (12, 65_536, 24, 300)
    assert nodes.provision is not None
    assert nodes.provision.lognormal is not None
    assert (nodes.provision.lognormal.median, nodes.provision.lognormal.p95) == (720, 2400)
    irm = scenario.services["irm"]
    assert irm.memory is not None
    assert (irm.work, irm.slots, irm.queue, irm.startup) == (0.2, 8, 40, LawSpec(fixed=30.0))
    assert (irm.memory.base, irm.memory.per_request, irm.memory.limit) == (600, 40, 2048)
    assert list(scenario.services["gateway"].calls) == ["irm", "gpt"]
    assert scenario.services["gateway"].calls["irm"] == Call(timeout=2.0, attempts=2)
    people = scenario.populations["nordic-offices"]
    assert (people.workers, people.requests, people.growth, people.refocus) == (20_000, 20 / 3600, 0.4, 600)
    assert (people.dependence, people.deferrable, people.calendar) == (0.25, 0.3, "office-hours")
    assert isinstance(people.cost, Money)
    assert (people.cost, people.cost.currency) == (65, "EUR")


def test_the_faults_of_the_example(example: Experiment) -> None:
    faults = example.scenarios["single"].faults
    crash = faults["pod-crash"]
    assert crash.every is not None
    assert crash.every.exponential is not None
    assert crash.every.exponential.mean == 30 * 86_400
    assert crash.effect.down
    assert crash.repair.restart
    growth = faults["irm-working-set"]
    assert (growth.effect.memory_growth, growth.effect.over) == (1200, 43_200)
    assert growth.repair.until_fixed
    assert growth.common_cause is not None
    assert growth.common_cause.regions == 0.2
    rollout = faults["bad-rollout"]
    assert rollout.deployments is not None
    assert (rollout.per_deployment, rollout.deployments.every, rollout.effect.errors) == (0.01, 604_800, 0.6)


def test_the_people_and_promises_of_the_example(example: Experiment) -> None:
    scenario = example.scenarios["single"]
    operations = scenario.operations
    assert operations is not None
    assert operations.detection.monitor is not None
    assert (operations.detection.monitor.below, operations.detection.monitor.for_) == (0.95, 300)
    assert list(operations.runbook) == ["restart", "rollback", "scale_out", "raise_memory"]
    assert operations.runbook["scale_out"].pods == 4
    assert (operations.runbook["raise_memory"].limit, operations.runbook["raise_memory"].roll) == (4096, 140)
    restart = operations.runbook["restart"]
    assert restart.takes is not None
    assert (restart.takes.fixed, restart.helps_against) == (600, ("irm-slow",))
    assert scenario.objectives.availability.target == 0.999
    assert scenario.objectives.availability.threshold == 0.95
    assert scenario.objectives.sla is not None
    assert scenario.objectives.sla.credits == {0.999: 0.1, 0.99: 0.25}
    assert scenario.objectives.sla.fee == 40_000
    assert scenario.costs.pod == {"gpt": 9}


def test_the_architectures_of_the_example(example: Experiment) -> None:
    scenarios = example.scenarios
    assert scenarios["single"].failover.policy == "none"
    assert scenarios["single-bounded-queue"].services["irm"].queue == 20
    assert scenarios["single-bounded-queue"].place == scenarios["single"].place
    hot = scenarios["active-passive-hot"].failover
    assert (hot.policy, hot.standby, hot.ttl, hot.ignore_ttl) == ("active-passive", "hot", 60, 0.05)
    assert (hot.success.tested, hot.success.untested_half_life) == (0.98, 180 * 86_400)
    assert (hot.failback.after, hot.failback.stages) == (1800, 3)
    assert scenarios["active-active-headroom"].services["gateway"].shed_above == 480
    assert scenarios["active-active-headroom"].failover == scenarios["active-active"].failover
    assert scenarios["active-active"].services["gateway"].shed_above is None
    provider = scenarios["other-provider"].failover.provider
    assert provider is not None
    assert (provider.quota, provider.quality, provider.latency, provider.price) == (0.6, 0.8, 6, 0.02)


def test_the_warnings_of_the_example(example: Experiment) -> None:
    assert example.warnings == (
        Issue(
            str(EXAMPLE),
            27,
            12,
            "services.irm.queue",
            "a full queue does not fit the memory limit: 48 requests need 2.46Gi of 2Gi, so that overload ends in OOM "
            "kills; a queue of 28 fits",
            "warning",
        ),
        Issue(
            str(EXAMPLE),
            91,
            111,
            "architectures.active-passive-hot.failover.ignore_ttl",
            "got 5% of clients that never follow a switch: with a whole region lost, success stays below the "
            "objective's threshold of 95% until that region is back",
            "warning",
        ),
    )


def test_one_architecture_needs_no_block(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    text = GOOD.read_text().partition("architectures:")[0]
    path.write_text(text + "place: {north: {web: 1, stock: 1}}\nfailover: none\n")
    assert list(load_experiment(path).scenarios) == ["default"]


def test_later_files_win_and_null_deletes(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("services: {web: {queue: 7, slots: 9}}\npopulations: {buyers: {home: null}}\n")
    second.write_text("services: {web: {queue: 8}}\narchitectures: {two: null}\n")
    experiment = load_experiment([GOOD, first, second])
    web = experiment.scenarios["one"].services["web"]
    assert (web.queue, web.slots, web.work) == (8, 9, 0.02)
    assert experiment.scenarios["one"].populations["buyers"].home is None
    assert list(experiment.scenarios) == ["one"]


def test_settings_come_after_files_and_before_architectures(tmp_path: Path) -> None:
    overlay = tmp_path / "o.yaml"
    overlay.write_text("services: {web: {queue: 7}}\narchitectures: {two: {set: {services.web.queue: 9}}}\n")
    sets = [
        "services.web.queue=8",
        "architectures.one.place.north.web=3",
        "failover.ttl=5m",
        "populations.buyers.home=null",
        "services.web.patience=null",
        "objectives.availability={target: 99%}",
        'objectives.sla={fee: 5 EUR/month, credits: {"below 99%": 5%}}',
        'objectives.sla.credits."below 99%"=7%',
        "costs.pod.web=1 EUR/h",
    ]
    scenarios = load_experiment([GOOD, overlay], sets=sets).scenarios
    assert (scenarios["one"].services["web"].queue, scenarios["two"].services["web"].queue) == (8, 9)
    assert scenarios["one"].place["north"]["web"] == 3
    assert scenarios["one"].failover.ttl == 300
    assert scenarios["one"].populations["buyers"].home is None
    assert scenarios["one"].objectives.availability.target == 0.99
    assert scenarios["one"].objectives.sla is not None
    assert scenarios["one"].objectives.sla.credits == {0.99: 0.07}
    assert scenarios["one"].costs.pod == {"web": 1}


def test_a_child_inherits_from_its_chain(tmp_path: Path) -> None:
    overlay = tmp_path / "o.yaml"
    overlay.write_text(
        """
architectures:
  grandchild: {like: child, set: {services.web.slots: 5, failover.detect.every: 5s, faults.stock-slow: null}}
  child: {like: two, place: {south: {web: 3, stock: 3}, north: {web: 1, stock: 1}}, set: {services.web.queue: 3}}
operations: {runbook: {restart: {helps_against: null}}}
"""
    )
    scenarios = load_experiment([GOOD, overlay]).scenarios
    child, grandchild = scenarios["child"], scenarios["grandchild"]
    assert grandchild.place == child.place == {"south": {"web": 3, "stock": 3}, "north": {"web": 1, "stock": 1}}
    assert (grandchild.services["web"].queue, grandchild.services["web"].slots) == (3, 5)
    assert child.services["web"].slots == 50
    assert (grandchild.failover.policy, grandchild.failover.detect.every) == ("active-passive", 5)
    assert "stock-slow" in child.faults
    assert "stock-slow" not in grandchild.faults


def test_a_short_failover_can_be_set_further(tmp_path: Path) -> None:
    overlay = tmp_path / "o.yaml"
    overlay.write_text("architectures: {two: {failover: active-active, set: {failover.ttl: 5s}}}\n")
    failover = load_experiment([GOOD, overlay]).scenarios["two"].failover
    assert (failover.policy, failover.ttl) == ("active-active", 5)


def test_sweeps_are_crossed_with_architectures(tmp_path: Path) -> None:
    overlay = tmp_path / "o.yaml"
    overlay.write_text("sweep: {services.web.queue: [10, 20, 20], services.web.slots: [1]}\n")
    experiment = load_experiment([GOOD, overlay], sweep=["failover.ttl=10s,1m", "services.web.slots=30"])
    assert experiment.sweep_axes == {
        "services.web.queue": ("10", "20"),
        "services.web.slots": ("30",),
        "failover.ttl": ("10s", "1m"),
    }
    assert len(experiment.scenarios) == 2 * 2 * 1 * 2
    name = "two | web.queue=20, web.slots=30, failover.ttl=1m"
    scenario = experiment.scenarios[name]
    assert (scenario.services["web"].queue, scenario.services["web"].slots, scenario.failover.ttl) == (20, 30, 60)
    assert scenario.failover.policy == "active-passive"
    assert experiment.architectures[name] == "two"
    assert experiment.settings[name] == {
        "services.web.queue": "20",
        "services.web.slots": "30",
        "failover.ttl": "1m",
    }


def test_blocks_can_be_swept() -> None:
    experiment = load_experiment(GOOD, sweep=["architectures=1"][:0], sets=["services.web.shed_above=9"])
    assert experiment.scenarios["one"].services["web"].shed_above == 9
    swept = load_experiment(
        GOOD, sweep=["faults.stock-slow.effect=down,{slow: 2}", "services.web.retry=1"[:0] or "seed=1,2"]
    )
    assert swept.sweep_axes["faults.stock-slow.effect"] == ("down", '{"slow": 2}')


def test_moments_and_repairs_of_faults(tmp_path: Path) -> None:
    overlay = tmp_path / "o.yaml"
    overlay.write_text(
        """
faults:
  once: {target: north, at: 2026-03-02T10:00:00+01:00, effect: partition, repair: 2h}
  twice: {target: north, at: [2026-03-02, 2026-03-05], effect: {capacity: 50%}, repair: {weibull: {mean: 1h, shape: 2}}}
"""
    )
    faults = load_experiment([GOOD, overlay]).scenarios["one"].faults
    assert faults["once"].at == (datetime(2026, 3, 2, 9, tzinfo=UTC),)
    assert moment_s(faults["once"].at[0], datetime(2026, 3, 1, tzinfo=UTC)) == 33 * 3600
    assert len(faults["twice"].at) == 2
    assert faults["once"].effect.partition
    assert faults["once"].repair.law is not None
    assert faults["once"].repair.law.fixed == 7200
    assert faults["twice"].repair.law is not None
    assert faults["twice"].repair.law.weibull is not None


def test_yaml_1_2_has_no_norway_problem(tmp_path: Path) -> None:
    overlay = tmp_path / "o.yaml"
    overlay.write_text("populations: {buyers: {holidays: NO}}\nname: yes\ncosts: {node: 1 EUR/h}\nseed: 0x10\n")
    scenario = load_experiment([GOOD, overlay]).scenarios["one"]
    assert (scenario.populations["buyers"].holidays, scenario.name, scenario.seed) == ("NO", "yes", 16)


def test_precision_instead_of_trials(tmp_path: Path) -> None:
    overlay = tmp_path / "o.yaml"
    overlay.write_text("precision: {availability: 10% of unavailability, cascades_per_year: 20%}\nmax_trials: 5000\n")
    scenario = load_experiment([GOOD, overlay]).scenarios["one"]
    assert scenario.precision is not None
    assert (scenario.precision.availability, scenario.precision.cascades_per_year) == (0.1, 0.2)
    assert scenario.max_trials == 5000
    with pytest.raises(ScenarioError, match="got '10%', expected a share of the time lost, such as 10% of unavail"):
        load_experiment(GOOD, sets=["precision={availability: 10%}"])
    with pytest.raises(ScenarioError, match="expected at least one measure"):
        load_experiment(GOOD, sets=["precision={}"])


@pytest.mark.parametrize("law", ["repairs.csv", "{file: repairs.csv, column: repair_min, unit: m}"])
def test_samples_are_read_beside_the_file_that_names_them(tmp_path: Path, law: str) -> None:
    folder = tmp_path / "cases"
    folder.mkdir()
    with (folder / "repairs.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["repair_min"], [30], [10.5], [20], []])
    (folder / "o.yaml").write_text(f"faults: {{stock-slow: {{repair: {{empirical: {law}}}}}}}\n")
    experiment = load_experiment([GOOD, folder / "o.yaml"])
    repair = experiment.scenarios["one"].faults["stock-slow"].repair
    assert repair.law is not None
    assert repair.law.empirical is not None
    assert repair.law.empirical.values_s == (630, 1200, 1800)
    assert Experiment.from_document(experiment.to_document()) == experiment


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a_s\n1\n", "got 1 durations in d.csv, expected 2 to 100000"),
        ("", "got no column named, expected one of d.csv: nothing"),
        ("a_s,b_s\n1,2\n3,4\n", "got no column named, expected one of d.csv: a_s or b_s"),
        ("a\n1\n2\n", "got no unit for column a, expected unit: s, m, h or d"),
        ("a_s\n1\n-2\n", "d.csv:3: got '-2', expected a duration in s above 0"),
        ("a_s\nnan\n2\n", "d.csv:2: got 'nan', expected a duration in s above 0"),
        ("a_s\n1e300\n2\n", "d.csv:2: got '1e300', expected a duration in s above 0"),
        ('a_s\n"1', "got 1 durations in d.csv, expected 2 to 100000"),
        ("a_s\n" + "1" * 200_000, "d.csv is no CSV file: field larger than field limit (131072)"),
    ],
)
def test_samples_that_are_none(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "d.csv").write_text(content)
    (tmp_path / "o.yaml").write_text("faults: {stock-slow: {repair: {empirical: d.csv}}}\n")
    with pytest.raises(ScenarioError) as caught:
        load_experiment([GOOD, tmp_path / "o.yaml"])
    (issue,) = caught.value.issues
    assert (issue.line, issue.column, issue.message) == (1, 43, message)


def test_samples_behind_a_link_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a_s\n1\n2\n")
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "d.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "o.yaml").write_text("faults: {stock-slow: {repair: {empirical: d.csv}}}\n")
    with pytest.raises(ScenarioError, match=r"got d\.csv, expected a file inside the folder of the scenario file"):
        load_experiment([GOOD, folder / "o.yaml"])


def test_samples_behind_links_that_go_round_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "d.csv").symlink_to(tmp_path / "d.csv")
    (tmp_path / "o.yaml").write_text("faults: {stock-slow: {repair: {empirical: d.csv}}}\n")
    with pytest.raises(ScenarioError, match=r"d\.csv"):
        load_experiment([GOOD, tmp_path / "o.yaml"])


@pytest.mark.parametrize("key", ["name", "na\\u0007me"])
def test_control_characters_written_as_escapes(tmp_path: Path, key: str) -> None:
    (tmp_path / "o.yaml").write_text(f'horizon: 1d\n"{key}": "a\\e[31mb"\n')
    with pytest.raises(ScenarioError, match=r"o\.yaml:2:\d.*got control character U\+00") as caught:
        load_experiment([GOOD, tmp_path / "o.yaml"])
    assert str(caught.value).isprintable()


def test_a_name_of_absurd_length(tmp_path: Path) -> None:
    (tmp_path / "o.yaml").write_text(f"name: {'x' * 201}\n")
    with pytest.raises(ScenarioError, match="expected text of at most 200 characters"):
        load_experiment([GOOD, tmp_path / "o.yaml"])


@pytest.mark.parametrize(
    ("data", "message"), [(b"a_s\n\xff\n", "is not UTF-8"), (b" " * 5_000_001, "got 5.0 MB, expected")]
)
def test_samples_in_no_text_file(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "d.csv").write_bytes(data)
    (tmp_path / "o.yaml").write_text("faults: {stock-slow: {repair: {empirical: d.csv}}}\n")
    with pytest.raises(ScenarioError, match=message):
        load_experiment([GOOD, tmp_path / "o.yaml"])


def test_samples_are_not_typed_in(tmp_path: Path) -> None:
    (tmp_path / "o.yaml").write_text("faults: {stock-slow: {repair: {empirical: {file: d.csv, values_s: [1, 2]}}}}\n")
    with pytest.raises(ScenarioError, match="values_s: is filled from the file: remove it"):
        load_experiment([GOOD, tmp_path / "o.yaml"])


def test_documents_are_read_back(example: Experiment) -> None:
    document = json.loads(json.dumps(example.to_document(), allow_nan=False))
    again = Experiment.from_document(document)
    assert again == example
    assert again.hash == example.hash
    assert again.warnings == example.warnings
    assert list(again.scenarios["single"].services["gateway"].calls) == ["irm", "gpt"]


def test_the_hash_is_of_what_is_simulated(example: Experiment, tmp_path: Path) -> None:
    commented = tmp_path / "other-name.yaml"
    commented.write_text("# a comment\n" + EXAMPLE.read_text().replace("work: 40ms", "work:   0.04s"))
    assert load_experiment(commented).hash == example.hash
    assert load_experiment(EXAMPLE, sets=["services.gateway.work=41ms"]).hash != example.hash
    assert len(example.hash) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"scenarios": 3},
        {"scenarios": {"a": {"name": "x"}}},
        {"warnings": [{"file": 1}]},
        {"name": None, "settings": 5},
    ],
)
def test_documents_of_another_shape(example: Experiment, change: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="experiment document"):
        Experiment.from_document({**example.to_document(), **change})


def test_money_keeps_another_currency_in_the_document(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(GOOD.read_text().replace("40 EUR/h", "40 SEK/h") + "currency: SEK\n")
    experiment = load_experiment(path)
    document = experiment.to_document()["scenarios"]["one"]
    assert document["populations"]["buyers"]["cost"] == "40 SEK/h"
    assert document["costs"]["node"] == "0 SEK/h"
    assert Experiment.from_document(experiment.to_document()) == experiment


def test_models_do_not_change_after_loading(example: Experiment) -> None:
    with pytest.raises(ValueError, match="frozen"):
        example.scenarios["single"].seed = 5  # type: ignore[misc]


def test_python_code_speaks_internal_units_and_files_do_not() -> None:
    assert Service(work=0.2, slots=8).work == 0.2
    assert Nodes(count=1, memory=64).memory == 64
    with pytest.raises(ValueError, match=r"a duration needs a unit: write 0\.2s"):
        Service.model_validate({"work": 0.2, "slots": 8}, context=FROM_FILE)
    with pytest.raises(ValueError, match="expected a duration from 0s"):
        Service(work=float("nan"), slots=8)
    with pytest.raises(ValueError, match="expected a duration from 0s"):
        Service(work=1e18, slots=8)


def test_lists_are_welcome_where_tuples_are_kept() -> None:
    fault = Fault.model_validate({"target": "x", "at": ["2026-01-01"], "effect": "down", "repair": "5m"})
    assert isinstance(fault.at, tuple)


def test_errors_survive_a_worker_process() -> None:
    import pickle

    error = ScenarioError([Issue("a.yaml", 1, 2, "x.y", "wrong")])
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
    assert again.issues == error.issues
    assert str(again) == "a.yaml:1:2: x.y: wrong"


def test_a_scenario_without_people_is_a_reliability_model(tmp_path: Path) -> None:
    overlay = tmp_path / "o.yaml"
    overlay.write_text("populations: null\n")
    assert load_experiment([GOOD, overlay]).scenarios["two"].populations == {}
    assert isinstance(load_experiment([GOOD, overlay]).scenarios["two"], Scenario)
