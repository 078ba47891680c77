"""A second opinion on cells of a stability map: the same loss, simulated request by request by an independent model.

Study and oracles must not know each other; here they meet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sim.scenario.schema import Scenario
from sim.study.stability import Cell, Stability, State
from sim.study.stability_bench import HEALTHY_FOR_S
from sim.study.stability_cells import border_cells, cell_scenario

if TYPE_CHECKING:
    from sim.report.figures_stability import Verdict
    from sim.report.panel import Table

SEEDS = 3


@dataclass(frozen=True, slots=True)
class Check:
    """What the request-level model says of one cell."""

    architecture: str
    cell: Cell
    n_collapsed: int
    n_runs: int

    @property
    def collapse_expected(self) -> bool:
        """Whether the map says that the outage stays."""
        return self.cell.state is State.METASTABLE

    @property
    def agree_share(self) -> float:
        """Share of the runs that end as the map says."""
        share = self.n_collapsed / self.n_runs
        return share if self.collapse_expected else 1.0 - share

    @property
    def text(self) -> str:
        """One line."""
        said = "the outage stays" if self.collapse_expected else "it recovers"
        return (
            f"{self.architecture} at {self.cell.load:g}x, {self.cell.lost:.0%} lost: the map says "
            f"{self.cell.state.value} ({said}); {self.n_collapsed} of {self.n_runs} request-level runs stay down"
        )

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "architecture": self.architecture,
            "load": self.cell.load,
            "lost": self.cell.lost,
            "state": self.cell.state.value,
            "n_collapsed": self.n_collapsed,
            "n_runs": self.n_runs,
            "agrees": self.agree_share >= 0.5,
        }


def check_cells(
    scenario: Scenario, found: Stability, n: int, tell: Callable[[str], None], *, n_seeds: int = SEEDS
) -> list[Check]:
    """Ask the request-level model about `n` cells near the borders of a map.

    Parameters
    ----------
    scenario : Scenario
        The architecture.
    found : Stability
        Its map.
    n : int
        Cells.
    tell : callable
        Told of each cell that is done.
    n_seeds : int
        Runs per cell.
    """
    checks = []
    for cell in border_cells(found, n):
        repeated = cell_scenario(scenario, found, cell)
        collapsed = sum(stays_down(repeated, found.threshold, seed) for seed in range(n_seeds))
        checks.append(Check(found.architecture, cell, collapsed, n_seeds))
        tell(checks[-1].text)
    return checks


def stays_down(scenario: Scenario, threshold: float, seed: int) -> bool:
    """Whether a run is not healthy in the end, as the map means it: too few first attempts of some population end
    usable in its last ten minutes.
    """
    import numpy as np

    from sim.oracles.network_model import run_requests
    from sim.oracles.network_run import BIN_S

    run = run_requests(scenario, rng=np.random.default_rng([scenario.seed, seed]))
    last = round(scenario.horizon / BIN_S)
    window = slice(last - round(HEALTHY_FOR_S / BIN_S), last)
    return any(
        run.bin_first_good[name][window].sum() < threshold * offered[window].sum()
        for name, offered in run.bin_offered.items()
    )


def disagreement_lines(checks: Sequence[Check]) -> list[str]:
    """At most one line, for the head of the page: where single requests end otherwise than the map says."""
    wrong = [check for check in checks if check.agree_share < 0.5]
    if not wrong:
        return []
    worse = [check for check in wrong if not check.collapse_expected]
    side = "worse than the map shows" if len(worse) == len(wrong) else "better" if not worse else "partly worse"
    texts = "; ".join(check.text for check in wrong[:3])
    more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    return [
        f"Single requests disagree with the map in {len(wrong)} of {len(checks)} checked cells, where the design is "
        f"{side}: {texts}{more}."
    ]


def verdicts_of(checks: Sequence[Check]) -> "dict[str, list[Verdict]]":
    """Checked cells by architecture, as the map marks them."""
    found: dict[str, list[Verdict]] = {}
    for check in checks:
        found.setdefault(check.architecture, []).append((check.cell.load, check.cell.lost, check.agree_share))
    return found


def check_table(checks: Sequence[Check]) -> "Table":
    """All checks in full."""
    from sim.report.panel import Table

    rows = tuple(
        (
            check.architecture,
            f"{check.cell.load:g}x",
            f"{check.cell.lost:.0%}",
            check.cell.state.value,
            f"{check.n_collapsed} of {check.n_runs}",
            "agrees" if check.agree_share >= 0.5 else "disagrees",
        )
        for check in checks
    )
    columns = ("Design", "Load", "Lost", "Map", "Request-level runs that stay down", "Verdict")
    return Table("Cells near the borders, simulated request by request by an independent model", columns, rows, True)
