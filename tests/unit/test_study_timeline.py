"""The timeline: log and outages in one order, crash loops joined between what matters."""

from pathlib import Path

from small_study import fake_trial, small_experiment

from sim.study.replay import replay_trial
from sim.study.timeline import TimelineEvent, condensed, timeline


def kill(at_s: float, pod: str, service: str = "web") -> TimelineEvent:
    return TimelineEvent(at_s, "oom_kill", region="north", service=service, pod=pod)


def test_like_events_are_joined_until_something_else_happens():
    events = [
        kill(1, "a"),
        kill(2, "b", service="store"),
        kill(3, "b"),
        TimelineEvent(4, "action", what="restart"),
        kill(5, "a"),
        kill(6, "c"),
    ]
    found = [(first.at_s, first.kind, first.service, count, last_s) for first, count, last_s in condensed(events)]
    assert found == [
        (1, "oom_kill", "web", 2, 3),
        (2, "oom_kill", "store", 1, 2),
        (4, "action", "", 1, 4),
        (5, "oom_kill", "web", 2, 6),
    ]


def test_outages_of_different_people_stay_apart():
    events = [TimelineEvent(i, "outage_start", what=f"{who}: outage begins") for i, who in enumerate("aba")]
    assert [(first.what[0], count) for first, count, _ in condensed(events)] == [("a", 2), ("b", 1)]


def test_no_event_is_lost(tmp_path: Path):
    replay = replay_trial(small_experiment(tmp_path), "double", trial=2, trial_function=fake_trial)
    events = timeline(replay)
    n_outages = len(replay.tables["outages"]["outage"])
    assert len(events) == len(replay.record.records) + 2 * n_outages
    assert sum(count for _, count, _ in condensed(events)) == len(events)
    assert [event.at_s for event in events] == sorted(event.at_s for event in events)


def test_a_censored_outage_has_no_end(tmp_path: Path):
    replay = replay_trial(small_experiment(tmp_path), "double", trial=2, trial_function=fake_trial)
    replay.tables["outages"]["censored"][:] = 1
    kinds = [event.kind for event in timeline(replay)]
    assert "outage_start" in kinds
    assert "outage_end" not in kinds
