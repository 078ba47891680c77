"""Microseconds per step of the data plane: compiled, in pure Python, and as a hand-written loop of the same equations.

Networks of 1, 6 and 40 pools with 8 pods each. Every other minute the services of the first region are slowed until
queues grow and calls are repeated, so that steps are those of an incident and not of a quiet night. The compiled ones
run the same minutes one after the other, again and again; a ratio is the median over the rounds. The data plane and the
hand-written loop must go through the same states, at a strict tolerance of the integrator and at the usual one, or
nothing is reported.

    python benchmarks/kernel_speed.py            table; results/benchmarks/kernel_speed.json
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numba
import numpy as np
from kernel_hand import PAUSE_STEPS, Hand, hand_advance

import sim
from sim.scenario.schema import Call, Failover, Model, Nodes, PodMemory, Population, Region, Scenario, Service
from sim.traffic import layout as at
from sim.traffic.assemble import assemble
from sim.traffic.engine import Traffic

RESULT = Path(__file__).resolve().parent.parent / "results" / "benchmarks" / "kernel_speed.json"
ROUNDS, PODS, MINUTES = 7, 8, 20
SLOW, WORK_S = 1.6, 0.1
PER_REGION_S, DEADLINE_S = 430.0, 10.0
NETWORKS = {1: (1, 1), 6: (2, 3), 40: (4, 10)}
"""Pools: (regions, services in each)."""
CALLEES: dict[int, dict[int, tuple[int, ...]]] = {
    1: {},
    3: {0: (1,), 1: (2,)},
    10: {0: (1, 2, 3), 1: (4,), 2: (5, 6), 3: (7,), 5: (8,), 6: (9,)},
}
"""Who calls whom, by the number of services of a region: a web tier, what it calls, and so on down."""
STRICT = 0.01
SAME_WITHIN = {STRICT: 2e-3, 10.0: 0.03}
"""By tolerance of the integrator: how far the requests inside a pool may be apart, relative to their largest value."""


# --- the system ------------------------------------------------------------------------------------------


def below(callees: dict[int, tuple[int, ...]], k: int) -> int:
    """Services in the tree below `k`, itself included."""
    return 1 + sum(below(callees, callee) for callee in callees.get(k, ()))


def scenario(n_pools: int, tolerance: float = 10.0, *, imbalance: float = 0.08) -> Scenario:
    """Regions that are all alike; each caller has slots for what waits below it."""
    n_regions, n_services = NETWORKS[n_pools]
    callees = CALLEES[n_services]
    services = {}
    for k in range(n_services):
        size = below(callees, k)
        calls = {
            f"s{c}": Call(timeout=0.6 * below(callees, c) ** 0.5 + 0.4, attempts=2, fast_fail=0.005)
            for c in callees.get(k, ())
        }
        services[f"s{k}"] = Service(
            work=WORK_S,
            slots=8 * size + (size > 1) * 24,
            queue=120,
            imbalance=imbalance,
            calls=calls,
            memory=PodMemory(base=256.0, per_request=2.0, limit=1536.0),
        )
    names = [f"r{r}" for r in range(n_regions)]
    return Scenario(
        name="kernel-speed",
        start=datetime(2026, 1, 5, tzinfo=UTC),
        horizon=60.0 * MINUTES,
        regions={name: Region(nodes=Nodes(count=100, memory=1e6)) for name in names},
        services=services,
        populations={
            "users": Population(
                workers=1, requests=PER_REGION_S * n_regions, journey="s0", deadline=DEADLINE_S, attempts=3, backoff=1.0
            )
        },
        failover=Failover(policy="active-active"),
        place={name: dict.fromkeys(services, PODS) for name in names},
        model=Model(noise="never", tolerance=tolerance),
    )


OOM_LEVEL = 1e9
"""The hazard of an OOM kill is integrated, but kills nobody: restarts would end the comparison."""


def slow_in(minute: int, n_pools: int) -> list[float]:
    """Factor of the service times of each pool in a minute: those of the first region are slow in odd ones."""
    n_services = NETWORKS[n_pools][1]
    return [SLOW if minute % 2 == 1 and i < n_services else 1.0 for i in range(n_pools)]


def traffic_of(spec: Scenario) -> Traffic:
    """The data plane with all pods ready."""
    traffic = Traffic(assemble(spec), tolerance=spec.model.tolerance)
    for p in range(len(traffic.net.pods)):
        memory = next(iter(spec.services.values())).memory
        assert memory is not None
        traffic.set_memory(p, limit_mib=memory.limit, used_mib=memory.base, growth_mib_per_s=0.0)
        traffic.set_per_request(p, memory.per_request)
        traffic.start_pod(p, oom_level=OOM_LEVEL)
    return traffic


def run_engine(spec: Scenario, minutes: int) -> tuple[float, int, list[list[float]], list[float]]:
    """Seconds of computing, steps, requests inside each pool at the end of each minute, totals."""
    traffic = traffic_of(spec)
    n_pools = len(traffic.names.pools)
    inside, spent_s = [], 0.0
    for minute in range(minutes):
        for i, slow in enumerate(slow_in(minute, n_pools)):
            for p in traffic.pods_of[i]:
                traffic.set_condition(p, slow=slow, error_share=0.0)
        began = time.process_time()
        code, _ = traffic.advance(60.0 * (minute + 1))
        spent_s += time.process_time() - began
        assert code == at.REACHED
        inside.append([traffic.in_flight(i) for i in range(n_pools)])
    return spent_s, traffic.n_steps, inside, list(traffic.totals(0)[:3])


def hand_of(spec: Scenario) -> tuple[Hand, np.ndarray]:
    """The same system as the hand-written loop wants it, and its first state."""
    net = assemble(spec).network
    n_pools = len(net.pools)
    user, memory = spec.populations["users"], spec.services["s0"].memory
    assert memory is not None
    share = net.pods[:PODS, at.POD_SHARE]
    hand = Hand(
        n_pods=PODS,
        weight=share / share.sum(),
        work_s=net.pools[:, at.POOL_WORK_S].copy(),
        tables=net.tables[net.pods[::PODS, at.POD_TABLE].astype(int)][:, :, :].copy(),
        caller=net.edges[:, at.EDGE_FROM].astype(np.int64),
        callee=net.edges[:, at.EDGE_TO].astype(np.int64),
        timeout_s=net.edges[:, at.EDGE_TIMEOUT_S].copy(),
        attempts=net.edges[:, at.EDGE_ATTEMPTS].copy(),
        fast_fail_s=net.edges[:, at.EDGE_FAST_FAIL_S].copy(),
        entries=net.routes[0, :, at.ROUTE_ENTRY].astype(np.int64),
        demand_per_s=user.requests * user.workers,
        user_attempts=user.attempts,
        backoff_s=user.backoff,
        deadline_s=user.deadline,
        user_fast_fail_s=float(net.groups[0, at.GROUP_FAST_FAIL_S]),
        room_mib=memory.limit - memory.base,
        per_request_mib=memory.per_request,
        oom_level=OOM_LEVEL,
    )
    state = np.zeros(4 * n_pools * PODS + 2 * n_pools + (user.attempts - 1) * PAUSE_STEPS + 3)
    first = 4 * n_pools * PODS
    state[first : first + n_pools] = hand.work_s
    state[first + n_pools : first + 2 * n_pools] = 1.0
    return hand, state


def run_hand(spec: Scenario, minutes: int) -> tuple[float, int, list[list[float]], list[float]]:
    """The same of the hand-written loop."""
    hand, state = hand_of(spec)
    n_pools = len(hand.work_s)
    inside, spent_s, n_steps = [], 0.0, 0
    slow = np.ones(n_pools)
    for minute in range(minutes):
        slow_before, slow = slow, np.array(slow_in(minute, n_pools))
        began = time.process_time()
        n_steps += hand_advance(state, 60.0, 0.05, spec.model.tolerance, slow, slow_before, hand)
        spent_s += time.process_time() - began
        inside.append(state[: n_pools * PODS].reshape(n_pools, PODS).sum(axis=1).tolist())
    return spent_s, n_steps, inside, state[-3:].tolist()


def assert_same(n_pools: int, tolerance: float, imbalance: float) -> float:
    """Largest difference of the requests inside; stops the benchmark if it is more than the tolerance allows.

    The hand-written loop computes each pod by itself, so that this shows as well what joining equal pods changes.
    """
    spec = scenario(n_pools, tolerance, imbalance=imbalance)
    engine, hand = run_engine(spec, 4), run_hand(spec, 4)
    of_engine, of_hand = np.array(engine[2]), np.array(hand[2])
    apart = float((np.abs(of_engine - of_hand) / of_hand.max(axis=0)).max())
    totals = float(np.abs(np.array(engine[3]) / np.array(hand[3]) - 1.0).max())
    if max(apart, totals) > SAME_WITHIN[tolerance]:
        raise SystemExit(f"not the same system: requests inside differ by {apart:.2%}, totals by {totals:.3%}")
    return apart


# --- measuring -------------------------------------------------------------------------------------------


def pure_python(n_pools: int, minutes: int) -> float:
    """Microseconds per step with compilation switched off, in a process of its own."""
    command = [sys.executable, __file__, "--uncompiled", str(n_pools), "--minutes", str(minutes)]
    root = str(Path(__file__).resolve().parent.parent)
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": root}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure(n_pools: int) -> dict[str, Any]:
    """One network: with pods that differ, with equal ones, and by hand, alternating."""
    spec, equal = scenario(n_pools), scenario(n_pools, imbalance=0.0)
    apart = {tolerance: assert_same(n_pools, tolerance, 0.08) for tolerance in SAME_WITHIN}  # compiles as well
    apart_equal = {tolerance: assert_same(n_pools, tolerance, 0.0) for tolerance in SAME_WITHIN}
    rows = []
    for _ in range(ROUNDS):
        engine, joined, hand = run_engine(spec, MINUTES), run_engine(equal, MINUTES), run_hand(spec, MINUTES)
        rows.append(tuple(1e6 * spent_s / n_steps for spent_s, n_steps, *_ in (engine, hand, joined)))
    plain = [pure_python(n_pools, 2) for _ in range(3)]
    of_engine, of_hand = median(r[0] for r in rows), median(r[1] for r in rows)
    of_equal = median(r[2] for r in rows)
    ratios = sorted(e / h for e, h, _ in rows)
    return {
        "pools": n_pools,
        "pods": PODS * n_pools,
        "steps": engine[1],
        "steps_hand": hand[1],
        "us_per_step": round(of_engine, 3),
        "us_per_step_and_pool": round(of_engine / n_pools, 3),
        "us_per_step_and_pool_equal_pods": round(of_equal / n_pools, 3),
        "equal_to_different_pods": round(median(j / e for e, _, j in rows), 3),
        "us_per_step_hand": round(of_hand, 3),
        "us_per_step_python": round(median(plain), 1),
        "ratio_to_hand": round(median(ratios), 3),
        "ratio_to_hand_range": [round(ratios[0], 3), round(ratios[-1], 3)],
        "python_to_compiled": round(median(plain) / of_engine, 1),
        "in_flight_apart_strict": float(f"{apart[STRICT]:.1e}"),
        "in_flight_apart": float(f"{apart[10.0]:.1e}"),
        "in_flight_apart_strict_equal_pods": float(f"{apart_equal[STRICT]:.1e}"),
        "in_flight_apart_equal_pods": float(f"{apart_equal[10.0]:.1e}"),
        "success_share": round(engine[3][1] / engine[3][0], 4),
    }


def machine() -> dict[str, str]:
    """What the figures were measured with."""
    return {
        "simulator": sim.__version__,
        "python": platform.python_version(),
        "numba": numba.__version__,
        "numpy": np.__version__,
        "processor": f"{platform.machine()}, {os.cpu_count()} logical cores",
        "system": platform.system(),
        "load_at_start": f"{os.getloadavg()[0]:.1f}",
    }


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uncompiled", type=int, metavar="POOLS", help=argparse.SUPPRESS)
    parser.add_argument("--minutes", type=int, default=2, help=argparse.SUPPRESS)
    parser.add_argument("--no-record", action="store_true", help="print only")
    options = parser.parse_args()
    if options.uncompiled is not None:
        spent_s, n_steps, *_ = run_engine(scenario(options.uncompiled), options.minutes)
        print(1e6 * spent_s / n_steps)
        return
    about = machine()
    rows = [measure(n) for n in NETWORKS]
    print(", ".join(f"{k} {v}" for k, v in about.items()))
    print(
        "pools   us/step   us/step/pool   equal pods   hand us/step   ratio to hand (range)   python/compiled"
        "   apart   apart (equal)"
    )
    for r in rows:
        low, high = r["ratio_to_hand_range"]
        print(
            f"{r['pools']:5d} {r['us_per_step']:9.2f} {r['us_per_step_and_pool']:14.2f}"
            f" {r['us_per_step_and_pool_equal_pods']:12.2f} {r['us_per_step_hand']:14.2f}"
            f" {r['ratio_to_hand']:10.2f} ({low:.2f}-{high:.2f}) {r['python_to_compiled']:15.0f}"
            f" {r['in_flight_apart_strict']:11.0e} {r['in_flight_apart']:.0e}"
            f" {r['in_flight_apart_strict_equal_pods']:8.0e} {r['in_flight_apart_equal_pods']:.0e}"
        )
    if not options.no_record:
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(json.dumps({"measured_with": about, "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
