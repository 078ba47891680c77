"""Synthetic but realistic results for the tests of the report: six designs, 200 trials, one kept day each.

Nothing here is simulated: numbers are drawn so that tables, estimates and traces have the shapes, sizes and
oddities (censored outages, NaN phases, nothing seen, names with markup) of a real run.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product
from typing import Any

import numpy as np

from sim.scenario.document import Experiment
from sim.scenario.schema import Scenario
from sim.study.result import RunResult
from sim.study.summary import summarise
from sim.world.log import Kind, Record, Trace, TrialRecord

YEAR_S = 365 * 86400.0
START = datetime(2026, 1, 1, tzinfo=UTC)
DAY_S = 26 * 86400.0
"""27 January 2026, seconds after START."""
SERVICES = ("gateway", "irm", "gpt")
POPULATION = "nordic-offices"
KEPT_TRIAL = 17

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Design:
    """How often and how badly one synthetic design fails."""

    regions: tuple[str, ...]
    outages_per_year: float
    outage_mean_s: float
    cascade_prob: float
    cross_share: float
    node_cost: float
    pod_cost: float
    provider_cost: float = 0.0
    spike: float = 1.0
    """Share of trials that have any trouble at all."""


ONE = ("sweden-central",)
TWO = ("sweden-central", "germany-west")
DESIGNS: dict[str, Design] = {
    "single": Design(ONE, 9.0, 5400, 0.16, 0.0, 336_000, 630_000),
    "single-bounded-queue": Design(ONE, 7.0, 2400, 0.05, 0.0, 336_000, 630_000),
    "active-passive-hot": Design(TWO, 6.0, 900, 0.10, 0.25, 672_000, 1_260_000),
    "active-active": Design(TWO, 8.0, 4200, 0.18, 0.7, 672_000, 630_000),
    "active-active-headroom": Design(TWO, 2.0, 500, 0.02, 0.1, 672_000, 1_260_000, spike=0.6),
    "other-provider": Design(ONE, 6.5, 1300, 0.15, 0.0, 336_000, 630_000, 48_000),
}
FAULTS = {
    "pod-crash": (97.0, 0.002, "pod"),
    "node-loss": (24.0, 0.01, "node"),
    "zone-loss": (3.0, 0.10, "zone"),
    "region-loss": (0.33, 0.35, "region"),
    "irm-slow": (4.0, 0.55, "dependency"),
    "irm-working-set": (1.0, 0.85, "dependency"),
    "bad-rollout": (0.52, 0.20, "none"),
}


class _Rows(dict[str, list[Any]]):
    def add(self, **values: Any) -> None:
        for name, value in values.items():
            self.setdefault(name, []).append(value)

    def columns(self) -> Columns:
        return {k: np.array(v, dtype=object if isinstance(v[0], str) else np.float64) for k, v in self.items()}


def make_tables(n_trials: int = 200, designs: dict[str, Design] = DESIGNS) -> dict[str, Columns]:
    """All tables of a run of `n_trials` trials of one year."""
    rng = np.random.default_rng(7)
    tables = {name: _Rows() for name in ("trials", "outages", "disturbances", "months", "fault_kinds")}
    for architecture in designs:
        for trial in range(n_trials):
            _add_trial(tables, rng, architecture, trial)
    return {name: rows.columns() for name, rows in tables.items() if rows}


def _add_trial(tables: dict[str, _Rows], rng: np.random.Generator, architecture: str, trial: int) -> None:
    design = DESIGNS[architecture]
    key = {"architecture": architecture, "trial": trial}
    troubled = rng.random() < design.spike
    n = int(rng.poisson(design.outages_per_year)) if troubled else 0
    month_down = np.zeros(12)
    downtime = lost = 0.0
    for k in range(n):
        length = float(design.outage_mean_s * rng.lognormal(-0.7, 1.2))
        start = float(YEAR_S * rng.random() ** 0.8)
        length = min(length, YEAR_S - start)
        hours = length / 3600 * 4100 * 0.25 * 0.7
        _add_outage(tables["outages"], rng, {**key, "outage": k}, (start, length, hours, design))
        month_down[min(11, int(start / YEAR_S * 12))] += length
        downtime += length
        lost += hours
    faults, cascades, cross = _add_faults(tables, rng, key, design, troubled)
    credit = _add_months(tables["months"], key, month_down)
    met = float(np.sum(month_down / (YEAR_S / 12) < 1e-3))
    infrastructure = design.node_cost + design.pod_cost + design.provider_cost
    productivity = lost * 65
    tables["trials"].add(
        **key, horizon_s=YEAR_S, offered=1.1e8, good=1.1e8 * (1 - downtime / YEAR_S * 0.9), usable=1.1e8,
        attempts=1.2e8, availability_time=1 - downtime / YEAR_S, availability_requests=1 - downtime / YEAR_S * 0.9,
        downtime_s=downtime, outages=n, faults=faults, cascades=cascades, cross_region_cascades=cross,
        cascade_any=float(cascades > 0), cross_region_cascade_any=float(cross > 0), lost_hours=lost,
        productivity_cost=productivity, sla_credit=credit, infrastructure_cost=infrastructure,
        provider_cost=design.provider_cost, node_cost=design.node_cost, pod_cost=design.pod_cost,
        total_cost=productivity + credit + infrastructure, months=12, months_met=met, rto_checked=n,
        rto_met=float(rng.binomial(n, 0.7)) if n else 0.0, oom_kills=float(rng.poisson(30 * cascades)),
        failovers=float(rng.poisson(1.0)), failovers_failed=0.0, common_cause_downtime_s=downtime * 0.3,
    )  # fmt: skip


def _add_outage(
    rows: _Rows, rng: np.random.Generator, key: dict[str, Any], drawn: tuple[float, float, float, Design]
) -> None:
    start, length, hours, design = drawn
    kinds = list(FAULTS)
    cause = str(rng.choice([*kinds[2:], "irm-slow+zone-loss", "load"]))
    level = FAULTS[cause][2] if cause in FAULTS else ("dependency" if "+" in cause else "none")
    noticed = length > 600
    shares = rng.dirichlet([1.2, 0.6, 2.5, 3.0 * rng.random() + 0.1, 3.0, 0.4]) * length
    phases = ("detection_s", "acknowledgement_s", "diagnosis_s", "wrong_turns_s", "remedy_s", "drain_s")
    reached = 6 if length > 1800 else (2 if noticed else 0)
    cascaded = rng.random() < design.cascade_prob * 2
    size = int(rng.integers(1, 3 * len(design.regions))) if cascaded else 0
    rows.add(
        **key, population=POPULATION, start_s=start, detected_s=start + shares[0] if noticed else np.nan,
        end_s=start + length, duration_s=length, censored=float(start + length >= YEAR_S), cause=cause,
        cause_level=level, lost_requests=hours * 80, lost_hours=hours, cost=hours * 65, cascade_size=size,
        cascade_depth=min(size, 3), cross_region=float(cascaded and rng.random() < design.cross_share),
        **{name: float(shares[i]) if i < reached else np.nan for i, name in enumerate(phases)},
    )  # fmt: skip


def _add_faults(
    tables: dict[str, _Rows], rng: np.random.Generator, key: dict[str, Any], design: Design, troubled: bool
) -> tuple[float, float, float]:
    faults = cascades = cross = number = 0
    for name, (rate, prob, _level) in FAULTS.items():
        n = int(rng.poisson(rate * len(design.regions)))
        k = int(rng.binomial(n, min(1.0, prob * design.cascade_prob / 0.16))) if troubled else 0
        tables["fault_kinds"].add(**key, fault=name, occurrences=float(n), cascades=float(k))
        faults, cascades = faults + n, cascades + k
        for i in range(k + min(n - k, 2)):
            start = float(rng.random() * YEAR_S)
            cascaded = i < k
            size = int(min(3 * len(design.regions) - 1, rng.geometric(0.45))) if cascaded else 0
            far = cascaded and rng.random() < design.cross_share
            cross += int(far)
            tables["disturbances"].add(
                **key, disturbance=number, start_s=start, end_s=start + 4000.0, censored=0.0, faults=name, n_faults=1.0,
                direct=1.0, failed=1.0 + size, size=float(size), depth=float(min(size, 3)), cross_region=float(far),
                cascade=float(cascaded), common_cause=float(rng.random() < 0.2),
            )  # fmt: skip
            number += 1
    return float(faults), float(cascades), float(cross)


def _add_months(rows: _Rows, key: dict[str, Any], month_down: np.ndarray) -> float:
    credit_total = 0.0
    for month, down in enumerate(month_down):
        availability = 1 - down / (YEAR_S / 12)
        credit = 40_000 * (0.25 if availability < 0.99 else 0.10 if availability < 0.999 else 0.0)
        credit_total += credit
        rows.add(
            **key, month=month, population=POPULATION, availability_time=availability,
            availability_requests=availability, met=float(availability >= 0.999), credit=credit,
        )  # fmt: skip
    return credit_total


# --- one day ----------------------------------------------------------------------------------------


def make_trial(architecture: str, regions: tuple[str, ...] = ONE, horizon_s: float = YEAR_S) -> TrialRecord:
    """One trial whose 27 January looks like the day in Sweden Central."""
    pools = tuple(f"{region}/{service}" for region in regions for service in SERVICES)
    offset = DAY_S if horizon_s > 5 * 86400 else 0.0
    rng = np.random.default_rng(3)
    at = np.sort(np.concatenate([np.linspace(0, 86400, 1500), rng.uniform(8.9 * 3600, 16.2 * 3600, 5000)]))
    hour = at / 3600
    bad = (hour > 9.0) & (hour < 15.98)
    demand = 120 * np.clip(np.exp(-(((hour - 11.5) / 3.6) ** 4)), 0.02, None)
    success = np.where(bad, np.clip(0.25 * rng.random(len(at)) ** 3 + 0.02, 0, 1), 0.9995)
    success = np.where((hour > 15.88) & bad, 0.75, success)
    ready = np.tile(np.array([4.0, 4.0, 8.0] * len(regions)), (len(at), 1))
    memory = np.zeros((len(at), len(pools)))
    limit = np.tile(np.array([1024.0, 2048.0, 40960.0] * len(regions)), (len(at), 1))
    for column in range(len(pools)):
        kind = column % 3
        memory[:, column] = (420 + demand, 700 + 300 * demand / 120, 20480 + 8000 * demand / 120)[kind]
        if kind == 1 and column < 3:
            ready[:, column] = np.where(bad, (at // 90) % 3 // 2, 4)
            saw = 600 + 1448 * ((at % 45) / 45)
            memory[:, column] = np.where(bad, np.where(ready[:, column] > 0, saw, np.nan), 700 + 600 * hour / 9)
            limit[:, column] = np.where(hour > 15.88, 4096.0, 2048.0)
    trace = Trace(
        at_s=at + offset, demand_per_s=demand[:, None], success=success[:, None],
        attempts_per_s=(demand * np.where(bad, 2.9, 1.0))[:, None], ready=ready, in_flight=memory / 40,
        memory_mib=memory, memory_limit_mib=limit, served_share=np.ones_like(ready),
    )  # fmt: skip
    return TrialRecord(
        architecture=architecture, trial=KEPT_TRIAL, seed=20260127, start=START, horizon_s=horizon_s,
        populations=(POPULATION,), pools=pools, records=_records(regions, offset), trace=trace,
        month_start_s=np.array([0.0, 31 * 86400.0]),
    )  # fmt: skip


def _records(regions: tuple[str, ...], offset: float) -> list[Record]:
    home = regions[0]
    fault = f"irm-working-set#0@{home}/irm"

    def at(clock: str) -> float:
        hours, minutes, *seconds = (int(part) for part in clock.split(":"))
        return offset + hours * 3600 + minutes * 60 + (seconds[0] if seconds else 0)

    records = [
        Record(at("00:30"), Kind.FAULT, "working set grows", home, service="irm", fault=fault, hits=(f"{home}/irm",)),
        Record(at("09:00"), Kind.POOL_FAILED, region=home, service="irm", value=0.2),
        Record(at("09:00:10"), Kind.SLI_BELOW, population=POPULATION, value=0.3),
        Record(at("09:02"), Kind.POOL_FAILED, region=home, service="gateway", value=0.1),
        Record(at("09:22"), Kind.DETECTED, "monitor: success below 95 % for 5 min"),
        Record(at("09:27"), Kind.ACKNOWLEDGED, "on call"),
        Record(at("12:26"), Kind.DIAGNOSED, "restart looks right"),
        Record(at("12:26"), Kind.ACTION, "restart", home, service="irm", value=0.0),
        Record(at("12:36"), Kind.ACTION_DONE, "restart", home, service="irm"),
        Record(at("12:46"), Kind.DIAGNOSED, "out of memory"),
        Record(at("12:46"), Kind.ACTION, "scale_out", home, service="irm", value=1.0),
        Record(at("13:30"), Kind.ACTION_DONE, "scale_out", home, service="irm"),
        Record(at("13:35"), Kind.ACTION, "raise_memory", home, service="irm", value=1.0),
        Record(at("15:53"), Kind.ACTION_DONE, "raise_memory", home, service="irm"),
        Record(at("15:53"), Kind.REPAIR, "fixed", home, service="irm", fault=fault),
        Record(at("15:59"), Kind.POOL_RECOVERED, region=home, service="irm"),
        Record(at("15:59"), Kind.SLI_ABOVE, population=POPULATION, value=0.99),
        Record(at("16:00"), Kind.POOL_RECOVERED, region=home, service="gateway"),
        Record(at("16:12"), Kind.CLOSED, "confirmed"),
    ]
    if len(regions) > 1:
        records += [
            Record(at("09:00:40"), Kind.FAILOVER, f"load of {home} to {regions[1]}", regions[1], value=1.0),
            Record(at("09:03"), Kind.POOL_FAILED, region=regions[1], service="irm", value=0.3),
            Record(at("09:40"), Kind.POOL_RECOVERED, region=regions[1], service="irm"),
            Record(at("16:35"), Kind.FAILBACK, "stage 1 of 3", home, value=0.33),
            Record(at("16:45"), Kind.FAILBACK, "stage 2 of 3", home, value=0.67),
            Record(at("16:55"), Kind.FAILBACK, "stage 3 of 3", home, value=1.0),
        ]
    kills = np.arange(at("09:00"), at("15:53"), 82.0)
    records += [Record(float(k), Kind.OOM_KILL, region=home, service="irm", pod="irm-2") for k in kills]
    return sorted(records, key=lambda record: record.at_s)


# --- scenarios --------------------------------------------------------------------------------------

SCENARIO: dict[str, Any] = {
    "start": "2026-01-01",
    "horizon": "1y",
    "seed": 20260127,
    "trials": 200,
    "services": {
        "gateway": {
            "work": "40ms", "slots": 200, "queue": 100, "startup": "15s",
            "memory": {"base": "400Mi", "per_request": "1Mi", "limit": "1Gi"},
            "calls": {"irm": {"timeout": "2s", "attempts": 2}, "gpt": {"timeout": "60s"}},
        },
        "irm": {
            "work": "200ms", "slots": 8, "queue": 40, "startup": "30s",
            "memory": {"base": "600Mi", "per_request": "40Mi", "limit": "2Gi"},
        },
        "gpt": {"work": "4s", "slots": 80, "queue": 40, "startup": "4m",
                "memory": {"base": "20Gi", "per_request": "100Mi", "limit": "40Gi"}},
    },
    "populations": {
        POPULATION: {
            "workers": 20000, "timezone": "Europe/Stockholm", "calendar": "office-hours", "requests": "20/h",
            "journey": "gateway", "deadline": "60s", "attempts": 3, "home": "sweden-central", "cost": "65 EUR/h",
            "dependence": "25%", "deferrable": "30%", "refocus": "10m",
        }
    },
    "objectives": {
        "availability": {"target": "99.9%", "measured": "time", "threshold": "95% success"},
        "rto": {"region": "15m", "zone": "5m", "dependency": "1h"},
        "sla": {"credits": {"below 99.9%": "10%", "below 99%": "25%"}, "fee": "40000 EUR/month"},
    },
    "faults": {
        name: {"target": "any pod", "every": "90d", "effect": "down",
               "repair": {"lognormal": {"median": "20m", "p95": "4h"}}}
        for name in FAULTS
    },
    "costs": {"node": "3.2 EUR/h", "pod": {"gpt": "9 EUR/h"}},
}  # fmt: skip


def make_scenario(regions: tuple[str, ...] = ONE, name: str = "LLM service in Sweden Central") -> Scenario:
    """A resolved scenario with as many regions as a design has."""
    return Scenario.model_validate({
        **SCENARIO,
        "name": name,
        "regions": {region: {"zones": 3, "nodes": {"count": 12, "memory": "64Gi"}} for region in regions},
        "place": {region: {"gateway": 4, "irm": 4, "gpt": 8} for region in regions},
        "failover": "active-passive" if len(regions) > 1 else "none",
    })  # fmt: skip


WARNINGS = [
    "queue bound and memory limit: single: irm: 48 requests x 40 MiB + 600 MiB = 2520 MiB does not fit 2048 MiB",
    "hottest pod after losing a region, retries included: active-active: 2.31 of its capacity (irm); others below 1",
    "downtime from common causes: 30 % [22 %, 39 %] of all downtime",
    "active-active: the biggest pod of irm is loaded 8 % above the mean",
]


def make_result(n_trials: int = 200, *, name: str = "LLM service in Sweden Central") -> RunResult:
    """A whole run of six designs."""
    return result_of(make_tables(n_trials), {a: make_scenario(d.regions, name) for a, d in DESIGNS.items()}, name)


def make_sweep(axes: dict[str, tuple[str, ...]], n_trials: int = 40) -> RunResult:
    """A run that sweeps one or two keys of two designs; more of the first key helps."""
    tables: dict[str, list[Columns]] = {}
    scenarios, settings, architectures = {}, {}, {}
    for architecture in ("single", "active-active"):
        base = make_tables(n_trials, {architecture: DESIGNS[architecture]})
        for place in product(*axes.values()):
            chosen = dict(zip(axes, place, strict=True))
            variant = f"{architecture} | " + ", ".join(f"{k}={v}" for k, v in chosen.items())
            better = 0.6 ** sum(values.index(v) for values, v in zip(axes.values(), place, strict=True))
            for table, columns in base.items():
                tables.setdefault(table, []).append(_improved(columns, variant, better))
            scenarios[variant] = make_scenario(DESIGNS[architecture].regions)
            settings[variant], architectures[variant] = chosen, architecture
    merged = {t: {c: np.concatenate([part[c] for part in parts]) for c in parts[0]} for t, parts in tables.items()}
    result = result_of(merged, scenarios, "A sweep")
    experiment = Experiment("A sweep", scenarios, dict(axes), settings, architectures)
    return replace(result, experiment=experiment, kept={})


def _improved(columns: Columns, variant: str, factor: float) -> Columns:
    """The same trials with downtime times `factor`."""
    found = {**columns, "architecture": np.full(len(columns["trial"]), variant, dtype=object)}
    if "downtime_s" in columns:
        found["downtime_s"] = columns["downtime_s"] * factor
        found["availability_time"] = 1 - found["downtime_s"] / YEAR_S
        found["productivity_cost"] = columns["productivity_cost"] * factor
        found["total_cost"] = columns["total_cost"] - columns["productivity_cost"] * (1 - factor)
    return found


def result_of(tables: dict[str, Columns], scenarios: dict[str, Scenario], name: str) -> RunResult:
    """Estimates and the rest of a result around synthetic tables."""
    names = list(scenarios)
    n_trials = int(tables["trials"]["trial"].max()) + 1
    kept = {a: make_trial(a, DESIGNS[a].regions) for a in names if a in DESIGNS}
    for architecture in kept:
        _set_worst_outage(tables["outages"], architecture)
    summary = summarise(tables, scenarios, 0.95)
    meta = {
        "regionfall": "0.1.0", "name": name, "scenario_hash": "5c0ffee5c0ffee", "seed": 20260127,
        "architectures": names, "trials_asked": dict.fromkeys(names, n_trials),
        "trials_done": dict.fromkeys(names, n_trials),
        "stop_reason": "all trials done", "confidence": 0.95, "workers": 2, "chunk": 10,
        "command": f"regionfall compare llm.yaml --trials {n_trials}", "started": "2026-02-01T10:00:00Z",
        "ended": "2026-02-01T10:01:00Z", "table_hash": "0ff1ce", "kept": dict.fromkeys(names, KEPT_TRIAL),
        "versions": {"python": "3.11.7", "numpy": "2.4.6"}, "git": {"commit": "0123abcd" * 5, "modified": False},
    }  # fmt: skip
    return RunResult(
        folder=None, experiment=Experiment(name, scenarios), meta=meta, tables=tables, estimates=summary.estimates,
        differences=summary.differences, better_prob=summary.better_prob, warnings=list(WARNINGS), kept=kept,
    )  # fmt: skip


def _set_worst_outage(outages: Columns, architecture: str) -> None:
    """Make the first outage of the kept trial the one that its trace shows."""
    mine = np.flatnonzero((outages["architecture"] == architecture) & (outages["trial"] == KEPT_TRIAL))
    if len(mine):
        start, end = DAY_S + 9 * 3600 + 10, DAY_S + 15 * 3600 + 59 * 60
        new = {"start_s": start, "end_s": end, "duration_s": end - start, "cost": 2.4e6, "cause": "irm-working-set",
               "censored": 0.0, "detected_s": start + 1310}  # fmt: skip
        for column, value in new.items():
            outages[column][mine[0]] = value
