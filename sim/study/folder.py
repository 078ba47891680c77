"""One results folder: a run that was killed at any instant is found there whole, up to its last part.

Layout: `run.json` (what was run), `progress.json` (the manifest), `TABLE/part-NNNNNN.parquet`, `events/` and
`traces/` (kept trials), `report.html`. A part counts once the manifest names it, and the manifest is written after the
part's files; whatever else lies there is ignored. Only the parent process writes. Knows nothing of how trials are run.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sim.errors import RunError, UsageError
from sim.study.lock import FolderLock
from sim.study.manifest import Manifest, Part, StoredFile
from sim.study.parquet import write_canonical, write_text
from sim.study.ranges import Ranges, without
from sim.study.scan import Scan, scan
from sim.study.stored_rows import part_path
from sim.study.stored_tables import StoredTables, stored_pieces
from sim.study.tables import Rows, Tables, merge, ranges_by_architecture

RUN_FILE = "run.json"
PROGRESS_FILE = "progress.json"
REPORT_FILE = "report.html"
IDENTITY_KEYS = ("regionfall", "engine", "architectures", "seed", "scenario_hash", "sample")
"""What two runs must share for one to continue the other."""


class StorageError(RunError):
    """The file system refuses to store or give back a result."""


class TakenFolderError(RunError, UsageError):
    """The folder asked for holds something else: a mistake in the command, which nothing was run for."""


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError into a StorageError that says what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"cannot write to {folder}: {reason}. Nothing stored is lost: make room or choose a writable folder "
            "with --out, then give the same command again to continue"
        ) from error


class ResultsFolder:
    """The parts of a run on disk; holds the folder's lock until closed.

    Parameters
    ----------
    path : Path
        Created if missing. A folder with files of another kind is refused.
    identity : dict
        What this run is (the IDENTITY_KEYS); a stored run must be the same.

    Raises
    ------
    RunError
        The folder cannot be written, another process uses it, or (TakenFolderError) it holds something else.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path = path
        self.damage: list[str] = []
        """What was found damaged, one text per part; those trials are run again."""
        with storage_errors(path):
            refuse_foreign(path)
            path.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(path)
        try:
            _refuse_other_run(path, identity)
            with storage_errors(path):
                self._manifest = open_manifest(path)
                self._drop_damaged()
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        """Let others use the folder."""
        self._lock.release()

    def done(self) -> dict[str, Ranges]:
        """Stored trial numbers by architecture."""
        return self._manifest.done()

    def add(self, parts: Sequence[Tables]) -> None:
        """Store the tables of some trials as one part; trials that are stored already are left out."""
        known = self._manifest.done()
        fresh = [part for part in parts if not _is_known(part, known)]
        if not fresh:
            return
        architectures = list(dict.fromkeys(str(a) for part in fresh for a in part["trials"]["architecture"]))
        tables = merge(fresh, architectures)
        name = self._manifest.next_name()
        with storage_errors(self.path):
            files = {}
            for table, columns in tables.items():
                file = part_path(self.path, table, name)
                file.parent.mkdir(exist_ok=True)
                write_canonical(file, columns)
                files[table] = StoredFile.of(file)
            self._manifest.parts[name] = Part.of(ranges_by_architecture(tables["trials"]), files)
            self._save_manifest()

    def tables(self, asked: Mapping[str, int]) -> Mapping[str, Rows]:
        """All stored rows of the trials asked of each architecture, in their order; a table is read when used."""
        return StoredTables(self.path, self._manifest, asked)

    def scan(self, asked: Mapping[str, int]) -> Scan:
        """One pass over the same rows, in the same order."""
        return scan(stored_pieces(self.path, self._manifest, asked), self.tables(asked))

    def write_json(self, name: str, document: Any) -> None:
        """Store a JSON document in the folder."""
        with storage_errors(self.path):
            write_text(self.path / name, json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n")

    def _save_manifest(self) -> None:
        write_text(self.path / PROGRESS_FILE, json.dumps(self._manifest.to_document(), indent=1) + "\n")

    def _drop_damaged(self) -> None:
        for name, part in list(self._manifest.parts.items()):
            fault = damage_of(self.path, name, part)
            if fault:
                self.damage.append(f"{fault}; its {part.n_trials} trials are run again")
                del self._manifest.parts[name]
        if self.damage:
            self._save_manifest()


def damage_of(folder: Path, name: str, part: Part) -> str:
    """What is wrong with a part's files, as a text that names the file; empty if nothing is."""
    for table, stored in part.files.items():
        file = part_path(folder, table, name)
        try:
            found = StoredFile.of(file)
        except FileNotFoundError:
            return f"{file} is missing"
        if found.n_bytes != stored.n_bytes:
            return f"{file} is cut or extended ({found.n_bytes} bytes instead of {stored.n_bytes})"
        if found != stored:
            return f"{file} was altered (its checksum differs)"
    return ""


def open_stored(folder: Path) -> tuple[dict[str, Any], Manifest]:
    """`run.json` and the manifest of a folder that is only read.

    Raises RunError if it holds no run, or if a part is damaged (the text names the file and the way out).
    """
    meta = read_json(folder / RUN_FILE)
    manifest = open_manifest(folder)
    faults = [fault for name, part in manifest.parts.items() if (fault := damage_of(folder, name, part))]
    if faults:
        command = meta.get("command") or "the run's command"
        raise RunError("\n".join([*faults, f"run it again with --out {folder} to mend it: {command}"]))
    return meta, manifest


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; raises RunError with the path if there is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path.parent} holds no run: {path.name} is missing") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise RunError(f"{path} cannot be read: it is not a JSON object")
    return document


def open_manifest(folder: Path) -> Manifest:
    """The manifest of a folder; raises RunError with the file and the way out if it is damaged."""
    path = folder / PROGRESS_FILE
    if not path.exists():
        return Manifest()
    try:
        return Manifest.from_document(read_json(path))
    except RunError as error:
        raise RunError(
            f"{path} is damaged ({error}). Put it back from a copy; or remove it and give the same command again with "
            f"--out {folder}: all trials are run again"
        ) from error


def _is_known(part: Tables, known: dict[str, Ranges]) -> bool:
    trials = ranges_by_architecture(part["trials"])
    return not any(without(ranges, known.get(name, ())) for name, ranges in trials.items())


def refuse_foreign(path: Path) -> None:
    """A file, or a folder with other files in it, is somebody's work and not a results folder: TakenFolderError."""
    if path.exists() and not path.is_dir():
        raise TakenFolderError(f"{path} is a file, expected a folder; choose another --out")
    if path.exists() and not (path / RUN_FILE).exists():
        other = sorted(p.name for p in path.iterdir() if not p.name.startswith("."))
        if other:
            raise TakenFolderError(f"{path} is not empty and holds no run (it has {other[0]}); choose another --out")


def _refuse_other_run(path: Path, identity: dict[str, Any]) -> None:
    if not (path / RUN_FILE).exists():
        return
    stored = read_json(path / RUN_FILE)
    for key in IDENTITY_KEYS:
        if stored.get(key) != identity.get(key):
            raise TakenFolderError(
                f"{path} holds another run: its {key.replace('_', ' ')} is {stored.get(key)}, this one's is "
                f"{identity.get(key)}; choose another --out, or give the command of the stored run to continue it"
            )
