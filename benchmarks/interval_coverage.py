"""How often intervals hold the truth: ours beside other methods, on losses as skewed and as rare as outages are.

Every cell draws samples of a law whose mean (quantile, tail mean, probability ...) is known in closed form, makes the
interval, and counts. Losses of a year are a Poisson number of lognormal losses of median 1: `rate` 0.01 to 5 a year is
99 % to 0.7 % of years without any, a log-sd of 1.0 to 1.5 is what repair times of clouds have (F01 to F06 of the
truths), 1.8 and 2 are beyond. Other methods are textbook forms, written here and nowhere used.

    python -m benchmarks.interval_coverage               all, 2,000 samples a cell; results/coverage/intervals.json
    python -m benchmarks.interval_coverage --samples 100 --out FILE
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from sim.estimate import (
    Control,
    Estimate,
    controlled_mean,
    mean_interval,
    proportion_interval,
    quantile_interval,
    rate_interval,
    ratio_interval,
    tail_mean_interval,
)
from sim.study.stopping import next_look

RESULT = Path(__file__).resolve().parent.parent / "results" / "coverage" / "intervals.json"
SAMPLES = 2000
NOMINAL = 0.95
BUSY = 0.3
"""Share of strikes that come at a bad hour."""
MOST = 1e6
"""The loss that no year exceeds: what a bound is made of."""
Floats = NDArray[np.float64]
Interval = tuple[float, float]
Method = Callable[[Floats, np.random.Generator], Interval]


class Cell(NamedTuple):
    """One law, one number of trials."""

    what: str
    law: dict[str, float]
    truth: float
    sample: Callable[[np.random.Generator], Floats]
    methods: dict[str, Method]


# --- laws ---------------------------------------------------------------------------------------------------


def losses(rng: np.random.Generator, n: int, rate: float, log_sd: float) -> Floats:
    """Return the losses of n years: a Poisson number of lognormal losses of median 1 each."""
    events = rng.poisson(rate, n)
    each = rng.lognormal(0.0, log_sd, int(events.sum()))
    return np.bincount(np.repeat(np.arange(n), events), each, minlength=n)


def foreseen(rng: np.random.Generator, n: int, rate: float, log_sd: float, luck: float) -> Floats:
    """Return losses of n years, and in further columns their signals, whose mean is 0.

    Strikes of known length, of which a third come at a bad hour, cost their length times luck that nothing foresees
    (lognormal of mean 1); lesser losses that nothing foresees come once a year; twenty causes cost nothing.
    """
    strikes, others = rng.poisson(rate, n), rng.poisson(1.0, n)
    year = np.repeat(np.arange(n), strikes)
    hours, busy = rng.lognormal(0.0, log_sd, year.size), rng.random(year.size) < BUSY
    lost = np.bincount(year, hours * busy * rng.lognormal(-(luck**2) / 2, luck, year.size), minlength=n)
    lost += np.bincount(np.repeat(np.arange(n), others), rng.lognormal(-1.0, 1.0, int(others.sum())), minlength=n)
    mean = math.exp(log_sd**2 / 2)
    of_hours = np.bincount(year, hours, minlength=n) - rate * mean
    of_busy = np.bincount(year, hours * busy, minlength=n) - BUSY * rate * mean
    idle = rng.poisson(1.0, (n, 20)) - 1.0
    return np.column_stack([lost, strikes - rate, of_hours, of_busy, idle])


def worst_of(level: float, share: float, log_sd: float) -> tuple[float, float]:
    """Return quantile and tail mean of a loss that is 0 but for a share, and lognormal of median 1 there."""
    z = float(special.ndtri(1.0 - (1.0 - level) / share))
    mean = share * math.exp(log_sd**2 / 2) * float(special.ndtr(log_sd - z)) / (1.0 - level)
    return math.exp(log_sd * z), mean


# --- other methods ------------------------------------------------------------------------------------------


def student(x: Floats, rng: np.random.Generator) -> Interval:
    """Student's t."""
    reach = float(stats.t.ppf(0.975, x.size - 1) * x.std(ddof=1)) / math.sqrt(x.size)
    return float(x.mean()) - reach, float(x.mean()) + reach


def lognormal_parts(x: Floats, rng: np.random.Generator) -> Interval:
    """Zero-inflated lognormal by its parts (Zou, Taleban and Huo 2009): right only if that is the law."""
    sizes = np.log(x[x > 0])
    k = sizes.size
    if k < 2:
        return 0.0, math.inf
    share = k / x.size
    exact = stats.binomtest(k, x.size).proportion_ci(0.95)
    t = float(stats.t.ppf(0.975, k - 1)) * float(sizes.std(ddof=1)) / math.sqrt(k)
    half = float(sizes.var(ddof=1)) / 2
    down = half * (1 - (k - 1) / float(stats.chi2.ppf(0.975, k - 1)))
    up = half * ((k - 1) / float(stats.chi2.ppf(0.025, k - 1)) - 1)
    centre = math.log(share) + float(sizes.mean()) + half
    low = centre - math.sqrt(t**2 + down**2 + math.log(share / exact.low) ** 2)
    high = centre + math.sqrt(t**2 + up**2 + math.log(exact.high / share) ** 2)
    return math.exp(low), math.exp(min(high, 700.0))


def bca(x: Floats, rng: np.random.Generator) -> Interval:
    """Bootstrap, bias-corrected and accelerated (Efron 1987), 499 resamples."""
    if np.ptp(x) == 0.0:
        return float(x[0]), float(x[0])
    means = x[rng.integers(0, x.size, (499, x.size))].mean(axis=1)
    below = float(np.mean(means < x.mean()))
    z0 = float(special.ndtri(min(max(below, 1e-3), 1 - 1e-3)))
    gap = x.mean() - (x.sum() - x) / (x.size - 1)
    a = float((gap**3).sum() / (6 * (gap**2).sum() ** 1.5))
    ends = []
    for z in (-1.959964, 1.959964):
        level = float(special.ndtr(z0 + (z0 + z) / max(1 - a * (z0 + z), 1e-3)))
        ends.append(float(np.quantile(means, level)))
    return ends[0], ends[1]


def empirical_likelihood(x: Floats, rng: np.random.Generator) -> Interval:
    """Owen (1988): means whose profile likelihood is within chi-squared(1) of the largest."""
    if np.ptp(x) == 0.0:
        return float(x[0]), float(x[0])
    most = float(stats.chi2.ppf(NOMINAL, 1))

    def ratio(mean: float) -> float:
        d = x - mean
        low, high = -(1 - 1 / x.size) / d.max(), -(1 - 1 / x.size) / d.min()
        for _ in range(40):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if float((d / (1 + middle * d)).sum()) > 0 else (low, middle)
        return 2 * float(np.log1p(0.5 * (low + high) * d).sum())

    ends = []
    for side in (float(x.min()), float(x.max())):
        inner, outer = float(x.mean()), side
        for _ in range(25):
            middle = 0.5 * (inner + outer)
            inner, outer = (middle, outer) if ratio(middle) <= most else (inner, middle)
        ends.append(inner)
    return ends[0], ends[1]


def bernstein(x: Floats, rng: np.random.Generator) -> Interval:
    """Empirical Bernstein (Maurer and Pontil 2009): holds for any law of losses up to 8,760, at the price of that."""
    log = math.log(4 / (1 - NOMINAL))
    reach = math.sqrt(2 * float(x.var(ddof=1)) * log / x.size) + 7 * 8760 * log / (3 * (x.size - 1))
    return max(float(x.mean()) - reach, 0.0), float(x.mean()) + reach


def ours(make: Callable[[Floats], Estimate]) -> Method:
    """The interval of an estimate of this project; without an upper end where it refuses."""

    def interval(x: Floats, rng: np.random.Generator) -> Interval:
        found = make(x)
        return found.low, found.high

    return interval


MEAN_METHODS: dict[str, Method] = {
    "regionfall": ours(lambda x: mean_interval(x, bounds=(0.0, MOST))),
    "student t": student,
    "bootstrap BCa": bca,
    "empirical likelihood": empirical_likelihood,
    "lognormal parts": lognormal_parts,
    "empirical Bernstein": bernstein,
}
SLOW = ("bootstrap BCa", "empirical likelihood")
"""Not measured on the largest samples, where they are no better than Student's t on the smaller ones."""


def by_signals(x: Floats) -> Estimate:
    """The mean of the first column, by the signals in the others."""
    return controlled_mean(x[:, 0], Control(x[:, 1:]).rest(x[:, 0]), bounds=(0.0, MOST))


def student_of_rest(x: Floats, rng: np.random.Generator) -> Interval:
    """Student's t of what signals leave."""
    return student(Control(x[:, 1:]).rest(x[:, 0]), rng)


SIGNAL_METHODS: dict[str, Method] = {
    "regionfall": ours(by_signals),
    "without signals": ours(lambda x: mean_interval(x[:, 0], bounds=(0.0, MOST))),
    "student t of the rest": student_of_rest,
}

# --- stopping -----------------------------------------------------------------------------------------------


def stopped(x: Floats, wanted: float, first: int, look: Callable[[Floats], tuple[float, float, float]]) -> Interval:
    """Look where a run with a precision looks, and return the interval once it is narrow, or at the cap.

    `look` gives low end, mean and high end of the first trials.
    """
    n = first
    while True:
        low, mean, high = look(x[:n])
        reached = max(high - mean, mean - low) / mean if mean > 0 else math.inf
        if n >= len(x) or reached <= wanted:
            return low, high
        n = next_look([("a", "loss", reached, wanted)], {"a": n}, len(x))["a"]


def plainly(method: Method, rng: np.random.Generator) -> Callable[[Floats], tuple[float, float, float]]:
    """How a method looks whose estimate is the mean of the trials."""

    def look(x: Floats) -> tuple[float, float, float]:
        low, high = method(x, rng)
        return low, float(x.mean()), high

    return look


def looking(make: Callable[[Floats], Estimate]) -> Callable[[Floats], tuple[float, float, float]]:
    """How an estimate of this project looks."""

    def look(x: Floats) -> tuple[float, float, float]:
        found = make(x)
        return found.low, found.mean, found.high

    return look


def cap(wanted: float, rate: float, log_sd: float, first: int) -> int:
    """Looks enough for four times the trials that a normal mean would need."""
    needed = 4 * (1.96 * math.exp(log_sd**2 / 2) / wanted) ** 2 / rate
    return first * 2 ** math.ceil(math.log2(max(needed / first, 2)))


# --- cells --------------------------------------------------------------------------------------------------


def mean_cells() -> Iterator[Cell]:
    """Means of yearly losses."""
    for log_sd in (1.0, 1.4, 1.8, 2.0):
        for rate in (0.01, 0.1, 0.7, 5.0):
            for n in (30, 100, 300, 1000):
                if rate * n >= 1:
                    law = {"log_sd": log_sd, "rate": rate, "n": n}
                    truth = rate * math.exp(log_sd**2 / 2)
                    methods = {name: m for name, m in MEAN_METHODS.items() if n <= 300 or name not in SLOW}
                    yield Cell("mean", law, truth, lambda r, n=n, q=rate, s=log_sd: losses(r, n, q, s), methods)


def stopping_cells() -> Iterator[Cell]:
    """Means of yearly losses when a run stops at a relative half-width."""
    for log_sd in (1.0, 1.4, 1.8):
        for rate in (0.1, 0.7, 5.0):
            for wanted in (0.1, 0.3):
                most = cap(wanted, rate, log_sd, 30)
                if most > 40_000:
                    continue
                methods: dict[str, Method] = {
                    name: (lambda x, r, m=MEAN_METHODS[name], w=wanted: stopped(x, w, 30, plainly(m, r)))
                    for name in ("regionfall", "student t")
                }
                law = {"log_sd": log_sd, "rate": rate, "wanted": wanted, "cap": most}
                truth = rate * math.exp(log_sd**2 / 2)
                yield Cell("mean, stopped", law, truth, lambda r, n=most, q=rate, s=log_sd: losses(r, n, q, s), methods)


def signal_cells() -> Iterator[Cell]:
    """Means of yearly losses of which signals foresee a part, of as many trials as stated or stopped at a precision."""
    for log_sd, luck in ((0.6, 0.3), (0.8, 1.0), (1.0, 0.3), (1.4, 0.5)):
        for rate in (0.7, 5.0):
            law = {"log_sd": log_sd, "luck": luck, "rate": rate}
            truth = BUSY * rate * math.exp(log_sd**2 / 2) + math.exp(-0.5)
            sample = lambda r, n, q=rate, s=log_sd, u=luck: foreseen(r, n, q, s, u)  # noqa: E731
            for n in (60, 100, 300, 1000):
                yield Cell("mean, signals", law | {"n": n}, truth, partial(sample, n=n), SIGNAL_METHODS)
            methods: dict[str, Method] = {
                "regionfall": lambda x, r: stopped(x, 0.1, 40, looking(by_signals)),
                "without signals": lambda x, r: stopped(x[:, 0], 0.1, 40, plainly(MEAN_METHODS["regionfall"], r)),
            }
            law = law | {"wanted": 0.1, "cap": 2000}
            yield Cell("mean, signals, stopped", law, truth, partial(sample, n=2000), methods)


def tail_cells() -> Iterator[Cell]:
    """Quantiles and tail means of losses that a share of years has."""
    for log_sd in (1.0, 1.4, 1.8):
        for share in (0.1, 0.3, 1.0):
            for level, n in ((0.9, 200), (0.95, 200), (0.95, 400), (0.95, 1000), (0.95, 4000)):
                if share <= 1.01 * (1 - level):
                    continue
                quantile, beyond = worst_of(level, share, log_sd)
                law = {"log_sd": log_sd, "share": share, "level": level, "n": n}

                def sample(r: np.random.Generator, n: int = n, p: float = share, s: float = log_sd) -> Floats:
                    return np.where(r.random(n) < p, r.lognormal(0.0, s, n), 0.0)

                of_quantile = ours(lambda x, q=level: quantile_interval(x, q, bounds=(0.0, math.inf)))
                of_tail = ours(lambda x, q=level: tail_mean_interval(x, q, bounds=(0.0, math.inf)))
                yield Cell("quantile", law, quantile, sample, {"regionfall": of_quantile})
                yield Cell("tail mean", law, beyond, sample, {"regionfall": of_tail})


def count_cells() -> Iterator[Cell]:
    """Probabilities, rates and ratios of totals; the rarest are unseen in most samples."""
    for prob, n in ((0.3, 30), (0.1, 100), (0.01, 100), (0.001, 1000), (1e-4, 1000)):
        law = {"prob": prob, "n": n}
        both: dict[str, Method] = {
            "regionfall": lambda x, r, n=n: _ends(proportion_interval(float(x[0]), n)),
            "exact": lambda x, r, n=n: _ends(proportion_interval(float(x[0]), n, method="exact")),
        }
        yield Cell(
            "probability", law, prob, lambda r, p=prob, n=n: np.array([r.binomial(n, p)], dtype=np.float64), both
        )
    for mean in (0.05, 0.7, 5.0, 40.0):
        method: Method = lambda x, r: _ends(rate_interval(int(x[0]), 1.0))  # noqa: E731
        yield Cell(
            "rate",
            {"events": mean},
            mean,
            lambda r, m=mean: np.array([r.poisson(m)], dtype=np.float64),
            {"regionfall": method},
        )
    for n, prob in ((50, 0.1), (200, 0.1), (200, 0.003), (1000, 0.0005)):
        law = {"prob": prob, "n": n}
        yield Cell("ratio", law, prob * (1 - math.exp(-1 / prob)), _clusters(n, prob), {"regionfall": _ratio})


def _ends(found: Estimate) -> Interval:
    return found.low, found.high


def _clusters(n: int, prob: float) -> Callable[[np.random.Generator], Floats]:
    """Events and opportunities of trials whose event probability differs from trial to trial."""

    def sample(rng: np.random.Generator) -> Floats:
        opportunities = rng.poisson(10, n) + 1
        return np.stack([rng.binomial(opportunities, np.minimum(prob * rng.exponential(1.0, n), 1.0)), opportunities])

    return sample


def _ratio(x: Floats, rng: np.random.Generator) -> Interval:
    return _ends(ratio_interval(x[0], x[1], bounds=(0.0, 1.0)))


SECTIONS: dict[str, Callable[[], Iterator[Cell]]] = {
    "means": mean_cells,
    "stopping": stopping_cells,
    "signals": signal_cells,
    "tails": tail_cells,
    "counts": count_cells,
}


# --- counting -----------------------------------------------------------------------------------------------


def measure(cell: Cell, samples: int) -> dict[str, Any]:
    """Draw the samples of a cell, and return the share of intervals that hold the truth, by method."""
    held = dict.fromkeys(cell.methods, 0)
    highs: dict[str, list[float]] = {name: [] for name in cell.methods}
    rng = np.random.default_rng([ord(letter) for letter in f"{cell.what} {cell.law}"])
    own = np.random.default_rng(1)
    for _ in range(samples):
        x = cell.sample(rng)
        for name, method in cell.methods.items():
            low, high = method(x, own)
            held[name] += low <= cell.truth <= high
            highs[name].append(high / cell.truth)
    found = {
        name: {"coverage": held[name] / samples, "high_to_truth_median": float(np.median(highs[name]))}
        for name in cell.methods
    }
    return {"what": cell.what, "law": cell.law, "samples": samples, "methods": found}


def main(arguments: list[str]) -> None:
    """Measure every section and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--section", choices=list(SECTIONS), action="append")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args(arguments)
    kept = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    for section in given.section or SECTIONS:
        rows = []
        for cell in SECTIONS[section]():
            rows.append(measure(cell, given.samples))
            text = "  ".join(f"{name} {found['coverage']:.3f}" for name, found in rows[-1]["methods"].items())
            print(f"{cell.what} {cell.law}: {text}", flush=True)
        kept[section] = rows
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(kept, indent=1).replace("Infinity", "null") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
