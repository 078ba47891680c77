"""The measures of a run: which column of `trials` each comes from, its unit, and which scenarios have it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from sim.scenario.reliability import ReliabilityScenario
from sim.scenario.schema import Scenario

YEAR_S: Final = 365 * 86400.0
"""The year of `per_year`."""
HOUR_S: Final = 3600.0

FAULT_CASCADES: Final = "fault_cascades"
"""Cascades of a trial that some fault began: the column `cascades` of `fault_kinds`, added up by trial. A cascade that
mere load began is one of the year, but none per fault."""
Kind = Literal["mean", "ratio", "prob", "quantile", "tail"]


@dataclass(frozen=True, slots=True)
class Measure:
    """How one measure is made from the table `trials`."""

    kind: Kind
    """`mean` of a column over trials, `ratio` of the totals of two columns, `prob` of a 0/1 column in a year,
    `quantile` of trials, mean of the `tail` beyond it."""
    column: str
    per: str = ""
    """`ratio`: the column below the line."""
    scale: float = 1.0
    """`mean`: factor from the column's unit to the measure's."""
    annual: bool = False
    """`mean`: times year / horizon."""
    higher_is_better: bool = False
    is_share: bool = False
    """Lies in [0, 1]."""
    ratio_max: float | None = None
    """`ratio`: the most that one trial can add above the line, where that is known; see `ratio_interval`."""
    level: float = 0.0
    """`quantile`, `tail`: share of trials below."""
    compared: bool = True
    """Has a value in every trial, so that one can ask in how many trials A is better than B."""


MEASURES: Final[dict[str, Measure]] = {
    "availability_time": Measure("mean", "availability_time", higher_is_better=True, is_share=True),
    "availability_requests": Measure("mean", "availability_requests", higher_is_better=True, is_share=True),
    "downtime_h_per_year": Measure("mean", "downtime_s", scale=1 / HOUR_S, annual=True),
    "downtime_h_p95": Measure("quantile", "downtime_s", scale=1 / HOUR_S, level=0.95, compared=False),
    "downtime_h_cvar95": Measure("tail", "downtime_s", scale=1 / HOUR_S, level=0.95, compared=False),
    "outages_per_year": Measure("mean", "outages", annual=True),
    "faults_per_year": Measure("mean", "faults", annual=True),
    "oom_kills_per_year": Measure("mean", "oom_kills", annual=True),
    "cascades_per_fault": Measure("ratio", FAULT_CASCADES, per="faults", is_share=True, ratio_max=1.0, compared=False),
    "cascades_per_year": Measure("mean", "cascades", annual=True),
    "cascade_year_prob": Measure("prob", "cascade_any", is_share=True),
    "cross_region_cascade_year_prob": Measure("prob", "cross_region_cascade_any", is_share=True),
    "lost_hours_per_year": Measure("mean", "lost_hours", annual=True),
    "productivity_cost_per_year": Measure("mean", "productivity_cost", annual=True),
    "sla_credit_per_year": Measure("mean", "sla_credit", annual=True),
    "infrastructure_cost_per_year": Measure("mean", "infrastructure_cost", annual=True),
    "total_cost_per_year": Measure("mean", "total_cost", annual=True),
    "total_cost_p95": Measure("quantile", "total_cost", level=0.95, compared=False),
    "total_cost_cvar95": Measure("tail", "total_cost", level=0.95, compared=False),
    "slo_met_month_prob": Measure("ratio", "months_met", per="months", higher_is_better=True, is_share=True),
    "rto_met_prob": Measure(
        "ratio", "rto_met", per="rto_checked", higher_is_better=True, is_share=True, compared=False
    ),
}

RELIABILITY_MEASURES: Final[dict[str, Measure]] = {
    **{
        name: MEASURES[name]
        for name in ("availability_time", "downtime_h_per_year", "outages_per_year", "faults_per_year")
    },
    "slo_met_month_prob": MEASURES["slo_met_month_prob"],
    "sla_credit_per_year": MEASURES["sla_credit_per_year"],
    "repairs_per_year": Measure("mean", "repairs", annual=True),
    "delivered_share": Measure("mean", "delivered_share", higher_is_better=True, is_share=True),
    "no_outage_in_horizon_share": Measure("mean", "no_outage", higher_is_better=True, is_share=True),
    "outage_mean_h": Measure("ratio", "downtime_h", per="outages", compared=False),
    "first_outage_mean_h": Measure(
        "ratio", "first_outage_h", per="first_outage_seen", higher_is_better=True, compared=False
    ),
}
"""Of a scenario of elements. `first_outage_mean_h` is time until the first outage or the horizon over first outages
seen: the mean time to failure if that time is exponential, the usual estimate from censored data."""


def has_two_regions(scenario: Scenario) -> bool:
    """Whether pods are placed in more than one region."""
    return sum(any(pods.values()) for pods in scenario.place.values()) > 1


def has_productivity_cost(scenario: Scenario) -> bool:
    """Whether an hour of some population costs anything."""
    return any(population.cost > 0 for population in scenario.populations.values())


def has_infrastructure_cost(scenario: Scenario) -> bool:
    """Whether nodes, pods or a provider's answers have a price."""
    provider = scenario.failover.provider
    priced = [scenario.costs.node, *scenario.costs.pod.values(), provider.price if provider else 0.0]
    return any(price > 0 for price in priced)


def has_sla(scenario: Scenario) -> bool:
    """Whether a contract pays credits."""
    return scenario.objectives.sla is not None


def has_rto(scenario: Scenario) -> bool:
    """Whether some recovery time is promised."""
    rto = scenario.objectives.rto
    return rto is not None and any(value is not None for value in dict(rto).values())


def has_any_cost(scenario: Scenario) -> bool:
    """Whether there is anything to add up."""
    return has_productivity_cost(scenario) or has_infrastructure_cost(scenario) or has_sla(scenario)


def has_yearly_trials(scenario: Scenario) -> bool:
    """Whether a trial is a year, so that quantiles of trials are quantiles of years."""
    return abs(scenario.horizon / YEAR_S - 1.0) < 0.01


def has_yearly_cost(scenario: Scenario) -> bool:
    """Whether a trial is a year that costs something."""
    return has_yearly_trials(scenario) and has_any_cost(scenario)


_NEEDS: Final[dict[str, Callable[[Scenario], bool]]] = {
    "cross_region_cascade_year_prob": has_two_regions,
    "productivity_cost_per_year": has_productivity_cost,
    "sla_credit_per_year": has_sla,
    "infrastructure_cost_per_year": has_infrastructure_cost,
    "total_cost_per_year": has_any_cost,
    "downtime_h_p95": has_yearly_trials,
    "downtime_h_cvar95": has_yearly_trials,
    "total_cost_p95": has_yearly_cost,
    "total_cost_cvar95": has_yearly_cost,
    "rto_met_prob": has_rto,
}


def measures_of(scenario: Scenario) -> dict[str, Measure]:
    """The measures that a scenario can have, in the catalogue's order."""
    if isinstance(scenario, ReliabilityScenario):
        left_out = () if has_sla(scenario) else ("sla_credit_per_year",)
        return {name: m for name, m in RELIABILITY_MEASURES.items() if name not in left_out}
    return {name: m for name, m in MEASURES.items() if name not in _NEEDS or _NEEDS[name](scenario)}


def worst_year(name: str, scenario: Scenario) -> float:
    """Largest value that a `mean` measure can have in a year; infinite where the scenario sets no bound.

    Bounds what was never seen: with no outage in n trials the expected cost is at most the worst year's cost times
    the largest probability that n trials can have missed.
    """
    if (MEASURES.get(name) or RELIABILITY_MEASURES[name]).is_share:
        return 1.0
    worst = {
        "downtime_h_per_year": _worst_downtime_h,
        "downtime_h_p95": _worst_downtime_h,
        "downtime_h_cvar95": _worst_downtime_h,
        "lost_hours_per_year": _worst_lost_hours,
        "productivity_cost_per_year": _worst_productivity_cost,
        "sla_credit_per_year": _worst_sla_credit,
    }
    return worst[name](scenario) if name in worst else float("inf")


def has_fixed_infrastructure(scenario: Scenario) -> bool:
    """Whether the bill is the same whatever happens: no provider's answers, nothing added or started on the way."""
    grows = any(region.nodes.provision is not None for region in scenario.regions.values())
    return not grows and scenario.failover.provider is None and scenario.failover.standby == "hot"


def _worst_downtime_h(_: Scenario) -> float:
    return YEAR_S / HOUR_S


def _worst_lost_hours(scenario: Scenario) -> float:
    """Everybody's dependent work stands still all year; people who also refocus may lose all of it."""
    years = scenario.horizon / YEAR_S
    return float(
        sum(
            p.workers * max(1.0, 1.0 + p.growth) ** years * (1.0 if p.refocus else p.dependence) * YEAR_S / HOUR_S
            for p in scenario.populations.values()
        )
    )


def _worst_productivity_cost(scenario: Scenario) -> float:
    return _worst_lost_hours(scenario) * max(p.cost for p in scenario.populations.values())


def _worst_sla_credit(scenario: Scenario) -> float:
    sla = scenario.objectives.sla
    if sla is None:
        return 0.0
    return max(sla.credits.values(), default=0.0) * sla.fee * 12 * max(1, len(scenario.populations))
