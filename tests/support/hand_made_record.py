"""Trial records written by hand: two regions, two services, one or two populations of known demand."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from sim.scenario.quantities import FROM_FILE
from sim.scenario.schema import Scenario
from sim.world.log import TOTALS, Kind, Record, TrialRecord

HOUR = 3600.0
DAY = 86_400.0
NOTHING = (0.0,) * len(TOTALS)

DOCUMENT: dict[str, Any] = {
    "name": "by hand",
    "start": "2026-01-01",
    "horizon": "10d",
    "regions": {
        "north": {"zones": 3, "nodes": {"count": 3, "memory": "64Gi"}},
        "south": {"zones": 3, "nodes": {"count": 3, "memory": "64Gi"}},
    },
    "services": {
        "web": {"work": "10ms", "slots": 10, "calls": {"irm": {"timeout": "1s"}}},
        "irm": {"work": "10ms", "slots": 10},
    },
    # 1000 workers with 36 requests an hour each: 10 requests per second.
    "populations": {
        "staff": {
            "workers": 1000,
            "requests": "36/h",
            "journey": "web",
            "deadline": "2s",
            "home": "north",
            "cost": "50 EUR/h",
            "dependence": "50%",
            "deferrable": "20%",
            "refocus": "6m",
        }
    },
    "faults": {
        "pod-crash": {"target": "any pod", "every": "30d", "effect": "down", "repair": "restart"},
        "irm-slow": {"target": "irm in any region", "every": "90d", "effect": {"slow": 4}, "repair": "20m"},
        "region-loss": {"target": "any region", "every": "1y", "effect": "down", "repair": "2h"},
    },
    "objectives": {
        "availability": {"target": "99.9%", "threshold": "95% success", "for": "1m"},
        "rto": {"region": "15m", "dependency": "1h"},
        "sla": {"credits": {"below 99.9%": "10%", "below 99%": "25%"}, "fee": "31000 EUR/month"},
    },
    "costs": {"node": "2 EUR/h", "pod": {"irm": "3 EUR/h"}},
    "place": {"north": {"web": 2, "irm": 2}, "south": {"web": 2, "irm": 2}},
    "failover": "none",
}


def scenario(**changes: Any) -> Scenario:
    """Return the scenario with some top-level keys replaced."""
    return Scenario.model_validate(DOCUMENT | changes, context=FROM_FILE)


def totals(offered: float = 0.0, good: float | None = None, usable: float | None = None, **other: float) -> tuple:
    """Return a population's totals; all offered requests are good and usable unless said."""
    good = offered if good is None else good
    usable = good if usable is None else usable
    values = {"offered": offered, "good": good, "attempts": offered, "first_good": good, "usable": usable} | other
    return tuple(float(values.get(name, 0.0)) for name in TOTALS)


def record(records: Sequence[Record], at_end: Sequence[tuple] = (), **changes: Any) -> TrialRecord:
    """Return a trial of ten days in January 2026 with these records, one population `staff` unless said."""
    fields: dict[str, Any] = {
        "architecture": "pair",
        "trial": 3,
        "seed": 1,
        "start": datetime(2026, 1, 1, tzinfo=UTC),
        "horizon_s": 10 * DAY,
        "populations": ("staff",),
        "pools": ("north/web", "north/irm", "south/web", "south/irm"),
    } | changes
    names = fields["populations"]
    rows = list(at_end) or [totals(100.0 * DAY)] * len(names)
    fields.setdefault("month_start_s", np.array([0.0]))
    fields.setdefault("month_totals", np.array([rows] * len(fields["month_start_s"])))
    return TrialRecord(records=list(records), totals=np.array(rows), **fields)


def below(at_s: float, now: tuple = NOTHING, population: str = "staff") -> Record:
    return Record(at_s, Kind.SLI_BELOW, population=population, totals=now)


def above(at_s: float, now: tuple = NOTHING, population: str = "staff") -> Record:
    return Record(at_s, Kind.SLI_ABOVE, population=population, totals=now)


def fault(at_s: float, label: str, *hits: str, together: str = "") -> Record:
    return Record(at_s, Kind.FAULT, fault=label, hits=hits, together=together)


def repair(at_s: float, label: str) -> Record:
    return Record(at_s, Kind.REPAIR, fault=label)


def pool(at_s: float, kind: Kind, name: str, **other: Any) -> Record:
    region, _, service = name.partition("/")
    return Record(at_s, kind, region=region, service=service, **other)


def step(at_s: float, kind: Kind, what: str = "", value: float = float("nan")) -> Record:
    return Record(at_s, kind, what=what, value=value)
