"""What is printed is read back: quantities, documents and files; and no text whatever makes the loader crash."""

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import units
from sim.errors import Issue, ScenarioError
from sim.scenario.document import Experiment, scenario_document
from sim.scenario.load import load_experiment
from sim.scenario.reader import read_text
from sim.scenario.schema import Call

EXAMPLE = Path(__file__).parents[1] / "golden" / "scenario-example.yaml"


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("parse", "write", "low", "high"),
    [
        (units.parse_duration, units.format_duration, 0.0, 1000 * units.YEAR_S),
        (units.parse_memory, units.format_memory, 0.0, 1024.0**3),
        (units.parse_share, units.format_share, 0.0, 1.0),
        (units.parse_rate, units.format_rate, 0.0, 1e9),
        (units.parse_memory_rate, units.format_memory_rate, 0.0, 1024.0**2),
        (units.parse_growth, units.format_growth, -0.9, 10.0),
        (units.parse_per_pod, units.format_per_pod, 0.0, 1e6),
        (units.parse_success, units.format_success, 0.0, 1.0),
        (units.parse_below, units.format_below, 0.0, 1.0),
        (
            lambda text: units.parse_money(text, "h"),
            lambda amount: units.format_money(amount, "EUR", "h"),
            0.0,
            1e12,
        ),
    ],
)
def test_quantities_are_read_back_to_the_last_bit(parse: object, write: object, low: float, high: float) -> None:
    assert callable(parse)
    assert callable(write)

    @given(floats(low, high))
    @settings(max_examples=150, deadline=None)
    def check(value: float) -> None:
        back = parse(write(value))
        assert back == value
        assert math.copysign(1, back) == math.copysign(1, value) or value == 0

    check()


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2199, 12, 30)))
def test_moments_are_read_back(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    assert units.parse_moment(units.format_moment(aware)) == aware


@given(st.integers(1, 10_000))
def test_counts_are_read_back(count: int) -> None:
    assert units.parse_count_change(units.format_count_change(count)) == count


def _varied(seconds: float, share: float, mib: float, rate: float) -> Experiment:
    """The example with some of its quantities replaced by awkward floats."""
    experiment = load_experiment(EXAMPLE)
    scenarios = {}
    for name, scenario in experiment.scenarios.items():
        gateway = scenario.services["gateway"]
        call = gateway.calls["irm"].model_copy(update={"timeout": seconds, "fallback": share})
        assert gateway.memory is not None
        memory = gateway.memory.model_copy(update={"base": mib, "limit": 2 * mib, "leak": rate})
        gateway = gateway.model_copy(update={"calls": {**gateway.calls, "irm": call}, "memory": memory})
        offices = scenario.populations["nordic-offices"].model_copy(
            update={"requests": rate, "cost": units.Money(seconds, "EUR"), "growth": share - 0.5}
        )
        scenarios[name] = scenario.model_copy(
            update={"services": {**scenario.services, "gateway": gateway}, "populations": {"nordic-offices": offices}}
        )
    return Experiment(experiment.name, scenarios, architectures=experiment.architectures)


@given(floats(1e-3, 1e6), floats(0, 1), floats(1.0, 1e6), floats(0, 1e3))
@settings(max_examples=15, deadline=None)
def test_documents_are_read_back_to_the_last_bit(seconds: float, share: float, mib: float, rate: float) -> None:
    experiment = _varied(seconds, share, mib, rate)
    text = json.dumps(experiment.to_document(), allow_nan=False)
    again = Experiment.from_document(json.loads(text))
    assert again == experiment
    assert again.hash == experiment.hash
    assert again.scenarios["single"].services["gateway"].calls["irm"].timeout == seconds


@given(floats(1e-3, 50.0), floats(0, 1), floats(1.0, 1e3), floats(0, 1e3))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_resolved_scenario_is_a_scenario_file(
    tmp_path: Path, seconds: float, share: float, mib: float, rate: float
) -> None:
    scenario = _varied(seconds, share, mib, rate).scenarios["active-passive-hot"]
    path = tmp_path / "resolved.yaml"
    path.write_text(json.dumps(scenario_document(scenario)))
    assert load_experiment(path).scenarios == {"default": scenario}


@given(floats(1e-6, 1e6), floats(0, 1))
def test_python_code_speaks_internal_units(seconds: float, share: float) -> None:
    call = Call(timeout=seconds, fallback=share)
    assert (call.timeout, call.fallback) == (seconds, share)


FOREIGN = re.compile("Input should|pydantic|Extra inputs|Field required|validation error|valid (integer|string|number)")


def issues_of(call: Callable[[], object]) -> tuple[Issue, ...]:
    """What a call complains of; anything but a ScenarioError is a crash."""
    try:
        call()
    except ScenarioError as error:
        return error.issues
    return ()


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_text_crashes_the_reader(text: str) -> None:
    for issue in issues_of(lambda: read_text(text, "any.yaml")):
        assert (issue.file, issue.severity) == ("any.yaml", "error")
        assert min(issue.line, issue.column) >= 1


LINES = EXAMPLE.read_text(encoding="utf-8").splitlines()
SHREDS = [
    "",
    "  x: 1",
    "null",
    "- a",
    "  - {",
    "a: [",
    "services: 3",
    "? ",
    "*x",
    "&x {<<: *x}",
    "\t",
    "regions: {a: b}",
    "5: 6",
]


@given(st.integers(0, len(LINES) - 1), st.integers(0, 3), st.sampled_from(SHREDS), st.integers(0, 40))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_spoiled_scenario_crashes_the_loader(tmp_path: Path, line: int, dropped: int, shred: str, cut: int) -> None:
    spoiled = [*LINES[:line], LINES[line][:cut] + shred, *LINES[line + dropped :]]
    path = tmp_path / "spoiled.yaml"
    path.write_text("\n".join(spoiled), encoding="utf-8")
    for issue in issues_of(lambda: load_experiment(path)):
        assert issue.file == str(path)
        assert not FOREIGN.search(issue.message)


VALUES = [
    "",
    "x",
    "5",
    "-1",
    "1e999",
    ".nan",
    "[1, 2]",
    "{a: 1}",
    "null",
    "true",
    "5m",
    "50%",
    "2Gi",
    "9" * 450,
    "any pod",
    "&a [*a]",
]
KEYS = [
    "name", "start", "horizon", "currency", "seed", "trials", "precision", "regions", "regions.sweden-central",
    "regions.sweden-central.nodes", "services", "services.irm", "services.irm.slots", "services.irm.memory",
    "services.irm.memory.limit", "services.gateway.calls", "services.gateway.calls.irm", "populations.nordic-offices",
    "populations.nordic-offices.workers", "populations.nordic-offices.calendar", "populations.nordic-offices.home",
    "faults", "faults.pod-crash", "faults.pod-crash.target", "faults.pod-crash.every", "faults.pod-crash.effect",
    "faults.pod-crash.repair", "faults.pod-crash.at", "operations", "operations.runbook", "operations.runbook.restart",
    "operations.runbook.scale_out.pods", "operations.detection.users", "operations.script", "objectives.sla.credits",
    "objectives.availability", "objectives.rto", "costs.pod", "architectures", "architectures.single",
    "architectures.single.place", "architectures.single.set", "architectures.single.like", "failover", "model", "place",
]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_no_setting_crashes_the_loader(changes: list[tuple[str, str]]) -> None:
    for issue in issues_of(lambda: load_experiment(EXAMPLE, sets=[f"{key}={value}" for key, value in changes])):
        assert issue.file in (str(EXAMPLE), "--set")
        assert not FOREIGN.search(issue.message)
