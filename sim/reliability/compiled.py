"""How this layer compiles: Numba with a cache that cannot be stale, and the generator as compiled functions.

Numba keys its cache by the one file that holds a function; a change in a function called from another file would go
unnoticed. So the cache folder is named by a hash of all sources that are compiled together.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np

from sim.compilation import cache_folder
from sim.randomness import philox as generator

F = TypeVar("F", bound=Callable[..., Any])

_SOURCES: Final = (*sorted(Path(__file__).parent.glob("*.py")), Path(generator.__file__))
_FOLDER: Final = str(cache_folder("reliability", _SOURCES))


def compiled(function: F) -> F:
    """Compile a function when it is first called, with the cache."""
    return _decorated(function)


def inner(function: F) -> F:
    """The same for a function that only compiled functions call.

    It has no way in from Python (a TypeError): to take a model and a state of sixty arrays apart takes as long to
    compile as most functions themselves.
    """
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return function
    decorated: Any = _decorated(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)

    def refuse(*_: object) -> None:
        raise TypeError(f"{function.__name__} is called by compiled functions only")

    def remember(result: Any) -> None:
        decorated.overloads[tuple(result.signature.args)] = result

    # Numba would call where there is no code; so Python is never told what was compiled.
    decorated.add_overload, decorated._compile_for_args = remember, refuse
    return cast(F, decorated)


def _decorated(function: F, **more: bool) -> F:
    # Another layer keeps its cache elsewhere; the folder counts at the moment of decoration only.
    before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    numba.config.CACHE_DIR = _FOLDER  # type: ignore[attr-defined]
    try:
        options: Any = {"cache": True, "error_model": "numpy", "_nrt": False} | more
        decorated: F = numba.njit(**options)(function)
    finally:
        numba.config.CACHE_DIR = before  # type: ignore[attr-defined]
    return decorated


philox = compiled(generator.philox)
to_unit = compiled(generator.to_unit)
LOW: Final = np.uint64(0xFFFFFFFF)
HALF: Final = np.uint64(32)


@compiled
def uniform_pair(key: Any, trial: Any, index: int) -> tuple[float, float]:
    """Return the two numbers of `sim.randomness.uniforms` for one key (uint64), trial (uint64) and index."""
    place = np.uint64(index)
    words = philox((place & LOW, place >> HALF, trial & LOW, trial >> HALF), key & LOW, key >> HALF)
    return to_unit(words[0], words[1]), to_unit(words[2], words[3])
