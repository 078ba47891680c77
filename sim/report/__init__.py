"""What a person reads: one self-contained HTML file with figures, tables and the method.

`build_report` draws a whole run, `build_replay_report` one trial. Only this package imports Plotly; it knows
results by their attributes, never how trials are simulated, stored or estimated.
"""

from sim.report.html import build_replay_report, build_report

__all__ = ["build_replay_report", "build_report"]
