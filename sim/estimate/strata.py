"""Means from samples of strata whose sizes are known, or counted in a large and cheap first phase.

The expected loss of a trial is the sum over strata of how often a member of the stratum occurs in it times what one
costs. The first factor is known (rates) or counted on many cheap tapes; the second is sampled. Exact for losses that
add up, whatever their law; no likelihood ratios. Knows nothing of what is lost or of what the strata stand for.

How an interval is made: each stratum mean has the interval of `mean_interval` (skewed, few events, nothing seen), so
has the first phase, and independent parts are joined by the squares of their arms, each side by itself (Zou and Donner
2008, Statistics in Medicine 27, 1693-1702). A stratum that nobody sampled is not chance but ignorance: its bound is
added as it is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.errors import UsageError
from sim.estimate.base import Estimate, Floats, all_equal, clipped, risk
from sim.estimate.means import mean_interval
from sim.estimate.proportions import rate_interval

Bounds = tuple[float, float]
NOT_NEGATIVE: Bounds = (0.0, math.inf)
Counts = Mapping[str, int | ArrayLike]


def stratified_mean(
    draws: Mapping[str, ArrayLike],
    weights: Mapping[str, float],
    *,
    bounds: Bounds | Sequence[Bounds] = NOT_NEGATIVE,
    confidence: float = 0.95,
) -> tuple[Estimate, ...]:
    """Estimate the sum over strata of weight x mean, for known weights.

    Parameters
    ----------
    draws : mapping of array_like
        By stratum: shape (n_draws, n_measures), or (n_draws,) for one measure, finite. A stratum of `weights` that is
        missing here, or has no row, was not sampled.
    weights : mapping of float
        By stratum, not negative: its share of all members (shares add up to 1), or how many of its members a trial
        has on average (rates).
    bounds : tuple of float, or one per measure
        Smallest and largest possible value of one draw. They bound what a stratum without draws adds.
    confidence : float
        In (0.5, 1).

    Returns
    -------
    tuple of Estimate
        One per measure; `n` counts draws. A stratum without draws adds its lower bound (0 if that is infinite) to
        the mean and its bounds to the interval, is named in `note`, and `seen` is False.

    Raises
    ------
    UsageError
        If shapes do not match, a number is not finite or beyond its bounds, a weight is negative, or draws are of a
        stratum without a weight.

    Notes
    -----
    Cochran (1977), Sampling Techniques, ch. 5.

    Examples
    --------
    >>> draws = {"node": [1.0, 2.0, 3.0, 2.0], "region": [40.0, 44.0, 36.0, 40.0]}
    >>> stratified_mean(draws, {"node": 10.0, "region": 0.5})[0].mean
    40.0
    """
    strata = _strata_of(draws, weights, bounds)
    exact = {name: (weight, weight) for name, weight in weights.items()}
    return tuple(
        _joined(strata.measure(k), exact, Estimate(0.0, 0.0, 0.0, confidence, 0), confidence)
        for k in range(strata.n_measures)
    )


def two_phase_mean(
    draws: Mapping[str, ArrayLike],
    counts: Counts,
    n_tapes: int,
    *,
    bounds: Bounds | Sequence[Bounds] = NOT_NEGATIVE,
    confidence: float = 0.95,
) -> tuple[Estimate, ...]:
    """Estimate the mean loss of a tape from counts on many tapes and losses of a sample of each stratum.

    Parameters
    ----------
    draws : mapping of array_like
        By stratum: losses of members drawn at random from those that were counted, without regard to what they
        lost; shape (n_draws, n_measures) or (n_draws,).
    counts : mapping of int or array_like
        By stratum: members on each tape, shape (n_tapes,), whole numbers; or their total, which is then taken for
        that of a Poisson process, independent of the other strata.
    n_tapes : int
        Tapes of the first phase.
    bounds, confidence
        As in `stratified_mean`. A stratum that was counted nowhere may still exist: its rate has the bound
        -ln(alpha) / n_tapes.

    Returns
    -------
    tuple of Estimate
        Loss per tape, one per measure. See `stratified_mean`.

    Raises
    ------
    UsageError
        As `stratified_mean`; if counts are negative, broken, not of `n_tapes` tapes, or of both kinds; if a stratum
        has draws although it was counted nowhere.

    Notes
    -----
    Double sampling for stratification (Cochran 1977, ch. 12.2), for tapes that hold several members. With K(t, s)
    members of stratum s on tape t, N(s) in all, T tapes, n(s) draws, mean m(s) and variance v(s) of one loss given its
    stratum, losses being independent given their strata:

        Var = Var_t(sum_s K(t, s) m(s)) / T + sum_s (N(s) / T)^2 v(s) / n(s).

    The finite size of the first phase does not appear: what (1 - n(s) / N(s)) takes off the second term, the spread
    of the losses of N(s) members adds to the first.
    """
    alpha = risk(confidence)
    if n_tapes < 1:
        raise UsageError(f"the first phase needs at least one tape; got {n_tapes}")
    totals, by_tape = _checked_counts(counts, n_tapes)
    strata = _strata_of(draws, {name: total / n_tapes for name, total in totals.items()}, bounds)
    for name, total in totals.items():
        if total == 0 and strata.draws[name].shape[0]:
            raise UsageError(f"stratum {name} has draws, but no tape has a member of it")
    unseen_rate = -math.log(alpha) / n_tapes
    rates = {name: (total / n_tapes, total / n_tapes if total else unseen_rate) for name, total in totals.items()}
    found = []
    for k in range(strata.n_measures):
        measure = strata.measure(k)
        first = _first_phase(measure, totals, by_tape, n_tapes, confidence)
        found.append(_joined(measure, rates, first, confidence))
    return tuple(found)


def stratified_difference(
    a: Mapping[str, ArrayLike],
    b: Mapping[str, ArrayLike],
    counts: Counts,
    n_tapes: int,
    *,
    bounds: Bounds | Sequence[Bounds] = NOT_NEGATIVE,
    confidence: float = 0.95,
) -> tuple[Estimate, ...]:
    """Estimate the mean of a - b per tape, where both designs met the same members (common random numbers).

    Parameters
    ----------
    a, b : mapping of array_like
        By stratum: losses of the same members in the same order under either design; see `two_phase_mean`.
    counts, n_tapes, confidence
        As in `two_phase_mean`.
    bounds : tuple of float, or one per measure
        Of one loss, not of a difference.

    Returns
    -------
    tuple of Estimate
        See `two_phase_mean`.

    Raises
    ------
    UsageError
        As `two_phase_mean`, and if the designs do not have the same members.
    """
    if set(a) != set(b):
        raise UsageError(f"both designs need draws of the same strata; got {sorted(a)} and {sorted(b)}")
    differences: dict[str, ArrayLike] = {}
    n_measures = 1
    for name in a:
        one, other = _columns(a[name], name), _columns(b[name], name)
        if one.shape != other.shape:
            raise UsageError(f"stratum {name} has {one.shape} draws of one design and {other.shape} of the other")
        differences[name] = one - other
        n_measures = one.shape[1]
    reach = [(low - high, high - low) for low, high in _bounds_of_each(bounds, n_measures)]
    return two_phase_mean(differences, counts, n_tapes, bounds=reach, confidence=confidence)


@dataclass(frozen=True)
class _Measure:
    """One measure of all strata."""

    draws: dict[str, Floats]
    weights: Mapping[str, float]
    bounds: Bounds

    @property
    def reach(self) -> float:
        """The largest draw of any stratum, in size."""
        return max((float(np.abs(d).max()) for d in self.draws.values() if d.size), default=0.0)

    def centre(self, name: str) -> float:
        """Mean of a stratum; of one without draws what it certainly loses."""
        if self.draws[name].size:
            return float(self.draws[name].mean())
        low, high = self.bounds
        return low if math.isfinite(low) and low * high >= 0 else 0.0

    def interval(self, name: str, confidence: float) -> Estimate:
        """Interval for the mean of a stratum with draws.

        Where nothing differs, what was not seen is assumed to be no larger than the largest draw of any stratum.
        """
        values, (low, high) = self.draws[name], self.bounds
        if all_equal(values) and self.reach > 0.0:
            low, high = max(low, -self.reach), min(high, self.reach)
        return mean_interval(values, confidence=confidence, bounds=(low, high))


@dataclass(frozen=True)
class _Strata:
    """Checked draws, shape (n_draws, n_measures) each, of every stratum that has a weight."""

    draws: dict[str, Floats]
    weights: Mapping[str, float]
    bounds: tuple[Bounds, ...]

    @property
    def n_measures(self) -> int:
        return len(self.bounds)

    def measure(self, k: int) -> _Measure:
        return _Measure({name: found[:, k] for name, found in self.draws.items()}, self.weights, self.bounds[k])


def _strata_of(
    draws: Mapping[str, ArrayLike], weights: Mapping[str, float], bounds: Bounds | Sequence[Bounds]
) -> _Strata:
    stray = sorted(set(draws) - set(weights))
    if stray:
        raise UsageError(f"stratum {stray[0]} has draws but no weight; weights are of {', '.join(sorted(weights))}")
    bad = [name for name, weight in weights.items() if not (weight >= 0 and math.isfinite(weight))]
    if bad or not weights:
        raise UsageError(f"weights of strata must be finite and not negative; got {dict(weights)!r}")
    found = {name: _columns(values, name) for name, values in draws.items()}
    widths = {values.shape[1] for values in found.values() if values.size}
    if len(widths) != 1:
        raise UsageError(f"every stratum needs draws of the same measures, and one stratum any; got {sorted(widths)}")
    n_measures = widths.pop()
    empty = np.empty((0, n_measures))
    complete = {name: found[name] if name in found and found[name].size else empty for name in weights}
    return _Strata(complete, weights, _bounds_of_each(bounds, n_measures))


def _columns(values: ArrayLike, name: str) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim == 1:
        numbers = numbers[:, None]
    if numbers.ndim != 2:
        raise UsageError(f"draws of stratum {name} must have shape (n_draws, n_measures); got {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise UsageError(f"draws of stratum {name} hold NaN or infinite numbers")
    return numbers


def _bounds_of_each(bounds: Bounds | Sequence[Bounds], n_measures: int) -> tuple[Bounds, ...]:
    each = np.asarray(bounds, dtype=np.float64)
    if each.shape == (2,):
        each = np.tile(each, (n_measures, 1))
    if each.shape != (n_measures, 2) or not (each[:, 0] <= each[:, 1]).all():
        raise UsageError(f"bounds must be (low, high), low <= high, once or for each of {n_measures} measures")
    return tuple((float(low), float(high)) for low, high in each)


def _checked_counts(counts: Counts, n_tapes: int) -> tuple[dict[str, int], NDArray[np.float64] | None]:
    """Return the total of each stratum, and the counts by tape and stratum where they are given."""
    arrays = {name: np.asarray(value, dtype=np.float64) for name, value in counts.items()}
    for name, array in arrays.items():
        if array.shape not in ((), (n_tapes,)) or (array < 0).any() or (array != np.floor(array)).any():
            raise UsageError(
                f"counts of stratum {name} must be whole numbers, their total or one for each of {n_tapes} tapes"
            )
    if len({array.ndim for array in arrays.values()}) > 1:
        raise UsageError("counts must be by tape for every stratum or for none")
    totals = {name: int(array.sum()) for name, array in arrays.items()}
    if not arrays or next(iter(arrays.values())).ndim == 0:
        return totals, None
    return totals, np.column_stack(list(arrays.values()))


def _first_phase(
    measure: _Measure, totals: Mapping[str, int], by_tape: Floats | None, n_tapes: int, confidence: float
) -> Estimate:
    """Estimate what a tape loses if every member loses its stratum's mean; only its arms are used."""
    centres = {name: measure.centre(name) for name in totals}
    if by_tape is not None:
        of_tape = by_tape @ np.asarray(list(centres.values()))
        # Tapes that are all alike may have differed by one member.
        reach = max(abs(centre) for centre in centres.values())
        bounds = (float(of_tape.min()) - reach, float(of_tape.max()) + reach)
        return mean_interval(of_tape, confidence=confidence, bounds=bounds)
    below = above = mean = 0.0
    for name, total in totals.items():
        rate = rate_interval(total, n_tapes, confidence=confidence)
        ends = [(end - rate.mean) * centres[name] for end in (rate.low, rate.high)]
        below, above = below + min(ends) ** 2, above + max(ends) ** 2
        mean += rate.mean * centres[name]
    return Estimate(mean, mean - math.sqrt(below), mean + math.sqrt(above), confidence, n_tapes)


def _joined(
    measure: _Measure, rates: Mapping[str, tuple[float, float]], first: Estimate, confidence: float
) -> Estimate:
    """Join strata and first phase: squares of arms for what is chance, sums for what nobody sampled.

    `rates` holds each weight and how large it may be; the two differ only where the stratum was never counted, so
    that its largest possible rate times its bound is added.
    """
    arms = _arms(first)
    below, above = arms[0] ** 2, arms[1] ** 2
    dark_below = dark_above = mean = 0.0
    notes, n = [], 0
    for name, (rate, rate_high) in rates.items():
        centre = measure.centre(name)
        mean += rate * centre
        n += measure.draws[name].size
        if not measure.draws[name].size:
            if rate_high > 0.0:
                dark_below += rate_high * max(centre - measure.bounds[0], 0.0)
                dark_above += rate_high * max(measure.bounds[1] - centre, 0.0)
                notes.append(f"{name} was {'not sampled' if rate > 0.0 else 'never counted'}: only bounded")
            continue
        if rate > 0.0:
            down, up = _arms(measure.interval(name, confidence))
            below, above = below + (rate * down) ** 2, above + (rate * up) ** 2
    low, high = mean - math.sqrt(below) - dark_below, mean + math.sqrt(above) + dark_above
    total = sum(rate for rate, _ in rates.values())
    ends = tuple(0.0 if bound == 0.0 else math.copysign(math.inf, bound) for bound in measure.bounds)
    if total > 0.0 and math.isclose(total, 1.0):
        ends = measure.bounds  # a mean of single draws
    low, high = clipped(mean, low, high, (min(ends[0], mean), max(ends[1], mean)))
    if below == above == 0.0 and not notes:
        notes.append("nothing differed in any stratum")
    return Estimate(mean, low, high, confidence, n, seen=not notes, note="; ".join(notes))


def _arms(estimate: Estimate) -> tuple[float, float]:
    return estimate.mean - estimate.low, estimate.high - estimate.mean
