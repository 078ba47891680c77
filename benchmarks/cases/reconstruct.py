"""Run the reconstructed acceptance cases request by request and store what they showed.

Usage: ``python benchmarks/cases/reconstruct.py [CASE ...]`` from the root of the repository (about five minutes for
all cases on one core).  Cases that are not named keep their stored figures; ``--notes`` runs nothing and only renews
titles, notes and certainty.  It must not know the engine: the figures
are the witness against which the engine is tested.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from sim.oracles.request_model import (
    Client,
    Memory,
    PoolCase,
    PoolRun,
    Restart,
    Slowdown,
    recovery_time_s,
    run_pool,
)

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "oracle" / "cases"
RESULT = FOLDER / "request_model_cases.json"
PUBLISHED = FOLDER / "published_figures.json"
SEED = 20_250_101

# Room for 200 requests besides the base: with the loads below, the least that makes a plain fluid reach the limit at
# the published 80.2 s (B) and 10.3 s (C); a leak of 0.2 requests per second gives the published 969 s (G).
ROOM_200 = Memory(limit_mib=1500.0, base_mib=500.0, per_request_mib=5.0)
LEAKING = dataclasses.replace(ROOM_200, leak_mib_per_s=1.0)
STORY = Memory(limit_mib=2048.0, base_mib=600.0, per_request_mib=40.0)
STORY_4_GIB = dataclasses.replace(STORY, limit_mib=4096.0)


def _client(attempts: int, *, budget_share: float | None = None, deadline_s: float = 5.0) -> Client:
    return Client(deadline_s=deadline_s, attempts=attempts, backoff_s=1.0, budget_share=budget_share)


def _story(memory: Memory, *, queue_bound: int = 40, budget_share: float | None = None) -> PoolCase:
    return PoolCase(
        45.0,
        queue_bound=queue_bound,
        client=_client(2, budget_share=budget_share),
        memory=memory,
        slowdowns=(Slowdown(60.0, 120.0, 20.0),),
        restart=Restart(startup_spread_share=1 / 3),
    )


@dataclasses.dataclass(frozen=True)
class Entry:
    """One case: what it is, its parameters, how many seeds, and how sure the reconstruction is."""

    title: str
    case: PoolCase
    certainty: str
    note: str
    n_seeds: int = 12


CASES: dict[str, Entry] = {
    "A": Entry(
        "rho 0.70, 3 attempts, nothing wrong",
        PoolCase(45.0, client=_client(3)),
        "high",
        "45/s (rho 0.703): twice the published plain mean of 22.5, and the text's '45/s and 135/s both stable'.",
    ),
    "A2": Entry(
        "rho 0.875 (hottest pod 0.9625), 3 attempts, nothing wrong",
        PoolCase(56.0, client=_client(3)),
        "high",
        "56/s follows from the published utilisations; backoff as in E.",
    ),
    "A3": Entry(
        "rho 0.84 (hottest pod 0.928), 3 attempts, two hours",
        PoolCase(54.0, client=_client(3), horizon_s=7200.0),
        "high",
        "54/s follows from the published 0.928; chance alone decides, 6 seeds say little.",
        6,
    ),
    "B": Entry(
        "1.05 times the capacity, memory for 200 requests, no retry",
        PoolCase(67.0, client=_client(1), memory=ROOM_200),
        "high (load, memory, attempts), medium (restart)",
        "67/s and room for 200 requests give the plain 80.2 s exactly (67.2/s would give 78.4 s). One attempt: with "
        "two, timeouts from 33 s on would bring the OOM forward. Restart after the text: 10 s doubling to 300 s, 30 s "
        "startup. Not reproduced: the published kills of 36.6 (36 follow here; a fraction hints at startup times that "
        "vary) and the plain availability of 0.065 (0.068 in ours).",
    ),
    "C": Entry(
        "twice the capacity, memory for 200 requests, no retry",
        PoolCase(128.0, client=_client(1), memory=ROOM_200),
        "high (load, memory, attempts), medium (restart)",
        "Same pool as B; the plain 10.3 s is met exactly. The plain availability of 0.018 is not (0.017 in ours).",
    ),
    "D": Entry(
        "hang for 300 s, 2 attempts: the storm stays",
        PoolCase(45.0, client=_client(2), slowdowns=(Slowdown(300.0, 600.0, 20.0),)),
        "high (outcome), medium (factor)",
        "Start 300 s from the availability; 1 s backoff, factor 20 and the mean over 10 s samples from 60 s on give "
        "the plain mean 1391.9. Factors of 10 to 100 move the mean by 2 and the availability by 0.0005 only; the "
        "hanging dependency itself is represented as longer service.",
    ),
    "E": Entry(
        "slowdown x3 for 120 s, 3 attempts: the storm stays",
        PoolCase(45.0, client=_client(3), slowdowns=(Slowdown(300.0, 420.0, 3.0),)),
        "high (start, factor, attempts, backoff), low (length)",
        "Factor 3 from the plain availability, backoff 1 s from the plain mean; the length (60 to 300 s) leaves both "
        "as they are and is taken from F2.",
    ),
    "F": Entry(
        "rho 0.40, slowdown x4 for 120 s, 2 attempts: the storm ends",
        PoolCase(25.6, client=_client(2), slowdowns=(Slowdown(300.0, 420.0, 4.0),)),
        "medium",
        "Not unique: the simplest of the sets (load, attempts, factor, length) that give the plain 0.8925 and 510 s. "
        "25/s with x6 for 120 s and 20/s with x6 for 150 s do about as well. The published recovery of 517 s is not "
        "reproduced: ours is one 10 s interval later, under a definition that may differ.",
    ),
    "F2": Entry(
        "as E with a retry budget of 10 %: the storm ends",
        PoolCase(45.0, client=_client(3, budget_share=0.1), slowdowns=(Slowdown(300.0, 420.0, 3.0),)),
        "medium",
        "As E; the length of 120 s gives the plain 0.882 and 570 s. Bucket size unknown (10 tokens).",
    ),
    "G": Entry(
        "leak below capacity",
        PoolCase(45.0, client=_client(1), memory=LEAKING),
        "high",
        "0.2 requests of room lost per second give the plain 969 s exactly.",
    ),
    "H": Entry(
        "slowdown x4 for 120 s, memory for 200 requests, 3 attempts: bistable",
        PoolCase(45.0, client=_client(3), memory=ROOM_200, slowdowns=(Slowdown(300.0, 420.0, 4.0),)),
        "low",
        "Memory as in B; factor and length chosen, among six sets run with the request-level model itself, so that "
        "recovery is about as rare as published: agreement is no evidence here. The share depends strongly on both and "
        "on the spread of the startup times, none of which is recorded.",
        48,
    ),
    "I": Entry(
        "short queue, 1.05 times the capacity, deadline 2 s, 2 attempts",
        PoolCase(67.0, queue_bound=20, client=_client(2, deadline_s=2.0)),
        "high",
        "Queue bound 20 and 2 attempts give the plain 109.4 and 0.760 exactly.",
    ),
    "J": Entry(
        "full queue whose waiting time is close to the deadline",
        PoolCase(67.0, queue_bound=64, client=_client(2)),
        "medium",
        "Queue bound 64 (waiting 4 s of 5 s) gives the plain 0.841; the published request figure is 0.01 lower than "
        "ours in the first seeds tried, so something small may differ.",
    ),
    "K": Entry(
        "story core: 40 MiB per request, room for 36, queue bound 40, hang of 60 s",
        _story(STORY),
        "medium",
        "Memory and bound from the text; factor 20 from the availabilities of the two variants without kills. Startup "
        "times must spread (here by a third): equal ones bring the pods back together and some runs recover, which "
        "none of the published did. Chosen among about fifteen sets run with the request-level model itself, so "
        "agreement is no evidence here. The published 0.041 is not reproduced.",
        8,
    ),
    "K_4gib": Entry("story core with 4 GiB", _story(STORY_4_GIB), "medium", "As K.", 8),
    "K_short_queue": Entry("story core with queue bound 20", _story(STORY, queue_bound=20), "medium", "As K.", 8),
    "K_budget": Entry(
        "story core with a retry budget of 10 %",
        _story(STORY, budget_share=0.1),
        "low",
        "As K. The bucket size is unknown, and with equal startup times a third of the runs would recover.",
        8,
    ),
}


def collapse_time_s(run: PoolRun) -> float | None:
    """Return the start of the bad (success < 0.5) 30 s intervals that last to the end, s; None if the end is good."""
    offered = run.bin_offered.reshape(-1, 3).sum(axis=1)
    good = run.bin_good.reshape(-1, 3).sum(axis=1)
    fine = np.flatnonzero(good >= 0.5 * offered)
    if not fine.size:
        return 0.0
    return None if fine[-1] == len(good) - 1 else float((fine[-1] + 1) * 30.0)


def measures(run: PoolRun, case: PoolCase) -> dict[str, float]:
    """Return the measures of one run by name; NaN where a measure is not defined."""
    found = {
        "availability": run.availability,
        "in_flight_mean": run.in_flight_mean,
        "in_flight_sample_mean": run.in_flight_sample_mean,
        "attempts_per_request": run.attempts / run.offered,
    }
    if case.memory is not None:
        found["oom_kills"] = float(len(run.oom_times_s))
        found["first_oom_s"] = run.oom_times_s[0] if run.oom_times_s else math.nan
        found["memory_peak_mib"] = float(np.nanmax(run.sample_memory_mib))
    if case.slowdowns:
        recovered_s = recovery_time_s(run)
        found["recovered_share"] = float(recovered_s is not None)
        found["recovery_s"] = math.nan if recovered_s is None else recovered_s
    elif case.memory is None and case.client.attempts == 3:
        collapsed_s = collapse_time_s(run)
        found["collapsed_share"] = float(collapsed_s is not None)
        found["collapse_s"] = math.nan if collapsed_s is None else collapsed_s
    return found


def run_entry(name: str, entry: Entry, published: dict[str, Any]) -> dict[str, Any]:
    """Run every seed of one case and return its document."""
    rows = [
        measures(run_pool(entry.case, np.random.default_rng([SEED, seed])), entry.case) for seed in range(entry.n_seeds)
    ]
    figures: dict[str, Any] = {}
    for measure in rows[0]:
        values = np.array([row[measure] for row in rows])
        seen = values[np.isfinite(values)]
        if seen.size:
            sd = float(seen.std(ddof=1)) if seen.size > 1 else None
            figures[measure] = {"mean": float(seen.mean()), "sd": sd, "n": int(seen.size)}
            figures[measure]["values"] = [float(value) if math.isfinite(value) else None for value in values]
    return {
        "title": entry.title,
        "parameters": dataclasses.asdict(entry.case),
        "published": published.get(name, {}),
        "request_model": figures,
        "certainty": entry.certainty,
        "note": entry.note,
    }


def main(names: list[str]) -> None:
    """Run the named cases (all if none is named) and write the document after each."""
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    document: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    document["about"] = (
        "Reconstructed acceptance cases. Parameters were recovered from the published plain column and checked with "
        "the request-level model; generated by benchmarks/cases/reconstruct.py, not edited by hand."
    )
    document["units"] = "s, MiB, requests; parameters are the fields of sim.oracles.requests_case.PoolCase"
    document["seed"] = f"numpy.random.default_rng([{SEED}, i]) for i = 0, 1, ..."
    document["published_source"] = published["source"]
    cases = document.setdefault("cases", {})
    if names == ["--notes"]:
        for name, stored in cases.items():
            entry = CASES[name]
            stored |= {"title": entry.title, "certainty": entry.certainty, "note": entry.note}
        RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        return
    for name in names or CASES:
        started_s = time.perf_counter()
        cases[name] = run_entry(name, CASES[name], published["cases"])
        document["cases"] = {key: cases[key] for key in CASES if key in cases}
        cases = document["cases"]
        RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {CASES[name].n_seeds} seeds, {time.perf_counter() - started_s:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
