"""How a trial begins: all placed pods are ready, on nodes that were found for them once per design."""

from dataclasses import dataclass

from sim.traffic.layout import POD_OOM_LEVEL, Floats
from sim.world.context import Context
from sim.world.design import PerDesign
from sim.world.fleet import Fleet
from sim.world.pods import PodState
from sim.world.standby import Standby


@dataclass
class Start:
    """The fleet and its rows in the data plane at time 0."""

    states: tuple[PodState, ...]
    """A pod for which there is no room waits."""
    nodes: tuple[int, ...]
    """Place among all nodes of the node of each pod; -1: none."""
    leaks: tuple[float, ...]
    """MiB/s."""
    pods: Floats
    """(n_pods, N_POD_COLUMNS) rows of the data plane, of which the OOM levels are those of some trial."""
    state: Floats
    """(size,) state of the data plane."""


def begin_all(context: Context, fleet: Fleet, standby: Standby) -> None:
    """Begin with all placed pods that are not asleep with a standby."""
    known = _starts.of(context.scenario)
    if known and len(known[0].pods) == len(fleet.pods):
        _begin_as(known[0], context, fleet)
        return
    for pod in fleet.pods:
        if pod.placed and not standby.sleeps(pod.region):
            fleet.begin(pod, warm=True)
    nodes = {id(node): k for k, node in enumerate(fleet.topology.all_nodes())}
    known[:] = [
        Start(
            states=tuple(pod.state for pod in fleet.pods),
            nodes=tuple(-1 if pod.node is None else nodes[id(pod.node)] for pod in fleet.pods),
            leaks=tuple(pod.leak_rate for pod in fleet.pods),
            pods=context.traffic.net.pods.copy(),
            state=context.traffic.raw_state.copy(),
        )
    ]


def _begin_as(start: Start, context: Context, fleet: Fleet) -> None:
    """The same as `Fleet.begin` for each of them, and far faster."""
    nodes, net, rows = fleet.topology.all_nodes(), context.traffic.net, start.pods
    net.pods[:] = rows
    context.traffic.raw_state[:] = start.state
    levels = rows[:, POD_OOM_LEVEL].tolist()
    ready = PodState.READY
    for pod, state, place, leak in zip(fleet.pods, start.states, start.nodes, start.leaks, strict=True):
        pod.state = state
        if state is ready:
            node = pod.node = nodes[place]
            node.used_mib += pod.limit_mib
            pod.incarnation, pod.leak_rate = 1, leak
            levels[pod.row] = fleet.oom_level(pod, 1)
    net.pods[:, POD_OOM_LEVEL] = levels


_starts: PerDesign[list[Start]] = PerDesign(lambda _: [])
