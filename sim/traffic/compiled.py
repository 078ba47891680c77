"""The one way in which this package compiles: eager signatures, and a cache that cannot be stale.

Numba keys its cache by the age and size of the one file that holds a function. A change of a column number in
`layout`, or of a function called from another file, would go unnoticed and compute with old numbers; so the
cache folder is named by a hash of all sources that are compiled together.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba import types

from sim.compilation import cache_folder

_SOURCES = (
    *(
        "compiled.py",
        "layout.py",
        "network.py",
        "tables.py",
        "roots.py",
        "disciplines.py",
        "answers.py",
        "calls.py",
        "rates.py",
        "alike.py",
    ),
    *("account.py", "kernel.py", "sameness.py"),
    *("crowd.py", "request_jobs.py", "request_calls.py", "request_users.py", "request_looks.py", "requests.py"),
)

numba.config.CACHE_DIR = str(cache_folder("traffic", (Path(__file__).with_name(name) for name in _SOURCES)))  # type: ignore[attr-defined]

F8, I8 = types.float64, types.int64
F1, F2, F3, I1, I2 = F8[::1], F8[:, ::1], F8[:, :, ::1], I8[::1], I8[:, ::1]
U1 = types.uint64[::1]
NOTHING = types.void
TRUTH = types.boolean
CROSSING = types.Tuple((F8, I8, I8))  # type: ignore[no-untyped-call]
PAIR = types.Tuple((F8, F8))  # type: ignore[no-untyped-call]
LOCATED = types.Tuple((F8, F8, I8, I8))  # type: ignore[no-untyped-call]
CODE_AND_INDEX = types.Tuple((I8, I8))  # type: ignore[no-untyped-call]
F = TypeVar("F", bound=Callable[..., Any])


def floats(n: int) -> Any:
    """Numba's type of a tuple of `n` floats."""
    return types.Tuple((F8,) * n)  # type: ignore[no-untyped-call]


def compiled(signature: Any, *, inline: bool = False) -> Callable[[F], F]:
    """Compile a function for exactly one signature, with the cache.

    References to arrays are not counted (`_nrt`), so that the function cannot make any: each call hands over thirty
    arrays, and counting them would cost a step of a single request several times its own work. Nor are divisors
    compared with zero: what is not a number is found at the end of a step.

    Parameters
    ----------
    signature
        Types of the result and of the arguments.
    inline : bool
        Whether each caller gets a copy. A network goes over the stack as a hundred numbers, which is what a small
        function takes itself; of large ones the copies only fill the caches.
    """
    options: dict[str, Any] = {"cache": True, "error_model": "numpy", "forceinline": inline, "_nrt": False}
    decorate: Callable[[F], F] = numba.njit(signature, **options)
    return decorate
