"""`run.json`: everything needed to know what a run was and to repeat it."""

import platform
import subprocess
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import sim
from sim.scenario.document import Experiment
from sim.study.options import RunOptions

RECORDED_PACKAGES = ("numpy", "numba", "scipy", "simpy", "duckdb", "pydantic")


def now_text() -> str:
    """The present as ISO 8601 UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def new_meta(experiment: Experiment, trials: int, options: RunOptions) -> dict[str, Any]:
    """The document of a run that begins now."""
    scenarios = experiment.scenarios
    return {
        "regionfall": sim.__version__,
        "name": experiment.name,
        "engine": engine_hash(),
        "scenario_hash": experiment.hash,
        "seed": next(iter(scenarios.values())).seed,
        "architectures": list(scenarios),
        "trials_asked": dict.fromkeys(scenarios, trials),
        "trials_done": dict.fromkeys(scenarios, 0),
        "stop_reason": "running",
        "confidence": options.confidence,
        "workers": options.n_workers,
        "chunk": options.chunk,
        "command": options.command,
        "started": now_text(),
        "ended": None,
        "table_hash": None,
        "kept": {},
        "versions": versions(),
        "git": git_state(Path(sim.__file__).parent.parent),
        "document": experiment.to_document(),
    }


def engine_hash() -> str:
    """Short hash of the sources that decide what a trial gives: runs of different code must not be joined."""
    digest = sha256()
    root = Path(sim.__file__).parent
    sources = [root / "laws.py"]
    for part in ("randomness", "traffic", "world", "reliability", "measures"):
        sources += sorted((root / part).glob("*.py"))
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def versions() -> dict[str, str]:
    """Version of Python and of each package that a result depends on."""
    found = {"python": platform.python_version()}
    for name in RECORDED_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def git_state(checkout: Path) -> dict[str, Any] | None:
    """Commit of the simulator's checkout and whether files differ from it; None for an installed package."""
    if not (checkout / ".git").exists():
        return None
    commit = _git(checkout, "rev-parse", "HEAD")
    changes = _git(checkout, "status", "--porcelain")
    if commit is None or changes is None:
        return None
    return {"commit": commit, "modified": bool(changes)}


def _git(checkout: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
