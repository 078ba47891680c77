"""From the table `trials` to the measures with their intervals, and to paired differences.

Says which column becomes which measure and what it is bounded by; how an interval is made is the business of
`sim.estimate`. Common random numbers pair the trials of two architectures by their number.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sim.estimate import (
    Control,
    Estimate,
    Spread,
    better_probability,
    controlled_mean,
    mean_interval,
    paired_difference,
    parameter_spread,
    proportion_interval,
    quantile_interval,
    rate_interval,
    ratio_difference,
    ratio_interval,
    rounding_of,
    tail_mean_interval,
)
from sim.scenario.schema import Scenario
from sim.study.catalogue import FAULT_CASCADES, YEAR_S, Measure, has_fixed_infrastructure, measures_of, worst_year
from sim.study.controls import Controls
from sim.study.parameters import INNER, uncertain_laws
from sim.study.tables import ChangedRows, Rows, rows_of

Floats = NDArray[np.float64]
MOST_ARCHITECTURES_FOR_ALL_PAIRS = 8
"""Beyond it each is compared with the first only: a sweep of 100 has 4950 pairs that nobody reads."""
COUNTS = ("outages", "faults", "cascades", "oom_kills", "repairs")
"""Columns that count events, so that none in a time bounds their rate."""


@dataclass(frozen=True)
class Summary:
    """Measures by architecture and by pair."""

    estimates: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    differences: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    better_prob: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    parameters: dict[str, dict[str, Spread]] = field(default_factory=dict)
    """What comes from laws that are estimates, where there are any."""


@dataclass(frozen=True)
class _Sample:
    """The trials of one architecture."""

    scenario: Scenario
    rows: Rows
    """A column of a large run is read when it is asked for."""
    confidence: float
    rest: Mapping[str, Floats] = field(default_factory=dict)
    """Of measures that are means: what signals leave of them, where they are used (`Controls`)."""

    @property
    def by_draw(self) -> "_Sample":
        """Means over the trials that share a draw of uncertain laws: what is independent of each other."""
        if not uncertain_laws(self.scenario):
            return self
        _, place = np.unique(self.rows["trial"] // INNER, return_inverse=True)
        counts = np.bincount(place)
        means = ChangedRows(self.rows, lambda values: np.bincount(place, values.astype(np.float64)) / counts)
        return _Sample(self.scenario, means, self.confidence)

    @property
    def one_per_draw(self) -> "_Sample":
        """The first trial of each draw of uncertain laws."""
        if not uncertain_laws(self.scenario):
            return self
        _, first = np.unique(self.rows["trial"] // INNER, return_index=True)
        return _Sample(self.scenario, ChangedRows(self.rows, lambda values: values[first]), self.confidence)

    @property
    def years(self) -> float:
        return self.scenario.horizon / YEAR_S

    def values(self, measure: Measure) -> Floats:
        """One number per trial in the measure's unit; NaN where a trial has none."""
        column = self.column(measure.column)
        if measure.kind == "ratio":
            below = self.column(measure.per)
            return np.divide(column, below, out=np.full_like(column, np.nan), where=below > 0)
        return column * measure.scale / (self.years if measure.annual else 1.0)

    def column(self, name: str) -> Floats:
        return self.rows[name].astype(np.float64)


def summarise(
    tables: Mapping[str, Rows],
    scenarios: Mapping[str, Scenario],
    confidence: float,
    *,
    controls: Controls | None = None,
) -> Summary:
    """Estimate every measure of every architecture, and the differences of pairs.

    Parameters
    ----------
    tables : merged tables; `trials` is used.
    scenarios : resolved scenario of each architecture, in order.
    confidence : of each interval, in (0.5, 1).
    controls : signals of these trials, as far as they are known already.

    Returns
    -------
    Summary
        Pairs are named `A - B`, those with the first architecture as B come first. A measure that a scenario cannot
        have, or of which no trial says anything, is absent.
    """
    samples = _samples(tables, scenarios, confidence, controls or Controls())
    summary = Summary({name: _estimates(sample) for name, sample in samples.items()})
    spreads = {name: _spreads(sample) for name, sample in samples.items()}
    summary.parameters.update({name: mine for name, mine in spreads.items() if mine})
    for a, b in _pairs(list(samples)):
        one, other = _paired(samples[a], samples[b])
        if len(one.rows["trial"]):
            summary.differences[f"{a} - {b}"], summary.better_prob[f"{a} - {b}"] = _comparison(one, other)
    return summary


def estimated(
    tables: Mapping[str, Rows],
    scenarios: Mapping[str, Scenario],
    confidence: float,
    wanted: Collection[str],
    controls: Controls,
) -> dict[str, dict[str, Estimate]]:
    """Some measures of every architecture only, as `summarise` has them."""
    samples = _samples(tables, scenarios, confidence, controls, wanted)
    return {name: _estimates(sample, wanted) for name, sample in samples.items()}


def _samples(
    tables: Mapping[str, Rows],
    scenarios: Mapping[str, Scenario],
    confidence: float,
    controls: Controls,
    wanted: Collection[str] | None = None,
) -> dict[str, _Sample]:
    """The trials of each architecture that has any, with what signals leave of its means."""
    found = {}
    for name, scenario in scenarios.items():
        sample = _Sample(scenario, _rows(tables, name, scenario), confidence)
        if not len(sample.rows["trial"]):
            continue
        control = controls.control(name, scenario, sample.rows)
        means = {n: m for n, m in _measures(scenario, wanted).items() if m.kind == "mean"}
        found[name] = sample if control is None else replace(sample, rest=_rest(sample, control, means))
    return found


def _rest(sample: _Sample, control: Control, means: Mapping[str, Measure]) -> dict[str, Floats]:
    """What signals leave of each mean that every trial has."""
    found = {}
    for name, measure in means.items():
        values, sign = sample.values(measure), -1.0 if measure.higher_is_better else 1.0
        if np.isfinite(values).all():
            found[name] = sign * control.rest(sign * values)
    return found


def _measures(scenario: Scenario, wanted: Collection[str] | None = None) -> dict[str, Measure]:
    return {name: m for name, m in measures_of(scenario).items() if wanted is None or name in wanted}


def _rows(tables: Mapping[str, Rows], architecture: str, scenario: Scenario) -> Rows:
    """The trials of an architecture, with the cascades that its faults began."""
    rows = rows_of(tables["trials"], architecture)
    kinds = rows_of(tables["fault_kinds"], architecture)
    by_fault = np.array([fault in scenario.faults for fault in kinds["fault"]], dtype=bool)
    place = np.searchsorted(rows["trial"], kinds["trial"][by_fault])
    cascades = np.bincount(place, weights=kinds["cascades"][by_fault], minlength=len(rows["trial"]))
    return ChangedRows(rows, own={FAULT_CASCADES: cascades})


def _pairs(names: list[str]) -> list[tuple[str, str]]:
    with_first = [(name, names[0]) for name in names[1:]]
    if len(names) > MOST_ARCHITECTURES_FOR_ALL_PAIRS:
        return with_first
    return with_first + [(later, earlier) for earlier, later in combinations(names[1:], 2)]


def _paired(a: _Sample, b: _Sample) -> tuple[_Sample, _Sample]:
    """Both samples with the trials that both have; rows are in order of trials."""
    common = np.intersect1d(a.rows["trial"], b.rows["trial"])

    def cut(sample: _Sample) -> _Sample:
        both = np.isin(sample.rows["trial"], common)
        rows = ChangedRows(sample.rows, lambda values: values[both])
        rest = {name: values[both] for name, values in sample.rest.items()}
        return _Sample(sample.scenario, rows, sample.confidence, rest)

    return cut(a), cut(b)


def _estimates(sample: _Sample, wanted: Collection[str] | None = None) -> dict[str, Estimate]:
    by_draw, alone = sample.by_draw, sample.one_per_draw
    found = {
        name: _estimate(name, measure, alone if measure.kind in ("quantile", "tail") else by_draw)
        for name, measure in _measures(sample.scenario, wanted).items()
    }
    return {name: estimate for name, estimate in found.items() if estimate is not None}


def _spreads(sample: _Sample) -> dict[str, Spread]:
    """What each mean owes to laws that are estimates."""
    if not uncertain_laws(sample.scenario):
        return {}
    draws, place, counts = np.unique(sample.rows["trial"] // INNER, return_inverse=True, return_counts=True)
    complete = np.flatnonzero(counts[place] == INNER)
    if len(draws) < 2 or len(complete) < 2 * INNER:
        return {}
    found = {}
    for name, measure in measures_of(sample.scenario).items():
        if measure.kind == "mean":
            values = sample.values(measure)[complete].reshape(-1, INNER)
            values = values[np.isfinite(values).all(axis=1)]
            if len(values) >= 2:
                found[name] = parameter_spread(values, confidence=sample.confidence)
    return found


def _estimate(name: str, measure: Measure, sample: _Sample) -> Estimate | None:
    if measure.kind == "ratio":
        return _ratio(measure, sample)
    if measure.kind == "prob":
        return _year_prob(measure, sample, sample.confidence)
    values = sample.values(measure)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    if measure.kind in ("quantile", "tail"):
        interval = quantile_interval if measure.kind == "quantile" else tail_mean_interval
        bounds = (0.0, max(worst_year(name, sample.scenario), float(values.max())))
        return interval(values, measure.level, confidence=sample.confidence, bounds=bounds)
    if measure.column in COUNTS and not values.any():
        return rate_interval(0, sample.years * len(values), n=len(values), confidence=sample.confidence)
    if name == "infrastructure_cost_per_year" and _is_known(values, sample.scenario):
        bill = float(values.mean())  # known, not estimated: nothing that happens changes it
        return Estimate(bill, bill, bill, sample.confidence, len(values))
    bounds = _bounds(name, values, sample)
    if name in sample.rest:
        return controlled_mean(values, sample.rest[name], confidence=sample.confidence, bounds=bounds)
    return mean_interval(values, confidence=sample.confidence, bounds=bounds)


def _bounds(name: str, values: Floats, sample: _Sample) -> tuple[float, float]:
    """Smallest and largest possible value per trial; the values themselves are always possible."""
    scenario = sample.scenario
    low, high = 0.0, worst_year(name, scenario)
    if name == "infrastructure_cost_per_year" and _is_known(values, scenario):
        return float(values.min()), float(values.max())
    if name == "total_cost_per_year" and has_fixed_infrastructure(scenario):
        # At least the bill, though no trial may have cost so little; at most bill, credits and a year without work.
        low = min(float(sample.column("infrastructure_cost").min()) / sample.years, float(values.min()))
        high = low + worst_year("productivity_cost_per_year", scenario) + worst_year("sla_credit_per_year", scenario)
    return low, max(high, float(values.max()))


def _is_known(values: Floats, scenario: Scenario) -> bool:
    """Whether the bill is the same whatever happens, by its kind and in every trial."""
    return has_fixed_infrastructure(scenario) and bool(np.ptp(values) <= 1e-9 * values.max())


def _ratio(measure: Measure, sample: _Sample) -> Estimate | None:
    above, below = sample.column(measure.column), sample.column(measure.per)
    if not below.any():
        return None
    return ratio_interval(
        above, below, confidence=sample.confidence, bounds=_ratio_bounds(measure), numerator_max=measure.ratio_max
    )


def _ratio_bounds(measure: Measure) -> tuple[float, float]:
    return (0.0, 1.0) if measure.is_share else (0.0, math.inf)


def _year_prob(measure: Measure, sample: _Sample, confidence: float) -> Estimate:
    """Probability of at least one event in a year, from trials of another length if need be.

    Notes
    -----
    Horizons are taken as independent: 1 - (1 - p)^(year / horizon), which maps the interval's ends exactly.
    """
    column = sample.column(measure.column)
    found = proportion_interval(float(column.sum()), len(column), confidence=confidence)
    horizons = 1.0 / sample.years
    if math.isclose(horizons, 1.0):
        return found
    mean, low, high = (_any_of(p, horizons) for p in (found.mean, found.low, found.high))
    return Estimate(mean, low, high, confidence, found.n, found.seen, found.note)


def _any_of(prob: float, times: float) -> float:
    return 1.0 if prob >= 1.0 else -math.expm1(times * math.log1p(-prob))


def _comparison(a: _Sample, b: _Sample) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    differences, better = {}, {}
    of_b = measures_of(b.scenario)
    for name, measure in measures_of(a.scenario).items():
        if name not in of_b:
            continue
        difference = _difference(name, measure, a.by_draw, b.by_draw)
        if difference is not None:
            differences[name] = difference
        if measure.compared:
            pair = _finite_pair(a.values(measure), b.values(measure))
            if len(pair[0]):
                better[name] = better_probability(
                    *pair, higher_is_better=measure.higher_is_better, confidence=a.confidence
                )
    return differences, better


def _difference(name: str, measure: Measure, a: _Sample, b: _Sample) -> Estimate | None:
    if measure.kind in ("quantile", "tail"):
        return None  # pairs of trials say nothing of the difference of two quantiles
    if measure.kind == "ratio":
        return _ratio_difference(measure, a, b)
    if measure.kind == "prob" and not math.isclose(a.years, 1.0):
        return _prob_difference(measure, a, b)
    first, second = _finite_pair(a.values(measure), b.values(measure))
    if not len(first):
        return None
    of_a, of_b = (
        ((0.0, 1.0), (0.0, 1.0)) if measure.kind == "prob" else (_bounds(name, first, a), _bounds(name, second, b))
    )
    bounds = (of_a[0] - of_b[1], of_a[1] - of_b[0])
    rounding = rounding_of(first, of_a) + rounding_of(second, of_b)
    if name in a.rest and name in b.rest:
        rest = a.rest[name] - b.rest[name]
        return controlled_mean(first - second, rest, confidence=a.confidence, bounds=bounds, rounding=rounding)
    return paired_difference(first, second, confidence=a.confidence, bounds=bounds, rounding=rounding)


def _ratio_difference(measure: Measure, a: _Sample, b: _Sample) -> Estimate | None:
    one, other = ((sample.column(measure.column), sample.column(measure.per)) for sample in (a, b))
    if not (one[1].any() and other[1].any()):
        return None
    return ratio_difference(
        one, other, confidence=a.confidence, bounds=_ratio_bounds(measure), numerator_max=measure.ratio_max
    )


def _prob_difference(measure: Measure, a: _Sample, b: _Sample) -> Estimate:
    """Difference of two probabilities per year; the hull of both intervals at half of the risk each."""
    confidence = 1.0 - (1.0 - a.confidence) / 2
    one, other = (_year_prob(measure, sample, confidence) for sample in (a, b))
    notes = "; ".join(dict.fromkeys(note for note in (one.note, other.note) if note))
    seen = one.seen or other.seen
    difference = one.mean - other.mean
    return Estimate(difference, one.low - other.high, one.high - other.low, a.confidence, one.n, seen, notes)


def _finite_pair(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    both = np.isfinite(a) & np.isfinite(b)
    return a[both], b[both]
