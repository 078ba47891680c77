"""The page of the stability analysis: findings in titles, second cues beside colours, nothing lost in its tables."""

import json

import pytest
from stability_fixture import LOADS, LOSSES, make_stabilities, make_stability, state_at

from sim.report.figures_stability import LETTERS, borders_panel, map_panel, times
from sim.report.figures_tipping import own_faults_table, recovery_panel, remedies_panel, triggers_panel
from sim.report.html import render
from sim.report.panel import Table
from sim.report.stability import page_of_stability
from sim.study.stability import State


def test_the_map_has_every_cell_as_colour_letter_and_word() -> None:
    found = make_stability()
    panel = map_panel(found)
    letters = {
        (float(x), y): trace.text
        for trace in panel.figure.data
        if trace.type == "scatter" and trace.mode == "text"
        for x, y in zip(trace.x, trace.y, strict=True)
    }
    assert len(letters) == len(LOADS) * len(LOSSES)
    heat = panel.figure.data[0]
    for j, lost in enumerate(LOSSES):
        row = panel.table.rows[len(LOSSES) - 1 - j]
        for k, load in enumerate(LOADS):
            state = state_at(load, lost, found.critical_load, found.highest_load)
            assert row[1 + k] == state.value
            assert letters[load, row[0]] == LETTERS[state]
            assert heat.z[j][k] == list(State).index(state) + 0.5
    assert len(set(LETTERS.values())) == len(State)


@pytest.mark.parametrize(
    ("critical", "highest", "title"),
    [
        (0.78, 1.22, "is vulnerable today: between 0.78x and 1.22x"),
        (1.37, 1.37, "is stable today, with 37 % more load"),
        (3.97, 4.2, "is stable today, with 297 % more load"),
        (0.4, 0.7, "cannot serve today's peak: it is healthy up to 0.70x"),
    ],
)
def test_the_title_of_a_map_is_its_finding(critical: float, highest: float, title: str) -> None:
    assert title in map_panel(make_stability("x", critical, highest)).title


def test_borders_name_the_designs_by_state() -> None:
    title = borders_panel(make_stabilities()).title
    assert "single <b> is vulnerable" in title
    assert "bounded and no limit are stable" in title
    assert "small is overloaded" in title


def test_where_chance_alone_kills_pods_is_said() -> None:
    doubtful, sure = map_panel(make_stability()), map_panel(make_stability("x", 1.37, 1.37))
    assert doubtful.title.endswith("and chance alone congests it")
    assert any("Right of the dotted line (0.93x" in note for note in doubtful.notes)
    assert not any("dotted" in note for note in sure.notes)
    [line] = [shape for shape in doubtful.figure.layout.shapes if shape.type == "line"]
    assert line.x0 == pytest.approx(LOADS.index(0.9) + 0.3)
    assert not [shape for shape in sure.figure.layout.shapes if shape.type == "line"]


def test_checked_cells_are_marked_by_different_symbols() -> None:
    panel = map_panel(make_stability(), [(1.0, 0.3, 1.0), (0.7, 0.5, 0.0)])
    marks = {trace.name: (trace.marker.symbol, list(trace.x)) for trace in panel.figure.data if trace.name}
    assert marks["single requests agree"] == ("circle-open", ["1"])
    assert marks["single requests disagree"] == ("x-thin-open", ["0.7"])
    assert any("1 agree" in note and "1 do not" in note for note in panel.notes)
    assert not any("Checked" in note for note in map_panel(make_stability()).notes)


def test_triggers_leave_out_designs_that_nothing_tips() -> None:
    panel = triggers_panel(make_stabilities())
    assert panel is not None
    assert [trace.name for trace in panel.figure.data] == ["single &lt;b&gt;", "faults of this scenario"]
    assert "Losing 50% of irm for 2s at the peak is enough to bring single <b> down for good" in panel.title
    assert triggers_panel([make_stability("bounded", 1.37, 1.37)]) is None


def test_own_faults_by_design() -> None:
    table = own_faults_table(make_stabilities())
    assert table is not None
    assert table.rows[0][1:4] == ("in 40 % of cases\n25 % of irm", "no\n25 % of irm", "overloaded anyway\n25 % of irm")
    assert table.rows[1][1] == "yes\n75 % of irm"
    assert [row[0] for row in table.rows] == ["node-loss\npods gone for 1h", "irm-slow\n4x slower for 20m"]


def test_recovery_and_remedies_say_what_is_found() -> None:
    assert recovery_panel(make_stabilities()).title.endswith("single <b> and small do not come back")
    better = remedies_panel(make_stability())
    assert better is not None
    assert "half the queue, from 0.78x to 1.40x" in better.title
    worse = remedies_panel(make_stability("x", 1.5, 1.5))
    assert worse is not None
    assert worse.title.startswith("No remedy tried moves")


def test_the_page_holds_all_and_escapes_names() -> None:
    checks = Table("Cells", ("Design", "Load"), (("single <b>", "1x"),))
    page = page_of_stability("x", make_stabilities(), warnings=["read this"], checks=checks)
    html = render(page)
    assert "<b>single" not in html.replace("<b>today's", "")
    assert "single &lt;b&gt;" in html
    assert "read this" in html
    keys = [panel.key for panel in page.panels]
    assert len(keys) == len(set(keys)) == 3 + 2 * 4
    assert {section.key for section in page.sections} >= {"borders", "triggers", "recovery", "checks", "method"}
    for panel in page.panels:
        json.loads(panel.figure.to_json())
        assert panel.table.rows
    assert {verdict.word for verdict in page.verdicts} == {"vulnerable", "stable", "overloaded"}


def test_a_border_that_was_not_found_is_above_the_largest_load_looked_at() -> None:
    assert times(float("inf")) == "above 64x"
    endless = page_of_stability("x", make_stabilities()).verdicts[-1].text
    assert "recovers by itself at every load looked at, its border is above 64x that load" in endless
    assert "overloaded" not in endless
