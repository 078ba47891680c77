"""The study as a whole: what is run, that a kill costs nothing, necessity by reruns, and the page."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sensitivity_fixture import CHOICE, OPTIONS, make_sensitivity, trial_of_the_queue
from small_study import fake_trial, small_experiment
from worlds import fault, lasting, service, world

from sim.errors import UsageError
from sim.report.html import render
from sim.report.sensitivity import page_of_sensitivity
from sim.scenario.document import Experiment
from sim.scenario.schema import Call, Scenario
from sim.study import InterruptedRunError, RunOptions
from sim.study.necessity import verdicts_of
from sim.study.sensitivity import Choice, Sensitivity, sensitivity_of
from sim.study.shares import downtime_shares, ranked_sequences
from sim.study.tables import merge, table_hash
from sim.study.work import engine_trial
from sim.study.workers import InProcess


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Sensitivity:
    return make_sensitivity(tmp_path_factory.mktemp("study"))


def test_all_that_is_asked_is_one_run(found: Sensitivity):
    kinds = [one.kind for one in found.effects]
    assert kinds.count("never") == 2
    assert kinds.count("low") == kinds.count("high") == 2
    assert {one.about for one in found.birnbaum} == {"pod-crash @ north/web/1", "pod-crash @ north/store/1",
                                                     "region-loss @ north"}  # fmt: skip
    assert len(found.result.experiment.scenarios) == 1 + 5 + 6 + 4 + 4 * (2 + 2)
    assert found.sobol is not None
    assert found.sobol.total[1].mean == pytest.approx(0.0, abs=1e-9)  # repairs change nothing here, the queue all
    assert found.shares["fault"]["region-loss"].mean == 1.0
    assert found.shares["fault"]["pod-crash"].high > 0.0  # a bound, not a zero
    assert not found.shares["fault"]["pod-crash"].seen
    assert found.sequences[0].text == "region-loss in north -> web fails in north"
    assert found.sequences[0].is_needed


def test_an_interrupted_study_goes_on_and_ends_with_the_same_tables(tmp_path: Path, found: Sensitivity):
    """Ctrl-C after the first results; the same call in the same folder gives the tables of an undisturbed study."""

    def interrupt(done: int, asked: int, _: str) -> None:
        if done > 20:
            raise KeyboardInterrupt

    options = replace(OPTIONS, out=tmp_path / "study")
    experiment = small_experiment(tmp_path)
    with pytest.raises(InterruptedRunError):
        sensitivity_of(experiment, CHOICE, options, progress=interrupt, trial_function=trial_of_the_queue)
    asked = []
    again = sensitivity_of(
        experiment, CHOICE, options, progress=lambda done, *_: asked.append(done), trial_function=trial_of_the_queue
    )
    assert asked[0] > 0  # not from the start
    assert table_hash(again.result.tables) == table_hash(found.result.tables)
    assert again.shares == found.shares
    assert again.sobol == found.sobol
    assert [one.changes for one in again.effects] == [one.changes for one in found.effects]


def test_the_page_is_whole_and_safe(found: Sensitivity):
    html = render(page_of_sensitivity(found, "<img src=x onerror=alert(1)>"))
    assert "<img src=x" not in html
    for key in ("shares-fault", "sequences", "sensitivity-faults", "sensitivity-tornado", "sensitivity-elements"):
        assert f'id="plot-{key}"' in html
    assert "--trial" in html


def test_without_downtime_nothing_is_made_up():
    quiet = world(faults={"crash": fault("any pod of web", at_s=600.0, until=10.0)}, horizon=1200.0)
    quiet = quiet.model_copy(update={"faults": {"calm": fault("home", at_s=5000.0, until=10.0)}})
    found = sensitivity_of(
        Experiment("quiet", {"quiet": quiet}), Choice(with_knobs=False, check=True), RunOptions(trials=2, workers=1)
    )
    assert found.shares == {}
    assert found.sequences == []
    html = render(page_of_sensitivity(found, "quiet"))
    assert "no downtime in any trial" in html


@pytest.mark.parametrize(
    "changes",
    [
        {"sobol": ("services.web.queue=10",)},
        {"sobol": ("services.web.queue=60,10",)},
        {"sobol": ("services.web.queue=10,60,log",)},
        {"sobol": ("faults.region-loss.repair=1h,2h",)},
        {"sobol": ("services.web.nothing=1,2",)},
        {"sobol": ("services.web.queue=10,60",), "sobol_samples": 5},
        {"knobs": ("services.web.nothing",)},
        {"architecture": "nowhere"},
        {"knobs": ("services.web.queue",), "with_knobs": False},
    ],
)
def test_what_cannot_be_asked_is_refused(tmp_path: Path, changes: dict):
    with pytest.raises(UsageError):
        sensitivity_of(small_experiment(tmp_path), Choice(**changes), OPTIONS, trial_function=fake_trial)


@pytest.mark.parametrize("changes", [{"step": 0.0}, {"step": 1.5}, {"covered": 0.0}, {"covered": 1.1}])
def test_choices_out_of_range_are_refused(changes: dict):
    with pytest.raises(UsageError):
        Choice(**changes)


# -- necessity ------------------------------------------------------------------------------------------


def chain(**faults: object) -> Scenario:
    return world(
        services={"web": service(calls={"db": Call(timeout=1.0)}), "db": service()},
        place={"home": {"web": 2, "db": 2}},
        faults=faults,
    )


def ranked_of(scenario: Scenario) -> list:
    tables = merge([engine_trial(scenario, "test", 0)[1]], ["test"])
    return ranked_sequences(tables, "test", confidence=0.95)


def test_a_bystander_on_the_way_is_found_by_the_rerun():
    """One of two pods of db was down when the other's loss stopped everything: both are needed. web-slow was not."""
    scenario = chain(
        **{
            "half": fault("any pod of db", at_s=500.0, until=600.0).model_copy(update={"only": ("home/db/1",)}),
            "rest": fault("any pod of db", at_s=700.0, until=200.0).model_copy(update={"only": ("home/db/2",)}),
            "web-half": fault("any pod of web", at_s=400.0, until=900.0).model_copy(update={"only": ("home/web/1",)}),
        }
    )
    ranked = ranked_of(scenario)
    text = "half of db in home + rest of db in home + web-half of web in home -> db, web fail in home"
    assert [one.text for one in ranked] == [text]
    verdict = verdicts_of(scenario, ranked, InProcess())[text]
    assert dict(verdict.remains) == {
        "web-half#1@home/web/1": pytest.approx(1.0, abs=0.01),
        "half#1@home/db/1": 0.0,
        "rest#1@home/db/2": 0.0,
    }
    assert verdict.not_needed == ("web-half#1@home/web/1",)
    assert verdict.text == "half of db in home + rest of db in home -> db, web fail in home"


def test_two_causes_of_which_each_is_enough_both_stay():
    scenario = chain(db=fault("db in home", at_s=600.0, until=300.0), web=fault("web in home", at_s=600.0, until=300.0))
    ranked = ranked_of(scenario)
    verdict = verdicts_of(scenario, ranked, InProcess())[ranked[0].text]
    assert verdict.not_needed == ()
    assert verdict.text == ranked[0].text
    assert all(part > 0.9 for _, part in verdict.remains)


def test_an_old_run_without_these_tables_has_no_shares(found: Sensitivity):
    old = {name: table for name, table in found.result.tables.items() if name in ("trials", "outages")}
    assert downtime_shares(old, "as it is", confidence=0.95) == {}
    assert ranked_sequences(old, "as it is", confidence=0.95) == []


def test_an_example_is_the_outage_that_a_replay_shows():
    """Trial and start of each sequence's example name an outage of that trial, run alone."""
    scenario = chain(db=fault("db in home", every=lasting(900.0), until=120.0))
    scenario = scenario.model_copy(update={"horizon": 7200.0})
    ranked = [one for one in ranked_of(scenario) if one.is_needed]
    assert ranked
    for one in ranked:
        outages = engine_trial(scenario, "alone", one.example.trial)[1]["outages"]
        assert one.example.start_s in np.asarray(outages["start_s"])
