"""One trial: the parts wired together, run from 0 to the horizon (`loop`), and what is recorded of it."""

import math

from sim.randomness import Draws
from sim.scenario.schema import Scenario
from sim.traffic.assemble import Blueprint, assemble
from sim.traffic.engine import Traffic
from sim.traffic.gears import Noise
from sim.traffic.layout import OOM
from sim.world.actions import Actions
from sim.world.autoscaler import Autoscalers
from sim.world.breakers import Breakers
from sim.world.conditions import Conditions
from sim.world.context import Context
from sim.world.design import PerDesign
from sim.world.effects import Effects
from sim.world.failover import Controller
from sim.world.faults import Faults
from sim.world.fleet import Fleet
from sim.world.log import TrialRecord
from sim.world.loop import run_until
from sim.world.meter import Meter
from sim.world.observers import Observers, trace_of, watched_by
from sim.world.operations import OnCall
from sim.world.probes import Probes
from sim.world.providers import provider_outages
from sim.world.standby import Standby
from sim.world.start import begin_all
from sim.world.topology import Topology
from sim.world.warmup import cold_caches

TRACE_EVERY_S = 10.0


def run_trial(scenario: Scenario, architecture: str, trial: int, *, keep: bool = False) -> TrialRecord:
    """Simulate one trial.

    Parameters
    ----------
    scenario : Scenario
        The resolved architecture; its `seed` is the root of all draws.
    architecture : str
        Its name; it labels the record and changes nothing else, so that designs meet the same faults.
    trial : int
        Number of the trial, >= 0. A trial run alone equals the same trial of a run, bit by bit.
    keep : bool
        Record curves as well (`TrialRecord.trace`); recording changes no result.

    Returns
    -------
    TrialRecord
        Event log and integrals.

    Raises
    ------
    RunError
        If an element changes state without time passing (an endless loop), by its name.
    """
    return Trial(scenario, architecture, trial, keep=keep).run()


class Trial:
    """One trial, ready to run; the arguments are those of `run_trial`, with the least distance of recorded rows (s)."""

    def __init__(
        self,
        scenario: Scenario,
        architecture: str,
        trial: int,
        *,
        keep: bool = False,
        trace_every_s: float = TRACE_EVERY_S,
        blueprint: Blueprint | None = None,
    ) -> None:
        self._architecture = architecture
        self._trial = trial
        self._keep = keep
        draws = Draws(scenario.seed, trial)
        self.traffic = Traffic(
            blueprint or blueprint_of(scenario),
            tolerance=scenario.model.tolerance,
            trace_every_s=trace_every_s if keep else math.inf,
            noise=Noise(
                mode=scenario.model.noise,
                above_share=scenario.model.noise_above,
                most_requests=scenario.model.noise_requests,
                seed_of=lambda window: draws.integer("traffic", "requests", window),
            ),
        )
        self.context = Context(scenario, draws, self.traffic)
        self.fleet = Fleet(self.context, Topology(scenario))
        meter = Meter(self.context)
        standby = Standby(self.context, self.fleet, meter)
        begin_all(self.context, self.fleet, standby)
        standby.count()
        conditions = Conditions(self.context)
        self.faults = Faults(self.context, Effects(self.context, self.fleet, conditions))
        if keep:
            self.faults.tape.write_all()
        cold_caches(self.context, self.fleet, conditions)
        Probes(self.context, self.fleet)
        Autoscalers(self.context, self.fleet, standby)
        groups = range(len(self.traffic.names.populations))
        self.controllers = [Controller(self.context, self.fleet, group, standby) for group in groups]
        Breakers(self.context)
        provider_outages(self.context, conditions)
        if scenario.operations is not None:
            actions = Actions(self.context, self.fleet, self.faults, self.controllers, standby)
            OnCall(self.context, scenario.operations, self.faults, self.controllers, actions)
        self._observers = Observers(self.context)
        self._meter = meter
        if blueprint is None:
            from sim.world.undisturbed import courses_of  # it runs a trial itself

            courses = courses_of(scenario)
            if courses is not None:
                self.traffic.park_on(courses)

    def play_to(self, at_s: float) -> None:
        """From 0 to a moment (s since the start); what is due just then has not happened yet."""
        run_until(self.context, self.fleet, self.faults.tape, at_s, self._stuck)

    def run(self, until_s: float | None = None) -> TrialRecord:
        """From 0 to the horizon, or to a moment before it: the record of the same trial, cut off there."""
        end_s = self.context.scenario.horizon if until_s is None else until_s
        self.play_to(end_s)
        self.traffic.close()
        return self._record(end_s)

    def _record(self, end_s: float) -> TrialRecord:
        context, traffic = self.context, self.traffic
        month_totals = self._observers.month_totals()
        return TrialRecord(
            architecture=self._architecture,
            trial=self._trial,
            seed=context.scenario.seed,
            start=context.scenario.start,
            horizon_s=end_s,
            populations=traffic.names.populations,
            pools=tuple(f"{region}/{service}" for region, service in traffic.names.pools),
            records=context.records,
            passed_over=self.faults.tape.passed_over,
            totals=traffic.all_totals(),
            month_start_s=self._observers.month_start_s[: len(month_totals)],
            month_totals=month_totals,
            node_hours=self._meter.hours("node", end_s),
            pod_hours=self._meter.hours("pod", end_s),
            excess=context.excess,
            simulated_s=end_s - (traffic.parking.parked_s if traffic.parking is not None else 0.0),
            n_windows=traffic.parking.n_windows if traffic.parking is not None else 1,
            trace=trace_of(traffic) if self._keep else None,
        )

    def _stuck(self, code: int, index: int) -> str:
        pod_names = [pod.name for pod in self.fleet.pods]
        what = pod_names[index] if code == OOM else watched_by(self.traffic, index, pod_names)
        return (
            f"trial {self._trial} of {self._architecture} is stuck at {self.traffic.now_s:.3f} s: {what} changes state "
            "without time passing. Please report this with the scenario file; as a way round, give its pods a startup "
            "time or raise model.tolerance"
        )


def blueprint_of(scenario: Scenario) -> Blueprint:
    """Network of a scenario, made once per process: a year's demand curve takes longer than a quiet trial."""
    return _blueprints.of(scenario)


_blueprints = PerDesign(assemble)
