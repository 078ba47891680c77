"""What one writes in an afternoon: a SimPy process per element, hourly steps in NumPy, no queues, no cascades.

The peer of `flagship.py`. It draws its own faults at the rates of the scenario, so its speed can be compared, and not
its answers.
"""

import numpy as np
import simpy

from sim.laws import law_of
from sim.scenario.schema import Scenario
from sim.traffic.demand import demand_curve
from sim.world.elements import elements_of
from sim.world.topology import Topology

HOUR_S = 3600.0


def naive_year(scenario: Scenario, seed: int) -> tuple[float, int]:
    """Requests lost by too little capacity, and faults, in one horizon."""
    env, random = simpy.Environment(), np.random.default_rng(seed)
    pools = [(r, s) for r, placed in scenario.place.items() for s in placed]
    pods = np.array([scenario.place[r][s] for r, s in pools], dtype=float)
    per_pod = np.array([scenario.services[s].slots / scenario.services[s].work for _, s in pools])
    down, slow, n_faults = np.zeros(len(pools)), np.ones(len(pools)), [0]

    def clock(every, repair, hits, factor):
        while True:
            yield env.timeout(every.from_uniform(random.random()))
            n_faults[0] += 1
            down[hits] += factor == 0.0
            slow[hits] *= factor or 1.0
            yield env.timeout(repair.from_uniform(random.random()) if repair is not None else 60.0)
            down[hits] -= factor == 0.0
            slow[hits] /= factor or 1.0

    topology = Topology(scenario)
    for fault in scenario.faults.values():
        for element in elements_of(fault.target, scenario, topology):
            hits = [i for i, (r, s) in enumerate(pools) if element.region in ("", r) and element.service in ("", s)]
            repair = law_of(fault.repair.law) if fault.repair.law is not None else None
            env.process(clock(law_of(fault.every), repair, np.array(hits), fault.effect.slow or 0.0))
    curves = [demand_curve(p, scenario.start, scenario.horizon) for p in scenario.populations.values()]
    demand = sum(curve[3:] for curve in curves)
    n_regions, lost = len(scenario.place), 0.0
    utilisation = np.zeros((len(demand), len(pools)))
    for hour in range(int(scenario.horizon / HOUR_S)):
        env.run(until=(hour + 1) * HOUR_S)
        capacity = np.maximum(pods - down, 0.0) * per_pod / slow
        offered = np.full(len(pools), demand[hour] / n_regions)
        utilisation[hour] = np.minimum(offered / np.maximum(capacity, 1e-9), 10.0)
        served = np.minimum(offered, capacity)
        lost += float(np.maximum(offered - served, 0.0).max()) * HOUR_S
    return lost, n_faults[0]
