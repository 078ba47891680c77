"""What must not stand in any file of the repository, and what must."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".json", ".csv", ".j2", ".sh", ""}
LEFT_OUT = {
    ".git",
    ".venv",
    ".ci-venv",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
    "build",
    "dist",
}


def files() -> list[Path]:
    """Files of the repository: those that git would track, or all but caches where there is no git."""
    asked = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        listed = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if not LEFT_OUT & set(p.relative_to(ROOT).parts)]
    paths = [ROOT / name for name in listed if name]
    return [p for p in paths if p.is_file() and p.suffix in TEXT_SUFFIXES]


def test_no_path_of_a_machine():
    pattern = re.compile(r"(?<![\w.])/(?:work|root|farm|home)/[\w.]")
    own = Path(__file__).name
    found = [
        str(p) for p in files() if p.name != own and pattern.search(p.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []


def test_constraints_name_versions_and_nothing_else():
    """No index, host, local file or option: only `name==version`, with a marker where needed."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pattern = re.compile(r"[a-z0-9.-]+==[0-9][\w.+!]*( ; .+)?")
    assert [line for line in lines if not pattern.fullmatch(line)] == []
    assert len(lines) > 50


def test_every_dependency_is_constrained():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {re.split(r"[<>=!~\[; ]", d)[0].lower() for d in asked}
    names = {re.sub(r"[-_.]+", "-", name) for name in names}
    constrained = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert names - constrained == set()


@pytest.mark.parametrize(
    "name",
    ["README.md", "CHANGELOG.md", "LICENSE", ".gitignore", ".ci/run", "constraints.txt", "tools/need_chromium.py"],
)
def test_it_has(name: str):
    assert (ROOT / name).stat().st_size > 0


def test_ci_runs_the_readme_commands():
    """The command that the README gives for the tests is the one that CI runs."""
    readme = (ROOT / "README.md").read_text()
    commands = [line.strip() for line in readme.splitlines() if line.startswith("python3 -m venv")]
    assert len(commands) == 2, "one line to see it, one line to test it"
    assert any("regionfall demo" in command for command in commands)
    (tests,) = [command for command in commands if "pytest" in command]
    assert "-c constraints.txt" in tests
    steps = [step.replace(".venv/bin/", "") for step in tests.split(" && ")[1:]]
    ci = (ROOT / ".ci" / "run").read_text().replace('"$venv"/bin/', "")
    for step in steps:
        assert step in ci, f".ci/run lacks: {step}"
