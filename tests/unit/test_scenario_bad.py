"""Every mistake is told: file, line, column, path, what was got, what is expected, and what was meant.

The scenarios of `golden/bad_scenarios` each have their complaints beside them, one a line; those whose name begins
with `alone` are no scenario by themselves, the others are laid over `good.yaml` there.
"""

import os
import time
from pathlib import Path

import pytest

from sim.errors import Issue, ScenarioError, UsageError
from sim.scenario.load import load_experiment
from sim.scenario.reader import MAX_VALUES

FOLDER = Path(__file__).parents[1] / "golden" / "bad_scenarios"
BAD = sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != "good")


def issues_of(*paths: str | Path, sets: tuple[str, ...] = (), sweep: tuple[str, ...] = ()) -> tuple[Issue, ...]:
    """Errors, or warnings of a scenario that loads."""
    try:
        return load_experiment([*paths], sets=sets, sweep=sweep).warnings
    except ScenarioError as error:
        return error.issues


@pytest.fixture
def beside_the_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    """File names without folders in the messages."""
    monkeypatch.chdir(FOLDER)


@pytest.mark.usefixtures("beside_the_bad")
@pytest.mark.parametrize("name", BAD)
def test_the_complaints_about_a_bad_scenario(name: str) -> None:
    files = [f"{name}.yaml"] if name.startswith("alone") else ["good.yaml", f"{name}.yaml"]
    told = [str(issue) for issue in issues_of(*files)]
    assert told == Path(f"{name}.expected").read_text(encoding="utf-8").splitlines()
    assert told


@pytest.mark.usefixtures("beside_the_bad")
def test_the_good_scenario_beside_them_is_good() -> None:
    assert issues_of("good.yaml") == ()


def test_every_complaint_has_its_scenario() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.expected")) == BAD


def only(path: Path, **choices: tuple[str, ...]) -> str:
    """The only complaint, without the folder."""
    (issue,) = issues_of(path, **choices)
    return str(issue).replace(str(path.parent) + os.sep, "")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert only(tmp_path / "no.yaml") == "no.yaml: got no such file, expected a scenario file (YAML); check the path"


def test_a_directory(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    assert only(tmp_path / "d") == "d: got a directory, expected a scenario file (YAML)"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert only(tmp_path / "pipe") == "pipe: got a device or pipe, expected a scenario file (YAML)"


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.yaml"
    path.write_text("name: x")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    # The superuser may read everything, so that file permissions cannot make this happen.
    monkeypatch.setattr("builtins.open", refuse)
    told = only(path)
    monkeypatch.undo()
    assert told == "secret.yaml: got permission denied, expected a readable file; check its permissions"


def test_a_device_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("name: x")

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("builtins.open", fail)
    told = only(path)
    monkeypatch.undo()
    assert told == "x.yaml: cannot be read: Input/output error"


def test_a_name_with_a_null_byte() -> None:
    (issue,) = issues_of("a\0b.yaml")
    assert issue.message == "cannot be read: embedded null byte"


def test_fifty_megabytes_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    with path.open("wb") as stream:
        stream.truncate(50_000_000)
    start = time.perf_counter()
    assert only(path) == "big.yaml: got 50.0 MB, expected a scenario file of at most 2 MB"
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"name: x\n\0\1\2", "got a binary file, expected a scenario file (YAML)"),
        ("name: x".encode("utf-16"), "got UTF-16, expected UTF-8: save the file as UTF-8"),
        (b"", "got an empty file, expected a scenario: name, start, horizon, ..."),
        (b"\xef\xbb\xbf", "got an empty file, expected a scenario: name, start, horizon, ..."),
        (b"---\n...\n", "got an empty file, expected a scenario: name, start, horizon, ..."),
    ],
)
def test_bytes_that_are_no_scenario(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    (issue,) = issues_of(path)
    assert (issue.message, issue.path) == (message, "")


def test_latin_1_is_located(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes("name: x\n# plus tard\nhorizon: été".encode("latin-1"))
    assert only(path) == "x.yaml:3:10: got byte 0xE9, which is not UTF-8: save the file as UTF-8"


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + (FOLDER / "good.yaml").read_bytes())
    assert issues_of(path) == ()


def test_aliases_that_explode(tmp_path: Path) -> None:
    path = tmp_path / "laughs.yaml"
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    path.write_text("\n".join(levels))
    start = time.perf_counter()
    told = only(path)
    assert told.startswith("laughs.yaml:5:30: a4[4]: ")
    assert told.endswith(f"got aliases that stand for more than {MAX_VALUES} values, expected fewer: write it out")
    assert time.perf_counter() - start < 1


def test_a_few_aliases_are_welcome(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    text = (FOLDER / "good.yaml").read_text()
    text = text.replace("north: {nodes", "north: &same {nodes").replace(
        "south: {nodes: {count: 4, memory: 8Gi}}", "south: *same"
    )
    path.write_text(text)
    regions = load_experiment(path).scenarios["one"].regions
    assert regions["south"] == regions["north"]


def test_an_alias_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("name: &a [*a]")
    assert only(path) == "x.yaml:1:11: name[0]: got alias *a, expected one whose anchor &a stands before it"


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting(tmp_path: Path, opening: str) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text("name: x\nservices:\n  " + opening * 50_000)
    start = time.perf_counter()
    (issue,) = issues_of(path)
    assert "nested more than 40 deep" in issue.message or "as a key, expected a name" in issue.message
    assert issue.line == 3
    assert time.perf_counter() - start < 10


def test_too_many_values(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text("name: [" + "x," * 200_000 + "x]")
    assert f"got more than {MAX_VALUES} keys and values, expected a smaller file" in only(path)


def test_a_number_of_a_thousand_digits(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text((FOLDER / "good.yaml").read_text() + "seed: " + "9" * 1000 + "\ntrials: " + "9" * 300)
    first, second = issues_of(path)
    assert first.path == "seed"
    assert first.message == "got a number of 1000 digits, expected one of at most 400"
    assert (second.path, second.message[:9]) == ("trials", "got 99999")
    assert len(second.message) < 120


@pytest.mark.usefixtures("beside_the_bad")
@pytest.mark.parametrize(
    ("setting", "column", "path", "message"),
    [
        (
            "services.wab.queue=3",
            1,
            "",
            "got services.wab.queue, but services has no wab; expected web or stock; did you mean web?",
        ),
        (
            "services.web.work=20",
            19,
            "services.web.work",
            "got 20; a duration needs a unit: write 20s, 20ms or e.g. 7d, 1y",
        ),
        ("services.web.queue", 1, "", "got 'services.web.queue', expected key=value such as services.irm.queue=20"),
        ("=3", 1, "", "got '', expected a dotted path such as services.irm.queue"),
        (
            "services.web.queue=",
            1,
            "",
            "got 'services.web.queue=', expected key=value such as services.irm.queue=20; null deletes a key",
        ),
        ('name="\\e[31m"', 6, "name", "got control character U+001B, expected text: remove it"),
        ("a..b=3", 1, "", "got 'a..b', expected a dotted path such as services.irm.queue"),
        ('"a=3', 1, "", "got '\"a', expected a dotted path such as services.irm.queue"),
        ("services.web.queue=[1", 22, "", "got the end of the file, expected a closing bracket or quote"),
        (
            "services.web.queue={a: 1, a: 2}",
            27,
            "services.web.queue.a",
            "got the key a twice, expected it once; it stands already in line 1",
        ),
        (
            "architectures.one.place.north.wab=3",
            1,
            "architectures.one.place.north.wab",
            "got the service wab, expected web or stock; did you mean web?",
        ),
    ],
)
def test_settings_of_the_command_line(setting: str, column: int, path: str, message: str) -> None:
    assert issues_of("good.yaml", sets=(setting,)) == (Issue("--set", 1, column, path, message),)


@pytest.mark.usefixtures("beside_the_bad")
def test_the_line_of_a_setting_is_its_number() -> None:
    told = issues_of("good.yaml", sets=("services.web.queue=3", "horizon=4", "services.web.slots=x"))
    assert [(issue.file, issue.line, issue.column, issue.path) for issue in told] == [
        ("--set", 2, 9, "horizon"),
        ("--set", 3, 20, "services.web.slots"),
    ]


@pytest.mark.usefixtures("beside_the_bad")
@pytest.mark.parametrize(
    ("sweep", "told"),
    [
        ("services.web.queu=1,2", "--sweep:1:1: got services.web.queu, but services.web has no queu; expected work"),
        ("services.web.queue=1,x", "--sweep:1:22: services.web.queue[1]: got 'x', expected a whole number"),
        ("services.web.queue", "--sweep:1:1: got 'services.web.queue', expected key=value,value such as"),
        ("services.web.queue=", "--sweep:1:1: got 'services.web.queue=', expected key=value,value such as"),
        (
            "services.web.queue=" + ",".join(map(str, range(1001))),
            "--sweep:1:1: got 2002 variants (architectures x swept values), expected at most 2000",
        ),
    ],
)  # fmt: skip
def test_sweeps_of_the_command_line(sweep: str, told: str) -> None:
    (issue,) = issues_of("good.yaml", sweep=(sweep,))
    assert str(issue).startswith(told)


def test_no_file_at_all() -> None:
    with pytest.raises(UsageError, match="expected at least one scenario file"):
        load_experiment([])


def test_the_mistakes_of_all_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [")
    (tmp_path / "b.yaml").write_text("b: b: b")
    assert [issue.file for issue in issues_of(tmp_path / "a.yaml", tmp_path / "b.yaml", tmp_path / "c.yaml")] == [
        str(tmp_path / name) for name in ("a.yaml", "b.yaml", "c.yaml")
    ]


def test_a_file_of_junk_is_described_briefly(tmp_path: Path) -> None:
    path = tmp_path / "junk.yaml"
    path.write_text((FOLDER / "good.yaml").read_text() + "".join(f"junk{n}: {n}\n" for n in range(5000)))
    start = time.perf_counter()
    issues = issues_of(path)
    assert len(issues) == 201
    assert issues[0].message == "got 5000 mistakes; the first 200 are told"
    assert time.perf_counter() - start < 20
