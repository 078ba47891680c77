"""Published systems that collapse under retries: D01 and D04 as they were set up, and D04 in our own language."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from agreement import Comparison, check, refute
from batteries import battery

from sim.oracles.network_model import run_requests
from sim.oracles.network_run import NetworkStart, PodStart
from sim.oracles.published_systems import Collapse, RetryChain

TRUTHS = json.loads((Path(__file__).parent / "truths" / "metastable.json").read_text(encoding="utf-8"))

# --- D01 -----------------------------------------------------------------------------------------------


def failed_percent(n: int, system: Collapse, *, overtaking: bool = True) -> Comparison:
    """Mean over n seeds beside the published re-implementation, whose own error is added."""
    published = TRUTHS["D01_joemag"]["fifo_spike_failure_pct"]
    found = [100.0 * system.failed_share(np.random.default_rng([4, k]), overtaking=overtaking) for k in range(n)]
    error = math.hypot(np.std(found, ddof=1) / math.sqrt(n), published["sd"] / math.sqrt(12))
    return Comparison(float(np.mean(found)), error, published["mean12"])


def test_d01_failure_rate():
    published = TRUTHS["D01_joemag"]["fifo_spike_failure_pct"]
    assert published["readme"] == 9.91
    found = failed_percent(6, Collapse())
    check(found, 0.4)
    # The one number of the README is one run: the spread of a run decides.
    assert abs(found.estimate - published["readme"]) <= 4.0 * math.hypot(published["sd"], found.standard_error)


def test_d01_without_overtaking_it_fails_far_more_often():
    refute(failed_percent(3, Collapse(), overtaking=False), 40.0)


def test_d01_without_a_trigger_next_to_nothing_fails():
    assert Collapse(slow_requests=0, ticks=200_000).failed_share(np.random.default_rng(1)) < 1e-3


# --- D04 -----------------------------------------------------------------------------------------------

ROWS = TRUTHS["D04_small_retry_ctmc"]["rows"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['lam']}/s")
def test_d04_the_exact_chain(row: dict[str, float]):
    chain, orbit = RetryChain(row["lam"]), int(row["r0"])
    assert chain.goodput_share() == pytest.approx(row["goodput_frac"], rel=1e-7)
    assert chain.queue_mean() == pytest.approx(row["Eq"], rel=1e-7)
    assert chain.passage_mean_s(0, 0, chain.room) == pytest.approx(row["T_empty_to_full"], rel=1e-6)
    assert chain.passage_mean_s(chain.room, orbit, 0) == pytest.approx(row["T_full_to_empty"], rel=1e-6)
    assert chain.passage_prob(0, 0, chain.room, 600.0) == pytest.approx(row["P_full_within_600s"], rel=1e-5)
    assert chain.passage_prob(chain.room, orbit, 0, 60.0) == pytest.approx(
        row["P_empty_within_60s_from_full"], rel=1e-6
    )


def test_d04_another_retry_probability_is_another_chain():
    row = ROWS[2]
    assert RetryChain(3.0, again=0.79).goodput_share() != pytest.approx(row["goodput_frac"], rel=1e-3)
    assert RetryChain(3.0).critical_load == pytest.approx(2.0)


def good_again_share(load_per_s: float, *, retry_share: float = 0.8, n: int = 40) -> float:
    """Share of n full queues that answer most requests again a minute later, request by request.

    One slot, 10 services/s, room for 30, 0.5 s to wait for an answer; a failed attempt comes again with 0.8 after an
    exponential pause. The chain foresees lateness at arrival and puts a copy into the orbit at once; a client finds out
    by waiting, so its pause is shorter by about the wait that it spends anyway.
    """
    client = {"deadline": 0.5, "attempts": 20, "backoff": 0.25, "jitter": "exponential", "retry_share": retry_share}
    spec = battery(n, load_per_s, 70.0, client=client, work=0.1, slots=1, queue=29)
    start = NetworkStart(
        pods={f"r/q{i}/1": PodStart(inside=30, awaited=0) for i in range(n)},
        retrying={f"u{i}": (round(2.0 * load_per_s),) for i in range(n)},
    )
    run = run_requests(spec, rng=np.random.default_rng([20260104, round(10 * load_per_s)]), start=start)
    again = [run.bin_good[u][5:7].sum() >= 0.5 * run.bin_offered[u][5:7].sum() for u in run.bin_offered]
    return float(np.mean(again))


def test_d04_below_the_critical_load_a_full_queue_drains():
    assert good_again_share(1.5) >= 0.95


def test_d04_above_the_critical_load_a_full_queue_stays():
    assert good_again_share(4.0) <= 0.15


def test_d04_fewer_retries_move_the_critical_load():
    # 10 (1 - 0.4) = 6 > 4: the same load drains.
    assert good_again_share(4.0, retry_share=0.4) >= 0.95
