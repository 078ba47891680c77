"""The lines that stand first in every report: what explains most collapses, doubts, and what is not known well."""

import math
from collections.abc import Mapping, Sequence

from sim.estimate import Estimate, ratio_interval
from sim.scenario.document import Experiment
from sim.scenario.reliability import ReliabilityScenario
from sim.scenario.schema import Scenario, moment_s
from sim.study.catalogue import YEAR_S
from sim.study.margins import (
    HotPod,
    QueueFit,
    Reason,
    Zone,
    hot_pod_after_loss,
    hot_pod_today,
    queue_fits,
    untrusted_zones,
)
from sim.study.rerouting import moves_load
from sim.study.stopping import wanted_measures
from sim.study.summary import Summary
from sim.study.tables import Rows, rows_of
from sim.units import format_duration, format_memory

MOST_NAMED = 6
"""Architectures named in one line; a sweep has hundreds."""

NARROW = 0.1
"""An interval this narrow beside its estimate needs no warning, however few events moved it: a bill, say."""


def warning_lines(experiment: Experiment, tables: Mapping[str, Rows], summary: Summary) -> list[str]:
    """Queue bounds, hottest pod, common causes; where mean rates may not be trusted; then the scenario's doubts; means
    that rest on known faults; then estimates with few events.
    """
    names = list(summary.estimates)
    if any(isinstance(experiment.scenarios[name], ReliabilityScenario) for name in names):
        lines = [common_cause_line(tables, summary), *(str(issue) for issue in experiment.warnings)]
        return [*lines, *few_event_lines(summary.estimates)]
    queues, hot_pods, *doubts = scenario_lines(experiment, names)
    first = (queues, hot_pods, common_cause_line(tables, summary))
    dated = dated_lines({name: experiment.scenarios[name] for name in names})
    known = known_fault_lines(summary.estimates, experiment.scenarios)
    return [*first, *budget_lines(tables, names), *dated, *doubts, *known, *few_event_lines(summary.estimates)]


def scenario_lines(experiment: Experiment, architectures: Sequence[str]) -> list[str]:
    """What is known of the named architectures without a single trial, the two most important lines first."""
    scenarios = {name: experiment.scenarios[name] for name in architectures}
    return [
        queue_line(scenarios),
        hot_pod_line(scenarios),
        *zone_lines(scenarios),
        *(str(issue) for issue in experiment.warnings),
    ]


def queue_line(scenarios: Mapping[str, Scenario]) -> str:
    """Which queue bounds do not fit the memory limit of their pods, and where."""
    unfit: dict[QueueFit, list[str]] = {}
    n_checked = 0
    for name, scenario in scenarios.items():
        for fit in queue_fits(scenario):
            n_checked += 1
            if not fit.fits:
                unfit.setdefault(fit, []).append(name)
    if not n_checked:
        return "Queue bounds against memory limits: no service has a memory limit."
    if not unfit:
        return "Queue bounds against memory limits: every full queue fits into its pod."
    texts = [_unfit_text(fit, names, len(scenarios)) for fit, names in unfit.items()]
    return (
        "Queue bounds against memory limits: " + "; ".join(texts) + ". Such a pod is killed before its queue is full."
    )


def _unfit_text(fit: QueueFit, names: Sequence[str], n_all: int) -> str:
    where = "" if len(names) == n_all else f" in {_listed(names)}"
    needed, limit = format_memory(fit.needed_mib, digits=3), format_memory(fit.limit_mib, digits=3)
    per_request, base = format_memory(fit.per_request_mib, digits=3), format_memory(fit.base_mib, digits=3)
    sum_text = f"{fit.n_requests} requests x {per_request} + {base} = {needed}"
    return f"{fit.service} does not fit ({sum_text}, limit {limit}){where}"


def hot_pod_line(scenarios: Mapping[str, Scenario]) -> str:
    """Utilisation of the hottest pod at peak demand after losing a region, with and without retries."""
    texts = [f"{name}: {_hot_pod_text(scenario)}" for name, scenario in list(scenarios.items())[:MOST_NAMED]]
    more = f"; and {len(scenarios) - MOST_NAMED} more" if len(scenarios) > MOST_NAMED else ""
    return "Hottest pod at peak demand after losing a region: " + "; ".join(texts) + more + "."


def _hot_pod_text(scenario: Scenario) -> str:
    pod = hot_pod_after_loss(scenario)
    if pod is not None:
        return _utilisation_text(pod)
    n_regions = sum(any(pods.values()) for pods in scenario.place.values())
    provider = scenario.failover.provider
    reason = "no second region" if n_regions < 2 else "no other region takes the load of a lost one"
    if provider is not None:
        reason += f", another provider takes at most {provider.quota:.0%} of the peak"
    elif n_regions > 1 and not moves_load(scenario):
        reason = "nothing moves the load of a lost region"
    return f"{reason} (today {_utilisation_text(hot_pod_today(scenario))})"


def _utilisation_text(pod: HotPod) -> str:
    where, other = f"{pod.service} in {pod.region}", f"{pod.service_with_retries} in {pod.region_with_retries}"
    repeated = _number(pod.utilisation_with_retries) + (f" ({other})" if other != where else "")
    text = f"{_number(pod.utilisation)} ({where}), {repeated} if all attempts fail and are repeated"
    if pod.circle:
        circle = " -> ".join((*pod.circle, pod.circle[0]))
        text += f"; the circle of calls {circle} feeds itself" + (
            " once calls fail" if math.isfinite(pod.utilisation) else ""
        )
    return text


def _number(utilisation: float) -> str:
    return f"{utilisation:.2f}" if math.isfinite(utilisation) else "without bound"


def zone_lines(scenarios: Mapping[str, Scenario]) -> list[str]:
    """Where the result rests on mean rates although chance decides there: one line per reason, with the busiest pod of
    each service.
    """
    found: dict[tuple[Reason, str], dict[str, Zone]] = {}
    for name, scenario in scenarios.items():
        for zone in sorted(untrusted_zones(scenario), key=lambda zone: zone.utilisation):
            found.setdefault((zone.reason, zone.service), {})[name] = zone
    lines = []
    for reason in dict.fromkeys(reason for reason, _ in found):
        texts = [_zone_text(zones, len(scenarios)) for (why, _), zones in found.items() if why is reason]
        lines.append(f"Mean rates may not be trusted: {'; '.join(texts)}. {reason.value}")
    return lines


def _zone_text(zones: Mapping[str, Zone], n_all: int) -> str:
    worst = max(zones.values(), key=lambda zone: zone.utilisation)
    return worst.text + ("" if len(zones) == n_all else f" ({_listed(list(zones))})")


def common_cause_line(tables: Mapping[str, Rows], summary: Summary) -> str:
    """Share of the downtime that began under one fault that had hit several elements, in words that say so."""
    texts = []
    for name in list(summary.estimates)[:MOST_NAMED]:
        rows = rows_of(tables["trials"], name)
        if not rows["downtime_s"].any():
            texts.append(f"{name} no downtime seen")
            continue
        confidence = summary.estimates[name]["availability_time"].confidence
        share = ratio_interval(
            rows["common_cause_downtime_s"], rows["downtime_s"], confidence=confidence, bounds=(0.0, 1.0)
        )
        texts.append(f"{name} {share.mean:.0%} [{share.low:.0%}, {share.high:.0%}]")
    return (
        "Share of downtime from common causes: "
        + ", ".join(texts)
        + ". Counted are outages under one fault that hit several elements at once (a common_cause, a target "
        "`all ...`, a stated moment for several); the loss of one zone or region is one element, and faults that "
        "merely coincide are not counted."
    )


def budget_lines(tables: Mapping[str, Rows], architectures: Sequence[str]) -> list[str]:
    """At most one line: in how many trials mean rates had to stand in for single requests."""
    texts = []
    for name in architectures:
        spent = rows_of(tables["trials"], name).get("noise_budget_spent")  # an older run has no such column
        if spent is not None and spent.any():
            texts.append(f"{name} in {int(spent.sum())} of {len(spent)} trials")
    if not texts:
        return []
    return [
        f"Mean rates may not be trusted: as many single requests were simulated as model.noise_requests allows, and "
        f"mean rates stood in for more: {_listed(texts)}. Raise model.noise_requests."
    ]


def dated_lines(scenarios: Mapping[str, Scenario]) -> list[str]:
    """At most one line per horizon: what happens at stated times in less than a year, and so in each trial, although
    rates are given per year.
    """
    found: dict[float, list[str]] = {}
    for scenario in scenarios.values():
        if scenario.horizon < YEAR_S:
            found.setdefault(scenario.horizon, []).extend(_dated(scenario))
    return [
        f"Dated events in a horizon of {(length := format_duration(horizon_s))}: every trial has them, and rates per "
        f"year count them as if they came every {length}: {_listed(list(dict.fromkeys(names)))}. What one of them "
        f"does is a rate per year times {horizon_s / YEAR_S:.3g}; for a year in which they happen once set horizon: 1y."
        for horizon_s, names in found.items()
        if names
    ]


def _dated(scenario: Scenario) -> list[str]:
    """Faults with a stated time within the horizon, and the script of people."""
    faults = [
        name
        for name, fault in scenario.faults.items()
        if any(0.0 <= moment_s(moment, scenario.start) < scenario.horizon for moment in fault.at)
    ]
    return [*faults, *(["operations.script"] if scenario.operations and scenario.operations.script else [])]


def few_event_lines(estimates: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
    """At most one line: the measures that rest on few or no events, and in which architectures."""
    by_measure: dict[str, list[str]] = {}
    for name, mine in estimates.items():
        for measure, estimate in mine.items():
            few = not estimate.seen or estimate.note.startswith("few")
            if few and estimate.high - estimate.low > NARROW * abs(estimate.mean):
                by_measure.setdefault(measure, []).append(name)
    if not by_measure:
        return []
    texts = [
        measure if len(names) == len(estimates) else f"{measure} ({_listed(names)})"
        for measure, names in by_measure.items()
    ]
    return ["Fewer than ten events seen, so wide intervals or bounds only: " + "; ".join(texts) + "."]


def known_fault_lines(estimates: Mapping[str, Mapping[str, Estimate]], scenarios: Mapping[str, Scenario]) -> list[str]:
    """At most one line: of what a precision was asked for, the means that are surer than those of plain trials."""
    by_measure: dict[str, list[str]] = {}
    for measure in sorted(wanted_measures(scenarios)):
        for name, mine in estimates.items():
            if measure in mine and mine[measure].worth > 1.0:
                by_measure.setdefault(measure, []).append(f"{mine[measure].worth:.1f} ({name})")
    if not by_measure:
        return []
    texts = [
        f"{measure} is as sure as that of {', '.join(times)} times as many" for measure, times in by_measure.items()
    ]
    return [
        "Means are of years as hard as years are on average, not of the years that were drawn: what the known faults "
        f"of each trial explain is taken off (control variates). {'; '.join(texts)}."
    ]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    return shown if len(names) <= MOST_NAMED else f"{shown} and {len(names) - MOST_NAMED} more"
