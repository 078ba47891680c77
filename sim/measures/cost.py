"""What a trial cost: lost work, credits to customers, infrastructure.

Lost work follows from lost requests exactly, and needs no calendar: demand is (requests per active worker) x (active
workers), so a request not answered is 1 / (requests per worker-hour) of an hour of an active worker (DESIGN, 7).
Nights cost nothing because nobody asks. A fault that multiplies demand is counted as that many more workers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sim.measures.availability import Month
from sim.measures.outages import OFFERED, USABLE, Below
from sim.scenario.schema import Population, Scenario, Sla
from sim.world.log import TOTALS, Floats, TrialRecord

BY_PROVIDER = TOTALS.index("by_provider")
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """Cost of what ran, in the scenario's currency.

    Parameters
    ----------
    node, pod, provider : float
        Nodes by their hours, pods by theirs, answers of the other provider by their number.
    """

    node: float
    pod: float
    provider: float

    @property
    def total(self) -> float:
        """Sum of the three."""
        return self.node + self.pod + self.provider


def lost_hours(lost_requests: float, population: Population) -> float:
    """Return the worker-hours lost with these requests, >= 0.

    Parameters
    ----------
    lost_requests : float
        Requests offered less those usable (weighted by the quality of the answer).
    population : Population

    Returns
    -------
    float
        Hours x dependence x (1 - deferrable); without the time to refocus.
    """
    if population.requests <= 0:
        return 0.0
    hours = max(lost_requests, 0.0) / (population.requests * HOUR_S)
    return hours * population.dependence * (1.0 - population.deferrable)


def refocus_hours(outage: Below, population: Population) -> float:
    """Return the worker-hours lost to the interruption itself, beside its duration.

    Workers interrupted are those active (the mean rate of requests offered in the outage over that of one worker), but
    no more than requests were lost: in a short outage most workers ask for nothing and notice nothing.
    """
    if population.requests <= 0:
        return 0.0
    interrupted = min(outage.offered_per_s / population.requests, outage.lost_requests)
    return interrupted * population.refocus / HOUR_S


def trial_lost_hours(totals: Floats, outages: Sequence[Below], population: Population) -> float:
    """Return all worker-hours that a population lost in a trial, in outages and outside of them.

    Parameters
    ----------
    totals : ndarray
        Shape (len(TOTALS),), of the population at the horizon.
    outages : sequence of Below
        Its outages; each interrupts once.
    population : Population
    """
    lost = lost_hours(float(totals[OFFERED] - totals[USABLE]), population)
    return lost + math.fsum(refocus_hours(outage, population) for outage in outages)


def credit_share(availability: float, sla: Sla) -> float:
    """Return the share of the fee paid back for a month: the largest whose limit the availability is below."""
    return max((share for below, share in sla.credits.items() if availability < float(below)), default=0.0)


def month_credit(month: Month, weight: float, scenario: Scenario) -> float:
    """Return the credit for one population in one month, in the scenario's currency.

    Parameters
    ----------
    month : Month
    weight : float
        Share of the population in all requests; it has that part of the fee.
    scenario : Scenario
        Of a month that the horizon cuts only the covered part of the fee is at stake.
    """
    sla, objective = scenario.objectives.sla, scenario.objectives.availability
    if sla is None:
        return 0.0
    measured = month.by_time if objective.measured == "time" else month.by_requests
    return 0.0 if math.isnan(measured) else credit_share(measured, sla) * sla.fee * month.covered * weight


def infrastructure_of(record: TrialRecord, scenario: Scenario) -> Infrastructure:
    """Return what ran, times its prices."""
    provider = scenario.failover.provider
    answered = float(record.totals[:, BY_PROVIDER].sum()) if record.totals.size else 0.0
    return Infrastructure(
        node=math.fsum(record.node_hours.values()) * scenario.costs.node,
        pod=math.fsum(hours * scenario.costs.pod.get(name, 0.0) for name, hours in record.pod_hours.items()),
        provider=answered * provider.price if provider is not None else 0.0,
    )
