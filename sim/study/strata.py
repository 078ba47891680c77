"""Strata of trials by what their tapes say: mild years apart from those in which something grave happens.

A few trials that are used for nothing else (the pilot) show which causes cost the designs most. By that, tapes that
were only read are put in order of what they threaten, and cut into strata whose shares are counted. Each trial belongs
to one stratum, whatever the pilot said, so that estimates by strata are right however poor the forecast is; a good one
makes them sure sooner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.world.forecast import FACTS, Forecast

N_PILOT_TAPES: Final = 1024
"""Tapes read to choose the pilot from: numbers 0 to 1023. They are not in any stratum."""
N_PILOT_PLAIN: Final = 16
"""Trials of the pilot that are as they come ..."""
N_PILOT_EACH: Final = 2
"""... and those in which a cause strikes longest, for each cause."""
N_TAPES: Final = 4096
"""Tapes by which strata are cut, and whose strata are counted: the numbers that follow."""
MOST_TAPES: Final = 1 << 18
"""As many are counted at most, where their number is what keeps an interval wide."""
SHARES: Final = (0.5, 0.25, 0.125, 0.0625, 0.0625)
"""Of the tapes, from the mildest stratum on."""
APART: Final = 0.1
"""Strata whose mean threats differ by less than this share of the mean of all are one: nothing tells them apart."""
_RIDGE: Final = 1e-3
"""Keeps causes apart that struck together in every trial of the pilot, in trials of the pilot."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stratum:
    """Some of the tapes."""

    name: str
    members: NDArray[np.int64]
    """Trial numbers in order."""
    threats: tuple[str, ...]
    """Causes that tell its tapes from the average one, gravest first."""


@dataclass(frozen=True)
class Stratification:
    """All strata of an experiment, the mildest first."""

    strata: tuple[Stratum, ...]
    n_tapes: int
    weights: Floats
    """What one strike, hour and busy hour of each cause threatens: shape (n_causes, 3)."""
    edges: Floats
    """Threat above which the next stratum begins."""

    @property
    def shares(self) -> dict[str, float]:
        """Share of the tapes by stratum."""
        return {stratum.name: len(stratum.members) / self.n_tapes for stratum in self.strata}

    @property
    def members(self) -> dict[str, int]:
        """Tapes by stratum."""
        return {stratum.name: len(stratum.members) for stratum in self.strata}

    def counts(self) -> dict[str, Floats]:
        """By stratum: 1 for each tape that is in it, else 0; shape (n_tapes,)."""
        found = {}
        for stratum in self.strata:
            found[stratum.name] = np.zeros(self.n_tapes)
            found[stratum.name][stratum.members - N_PILOT_TAPES] = 1.0
        return found


class Tapes:
    """The tapes of an experiment, each read once."""

    def __init__(self, forecast: Forecast) -> None:
        self.causes = forecast.causes
        self._forecast = forecast
        self._pilot_facts = forecast.facts(range(N_PILOT_TAPES))
        self._facts = forecast.facts(range(N_PILOT_TAPES, N_PILOT_TAPES + N_TAPES))

    def pilot(self) -> list[int]:
        """Numbers of the trials that the pilot runs."""
        hours = self._pilot_facts[:, :, FACTS.index("hours")]
        gravest = np.argsort(-hours, axis=0, kind="stable")[:N_PILOT_EACH]
        struck = [int(trial) for k in range(hours.shape[1]) for trial in gravest[:, k] if hours[trial, k] > 0.0]
        return sorted({*range(N_PILOT_PLAIN), *struck})

    def stratified(self, pilot: Sequence[int], losses: Floats) -> Stratification:
        """Strata by what the pilot lost.

        Parameters
        ----------
        pilot : sequence of int
            Trial numbers, as `pilot` gives them.
        losses : (n_pilot, n_designs) array
            What each lost, not negative.
        """
        weights = _weights(self._pilot_facts[np.asarray(pilot)], losses)
        total = np.einsum("tcf,cf->t", self._facts[:N_TAPES], weights)
        return self._cut(weights, _edges(total))

    def with_more(self, strata: Stratification) -> Stratification:
        """The same strata counted on twice as many tapes; their first members stay the first."""
        n = len(self._facts)
        more = self._forecast.facts(range(N_PILOT_TAPES + n, N_PILOT_TAPES + 2 * n))
        self._facts = np.concatenate([self._facts, more])
        return self._cut(strata.weights, strata.edges)

    def _cut(self, weights: Floats, edges: Floats) -> Stratification:
        threat = np.einsum("tcf,cf->tc", self._facts, weights)
        place = np.searchsorted(edges, threat.sum(axis=1), side="left")
        strata: list[Stratum] = []
        for k in range(len(edges) + 1):
            inside = place == k
            members = np.flatnonzero(inside) + N_PILOT_TAPES
            strata.append(Stratum(f"stratum {k + 1}", members, self._threats(threat, inside)))
        return Stratification(tuple(strata), len(threat), weights, edges)

    def _threats(self, threat: Floats, inside: NDArray[np.bool_]) -> tuple[str, ...]:
        """Causes by how much more of their threat lies in these tapes than in all."""
        excess = threat[inside].mean(axis=0) - threat.mean(axis=0)
        least = 0.05 * float(threat.sum(axis=1).mean())
        order = np.argsort(-excess, kind="stable")[:2]
        return tuple(self.causes[int(k)].name for k in order if excess[k] > max(least, 0.0))


def _edges(total: Floats) -> Floats:
    """Threats at which strata of the `SHARES` end, without those that part nothing."""
    cuts = [float(cut) for cut in np.unique(np.quantile(total, np.cumsum(SHARES)[:-1]))]
    edges: list[float] = []
    below = -np.inf
    for cut, following in zip(cuts, [*cuts[1:], np.inf], strict=True):
        mine, above = total[(total > below) & (total <= cut)], total[(total > cut) & (total <= following)]
        if len(mine) and len(above) and above.mean() - mine.mean() > APART * total.mean():
            edges.append(cut)
            below = cut
    return np.asarray(edges)


def _weights(facts: Floats, losses: Floats) -> Floats:
    """What one strike, hour and busy hour of each cause costs: shape (n_causes, 3), not negative.

    Least squares without negative weights of the loss of all designs, each relative to its mean.
    """
    from scipy.optimize import nnls

    n, n_causes, n_facts = facts.shape
    means = losses.mean(axis=0)
    loss = (losses / np.where(means > 0.0, means, 1.0)).mean(axis=1)
    flat = facts.reshape(n, -1)
    scale = flat.std(axis=0)
    scale[scale == 0.0] = 1.0
    ridge = np.sqrt(_RIDGE) * np.eye(1 + flat.shape[1])[1:]
    rows = np.vstack([np.column_stack([np.ones(n), flat / scale]), ridge])
    found, _ = nnls(rows, np.concatenate([loss, np.zeros(len(ridge))]))
    return np.asarray(found[1:] / scale).reshape(n_causes, n_facts)


def shares_of_variance(draws: Mapping[str, Floats], strata: Stratification) -> tuple[float, float, float]:
    """Variance of one plain trial, and of the estimate what is due to tapes and to trials.

    `draws` is one measure by stratum, at least two numbers each where the stratum has two tapes.
    """
    weights = strata.shares
    mean = sum(weights[s] * float(rows.mean()) for s, rows in draws.items())
    within = {s: float(rows.var(ddof=1)) if len(rows) > 1 else 0.0 for s, rows in draws.items()}
    between = sum(weights[s] * (float(rows.mean()) - mean) ** 2 for s, rows in draws.items())
    plain = sum(weights[s] * within[s] for s in draws) + between
    by_trials = sum(weights[s] ** 2 * within[s] / len(rows) for s, rows in draws.items())
    return plain, between / strata.n_tapes, by_trials
