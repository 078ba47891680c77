"""How this layer compiles: Numba with a cache that cannot be stale, as `sim.traffic.compiled` and for the same reason.

Only what passes over faults is compiled; everything that is played out is SimPy.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import numba

from sim.compilation import cache_folder
from sim.randomness import philox as generator
from sim.traffic import layout, levels

F = TypeVar("F", bound=Callable[..., Any])
_SOURCES: Final = (
    "compiled.py",
    "quiet_arrays.py",
    "quiet_draws.py",
    "quiet_fleet.py",
    "quiet_kills.py",
    "quiet_loop.py",
)

_FOLDER: Final = str(
    cache_folder(
        "world",
        [
            *(Path(__file__).with_name(name) for name in _SOURCES),
            *(Path(str(module.__file__)) for module in (generator, layout, levels)),
        ],
    )
)


def compiled(function: F) -> F:
    """Compile a function when it is first called, with the cache; it cannot make arrays."""
    return _compiled(function, {})


def inner(function: F) -> F:
    """The same for functions that only compiled ones call: a way in from Python takes longer to compile than it."""
    return _compiled(function, {"no_cpython_wrapper": True, "no_cfunc_wrapper": True})


def _compiled(function: F, options: dict[str, Any]) -> F:
    # Another layer keeps its cache elsewhere; the folder counts at the moment of decoration only.
    before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    numba.config.CACHE_DIR = _FOLDER  # type: ignore[attr-defined]
    try:
        every: Any = {"cache": True, "error_model": "numpy", "_nrt": False}
        decorated: F = numba.njit(**every, **options)(function)
    finally:
        numba.config.CACHE_DIR = before  # type: ignore[attr-defined]
    return decorated


philox = inner(generator.philox)
to_unit = inner(generator.to_unit)
