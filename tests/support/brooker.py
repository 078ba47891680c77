"""The retry collapse of M. Brooker's simulator example (D02) in our language, and the verdict on one run of it.

The network delay is a tier of its own on either side of the server: ample slots and exponential work of 0.1 s. It knows
no expected values.
"""

from typing import Any

import numpy as np
from scenarios import at, fixed, service, several, users

from sim.oracles.network_model import run_requests
from sim.scenario.schema import Call, Effect, Fault, Model, Repair, Scenario
from sim.world.trial import Trial

START_S, END_S, LAST_S = 20.0, 80.0, 20.0
"""The peak begins at START_S; a run has collapsed if less than half of the requests of its last LAST_S are good."""


def brooker(width_s: float, *, noise: str = "always", contention: float = 0.01, **client: Any) -> Scenario:
    """40 requests/s, 80/s for `width_s`; 3 s to wait, 3 attempts at once one after the other."""
    ample: dict[str, Any] = {"slots": 100_000, "queue": 0}
    wait = Call(timeout=1e6)
    services = {
        "front": service(work=0.1, calls={"server": wait, "back": wait}, **ample),
        "server": service(work=1.0, work_spread=0.0, contention=contention, **ample),
        "back": service(work=0.1, **ample),
    }
    clients = {"requests": 40.0, "journey": "front", "deadline": 3.0, "attempts": 3, "backoff": 0.0, **client}
    peak = Fault(target="population u", at=at(START_S), effect=Effect(demand=2.0), repair=Repair(law=fixed(width_s)))
    return several(
        services,
        dict.fromkeys(services, 1),
        END_S,
        populations={"u": users(**clients)},
        faults={"peak": peak},
        model=Model(noise=noise),  # type: ignore[arg-type]
    )


def request_model_collapses(scenario: Scenario, seed: int) -> bool:
    """One run of the request-level model."""
    run = run_requests(scenario, rng=np.random.default_rng([20260102, seed]), settle_s=12.0)
    last = int((END_S - LAST_S) // 10)
    return bool(run.bin_good["u"][last:].sum() < 0.5 * run.bin_offered["u"][last:].sum())


def engine_collapses(scenario: Scenario, trial: int) -> bool:
    """One trial of the engine; what the scenario's model says about noise decides how it plays requests."""
    played = Trial(scenario, "a", trial)
    before: list[tuple[float, ...]] = []
    played.context.after(END_S - LAST_S, lambda: before.append(played.traffic.totals(0)))
    offered, good, *_ = played.run().totals[0]
    return bool(good - before[0][1] < 0.5 * (offered - before[0][0]))
