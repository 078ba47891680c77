"""Regionfall: what uptime to expect of a cloud architecture, how faults cascade, and what an outage costs.

The verbs of the command line as functions: `sim.load`, `sim.run`, `sim.compare`, `sim.replay`, `sim.sensitivity`,
`sim.rare_years`. They are imported when first used, so that `import sim` costs nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.api import compare as compare
    from sim.api import load as load
    from sim.api import rare_years as rare_years
    from sim.api import replay as replay
    from sim.api import run as run
    from sim.api import sensitivity as sensitivity

__version__ = "0.1.0"

_VERBS = ("load", "run", "compare", "replay", "sensitivity", "rare_years")


def __getattr__(name: str) -> object:
    if name in _VERBS:
        from sim import api

        return getattr(api, name)
    raise AttributeError(f"module 'sim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_VERBS])
