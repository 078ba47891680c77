"""The command line: exit codes, what goes to which stream, and messages without tracebacks."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from small_study import SCENARIO, failing_trial, fake_trial, write_scenario
from typer.testing import CliRunner, Result

import sim
import sim.commands.replay
import sim.commands.run
from sim.cli import app
from sim.errors import UsageError
from sim.study import run_experiment
from sim.study.replay import replay_trial


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The stand-in for the engine, and an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sim.commands.run, "run_experiment", partial(run_experiment, trial_function=fake_trial))
    monkeypatch.setattr(sim.commands.replay, "replay_trial", partial(replay_trial, trial_function=fake_trial))


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def run_small(tmp_path: Path, *arguments: str, command: str = "run") -> Result:
    file = write_scenario(tmp_path)
    return call(command, str(file), "--workers", "1", "--no-report", "--quiet", *arguments)


def test_version_agrees_with_the_distribution():
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert call("--version").stdout == f"regionfall {sim.__version__}\n"
    assert project["version"] == sim.__version__


@pytest.mark.parametrize(
    "command",
    [
        "demo",
        "run",
        "compare",
        "replay",
        "sweep",
        "validate",
        "schema",
        "report",
        "results",
        "sensitivity",
        "stability",
    ],
)
def test_every_command_has_help(command: str):
    result = call(command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['regionfall', '--help']\n"
        "from sim.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'numba', 'scipy', 'simpy', 'duckdb', 'plotly', 'pydantic', 'ruamel', 'jinja2', 'networkx'}\n"
        "print('HEAVY', sorted(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout


def test_import_sim_imports_nothing():
    code = "import sys, sim; print(sorted(name for name in sys.modules if name.startswith('sim')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['sim']\n"


def test_run_takes_the_first_architecture(tmp_path: Path):
    result = run_small(tmp_path, "--trials", "3")
    assert result.exit_code == 0, result.output
    assert "small study: 3 trials, 95% intervals" in result.stdout
    assert "double" not in result.stdout
    (folder,) = (tmp_path / "results").iterdir()
    assert folder.name.startswith("small-study-")
    assert json.loads((folder / "run.json").read_text())["command"].startswith("regionfall")


def test_compare_takes_all(tmp_path: Path):
    result = run_small(tmp_path, "--trials", "3", command="compare")
    assert result.exit_code == 0, result.output
    assert "double - single" in result.stdout


def test_a_sweep_takes_the_named_architecture(tmp_path: Path):
    arguments = ("--sweep", "services.web.queue=5,10", "-A", "single", "-n", "2", "-o", "json")
    result = run_small(tmp_path, *arguments, command="sweep")
    assert result.exit_code == 0, result.output
    names = list(json.loads(result.stdout)["architectures"])
    assert names == ["single | web.queue=5", "single | web.queue=10"]


def test_a_sweep_without_axes_is_a_usage_error(tmp_path: Path):
    result = run_small(tmp_path, command="sweep")
    assert result.exit_code == 2
    assert "--sweep" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--architecture", "tripel"), "there is no architecture tripel; there are single, double"),
        (("--set", "services.web.slots=many"), "--set"),
        (("--fail-under", "uptime>=1"), "there is no measure uptime"),
        (("--fail-under", "availability=1"), "expected [ARCHITECTURE:]MEASURE>=VALUE"),
        (("--fail-under", "availability>=99.9"), "lies between 0 and 1"),
        (("--fail-under", "total_cost_per_year<=5%"), "total_cost_per_year is not a share"),
        (("--trials", str(10**30)), "must be at most 10000000"),
        (("--set", "services.web.queue="), "null deletes a key"),
        (("-o", "xml"), "must be table or json"),
        (("--trials", "0"), "--trials"),
        (("--workers", "-1"), "--workers"),
        (("--no-such-option",), "--no-such-option"),
    ],
)
def test_a_users_mistake_is_exit_2_without_traceback(tmp_path: Path, arguments: tuple[str, ...], words: str):
    result = run_small(tmp_path, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert not (tmp_path / "results").exists(), "a mistake must be found before anything runs"


def test_all_mistakes_of_a_file_come_one_per_line(tmp_path: Path):
    file = write_scenario(tmp_path, SCENARIO.replace("work: 100ms", "work: 100").replace("seed: 7", "sead: 7"))
    result = call("run", str(file))
    assert result.exit_code == 2
    lines = result.stderr.strip().splitlines()
    assert len([line for line in lines if line.startswith(f"{file}:")]) >= 2
    assert "did you mean seed" in result.stderr


def test_a_missing_file_is_a_users_mistake():
    result = call("run", "nowhere.yaml")
    assert result.exit_code == 2
    assert "nowhere.yaml" in result.stderr


def test_gates(tmp_path: Path):
    passed = run_small(tmp_path, "--fail-under", "availability>=90%", "--fail-under", "single:downtime_h_per_year<=99")
    assert passed.exit_code == 0
    failed = run_small(tmp_path, "--fail-under", "availability>=99.999%")
    assert failed.exit_code == 1
    assert "gate failed: availability>=99.999% for single" in failed.stderr
    undecided = run_small(tmp_path, "--fail-under", "availability>=99.98%")
    assert undecided.exit_code == 1
    assert "gate undecided" in undecided.stderr
    assert "more trials may decide" in undecided.stderr
    assert "small study" in undecided.stdout, "results are shown whatever the gate says"


def test_a_gate_on_what_was_not_run_is_a_mistake(tmp_path: Path):
    result = run_small(tmp_path, "-n", "2", "--fail-under", "double:availability>=90%")
    assert result.exit_code == 2
    assert "double is not run; there are single" in result.stderr
    assert not (tmp_path / "results").exists(), "it must be found before anything runs"


def test_a_run_error_is_exit_3(tmp_path: Path):
    (tmp_path / "file").write_text("")
    result = run_small(tmp_path, "--out", str(tmp_path / "file" / "run"))
    assert result.exit_code == 3
    assert "--out" in result.stderr
    assert "Traceback" not in result.output


def test_a_folder_of_something_else_is_exit_2(tmp_path: Path):
    (tmp_path / "file").write_text("")
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.doc").write_text("mine")
    assert run_small(tmp_path, "-n", "2", "--out", "run").exit_code == 0
    before = Path("run/run.json").read_text()
    for out, words in (("file", "file is a file"), ("papers", "it has thesis.doc"), ("run", "its seed is 7")):
        result = run_small(tmp_path, "-n", "2", "--seed", "9", "--out", out)
        assert result.exit_code == 2
        assert words in result.stderr
        assert "choose another --out" in result.stderr
    assert Path("run/run.json").read_text() == before


def test_a_replay_leaves_the_report_of_a_run_alone(tmp_path: Path):
    assert run_small(tmp_path, "-n", "2", "--out", "run").exit_code == 0
    Path("file").write_text("")
    for out, words in (("run", "run holds a run"), ("file", "file is a file")):
        result = call("replay", str(write_scenario(tmp_path)), "--out", out)
        assert result.exit_code == 2
        assert words in result.stderr
    assert not Path("run/report.html").exists()


def test_a_zoom_refuses_a_file_as_its_folder_before_it_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sim.commands.zoom.play_window", failing_trial)
    Path("file").write_text("")
    result = call("zoom", str(write_scenario(tmp_path)), "--from", "0s", "--out", "file")
    assert result.exit_code == 2
    assert "file is a file" in result.stderr


def test_a_zoom_window_that_the_horizon_cuts_is_said_to_be_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def stop(*_: object, **__: object) -> None:
        raise UsageError("played")

    monkeypatch.setattr("sim.commands.zoom.play_window", stop)
    for begin, words in (("364d", ""), ("8759h50m", "--for is cut to 10m: the horizon of the scenario ends there")):
        result = call("zoom", str(write_scenario(tmp_path)), "--from", begin, "--for", "20m")
        assert result.stderr.splitlines() == [*([words] if words else []), "played"]


def test_a_trial_that_no_run_has_is_a_mistake(tmp_path: Path):
    result = call("replay", str(write_scenario(tmp_path)), "--trial", str(10**20))
    assert result.exit_code == 2
    assert "below 10000000" in result.stderr


def test_a_failing_trial_is_exit_3_and_says_how_to_repeat_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sim.commands.run, "run_experiment", partial(run_experiment, trial_function=failing_trial))
    result = run_small(tmp_path, "--out", "run")
    assert result.exit_code == 3
    assert "regionfall replay FILE --architecture single --trial 9" in result.stderr
    assert json.loads(Path("run/run.json").read_text())["stop_reason"] == "failed"


def test_an_error_of_our_own_asks_for_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(sim.commands.run, "run_experiment", broken)
    result = run_small(tmp_path)
    assert result.exit_code == 3
    assert "ZeroDivisionError: oops" in result.stderr
    assert "REGIONFALL_DEBUG=1" in result.stderr
    assert "Traceback" not in result.stderr
    monkeypatch.setenv("REGIONFALL_DEBUG", "1")
    assert "Traceback" in run_small(tmp_path).stderr


def test_ctrl_c_is_exit_130_and_says_how_to_continue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*arguments: object, progress: object, **choices: object) -> object:
        def press(done: int, asked: int, text: str) -> None:
            if done >= 5:
                raise KeyboardInterrupt

        return run_experiment(*arguments, progress=press, trial_function=fake_trial, **choices)  # type: ignore[arg-type]

    monkeypatch.setattr(sim.commands.run, "run_experiment", interrupted)
    result = run_small(tmp_path, "--out", "run", "--chunk", "1")
    assert result.exit_code == 130
    assert "with --out run" in result.stderr
    assert "5 of 24 trials" in result.stderr
    assert json.loads(Path("run/run.json").read_text())["stop_reason"] == "interrupted"


def test_ctrl_c_anywhere_is_exit_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def pressed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sim.commands.run, "run_experiment", pressed)
    assert run_small(tmp_path).exit_code == 130


def test_progress_is_plain_lines_on_stderr_unless_quiet(tmp_path: Path):
    file = write_scenario(tmp_path)
    loud = call("run", str(file), "--workers", "1", "--no-report")
    assert "24 of 24 trials" in loud.stderr
    assert "trials\n" not in loud.stdout
    assert run_small(tmp_path).stderr == ""


def test_replay_prints_a_timeline_with_joined_kills(tmp_path: Path):
    result = call("replay", str(write_scenario(tmp_path)), "-A", "double", "--trial", "2", "--no-report")
    assert result.exit_code == 0, result.output
    assert "small study: double, trial 2, seed 7" in result.stdout
    assert "oom_kill" in result.stdout
    assert "2 times until" in result.stdout


def test_validate(tmp_path: Path):
    good = write_scenario(tmp_path)
    result = call("validate", str(good))
    assert result.exit_code == 0
    assert "small.yaml: valid" in result.stdout
    assert "warning" in result.stderr
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: x\n")
    result = call("validate", str(good), str(bad))
    assert result.exit_code == 2
    assert "bad.yaml" in result.stderr


def test_validate_as_json_tells_errors_from_warnings(tmp_path: Path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: x\n")
    result = call("validate", str(write_scenario(tmp_path)), str(bad), "-o", "json")
    assert result.exit_code == 2
    document = json.loads(result.stdout)
    assert not document["valid"]
    assert {issue["severity"] for issue in document["issues"]} == {"error", "warning"}


def test_validate_imports_no_engine(tmp_path: Path):
    code = (
        f"import sys; sys.argv = ['regionfall', 'validate', {str(write_scenario(tmp_path))!r}, '-o', 'json']\n"
        "from sim.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numba', 'scipy', 'simpy', 'duckdb', 'plotly'}\n"
        "print('HEAVY', sorted(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout


def test_schema_is_a_json_schema():
    import jsonschema

    result = call("schema")
    assert result.exit_code == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(result.stdout))


def test_results_lists_runs_even_broken_ones(tmp_path: Path):
    assert "no runs in results" in call("results").stdout
    assert run_small(tmp_path, "-n", "2", "--out", "results/one").exit_code == 0
    (tmp_path / "results" / "two").mkdir()
    (tmp_path / "results" / "two" / "run.json").write_text("{")
    result = call("results")
    assert "results/one" in result.stdout
    assert "done" in result.stdout
    assert "unreadable" in result.stdout
    runs = json.loads(call("results", "-o", "json").stdout)["runs"]
    assert {run["run"]: run["state"] for run in runs} == {"results/one": "done", "results/two": "unreadable"}


def test_report_of_no_run_is_exit_3(tmp_path: Path):
    result = call("report", str(tmp_path))
    assert result.exit_code == 3
    assert "holds no run" in result.stderr


def test_report_of_a_run_whose_description_was_exchanged_is_exit_3(tmp_path: Path):
    assert run_small(tmp_path, "-n", "2", "--out", "one").exit_code == 0
    assert run_small(tmp_path, "-n", "2", "--seed", "8", "--out", "two").exit_code == 0
    Path("one/run.json").write_text(Path("two/run.json").read_text())
    assert "is of another run" in call("report", "one").stderr
    meta = json.loads(Path("two/run.json").read_text())
    meta["document"]["name"] = "other"
    Path("two/run.json").write_text(json.dumps(meta))
    result = call("report", "two")
    assert result.exit_code == 3
    assert "was changed" in result.stderr
    Path("two/run.json").write_text(json.dumps(meta | {"confidence": 7}))
    assert call("report", "two").exit_code == 3


def test_python_verbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import sim.study
    import sim.study.replay as study_replay
    from sim.errors import UsageError

    monkeypatch.setattr(sim.study, "run_experiment", partial(run_experiment, trial_function=fake_trial))
    monkeypatch.setattr(study_replay, "replay_trial", partial(replay_trial, trial_function=fake_trial))
    experiment = sim.load(write_scenario(tmp_path), sets=["seed=3"])
    assert experiment.scenarios["single"].seed == 3
    assert list(sim.run(experiment, trials=3, workers=1).estimates) == ["single"]
    result = sim.compare(str(tmp_path / "small.yaml"), trials=3, workers=1)
    assert list(result.estimates) == ["single", "double"]
    assert result.folder is None
    assert result.frame("trials").fetchall()[0][:2] == ("single", 0)
    assert sim.replay(experiment, "double", trial=1).record.trial == 1
    with pytest.raises(UsageError, match="there is no option trails"):
        sim.run(experiment, trails=3)
    with pytest.raises(AttributeError):
        _ = sim.simulate  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--loss", "half"), "--loss is half, but must be slow or pods"),
        (("--lasts", "5"), "--lasts"),
        (("--lasts", "0s"), "--lasts must be above 0"),
        (("-A", "none"), "there is no architecture none; there are single, double"),
    ],
)
def test_stability_says_what_is_wrong(tmp_path: Path, options: tuple[str, ...], message: str):
    result = call("stability", str(write_scenario(tmp_path)), "--no-report", *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_stability_does_not_write_into_a_run(tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    result = call("stability", str(write_scenario(tmp_path)), "--out", str(tmp_path / "run"))
    assert result.exit_code == 2
    assert "holds a run" in result.stderr
