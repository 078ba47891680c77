"""Gates of `--fail-under`: pass only if the interval, not the estimate, is on the right side."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sim.errors import UsageError
from sim.estimate import Estimate
from sim.study.catalogue import MEASURES

Verdict = Literal["passed", "undecided", "failed"]
SHORT_NAMES = {"availability": "availability_time"}
_PATTERN = re.compile(
    r"\s*(?:(?P<architecture>.+):)?\s*(?P<measure>\w+)\s*(?P<sign>>=|<=)\s*(?P<number>[-+.\deE]+)\s*(?P<percent>%?)\s*"
)


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition on one measure."""

    text: str
    architecture: str | None
    measure: str
    at_least: bool
    bound: float

    def verdict(self, estimate: Estimate) -> Verdict:
        """Whether the whole interval meets the bound, none of it does, or it straddles."""
        if self.at_least:
            sure, impossible = estimate.low >= self.bound, estimate.high < self.bound
        else:
            sure, impossible = estimate.high <= self.bound, estimate.low > self.bound
        return "passed" if sure else "failed" if impossible else "undecided"


def parse_gate(text: str) -> Gate:
    """A gate such as `availability>=99.9%` or `single:downtime_h_per_year<=8`; raises UsageError."""
    match = _PATTERN.fullmatch(text)
    example = "e.g. 'availability>=99.9%' or 'NAME:downtime_h_per_year<=8'"
    if match is None:
        raise UsageError(f"--fail-under {text}: expected [ARCHITECTURE:]MEASURE>=VALUE or <=VALUE, {example}")
    measure = SHORT_NAMES.get(match["measure"], match["measure"])
    if measure not in MEASURES:
        raise UsageError(f"--fail-under {text}: there is no measure {measure}; there are {', '.join(MEASURES)}")
    try:
        number = float(match["number"])
    except ValueError:
        raise UsageError(f"--fail-under {text}: {match['number']} is not a number, {example}") from None
    bound = number / 100 if match["percent"] else number
    if match["percent"] and not MEASURES[measure].is_share:
        raise UsageError(f"--fail-under {text}: {measure} is not a share; write a plain number, without %")
    if MEASURES[measure].is_share and not 0 <= bound <= 1:
        raise UsageError(f"--fail-under {text}: {measure} lies between 0 and 1; write 99.9% or 0.999")
    return Gate(text, match["architecture"], measure, match["sign"] == ">=", bound)


def refuse_unknown_architecture(gates: Sequence[Gate], names: Collection[str]) -> None:
    """Raises UsageError if a gate names an architecture that is not run."""
    for gate in gates:
        if gate.architecture is not None and gate.architecture not in names:
            raise UsageError(f"--fail-under {gate.text}: {gate.architecture} is not run; there are {', '.join(names)}")


def failed_gates(gates: Sequence[Gate], estimates: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
    """One line for every architecture and gate that is not surely met.

    Raises UsageError for a measure that an architecture does not have.
    """
    lines = []
    for gate in gates:
        names = [gate.architecture] if gate.architecture is not None else list(estimates)
        for name in names:
            if gate.measure not in estimates[name]:
                raise UsageError(f"--fail-under {gate.text}: the scenario of {name} has no {gate.measure}")
            estimate = estimates[name][gate.measure]
            verdict = gate.verdict(estimate)
            if verdict != "passed":
                lines.append(_line(gate, name, estimate, verdict))
    return lines


def _line(gate: Gate, name: str, estimate: Estimate, verdict: Verdict) -> str:
    interval = f"[{estimate.low:.6g}, {estimate.high:.6g}]"
    advice = "; more trials may decide" if verdict == "undecided" else ""
    return f"gate {verdict}: {gate.text} for {name}: {gate.measure} is {estimate.mean:.6g} {interval}{advice}"
