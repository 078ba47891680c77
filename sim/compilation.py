"""How layers compile, and where compiled code is kept: a folder that cannot hold code of other sources.

Numba keys its cache by the age and size of the one file that holds a function, so that a change in a file it calls
would go unnoticed. Each layer that compiles names its folder by a hash of all that is compiled together.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


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


def without_types(function: F) -> F:
    """A way into a compiled function that does not look at the types of what it is given.

    For the fifty arrays of a model that takes ten microseconds, as long as a short call itself. Whoever goes this way
    knows that each argument is of the type that the function was compiled for: other arrays would be misread.

    Parameters
    ----------
    function
        Compiled by Numba.

    Returns
    -------
    callable
        The function itself if it is not compiled, or not for exactly one signature.
    """
    return cast(F, _way_in(function, len(getattr(function, "overloads", ()))))


@cache
def _way_in(function: Any, n_signatures: int) -> Any:
    """As `without_types`; found once, because to go through the signatures is to hash all their types."""
    return next(iter(function.overloads.values())).entry_point if n_signatures == 1 else function


class Compiler:
    """Compiles functions of one layer when they are first called, with a cache that cannot be stale.

    Parameters
    ----------
    layer : str
        Its name.
    sources : iterable of Path
        All that is compiled together.
    """

    def __init__(self, layer: str, sources: Iterable[Path]) -> None:
        self._folder = str(cache_folder(layer, sources))

    def compiled(self, function: F) -> F:
        """Compile a function; it cannot make arrays."""
        return self._decorated(function)

    def inner(self, function: F) -> F:
        """The same for a function that only compiled functions call.

        It has no way in from Python (a TypeError): to take a model and a state of sixty arrays apart takes as long to
        compile as most functions themselves.
        """
        import numba

        if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
            return function
        decorated: Any = self._decorated(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)

        def refuse(*_: object) -> None:
            raise TypeError(f"{function.__name__} is called by compiled functions only")

        def remember(result: Any) -> None:
            decorated.overloads[tuple(result.signature.args)] = result

        # Numba would call where there is no code; so Python is never told what was compiled.
        decorated.add_overload, decorated._compile_for_args = remember, refuse
        return cast(F, decorated)

    def _decorated(self, function: F, **more: bool) -> F:
        import numba

        # Another layer keeps its cache elsewhere; the folder counts at the moment of decoration only.
        before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
        numba.config.CACHE_DIR = self._folder  # type: ignore[attr-defined]
        try:
            options: Any = {"cache": True, "error_model": "numpy", "_nrt": False} | more
            decorated: F = numba.njit(**options)(function)
        finally:
            numba.config.CACHE_DIR = before  # type: ignore[attr-defined]
        return decorated
