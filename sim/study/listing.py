"""What is stored: the state of every run below a folder, and a check or the removal of one.

Reads `run.json` and the manifest only, so that a list of many large runs is quick. Knows nothing of terminals.
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sim.errors import RunError, UsageError
from sim.study.folder import PROGRESS_FILE, RUN_FILE, damage_of, open_manifest, read_json
from sim.study.lock import is_locked

HEADLINE = "availability_time"
STATES = ("done", "interrupted", "failed", "running", "killed", "unreadable")


@dataclass(frozen=True)
class Entry:
    """One stored run."""

    run: str
    """Its folder."""
    name: str
    state: str
    """One of STATES; `killed`: it says that it runs, but no process does."""
    started: str
    trials_done: int
    """Over all architectures."""
    trials_asked: int
    seed: int | None
    n_bytes: int
    """On disk."""
    headline: dict[str, dict[str, float]]
    """Availability (time) with its interval by architecture: mean, low, high; empty until the run is finished."""


def list_runs(folder: Path) -> list[Entry]:
    """All runs directly below a folder, oldest first; one that cannot be read is an entry too."""
    entries = [entry_of(path.parent) for path in sorted(folder.glob(f"*/{RUN_FILE}"))]
    return sorted(entries, key=lambda entry: entry.started)


def entry_of(folder: Path) -> Entry:
    """The entry of one run."""
    size = sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    try:
        meta = read_json(folder / RUN_FILE)
        done = meta.get("trials_done", {})
        asked = sum(int(n) for n in meta.get("trials_asked", {}).values())
        seed = meta.get("seed")
        return Entry(
            run=str(folder),
            name=str(meta.get("name", "")),
            state=_state(folder, str(meta.get("stop_reason", ""))),
            started=str(meta.get("started", "")),
            trials_done=sum(int(n) for n in done.values()),
            trials_asked=asked,
            seed=int(seed) if seed is not None else None,
            n_bytes=size,
            headline=_headline(meta.get("headline")),
        )
    except (RunError, AttributeError, TypeError, ValueError):
        return Entry(str(folder), "", "unreadable", "", 0, 0, None, size, {})


def _headline(found: Any) -> dict[str, dict[str, float]]:
    if not isinstance(found, Mapping):
        return {}
    return {str(name): {key: float(of[key]) for key in ("mean", "low", "high")} for name, of in found.items()}


def _state(folder: Path, reason: str) -> str:
    if is_locked(folder):
        return "running"
    return {"finished": "done", "interrupted": "interrupted", "failed": "failed", "running": "killed"}.get(
        reason, "unreadable"
    )


def faults_of(folder: Path) -> list[str]:
    """Everything that is wrong with the files of a run, each text with its file; raises RunError if it holds none."""
    read_json(folder / RUN_FILE)
    manifest = open_manifest(folder)
    return [fault for name, part in manifest.parts.items() if (fault := damage_of(folder, name, part))]


def refuse_removal(folder: Path) -> None:
    """Raise UsageError if a folder holds no run, is a symbolic link, or is in use."""
    if folder.is_symlink():
        raise UsageError(f"{folder} is a symbolic link; remove the folder that it points to")
    if not ((folder / RUN_FILE).is_file() or (folder / PROGRESS_FILE).is_file()):
        raise UsageError(f"{folder} holds no run ({RUN_FILE} is missing); nothing was removed")
    if is_locked(folder):
        raise UsageError(f"{folder} is in use by a run that goes on; stop it first")


def remove_run(folder: Path) -> None:
    """Delete the folder of a run; raises UsageError if it must not be removed."""
    refuse_removal(folder)
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise RunError(f"cannot remove {folder}: {error.strerror or error}") from error


def document_of(entry: Entry) -> dict[str, Any]:
    """The JSON form of an entry."""
    return asdict(entry)
