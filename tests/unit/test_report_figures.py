"""The figures say what the tables hold: findings, marks and numbers against values worked out by hand."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from report_fixture import DAY_S, DESIGNS, ONE, TWO, make_result, make_scenario, make_sweep, make_trial

from sim.commands.show import COLUMNS, currency_of, interval_text
from sim.estimate import Estimate, tail_mean_interval
from sim.report import figures_availability, figures_cascade, figures_cost, figures_loss, figures_recovery
from sim.report.decimate import envelope, held, steps
from sim.report.figures_comparison import differences_panel
from sim.report.figures_incident import incident_panel
from sim.report.figures_sweep import sweep_panels
from sim.report.incident import CONTROLLERS, NAMES, OPERATORS, Window, windows_of
from sim.report.inputs import Floats, floats_of, rows_of
from sim.report.page import Page
from sim.report.sections import DESIGNS_MAX, page_of_run
from sim.report.style import COLOURS, look, safe
from sim.report.text import (
    MEASURES,
    difference_text,
    estimate_text,
    from_to,
    measure_of,
    nines,
    verdict,
    with_interval,
)
from sim.report.waves import spread_of
from sim.study.catalogue import MEASURES as STUDY_MEASURES
from sim.study.result import RunResult
from sim.world.log import Kind


@pytest.fixture(scope="module")
def result() -> RunResult:
    return make_result(60)


@pytest.fixture(scope="module")
def page(result: RunResult) -> Page:
    return page_of_run(result)


def with_downtime(result: RunResult, downtime_s: Callable[[Floats], Floats]) -> RunResult:
    """The run with another downtime of each trial, by its number."""
    trials = result.tables["trials"]
    changed = trials | {"downtime_s": np.asarray(downtime_s(trials["trial"].astype(np.float64)))}
    return replace(result, tables={**result.tables, "trials": changed})


def estimate(mean: float, low: float, high: float, *, seen: bool = True) -> Estimate:
    return Estimate(mean, low, high, 0.95, 200, seen)


class TestText:
    @pytest.mark.parametrize(
        ("low", "high", "word"),
        [(0.999, 0.9995, "meets"), (0.998, 0.9989, "misses"), (0.998, 0.999, "undecided"), (0.9991, 1.0, "meets")],
    )
    def test_verdict_takes_the_nearer_bound(self, low: float, high: float, word: str) -> None:
        assert verdict(estimate((low + high) / 2, low, high), 0.999) == word

    def test_numbers_are_rounded_to_what_the_interval_supports(self) -> None:
        assert with_interval(estimate(0.998481, 0.998332, 0.998624), "share") == "99.848 % [99.833, 99.862]"
        assert with_interval(estimate(621234.0, 564321.0, 683210.0), "money", "EUR") == "621,000 EUR [564,000, 683,000]"
        assert with_interval(estimate(13.34, 12.11, 14.57), "hours") == "13.3 h [12.1, 14.6]"

    def test_nearly_certain_is_not_rounded_to_certain(self) -> None:
        assert with_interval(estimate(0.9998, 0.97, 1.0), "share") == "99.98 % [97, 100]"

    def test_a_wide_interval_makes_no_value_zero_and_swaps_no_two(self) -> None:
        texts = [with_interval(estimate(mean, 0.0, 3700.0), "hours") for mean in (20.3, 17.8, 19.9)]
        assert texts == ["20.3 h [0, 3,700]", "17.8 h [0, 3,700]", "19.9 h [0, 3,700]"]
        assert with_interval(estimate(104.3, 0.0, 3700.0), "count") == "104 [0, 3,700]"

    def test_no_interval_is_so_narrow_that_more_than_six_digits_stand(self) -> None:
        served = estimate(0.998588674692, 0.9985886746821, 0.9985886746966)
        assert with_interval(served, "share") == "99.858867 % [99.858867, 99.858867]"
        lost = estimate(148358.51638, 148358.5159, 148358.51742)
        assert with_interval(lost, "person_hours") == "148,359 h [148,359, 148,359]"
        nearly_certain = estimate(0.999999999342, 0.963, 1.0)
        assert with_interval(nearly_certain, "share") == "99.999999934 % [96.3, 100]"

    def test_equal_in_all_trials_still_has_its_bounds(self) -> None:
        text = estimate_text("total_cost_per_year", estimate(5.0, 5.0, 9.0, seen=False), "EUR")
        assert text == "5 EUR in each of 200 trials [5, 9]"

    def test_a_tail_that_trials_say_too_little_of_is_not_the_same_in_all_of_them(self) -> None:
        tail = tail_mean_interval(np.arange(160.0), 0.95, bounds=(0.0, 8760.0))
        text = estimate_text("downtime_h_cvar95", tail)
        assert text.startswith("155 h in 160 trials, too few to tell [")
        assert text.endswith(", 8,760]")

    @pytest.mark.parametrize("measure", COLUMNS)
    def test_terminal_and_report_say_the_same(self, result: RunResult, page: Page, measure: str) -> None:
        cells = {cell for row in page.sections[0].tables[0].rows for cell in row}
        for mine in result.estimates.values():
            if measure in mine:
                shown = interval_text(measure, mine[measure], currency_of(result))
                assert " ".join(shown.split()) in cells

    def test_what_was_not_seen_has_its_bound(self) -> None:
        text = estimate_text("outages_per_year", estimate(0.0, 0.0, 0.015, seen=False))
        assert text == "none seen in 200 trials: < 0.015 at 95 %"
        text = estimate_text("availability_time", estimate(1.0, 0.9997, 1.0, seen=False))
        assert text == "no downtime seen in 200 trials: > 99.97 % at 95 %"

    def test_an_unbounded_end_is_not_written_as_a_number(self) -> None:
        text = estimate_text("lost_hours_per_year", estimate(0.0, 0.0, float("inf"), seen=False))
        assert text == "none seen in 200 trials"

    def test_a_constant_is_said_to_be_one(self) -> None:
        assert "in each of 200 trials" in estimate_text(
            "total_cost_per_year", estimate(5.0, 5.0, 9.0, seen=False), "EUR"
        )
        assert with_interval(estimate(5.0, 5.0, 5.0), "money", "EUR") == "5 EUR, fixed"

    def test_differences_carry_signs_and_shares_are_points(self) -> None:
        text = difference_text("cascade_year_prob", estimate(-0.265, -0.33, -0.2))
        assert text == "-26.5 [-33, -20] points"
        assert difference_text("total_cost_per_year", estimate(0.0, 0.0, 0.0, seen=False), "EUR").startswith(
            "no difference"
        )

    def test_every_measure_of_a_study_has_a_label_of_its_own(self) -> None:
        assert set(STUDY_MEASURES) <= set(MEASURES)
        for name, measure in STUDY_MEASURES.items():
            assert measure_of(name).higher_is_better == measure.higher_is_better

    def test_nines(self) -> None:
        assert nines(0.999) == pytest.approx(3.0)
        assert nines(1.0) == float("inf")


class TestLooks:
    def test_no_two_series_share_colour_and_cues(self) -> None:
        looks = [look(i) for i in range(len(COLOURS) * 4)]
        assert len({(one.colour, one.dash) for one in looks}) == len(looks)
        assert len({one.symbol for one in looks[:8]}) == 8

    def test_labels_cannot_carry_markup(self) -> None:
        assert safe('<a href="x">&') == '&lt;a href="x"&gt;&amp;'


class TestDecimation:
    def test_every_spike_and_gap_survives(self) -> None:
        x = np.linspace(0.0, 100.0, 100_001)
        y = np.sin(x)
        y[70_003], y[20_000], y[50_000] = 9.0, -9.0, np.nan
        thin_x, thin_y = envelope(x, y, bins=200)
        assert len(thin_x) <= 5 * 200
        assert np.nanmax(thin_y) == 9.0
        assert np.nanmin(thin_y) == -9.0
        assert np.isnan(thin_y).sum() == 1
        assert (thin_x[0], thin_x[-1]) == (x[0], x[-1])
        assert (np.diff(thin_x) > 0).all()

    def test_the_envelope_is_that_of_all_points_in_every_bin(self) -> None:
        rng = np.random.default_rng(1)
        x = np.sort(rng.uniform(0, 10, 20_000))
        y = rng.normal(size=20_000)
        thin_x, thin_y = envelope(x, y, bins=50)
        edges = np.linspace(x[0], x[-1], 51)
        for low, high in pairwise(edges):
            all_points, kept = y[(x >= low) & (x < high)], thin_y[(thin_x >= low) & (thin_x < high)]
            assert (all_points.min(), all_points.max()) == (kept.min(), kept.max())

    def test_short_lines_are_left_alone(self) -> None:
        x = np.arange(10.0)
        assert envelope(x, x)[0] is x

    def test_steps_keep_the_end_before_a_gap(self) -> None:
        x, y = steps(np.arange(5.0), np.array([4.0, 4.0, np.nan, np.nan, 3.0]))
        assert x.tolist() == [0.0, 1.0, 2.0, 4.0]
        assert held(y).tolist() == [4.0, 4.0, 4.0, 3.0]

    def test_steps_keep_changes_and_ends(self) -> None:
        x, y = steps(np.arange(6.0), np.array([4.0, 4.0, 3.0, 3.0, 3.0, 3.0]))
        assert x.tolist() == [0.0, 2.0, 5.0]
        assert y.tolist() == [4.0, 3.0, 3.0]


class TestAvailability:
    def test_title_counts_the_designs_that_meet_the_objective(self, result: RunResult) -> None:
        found = figures_availability.verdicts_of(result)
        meets = sum(word == "meets" for word in found.values())
        assert figures_availability.availability_panel(result).title.startswith(f"{meets} of 6 designs meet 99.9 %")

    def test_months_are_shares_of_trials(self, result: RunResult) -> None:
        rows = rows_of(result, "months", "single")
        march = figures_availability.by_month(result, "single")[2]
        assert march.mean == pytest.approx(floats_of(rows, "met")[floats_of(rows, "month") == 2].mean())
        assert march.low < march.mean < march.high

    def test_exceedance_counts_trials_without_loss(self) -> None:
        losses, share = figures_loss.exceedance(np.array([0.0, 3.0, 1.0, 0.0]))
        assert losses.tolist() == [1.0, 3.0]
        assert share.tolist() == [0.5, 0.25]

    @pytest.mark.parametrize("low", [0.0, 0.4, 1.2, 2.35, 2.9, 3.1, 4.6, 5.85])
    @pytest.mark.parametrize("span", [1.27, 2.0, 4.0])
    def test_a_nines_axis_has_at_least_two_ticks(self, low: float, span: float) -> None:
        ticks = figures_availability.axis_ticks(low, low + span)
        assert len(ticks) >= 2
        assert all(low <= at <= low + span for at in ticks)

    def test_a_curve_of_losses_that_most_trials_do_not_have_counts_those_that_do(self) -> None:
        few = with_downtime(make_result(20), lambda trial: np.where(trial == 3, 7200.0, 0.0))
        panel = figures_loss.downtime_panel(few)
        assert panel is not None
        assert panel.title == "1 of 20 trials have any downtime with single, the worst 2 h"
        curve = next(trace for trace in panel.figure.data if trace.name == "single")
        assert curve.mode == "lines+markers"
        assert panel.figure.layout.xaxis.dtick == "D2"

    def test_losses_that_no_trial_had_are_said_and_not_drawn(self) -> None:
        page = page_of_run(with_downtime(make_result(20), lambda trial: 0.0 * trial))
        [section] = [section for section in page.sections if section.key == "availability"]
        assert any(line.startswith("No trial lost anything") for line in section.lines)
        assert "exceedance-downtime" not in [panel.key for panel in section.panels]

    def test_thinning_keeps_the_largest_losses(self) -> None:
        kept = figures_loss.thin(100_000, 400)
        assert len(kept) <= 400
        assert {99_999.0, 99_998.0, 99_997.0} <= set(kept.tolist())

    def test_differences_are_to_the_first_design_only(self, result: RunResult) -> None:
        panel = differences_panel(result, "EUR")
        assert panel is not None
        assert {row[0] for row in panel.table.rows} == set(list(DESIGNS)[1:])


class TestCascades:
    def test_no_cascade_at_all_is_not_a_ranking(self, result: RunResult) -> None:
        trials, kinds = result.tables["disturbances"], result.tables["disturbances"]["cascade"]
        none = replace(result, tables={**result.tables, "disturbances": trials | {"cascade": 0.0 * kinds}})
        panel = figures_cascade.size_panel(none)
        assert panel is not None
        assert panel.title.startswith("No cascade seen in 60 trials of any design")

    def test_sizes_are_counts_per_year(self, result: RunResult) -> None:
        rows = rows_of(result, "disturbances", "active-active")
        at_least_two = float(((floats_of(rows, "size") >= 2) & (floats_of(rows, "cascade") > 0)).sum())
        assert figures_cascade.at_least(result, "active-active", "size")[1].mean == pytest.approx(at_least_two / 60)

    def test_probability_by_kind_is_cascades_per_occurrence(self, result: RunResult) -> None:
        rows = rows_of(result, "fault_kinds", "single")
        mine = rows["fault"] == "irm-slow"
        expected = floats_of(rows, "cascades")[mine].sum() / floats_of(rows, "occurrences")[mine].sum()
        assert figures_cascade.by_kind(result, "single")["irm-slow"].mean == pytest.approx(expected)

    def test_failure_goes_from_the_pool_hit_to_its_caller_and_to_the_other_region(self) -> None:
        spread = spread_of(make_trial("active-passive-hot", TWO), make_scenario(TWO))
        assert dict(spread.links) == {
            ("sweden-central/irm", "sweden-central/gateway"): 1,
            ("sweden-central/irm", "germany-west/irm"): 1,
        }
        assert [spread.wave(pool) for pool in ("sweden-central/irm", "germany-west/irm")] == [0, 1]


class TestCost:
    def test_front_keeps_what_nothing_beats(self) -> None:
        points = {"a": (1.0, 0.9), "b": (2.0, 0.8), "c": (3.0, 0.99), "d": (1.0, 0.95)}
        assert figures_cost.front(points) == ["d", "c"]

    def test_parts_add_up_to_the_total(self, result: RunResult) -> None:
        parts = figures_cost.parts_of(result, "other-provider")
        total = result.estimates["other-provider"]["total_cost_per_year"].mean
        assert sum(part.mean for part in parts.values()) == pytest.approx(total)

    def test_a_marker_beside_the_end_of_its_bar_is_explained(self, result: RunResult) -> None:
        plain = figures_cost.stack_panel(result, "EUR")
        mine = result.estimates["single"] | {
            "total_cost_per_year": replace(result.estimates["single"]["total_cost_per_year"], worth=2.0)
        }
        surer = figures_cost.stack_panel(replace(result, estimates=result.estimates | {"single": mine}), "EUR")
        assert plain is not None
        assert surer is not None
        assert not any("known faults" in note for note in plain.notes)
        assert any("known faults" in note for note in surer.notes)

    def test_phases_and_rest_add_up_to_the_duration(self, result: RunResult) -> None:
        phases = figures_recovery.phases_of(result, "single-bounded-queue")
        whole = phases.pop("duration_s").mean
        assert sum(phase.mean for phase in phases.values()) == pytest.approx(whole, rel=0.02)


class TestIncidents:
    def test_the_window_is_around_the_most_costly_outage(self) -> None:
        outages = {
            "start_s": np.array([1000.0, 50_000.0, 51_000.0]),
            "end_s": np.array([9000.0, 50_600.0, 51_100.0]),
            "cost": np.array([10.0, 99.0, 98.0]),
        }
        first, second = windows_of(make_trial("single", ONE), outages, 3)
        assert (first.outage_start_s, first.start_s, first.end_s) == (50_000.0, 49_400.0, 51_200.0)
        assert second.outage_start_s == 1000.0

    def test_lanes_show_only_the_window_and_every_person_acts_once(self) -> None:
        record = make_trial("single", ONE)
        window = Window(DAY_S + 8 * 3600, DAY_S + 17 * 3600, DAY_S + 9 * 3600, DAY_S + 16 * 3600)
        panel = incident_panel(record, make_scenario(), window, "incident", "single")
        low, high = panel.figure.layout.xaxis.range
        for trace in panel.figure.data:
            inside = np.asarray(trace.x, dtype=float)
            assert ((inside > low - 3.7e6) & (inside < high + 3.7e6)).all()
        labels = [text for trace in panel.figure.data for text in (trace.text or ())]
        assert labels.count("restart irm (does not help)") == 1
        assert {"detected", "acknowledged", "scale_out irm", "raise_memory irm", "closed"} <= set(labels)
        assert "303 OOM kills" in panel.title

    def test_who_did_nothing_has_no_lane(self) -> None:
        whole = Window(DAY_S, DAY_S + 86_400)
        heights, lanes = {}, {}
        for name, kinds in (("both", ()), ("people only", CONTROLLERS), ("nobody", (*CONTROLLERS, *OPERATORS))):
            record = make_trial("two", TWO)
            record.records[:] = [r for r in record.records if r.kind not in kinds]
            figure = incident_panel(record, make_scenario(), whole, "incident", "two").figure
            heights[name] = figure.layout.height
            lanes[name] = [axis.ticktext[2:] for axis in figure.select_yaxes() if axis.ticktext][-1]
        assert lanes == {"both": ("controller", "people"), "people only": ("people",), "nobody": ()}
        assert heights["both"] > heights["people only"] > heights["nobody"]

    def test_a_flood_of_controller_records_stays_readable(self) -> None:
        record = make_trial("single", ONE)
        switch = record.records[0]._replace(kind=Kind.BREAKER, what="open", fault="")
        record.records += [switch._replace(at_s=DAY_S + 9 * 3600 + k) for k in range(20_000)]
        panel = incident_panel(record, make_scenario(), Window(DAY_S, DAY_S + 86_400), "incident", "single")
        assert sum(len(trace.x) for trace in panel.figure.data) < 12_000


class TestSweeps:
    def test_one_axis_gives_curves_of_each_architecture(self) -> None:
        result = make_sweep({"services.irm.queue": ("10", "20", "40")}, 20)
        panels = sweep_panels(result, "EUR")
        curves = [trace for trace in panels[0].figure.data if trace.mode == "lines+markers"]
        assert [curve.name for curve in curves] == ["single", "active-active"]
        expected = [
            nines(result.estimates[f"single | services.irm.queue={q}"]["availability_time"].mean) for q in (10, 20, 40)
        ]
        assert list(curves[0].y) == pytest.approx(expected)
        assert "is best at services.irm.queue = 40" in panels[0].title
        assert "no difference beyond chance" in panels[1].title

    def test_two_axes_give_heat_maps_with_rows_of_the_first(self) -> None:
        result = make_sweep({"services.irm.queue": ("10", "40"), "failover.ttl": ("30s", "60s", "300s")}, 20)
        panel = sweep_panels(result, "EUR")[0]
        grid = np.array(panel.figure.data[0].z, dtype=float)
        assert grid.shape == (2, 3)
        place = "single | services.irm.queue=40, failover.ttl=30s"
        assert grid[1, 0] == pytest.approx(nines(result.estimates[place]["availability_time"].mean))

    def test_a_run_without_a_sweep_has_none(self, result: RunResult) -> None:
        assert sweep_panels(result, "EUR") == []

    def test_many_designs_are_cut_in_figures_but_not_in_the_table(self) -> None:
        page = page_of_run(make_sweep({"services.irm.queue": tuple(str(q) for q in range(10, 17))}, 8))
        sections = {section.key: section for section in page.sections}
        assert len(sections["comparison"].tables[0].rows) == 14
        assert len(sections["availability"].panels[0].table.rows) == DESIGNS_MAX
        assert "2 more are in the table" in sections["availability"].lines[0]


class TestPage:
    def test_every_figure_has_a_table_a_finding_and_words(self, page: Page) -> None:
        assert len(page.panels) >= 14
        for panel in page.panels:
            assert panel.table.rows, panel.key
            assert all(len(row) == len(panel.table.columns) for row in panel.table.rows), panel.key
            assert len(panel.title) > 20, panel.key
            assert len(panel.summary) > 20, panel.key
            assert not re.search(r"\bnan\b|\binf\b", panel.title + panel.summary), panel.key

    def test_axes_make_room_for_their_labels(self, page: Page) -> None:
        for panel in page.panels:
            axes = [*panel.figure.select_xaxes(), *panel.figure.select_yaxes()]
            assert all(axis.automargin for axis in axes), panel.key

    def test_verdicts_name_every_design_and_word(self, page: Page, result: RunResult) -> None:
        assert [v.design for v in page.verdicts] == list(DESIGNS)
        assert {v.word for v in page.verdicts} <= {"meets", "misses", "undecided"}

    def test_an_almost_empty_run_still_has_a_report(self, result: RunResult) -> None:
        quiet = {name: {c: v[:0] for c, v in table.items()} for name, table in result.tables.items()}
        bare = replace(result, tables=quiet, kept={}, differences={}, better_prob={})
        assert "availability" in {section.key for section in page_of_run(bare).sections}


def test_every_kind_of_record_has_a_name_in_the_report():
    """A kind that a report cannot name would stop the report of any trial in which it happens."""
    assert set(NAMES) == set(Kind)


@pytest.mark.parametrize(("counts", "text"), [([], ""), ([40, 40], "40"), ([160, 40, 1280], "40 to 1,280")])
def test_designs_with_different_numbers_of_trials(counts: list[int], text: str) -> None:
    assert from_to(counts) == text
