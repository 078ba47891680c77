"""What one pod of a service is given: its slots, its queue, its share of the load, its memory with the queue full.

Load shedding is stated for all pods of a region together and leaves each of them less than the service has, so whoever
needs the slots or the queue of a pod asks here, never the service itself.
"""

import math

from sim.scenario.schema import PodMemory, Scenario, Service


def pod_bounds(service: Service, placed: int, shed_above: float | None) -> tuple[int, int]:
    """(slots, queue bound) of one pod; load shedding over `placed` pods may leave less than the service has."""
    if shed_above is None:
        return service.slots, service.queue
    room = max(1, int(shed_above // max(placed, 1)))
    return min(service.slots, room), max(0, min(service.slots + service.queue, room) - service.slots)


def pod_slots(service: Service, placed: int) -> int:
    """Slots of one pod of `placed`, with the service's own load shedding."""
    return pod_bounds(service, placed, service.shed_above)[0]


def pod_room(service: Service, placed: int) -> int:
    """Most requests inside one pod of `placed`, executed and waiting, with the service's own load shedding."""
    return sum(pod_bounds(service, placed, service.shed_above))


def full_pod_mib(service: Service, placed: int) -> float:
    """Memory of a pod of `placed` with its queue full; 0 for a service without memory. At its limit a pod is killed."""
    memory = service.memory
    return 0.0 if memory is None else memory.base + pod_room(service, placed) * memory.per_request


def overflows(service: Service, placed: int) -> bool:
    """Whether a full queue takes a pod of `placed` to its memory limit."""
    return service.memory is not None and full_pod_mib(service, placed) >= service.memory.limit


def most_inside(memory: PodMemory) -> int:
    """Most requests inside with which a pod stays below its limit; `per_request` must be above 0."""
    return math.ceil((memory.limit - memory.base) / memory.per_request) - 1


def fewest_placed(scenario: Scenario, name: str) -> int:
    """Pods of a service in the region that has the fewest of it, where shedding leaves each pod the most room; 1 if it
    is placed nowhere.
    """
    return min((n for pods in scenario.place.values() if (n := pods.get(name, 0))), default=1)


def load_shares(service: Service, placed: int, slots: int) -> list[float]:
    """Relative load of each pod slot.

    Without `load_shares` the placed pods are spread evenly over 1 - imbalance .. 1 + imbalance: equal pods
    would reach their limits at the same instant, which no real pods do. Added pods take the mean.
    """
    if service.load_shares is not None:
        given = list(service.load_shares)
        return [given[k % len(given)] if k < placed else 1.0 for k in range(slots)]
    if placed == 1:
        return [1.0] * slots
    return [1.0 + service.imbalance * (2.0 * k / (placed - 1) - 1.0) if k < placed else 1.0 for k in range(slots)]


def hottest_share(service: Service, placed: int) -> float:
    """Load of the most loaded of `placed` pods over the mean."""
    shares = load_shares(service, placed, placed)
    return max(shares) * placed / sum(shares)
