"""From arrays of trials to numbers with intervals. Knows nothing of clouds."""

from sim.estimate.allocation import neyman_allocation
from sim.estimate.base import Estimate
from sim.estimate.control import Control, controlled_mean
from sim.estimate.means import mean_interval, rounding_of
from sim.estimate.nested import Spread, parameter_spread
from sim.estimate.pairs import better_probability, paired_difference
from sim.estimate.proportions import proportion_interval, rate_interval
from sim.estimate.quantiles import quantile_interval
from sim.estimate.ratios import ratio_difference, ratio_interval
from sim.estimate.strata import stratified_difference, stratified_mean, two_phase_mean
from sim.estimate.tails import tail_mean_interval
from sim.estimate.weighted import effective_sample_size, weighted_mean, weights_problem

__all__ = [
    "Control",
    "Estimate",
    "Spread",
    "better_probability",
    "controlled_mean",
    "effective_sample_size",
    "mean_interval",
    "neyman_allocation",
    "paired_difference",
    "parameter_spread",
    "proportion_interval",
    "quantile_interval",
    "rate_interval",
    "ratio_difference",
    "ratio_interval",
    "rounding_of",
    "stratified_difference",
    "stratified_mean",
    "tail_mean_interval",
    "two_phase_mean",
    "weighted_mean",
    "weights_problem",
]
