"""Words for user-visible minutes, shares and their changes, as the figures on sensitivity say them."""

from dataclasses import replace
from typing import Final

from sim.estimate import Estimate
from sim.report.text import number, with_interval

MINUTES: Final = 60.0
"""Minutes in an hour: measures are in hours, users count minutes."""


def in_minutes(hours: Estimate) -> Estimate:
    """The estimate in minutes."""
    return replace(hours, mean=hours.mean * MINUTES, low=hours.low * MINUTES, high=hours.high * MINUTES)


def minutes_text(minutes: Estimate) -> str:
    """`100 [42, 324] min`, or the bound when none was seen."""
    if not minutes.seen and minutes.mean == 0.0:
        return f"none seen in {minutes.n:,} trials: < {number(minutes.high, 'count')} min at {_level(minutes)}"
    return f"{with_interval(minutes, 'count')} min"


def change_text(minutes: Estimate) -> str:
    """`-100 [-324, -42] min`; a change that no trial showed is said to be none, since its bound says nothing."""
    if not minutes.seen and minutes.mean == 0.0:
        return f"no difference in {minutes.n:,} trials"

    def signed(value: float) -> str:
        return ("" if value < 0 else "+") + number(value, "count")

    if not minutes.seen:
        return f"{signed(minutes.mean)} min in each of {minutes.n:,} trials"
    return f"{signed(minutes.mean)} [{signed(minutes.low)}, {signed(minutes.high)}] min"


def share_text(share: Estimate) -> str:
    """`42 % [20 %, 60 %]` of a whole, or the bound when it was never to blame."""
    if not share.seen and share.mean == 0.0:
        return f"none seen in {share.n:,} trials: < {number(share.high, 'share')} at {_level(share)}"
    return with_interval(share, "share")


def excludes_zero(estimate: Estimate) -> bool:
    """Whether the interval is on one side of zero."""
    return estimate.seen and (estimate.low > 0 or estimate.high < 0)


def _level(estimate: Estimate) -> str:
    return number(estimate.confidence, "share")
