"""Where compiled code is kept: a folder that cannot hold code of other sources.

Numba keys its cache by the age and size of the one file that holds a function, so that a change in a file it calls
would go unnoticed. Each layer that compiles names its folder by a hash of all that is compiled together.
"""

import os
import sys
import tempfile
from collections.abc import Iterable
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path


def cache_folder(layer: str, sources: Iterable[Path]) -> Path:
    """The folder of a layer's compiled code, made if need be; a temporary one if it cannot be made."""
    # Numba reuses code that was compiled without bounds checks when they are asked for.
    checks = f"{layer}, bounds checks: {os.environ.get('NUMBA_BOUNDSCHECK')}"
    digest = sha256(f"{version('numba')} {sys.version} {checks}".encode())
    for path in (*sources, Path(__file__)):
        digest.update(path.read_bytes())
    given = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    folder = Path(given or Path.home() / ".cache") / "regionfall" / digest.hexdigest()[:20]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        # A folder of our own that nobody else can write: cached code is code.
        return Path(tempfile.mkdtemp(prefix="regionfall-"))
    return folder
