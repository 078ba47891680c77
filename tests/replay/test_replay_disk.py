"""A disk that refuses for real: the kernel says no, the error says what to do, and the same command ends the run."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCENARIO = ROOT / "experiments" / "workstation_cluster.yaml"
SUPPORT = ROOT / "tests" / "support" / "refusing_disk.py"
TRIALS = 60
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and rights as Linux has them")


def regionfall(how: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SUPPORT), how, *arguments], capture_output=True, text=True, cwd=ROOT)


def run(how: str, folder: Path, trials: int = TRIALS) -> subprocess.CompletedProcess[str]:
    options = ["--trials", str(trials), "--workers", "1", "--chunk", "4", "--quiet", "--out", str(folder)]
    return regionfall(how, "run", str(SCENARIO), *options)


def meta(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run.json").read_text(encoding="utf-8")))


def n_parts(folder: Path) -> int:
    path = folder / "progress.json"
    return len(json.loads(path.read_text(encoding="utf-8"))["parts"]) if path.exists() else 0


def contents(folder: Path) -> dict[Path, bytes]:
    """All files but the lock, which says who looked last."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def ends_as(folder: Path, expected: dict[str, Any]) -> None:
    """The same command, with nothing in its way, ends with the tables of a run that was never stopped."""
    again = run("none", folder)
    assert again.returncode == 0, again.stderr
    assert meta(folder)["table_hash"] == expected["table_hash"]
    assert (folder / "report.html").stat().st_size > 1 << 20


def is_clear(refused: subprocess.CompletedProcess[str], folder: Path, reason: str) -> None:
    assert refused.returncode == 3, refused.stderr
    told = " ".join(refused.stderr.split())
    assert f"cannot write to {folder}" in told
    assert reason in told
    assert "Nothing stored is lost: make room or choose a writable folder with --out" in told
    assert "Traceback" not in told
    assert not list(folder.rglob("*.tmp")), "half a file was left"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing hindered: also the control of all tests here, in which the disk must refuse."""
    folder = tmp_path_factory.mktemp("disk") / "plain"
    done = run("none", folder)
    assert done.returncode == 0, done.stderr
    assert n_parts(folder) == TRIALS / 4
    return folder


def test_a_file_that_may_not_grow_further(tmp_path: Path, plain: Path):
    """The list of parts outgrows the limit after some of them."""
    limit = (plain / "run.json").stat().st_size + 2000
    assert limit < (plain / "progress.json").stat().st_size, "the limit would refuse nothing"
    refused = run(f"limit={limit}", tmp_path / "run")
    is_clear(refused, tmp_path / "run", "File too large")
    assert 0 < n_parts(tmp_path / "run") < TRIALS / 4
    assert regionfall("none", "results", "verify", str(tmp_path / "run")).returncode == 0
    ends_as(tmp_path / "run", meta(plain))


def test_a_report_that_finds_no_room(tmp_path: Path, plain: Path):
    """The tables are stored; the report alone is missing, and is written later without a trial."""
    folder = tmp_path / "run"
    is_clear(run(f"limit={1 << 20}", folder), folder, "File too large")
    assert meta(folder)["table_hash"] == meta(plain)["table_hash"]
    assert not (folder / "report.html").exists()
    assert regionfall("none", "report", str(folder)).returncode == 0
    assert (folder / "report.html").stat().st_size > 1 << 20


@contextmanager
def small_disk(folder: Path, n_bytes: int) -> Iterator[Path]:
    """A file system of its own; skips where none may be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount a file system; the limit above stands for it")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_without_room(tmp_path: Path, plain: Path):
    """Half as large as the run: full in its midst. Then room is made on the same disk, and the run goes on there."""
    size = sum(path.stat().st_size for path in plain.rglob("*") if path.is_file() and path.name != "report.html")
    with small_disk(tmp_path / "disk", size // 2) as disk:
        refused = run("none", disk / "run")
        is_clear(refused, disk / "run", "No space left on device")
        assert 0 < n_parts(disk / "run") < TRIALS / 4
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        ends_as(disk / "run", meta(plain))


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """Nobody may write into the folder and those in it."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    try:
        yield
    finally:
        for path in folders:
            path.chmod(0o755)


def test_a_folder_that_is_read_only(tmp_path: Path, plain: Path):
    folder = tmp_path / "run"
    assert run("none", folder, TRIALS // 2).returncode == 0
    before = contents(folder)
    with without_rights(folder):
        is_clear(run("rights", folder), folder, "Permission denied")
        assert contents(folder) == before
        shown = regionfall("rights", "results", "show", str(folder))
        assert shown.returncode == 0, "what is stored can still be read"
    ends_as(folder, meta(plain))


def test_a_place_where_no_folder_can_be_made(tmp_path: Path):
    """/sys takes no new folders, from root neither."""
    refused = run("none", Path("/sys/regionfall-run"))
    assert refused.returncode == 3, refused.stderr
    assert "cannot write to /sys/regionfall-run" in " ".join(refused.stderr.split())


def test_rights_alone_do_not_stop_a_run(tmp_path: Path, plain: Path):
    """Negative control: without privileges a folder that may be written is written."""
    assert run("rights", tmp_path / "run").returncode == 0
    assert meta(tmp_path / "run")["table_hash"] == meta(plain)["table_hash"]
