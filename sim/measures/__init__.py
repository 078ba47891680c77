"""From the event log of a trial to its outages, cascades, availability and cost. Pure; knows nothing of the engine."""

from sim.measures.tables import concatenate, measure_trial

__all__ = ["concatenate", "measure_trial"]
