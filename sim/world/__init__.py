"""The control plane: regions, nodes, pods, faults, failover and people, as SimPy processes.

`run_trial` is imported when first used: it brings the compiled data plane, which takes 100 MiB (and half a minute the
first time), and those who only read event logs or run elements without traffic need none of it.
"""

from typing import TYPE_CHECKING

from sim.world.log import Kind, Record, Trace, TrialRecord

if TYPE_CHECKING:
    from sim.world.trial import run_trial as run_trial

__all__ = ["Kind", "Record", "Trace", "TrialRecord", "run_trial"]


def __getattr__(name: str) -> object:
    if name == "run_trial":
        from sim.world.trial import run_trial

        return run_trial
    raise AttributeError(f"module 'sim.world' has no attribute {name!r}")
