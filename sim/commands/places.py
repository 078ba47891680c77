"""Where results go, and where the packaged scenarios are."""

import re
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from sim.errors import RunError, UsageError


def results_folder(out: Path | None, name: str) -> Path:
    """The folder asked for, else a new one, `results/NAME-TIME` (UTC)."""
    if out is not None:
        return out
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "run"
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = Path("results") / f"{slug}-{stamp}"
    number = 2
    while folder.exists():
        folder = Path("results") / f"{slug}-{stamp}-{number}"
        number += 1
    return folder


def refuse_file(out: Path | None) -> None:
    """Raise UsageError if a file is where the folder asked for belongs; to be called before the work, not after."""
    if out is not None and out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, expected a folder; choose another --out")


def packaged_scenario(name: str) -> Path:
    """A scenario that comes with the package: `sim/data` of a wheel, `experiments` of a checkout.

    Raises RunError if neither has it, which means a broken installation.
    """
    package = Path(str(files("sim")))
    for folder in (package / "data", package.parent / "experiments"):
        if (folder / name).is_file():
            return folder / name
    raise RunError(f"{name} is missing from this installation of regionfall; install it again")
