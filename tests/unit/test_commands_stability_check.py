"""The second opinion on cells of a map: single requests where the answer is known, and what is said of it."""

from dataclasses import replace

import pytest
from scenarios import one_pool, service, users
from stability_fixture import make_stability

from sim.commands.stability_check import Check, check_cells, check_table, disagreement_lines, verdicts_of
from sim.scenario.schema import Scenario
from sim.study.stability import Cell, Stability, State


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


def test_what_is_said_of_a_check() -> None:
    good = Check("a", Cell(1.0, 0.5, State.METASTABLE), 2, 3)
    bad = Check("a", Cell(0.5, 0.2, State.STABLE), 2, 3)
    assert "the map says metastable (the outage stays); 2 of 3 request-level runs stay down" in good.text
    assert good.document()["agrees"] is True
    assert bad.document()["agrees"] is False
    assert verdicts_of([good, bad]) == {"a": [(1.0, 0.5, pytest.approx(2 / 3)), (0.5, 0.2, pytest.approx(1 / 3))]}
    assert [row[-1] for row in check_table([good, bad]).rows] == ["agrees", "disagrees"]
    assert "worse than the map shows" in disagreement_lines([good, bad])[0]
