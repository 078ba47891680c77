"""The control plane: regions, nodes, pods, faults, failover and people, as SimPy processes."""

from sim.world.log import Kind, Record, Trace, TrialRecord
from sim.world.trial import run_trial

__all__ = ["Kind", "Record", "Trace", "TrialRecord", "run_trial"]
