"""The time to recover in phases, worked out by hand, and recovery objectives."""

import math
from dataclasses import astuple

import pytest
from hand_made_record import record, scenario, step

from sim.measures.outages import Below
from sim.measures.recovery import detected_at_s, operator_records, phases_of, rto_met
from sim.scenario.schema import RecoveryObjective
from sim.world.log import Kind, Record

NAN = math.nan
D, A, G, B, F, C = (
    Kind.DETECTED,
    Kind.ACKNOWLEDGED,
    Kind.DIAGNOSED,
    Kind.ACTION,
    Kind.ACTION_DONE,
    Kind.CLOSED,
)


def outage(start: float = 100.0, end: float = 1000.0, censored: bool = False) -> Below:
    return Below(start, end, censored, (0.0,) * 6, (0.0,) * 6)


def phases(*steps: tuple, of: Below | None = None) -> list[float]:
    of = of or outage()
    return list(astuple(phases_of(of, [step(*one) for one in steps])))


WHOLE = [(160, D), (200, A), (300, G), (300, B, "restart", 0.0), (400, F, "restart", 0.0)]
FIXED = [*WHOLE, (520, B, "raise", 1.0), (900, F, "raise", 1.0), (1100, C)]


def test_a_wrong_turn_then_the_remedy() -> None:
    """Noticed after 60, acknowledged after 40, diagnosed after 100, 220 lost on a restart, 380 remedy, 100 drain."""
    assert phases(*FIXED) == [60, 40, 100, 220, 380, 100]


def test_the_phases_of_a_finished_outage_partition_it() -> None:
    assert math.fsum(phases(*FIXED)) == outage().duration_s


def test_a_step_whose_effect_the_log_does_not_know_counts_as_the_remedy() -> None:
    assert phases((160, D), (200, A), (300, G), (350, B, "scale_out"), (450, F, "scale_out")) == [
        60, 40, 100, 50, 100, 550,
    ]  # fmt: skip


def test_a_remedy_still_in_progress_when_it_ends_leaves_nothing_to_drain() -> None:
    assert phases((160, D), (200, A), (300, G), (300, B, "raise", 1.0), (1500, F, "raise", 1.0)) == [
        60, 40, 100, 0, 700, 0,
    ]  # fmt: skip


def test_parts_not_reached_are_not_numbers() -> None:
    assert phases() == pytest.approx([NAN] * 6, nan_ok=True)
    assert phases((1001, D)) == pytest.approx([NAN] * 6, nan_ok=True)
    assert phases((160, D)) == pytest.approx([60, NAN, NAN, NAN, NAN, NAN], nan_ok=True)
    assert phases(*WHOLE) == pytest.approx([60, 40, 100, NAN, NAN, NAN], nan_ok=True)


def test_an_outage_cut_by_the_horizon_never_drained() -> None:
    cut = outage(censored=True)
    assert phases(*FIXED, of=cut) == pytest.approx([60, 40, 100, 220, 380, NAN], nan_ok=True)
    open_remedy = [*WHOLE, (520, B, "raise", 1.0)]
    assert phases(*open_remedy, of=cut) == pytest.approx([60, 40, 100, 220, NAN, NAN], nan_ok=True)


def test_a_script_without_diagnosis_has_its_first_step_for_it() -> None:
    assert phases((160, D), (300, B, "scale_out", 1.0), (400, F, "scale_out", 1.0)) == [60, 0, 140, 0, 100, 600]


def test_an_outage_that_begins_while_people_are_at_work_is_detected_at_once() -> None:
    steps = [(50, D), (60, A), (150, G), (200, B, "raise", 1.0), (400, F, "raise", 1.0)]
    assert phases(*steps) == [0, 0, 50, 50, 200, 600]
    assert math.isnan(detected_at_s(outage(), [step(50, D), step(70, C)]))
    assert detected_at_s(outage(), [step(50, D), step(70, C), step(170, D)]) == 170


def test_what_was_done_before_it_began_is_not_its_remedy() -> None:
    steps = [(50, D), (60, A), (70, G), (70, B, "raise", 1.0), (90, F, "raise", 1.0)]
    assert phases(*steps) == pytest.approx([0, 0, 0, NAN, NAN, NAN], nan_ok=True)


def test_incidents_belong_to_regions() -> None:
    log = record([Record(160, D, region="south"), Record(170, D, region="north"), Record(200, A, region="south")])
    pair = scenario()
    assert [s.region for s in operator_records(log, "staff", pair)] == ["north"]
    everywhere = scenario(failover="active-active")
    assert [s.region for s in operator_records(log, "staff", everywhere)] == ["south", "north", "south"]
    assert phases_of(outage(), operator_records(log, "staff", everywhere)).acknowledgement_s == 40
    scripted = record([Record(160, D, region="south", population="staff"), Record(200, B, "restart")])
    assert len(operator_records(scripted, "staff", pair)) == 2


@pytest.mark.parametrize(
    ("level", "length", "censored", "expected"),
    [
        ("region", 900.0, False, True),
        ("region", 901.0, False, False),
        ("region", 901.0, True, False),
        ("region", 10.0, True, None),  # nobody knows how long it would have lasted
        ("zone", 10.0, False, None),  # no objective
        ("none", 10.0, False, None),
        ("population", 10.0, False, None),
    ],
)
def test_recovery_objective(level: str, length: float, censored: bool, expected: bool | None) -> None:
    objective = RecoveryObjective(region=900.0, dependency=3600.0)
    assert rto_met(outage(0, length, censored), level, objective) is expected
    assert rto_met(outage(0, length, censored), level, None) is None
