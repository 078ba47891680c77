"""Disturbances and cascades on logs worked out by hand."""

from hand_made_record import fault, pool, record, repair, scenario

from sim.measures.disturbances import Disturbance, cascades_by_fault, disturbances_of, failure_paths
from sim.measures.faults import occurrences
from sim.world.log import Kind, Record

SLOW, LOSS = "irm-slow#0@north/irm", "region-loss#0@north"
FAILED, RECOVERED = Kind.POOL_FAILED, Kind.POOL_RECOVERED


def found(*records: Record, **changes: object) -> list[Disturbance]:
    log = record(sorted(records, key=lambda entry: entry.at_s))
    return disturbances_of(log, occurrences(log), scenario(**changes))


def failure(name: str, start: float, end: float) -> list[Record]:
    return [pool(start, FAILED, name), pool(end, RECOVERED, name)]


def test_a_fault_that_fails_only_what_it_hits_is_no_cascade() -> None:
    (one,) = found(fault(10, SLOW, "north/irm"), *failure("north/irm", 20, 200), repair(150, SLOW))
    assert (one.start_s, one.end_s, one.censored) == (10, 200, False)
    assert (one.size, one.depth, one.cascade, one.cross_region) == (0, 0, False, False)
    assert one.direct == one.failed == {"north/irm"}


def test_a_caller_that_fails_with_its_dependency_is_a_cascade_of_one_hop() -> None:
    (one,) = found(fault(10, SLOW, "north/irm"), *failure("north/web", 20, 200), repair(150, SLOW))
    assert (one.size, one.depth, one.cascade, one.cross_region) == (1, 1, True, False)


def test_the_other_region_fails_under_the_load_moved_to_it() -> None:
    """North's irm is hit; its twin in the south is one hop away, the south's web two."""
    (one,) = found(
        fault(10, SLOW, "north/irm"),
        *failure("north/irm", 20, 400),
        *failure("south/irm", 100, 300),
        *failure("south/web", 110, 300),
        repair(350, SLOW),
    )
    assert one.spread == {"south/irm", "south/web"}
    assert (one.size, one.depth, one.cross_region) == (2, 2, True)


def test_a_region_lost_with_all_its_pools_does_not_cascade_by_itself() -> None:
    hits = ("north/web", "north/irm")
    (one,) = found(
        fault(10, LOSS, *hits), *failure("north/web", 11, 100), *failure("north/irm", 11, 100), repair(90, LOSS)
    )
    assert (len(one.failed), one.size, one.cascade) == (2, 0, False)


def test_a_pool_must_fail_for_as_long_as_the_objective_says() -> None:
    (short,) = found(fault(10, SLOW, "north/irm"), *failure("north/web", 20, 79), repair(150, SLOW))
    assert not short.cascade
    (long_,) = found(fault(10, SLOW, "north/irm"), *failure("north/web", 20, 80), repair(150, SLOW))
    assert long_.cascade


def test_a_callee_overloaded_by_retries_is_reached_against_the_arrows() -> None:
    (one,) = found(fault(10, SLOW, "north/web"), *failure("north/irm", 20, 200), repair(150, SLOW))
    assert (one.size, one.depth) == (1, 1)


def test_without_a_fault_the_pools_that_failed_first_are_the_origin() -> None:
    (one,) = found(*failure("north/irm", 20, 200), *failure("north/web", 40, 200))
    assert one.direct == {"north/irm"}
    assert one.spread == {"north/web"}
    assert cascades_by_fault([one]) == {"load": 1.0}


def test_it_lasts_until_pods_are_back_and_the_load_is_home() -> None:
    (one,) = found(
        fault(10, LOSS, "north/web"),
        pool(10, Kind.POD_LOST, "north/web", pod="north/web/0"),
        Record(40, Kind.FAILOVER, region="north"),
        repair(50, LOSS),
        pool(60, Kind.POD_READY, "north/web", pod="north/web/0"),
        Record(70, Kind.FAILBACK, region="north", value=0.5),
        Record(90, Kind.FAILBACK, region="north", value=1.0),
    )
    assert (one.start_s, one.end_s) == (10, 90)


def test_each_population_has_a_home_of_its_own() -> None:
    (one,) = found(
        Record(40, Kind.FAILOVER, region="north", population="a"),
        Record(50, Kind.FAILOVER, region="north", population="b"),
        Record(90, Kind.FAILBACK, region="north", population="a", value=1.0),
        Record(95, Kind.FAILBACK, region="north", population="b", value=1.0),
    )
    assert (one.start_s, one.end_s, one.censored) == (40, 95, False)


def test_a_standby_put_to_sleep_again_is_nominal() -> None:
    (one,) = found(
        Record(40, Kind.FAILOVER, region="north"),
        pool(60, Kind.POD_READY, "south/web", pod="south/web/0"),
        Record(90, Kind.FAILBACK, region="north", value=1.0),
        pool(90, Kind.POD_LOST, "south/web", pod="south/web/0"),
    )
    assert (one.start_s, one.end_s) == (40, 90)


def test_two_faults_at_different_times_are_two_disturbances_and_overlapping_ones_are_one() -> None:
    first, second = "irm-slow#0@north/irm", "irm-slow#1@north/irm"
    apart = found(fault(10, first), repair(20, first), fault(620, second), repair(630, second))
    assert [(d.start_s, d.end_s) for d in apart] == [(10, 20), (620, 630)]
    # Less than ten minutes of quiet do not end a disturbance: a crash loop has such moments.
    close = found(fault(10, first), repair(20, first), fault(619.5, second), repair(630, second))
    assert [(d.start_s, d.end_s) for d in close] == [(10, 630)]
    (joined,) = found(fault(10, first), fault(15, second), repair(20, first), repair(30, second))
    assert len(joined.faults) == 2
    assert [f.label for f in joined.blamed] == [first]


def test_what_happens_at_one_instant_is_one_disturbance() -> None:
    crash = "pod-crash#0@north/web/0"
    (one,) = found(
        fault(10, crash, "north/web"),
        repair(10, crash),
        pool(10, Kind.POD_LOST, "north/web", pod="north/web/0"),
        pool(25, Kind.POD_READY, "north/web", pod="north/web/0"),
    )
    assert (one.start_s, one.end_s, len(one.faults), len(one.blamed)) == (10, 25, 1, 1)


def test_pods_added_by_scale_out_do_not_keep_it_open() -> None:
    (one,) = found(
        fault(10, SLOW),
        pool(20, Kind.POD_ADDED, "north/irm", pod="extra"),
        pool(30, Kind.OOM_KILL, "north/irm", pod="extra"),
        repair(40, SLOW),
    )
    assert one.end_s == 40


def test_a_fault_that_nobody_notices_does_not_excuse_what_later_ones_hit_and_left() -> None:
    """A latent fault joins all into one disturbance; the crash of web, long healed, is no reason for its failure."""
    crash = "pod-crash#0@north/web/0"
    (one,) = found(
        fault(10, "irm-slow#0@south/irm", "south/irm"),
        fault(100, crash, "north/web"),
        pool(100, Kind.POD_LOST, "north/web", pod="north/web/0"),
        pool(130, Kind.POD_READY, "north/web", pod="north/web/0"),
        repair(130, crash),
        fault(5000, SLOW, "north/irm"),
        *failure("north/irm", 5010, 6000),
        *failure("north/web", 5020, 6000),
        repair(5900, SLOW),
        repair(9000, "irm-slow#0@south/irm"),
    )
    assert (one.start_s, one.end_s) == (10, 9000)
    assert one.spread == {"north/web"}
    assert one.direct == {"south/irm", "north/web", "north/irm"}


def test_still_disturbed_at_the_horizon_is_censored_and_its_failures_count() -> None:
    (one,) = found(fault(10, SLOW, "north/irm"), pool(100, FAILED, "north/web"))
    assert (one.end_s, one.censored, one.size) == (864_000, True, 1)


def test_faults_active_at_the_start_share_a_cascade_equally() -> None:
    (one,) = found(
        fault(10, SLOW, "north/irm"),
        fault(10, "region-loss#0@south", "south/irm"),
        *failure("north/web", 20, 200),
        repair(150, SLOW),
        repair(150, "region-loss#0@south"),
    )
    assert cascades_by_fault([one]) == {"irm-slow": 0.5, "region-loss": 0.5}
    assert cascades_by_fault([]) == {}


def test_failure_travels_from_callee_to_caller_and_between_regions() -> None:
    edges = set(failure_paths(record([]).pools, scenario()).edges)
    assert edges == {
        ("north/irm", "north/web"),
        ("south/irm", "south/web"),
        ("north/irm", "south/irm"),
        ("south/irm", "north/irm"),
        ("north/web", "south/web"),
        ("south/web", "north/web"),
    }


def test_a_dependency_placed_elsewhere_couples_every_region_without_it() -> None:
    edges = set(failure_paths(("north/web", "south/web", "north/irm"), scenario()).edges)
    assert ("north/irm", "south/web") in edges
    assert ("north/irm", "north/web") in edges
