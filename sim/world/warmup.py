"""Cold caches: a pod that has just started does its own work more slowly for a while."""

from sim.world.conditions import Conditions
from sim.world.context import Context
from sim.world.fleet import Fleet
from sim.world.pods import Pod, PodState

_COLD = "cold caches"


def cold_caches(context: Context, fleet: Fleet, conditions: Conditions) -> None:
    """Slow pods down after each start from now on; those that run at time 0 have been running before."""
    incarnations = [pod.incarnation for pod in fleet.pods]

    def changed(pod: Pod) -> None:
        cold = fleet.services[pod.pool].cold
        if cold is None or pod.state is not PodState.READY or pod.incarnation == incarnations[pod.row]:
            return
        incarnation = incarnations[pod.row] = pod.incarnation
        conditions.set_pod(pod.row, _COLD, slow=cold.slow, errors=None)

        def warm() -> None:
            if pod.incarnation == incarnation:
                conditions.clear_pod(pod.row, _COLD)

        context.after(cold.for_, warm)

    if any(service.cold is not None for service in fleet.services):
        fleet.followers.append(changed)
