"""The second opinion on cells of a map: single requests where the answer is known, and what is said of it."""

from dataclasses import replace

import pytest
from scenarios import at, fixed, one_pool, service, users
from stability_fixture import make_stability

from sim.commands.stability_check import Check, check_cells, check_table, disagreement_lines, stays_down, verdicts_of
from sim.scenario.schema import Effect, Fault, Model, Repair, Scenario
from sim.study.stability import Blow, Cell, Stability, State, after_trigger
from sim.study.stability_bench import system_of


def server(attempts: int) -> Scenario:
    """10/s with queues of 10 s, clients that wait 5 s; the peak is 8/s: metastable with two attempts, safe with one."""
    clients = users(requests=8.0, deadline=5.0, attempts=attempts, backoff=0.1)
    pod = service(work=1.0, slots=10, queue=100, work_spread=0.5)
    return one_pool(1, 3600.0, service=pod, populations={"u": clients})


def map_of(*cells: Cell) -> Stability:
    return replace(make_stability(), pool=("r", "s"), lasts_s=60.0, cells=cells, threshold=0.9)


FELLED = (Cell(1.0, 0.0, State.VULNERABLE), Cell(1.0, 0.8, State.METASTABLE), Cell(0.3, 0.8, State.OVERLOADED))
SPARED = tuple(replace(cell, state=State.OVERLOADED if cell.lost else State.STABLE) for cell in FELLED)


@pytest.mark.parametrize(("attempts", "cells"), [(2, FELLED), (1, SPARED)])
def test_single_requests_agree_where_the_answer_is_sure(attempts: int, cells: tuple[Cell, ...]) -> None:
    told: list[str] = []
    checks = check_cells(server(attempts), map_of(*cells), 3, told.append, n_seeds=2)
    assert {(check.cell.load, check.cell.lost) for check in checks} >= {(1.0, 0.0), (1.0, 0.8)}
    assert [check.agree_share for check in checks] == [1.0] * len(checks), told
    assert len(told) == len(checks)
    assert disagreement_lines(checks) == []


def test_a_wrong_map_is_found_out() -> None:
    """Negative control: the same server with the other map."""
    checks = check_cells(server(1), map_of(*FELLED), 3, lambda _: None, n_seeds=2)
    assert [check.agree_share for check in checks if check.cell.state is State.METASTABLE] == [0.0]
    [line] = disagreement_lines(checks)
    assert line.startswith("Single requests disagree with the map in 1 of ")
    assert "where the design is better" in line


def test_first_attempts_are_judged_as_on_the_map() -> None:
    """A fifth fails: 80 % of first attempts, and 1 - 0.2^3 = 99.2 % of requests with three attempts."""
    fifth = Fault(target="s in r", at=at(0.0), effect=Effect(errors=0.2), repair=Repair(law=fixed(1e6)))
    clients = users(requests=8.0, deadline=5.0, attempts=3, backoff=0.1)
    scenario = one_pool(1, 900.0, populations={"u": clients}, faults={"errors": fifth})
    assert stays_down(scenario, 0.95, 0)
    assert not stays_down(scenario, 0.75, 0)


def test_a_slow_recovery_is_waited_for_as_long_as_on_the_map() -> None:
    """9.5/s of 10/s, one attempt: of 500 waiting 460 have to go at 0.5/s until 4 s of waiting and 1 s of work are in
    time: 920 s for the mean request, a little more for 95 % of them. From 600 to 900 s nothing is healthy.
    """
    clients = users(requests=9.5, deadline=5.0)
    pod = service(work=1.0, slots=10, queue=500, work_spread=0.0)
    slow = one_pool(1, 3600.0, service=pod, populations={"u": clients}, model=Model(queues="fluid", noise="never"))
    _, ending, _ = after_trigger(system_of(slow), 1.0, Blow(0, 0.8, lasts_s=300.0))
    assert ending.healthy
    assert ending.recovered_s == pytest.approx(920.0, rel=0.1)
    spared = (Cell(1.0, 0.0, State.STABLE), Cell(1.0, 0.8, State.OVERLOADED))
    checks = check_cells(slow, replace(map_of(*spared), lasts_s=300.0), 2, lambda _: None, n_seeds=2)
    assert [check.n_collapsed for check in checks] == [0, 0]


def test_what_is_said_of_a_check() -> None:
    good = Check("a", Cell(1.0, 0.5, State.METASTABLE), 2, 3)
    bad = Check("a", Cell(0.5, 0.2, State.STABLE), 2, 3)
    assert "the map says metastable (the outage stays); 2 of 3 request-level runs stay down" in good.text
    assert good.document()["agrees"] is True
    assert bad.document()["agrees"] is False
    assert verdicts_of([good, bad]) == {"a": [(1.0, 0.5, pytest.approx(2 / 3)), (0.5, 0.2, pytest.approx(1 / 3))]}
    assert [row[-1] for row in check_table([good, bad]).rows] == ["agrees", "disagrees"]
    assert "worse than the map shows" in disagreement_lines([good, bad])[0]
