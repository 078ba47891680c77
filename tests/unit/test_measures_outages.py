"""Outages from the log: merging, the shortest that counts, censoring, what was lost, what they are put down to."""

import pytest
from hand_made_record import DOCUMENT, above, below, fault, record, repair, scenario, totals

from sim.measures import measure_trial
from sim.measures.faults import causes, joined_names, level_of, occurrences, widest_level
from sim.measures.outages import outages_of, stretches_below, time_below_s


def spans(log: list, for_s: float = 60.0) -> list[tuple[float, float]]:
    return [(o.start_s, o.end_s) for o in outages_of(stretches_below(record(log), "staff"), for_s)]


def test_a_stretch_at_least_as_long_as_for_is_an_outage() -> None:
    assert spans([below(100), above(160)]) == [(100, 160)]
    assert spans([below(100), above(159)]) == []


def test_stretches_closer_than_for_are_one_outage() -> None:
    near = [below(0), above(100), below(159), above(300)]
    assert spans(near) == [(0, 300)]
    far = [below(0), above(100), below(160), above(300)]
    assert spans(far) == [(0, 100), (160, 300)]


def test_flutter_around_the_threshold_is_one_outage_of_its_whole_length() -> None:
    flutter = [make(t + shift) for t in range(0, 600, 20) for make, shift in ((below, 0), (above, 10))]
    assert spans(flutter) == [(0, 590)]


def test_availability_by_time_counts_raw_time_and_also_what_is_too_short_for_an_outage() -> None:
    stretches = stretches_below(
        record([below(0), above(100), below(130), above(150), below(1000), above(1030)]), "staff"
    )
    assert time_below_s(stretches) == 100 + 20 + 30
    assert time_below_s(stretches, 50, 140) == 50 + 10
    row = measure_trial(record([below(1000), above(1030)]), scenario())["trials"]
    assert row["outages"][0] == 0
    assert row["downtime_s"][0] == 30


def test_an_outage_open_at_the_horizon_is_censored_there() -> None:
    log = record([below(800_000, totals(1000, 1000))], [totals(1500, 1100)])
    (outage,) = outages_of(stretches_below(log, "staff"), 60)
    assert (outage.start_s, outage.end_s, outage.censored) == (800_000, 864_000, True)
    assert outage.lost_requests == 500 - 100


def test_lost_requests_come_from_the_totals_and_are_never_negative() -> None:
    (lossy,) = stretches_below(record([below(0, totals(100, 90)), above(60, totals(700, 240))]), "staff")
    assert lossy.lost_requests == 600 - 150
    assert lossy.offered_per_s == 10
    (backlog,) = stretches_below(record([below(0, totals(100, 50)), above(60, totals(110, 105))]), "staff")
    assert backlog.lost_requests == 0


def test_a_log_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="twice in a row"):
        stretches_below(record([above(5)]), "staff")
    with pytest.raises(ValueError, match="twice in a row"):
        stretches_below(record([below(5), below(6)]), "staff")
    with pytest.raises(ValueError, match="never began"):
        occurrences(record([repair(5, "irm-slow#0@north/irm")]))


def test_populations_have_their_own_outages() -> None:
    log = record(
        [below(0), below(10, population="b"), above(100), above(500, population="b")], populations=("staff", "b")
    )
    assert [o.duration_s for o in stretches_below(log, "b")] == [490]
    assert [o.duration_s for o in stretches_below(log, "staff")] == [100]


class TestCause:
    """Faults active at the start, else those that began within, else load."""

    log = record(
        [
            fault(10, "region-loss#0@north", "north/web", "north/irm"),
            fault(20, "irm-slow#0@south/irm", "south/irm"),
            repair(50, "region-loss#0@north"),
            repair(70, "irm-slow#0@south/irm"),
            fault(90, "pod-crash#4@north/web/0", "north/web"),
            repair(90, "pod-crash#4@north/web/0"),
        ]
    )

    @pytest.mark.parametrize(
        ("start", "end", "expected", "level"),
        [
            (30, 100, "region-loss+irm-slow", "region"),
            (50, 100, "irm-slow", "dependency"),  # repaired at that very moment: no longer active
            (75, 95, "pod-crash", "pod"),  # began within
            (75, 90, "load", "none"),  # begins at the end: not within
            (90, 95, "pod-crash", "pod"),  # begins and ends with it
            (5, 8, "load", "none"),
        ],
    )
    def test_cause(self, start: float, end: float, expected: str, level: str) -> None:
        blamed = causes(occurrences(self.log), start, end)
        assert joined_names(blamed) == expected
        assert widest_level(blamed, scenario()) == level

    @pytest.mark.parametrize(
        ("target", "level"),
        [
            ("any pod", "pod"),
            ("any pod of web", "pod"),
            ("any node", "node"),
            ("any zone", "zone"),
            ("zone 2 of north", "zone"),
            ("any region", "region"),
            ("all regions", "region"),
            ("south", "region"),
            ("irm in any region", "dependency"),
            ("irm in north", "dependency"),
            ("provider", "provider"),
            ("population staff", "population"),
        ],
    )
    def test_level_of_a_target(self, target: str, level: str) -> None:
        other = DOCUMENT["faults"]["irm-slow"] | {"target": target}
        assert level_of("x", scenario(faults={"x": other})) == level

    def test_what_is_no_fault_of_the_scenario_is_the_other_provider(self) -> None:
        assert level_of("provider-outage", scenario()) == "provider"


def test_common_cause_is_one_fault_that_hits_several_elements_at_once() -> None:
    alone, twin, wide = "irm-slow#0@north/irm", "irm-slow#1@south/irm", "region-loss#0@all"
    faults = occurrences(record([fault(5, alone, "north/irm"), fault(6, twin, "south/irm")]))
    assert [f.common_cause for f in faults] == [False, False]
    faults = occurrences(record([fault(5, alone, "north/irm"), fault(5, twin, "south/irm", together=alone)]))
    assert [f.common_cause for f in faults] == [True, True]
    faults = occurrences(record([fault(5, alone, "north/irm"), fault(5, twin, "south/irm")]))  # merely coincide
    assert [f.common_cause for f in faults] == [False, False]
    faults = occurrences(record([fault(5, "crash#0@all pods of irm", "north/irm", together="crash#0@all pods of irm")]))
    assert [f.common_cause for f in faults] == [True]
    faults = occurrences(record([fault(5, wide, "north/irm", "south/irm")]))
    assert [f.common_cause for f in faults] == [True]
    faults = occurrences(record([fault(5, "region-loss#0@north", "north/irm", "north/web")]))
    assert [f.common_cause for f in faults] == [False]
