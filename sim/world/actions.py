"""What the steps of a runbook do to the system. Who takes them, and when, is in `operations`."""

from collections.abc import Callable

import numpy as np

from sim.laws import law_of
from sim.scenario.schema import Step
from sim.traffic.assemble import pod_bounds
from sim.traffic.layout import EDGE_ATTEMPTS, GROUP_ATTEMPTS, POD_TABLE, Floats
from sim.traffic.tables import queue_table
from sim.world.context import Context, Steps
from sim.world.failover import Controller
from sim.world.faults import Faults
from sim.world.fleet import Fleet
from sim.world.log import Kind
from sim.world.pods import PodState
from sim.world.standby import Standby


class Actions:
    """Steps that people take.

    Every action is a SimPy process that ends when the step is done; `undo` holds what is taken back when the
    incident is closed (load shedding, disabled retries).
    """

    def __init__(
        self, context: Context, fleet: Fleet, faults: Faults, controllers: list[Controller], standby: Standby
    ) -> None:
        self._context = context
        self._fleet = fleet
        self._faults = faults
        self._controllers = controllers
        self._standby = standby
        self._n_provisioned = 0
        self._normal_tables: dict[int, Floats] = {}
        """By pool that was shed by hand: what it had before."""
        self.undo: list[Callable[[], None]] = []

    def perform(self, name: str, step: Step, regions: list[str]) -> Steps:
        """Take one step in some regions; `takes` is over already."""
        action = step.action or name
        services = [step.service] if step.service is not None else self.sick_services(regions)
        if action == "restart" or (action == "rollback" and step.roll is not None):
            yield from self._restart(services, regions, step.roll)
        elif action == "scale_out":
            yield from self._scale_out(services, regions, step)
        elif action == "raise_memory":
            yield from self._raise_memory(services, regions, step)
        elif action == "failover":
            self._fail_over(regions, step.to)
        elif action == "shed":
            self._shed(services, regions, step.in_flight or 1)
        elif action == "disable_retries":
            self._disable_retries()
        self._faults.fix(step.helps_against, f"ended by {name}")

    def sick_services(self, regions: list[str]) -> list[str]:
        """Services that fail although what they call works: where a person would look first."""
        traffic = self._context.traffic
        failing = {
            traffic.names.pools[i]
            for i in range(len(traffic.names.pools))
            if traffic.served(i) < self._context.scenario.objectives.cascade_below
            or self._fleet.n_ready(i) < self._fleet.n_expected(i) / 2
        }
        failing = {(region, service) for region, service in failing if region in regions}
        roots = [
            service
            for region, service in sorted(failing)
            if not any((region, callee) in failing for callee in self._context.scenario.services[service].calls)
        ]
        if roots:
            return list(dict.fromkeys(roots))
        return list(dict.fromkeys(p.journey for p in self._context.scenario.populations.values()))

    def close_incident(self) -> None:
        """Take back what was only meant for the time of the incident."""
        for action in reversed(self.undo):  # the last one remembers what the one before it had done
            action()
        self.undo.clear()

    # -- actions --------------------------------------------------------------------------------------

    def _pools(self, services: list[str], regions: list[str]) -> list[int]:
        names = self._context.traffic.names
        return [i for i, (region, service) in enumerate(names.pools) if region in regions and service in services]

    def _restart(self, services: list[str], regions: list[str], roll_s: float | None) -> Steps:
        for pool in self._pools(services, regions):
            for pod in self._fleet.of_pool(pool):
                if pod.state is PodState.ABSENT:
                    continue
                self._fleet.restart(pod, "restarted by hand")
                if roll_s is not None:
                    yield self._context.env.timeout(roll_s)

    def _scale_out(self, services: list[str], regions: list[str], step: Step) -> Steps:
        for pool in self._pools(services, regions):
            slots = [pod for pod in self._fleet.of_pool(pool) if pod.state is PodState.ABSENT and pod.for_people]
            for pod in slots[: step.pods or 0]:
                self._fleet.begin(pod, warm=False)
                if pod.state is PodState.WAITING and pod.node is None:
                    yield from self._provision_node(pod.region)
                    self._fleet.place_waiting(pod.region)
                self._context.record(
                    Kind.POD_ADDED,
                    "" if pod.node is not None else "no node has room for it",
                    region=pod.region,
                    service=pod.service,
                    pod=pod.name,
                )
                self._standby.count()
                if step.roll is not None:
                    yield self._context.env.timeout(step.roll)

    def _provision_node(self, region: str) -> Steps:
        topology = self._fleet.topology
        if not topology.may_add_node(region):
            return
        spec = self._context.scenario.regions[region].nodes.provision
        assert spec is not None
        self._n_provisioned += 1
        yield self._context.env.timeout(self._context.draw(law_of(spec), region, "provision", self._n_provisioned))
        if topology.may_add_node(region):
            node = topology.add_node(region)
            self._faults.keep_down(node)
            self._standby.count()
            self._context.record(Kind.NODE_READY, "provisioned", region=region, zone=node.zone_name, node=node.name)

    def _raise_memory(self, services: list[str], regions: list[str], step: Step) -> Steps:
        assert step.limit is not None
        for pool in self._pools(services, regions):
            for pod in self._fleet.of_pool(pool):
                if pod.limit_mib >= step.limit:
                    continue
                if pod.state is PodState.ABSENT:
                    pod.limit_mib = step.limit  # pods added later start with the new limit
                    continue
                if step.roll is not None:
                    yield self._context.env.timeout(step.roll)
                if not self._fleet.set_limit(pod, step.limit):
                    yield from self._provision_node(pod.region)
                    self._fleet.set_limit(pod, step.limit)
                    self._fleet.place_waiting(pod.region)

    def _fail_over(self, regions: list[str], to: str | None) -> None:
        for controller in self._controllers:
            for region in regions:
                controller.switch_by_hand(region, to)

    def _shed(self, services: list[str], regions: list[str], in_flight: int) -> None:
        context, traffic = self._context, self._context.traffic
        for pool in self._pools(services, regions):
            rows = traffic.pods_of[pool]
            service = self._fleet.services[pool]
            normal = self._normal_tables.setdefault(
                pool, traffic.net.tables[int(traffic.net.pods[rows.start, POD_TABLE])].copy()
            )  # all pods of a pool have the same one
            slots, queue = pod_bounds(service, traffic.names.placed[pool], float(in_flight))
            stationary = context.scenario.model.queues == "stationary"
            table = queue_table(slots, queue, stationary=stationary, work_spread=service.work_spread)
            traffic.set_tables(rows, table)

            def restore(rows: range = rows, normal: Floats = normal) -> None:
                # By the action, so that journals hear of it, waiting requests get the slots and nothing stays settled.
                traffic.set_tables(rows, normal)

            self.undo.append(restore)

    def _disable_retries(self) -> None:
        net = self._context.traffic.net
        edges, groups = net.edges[:, EDGE_ATTEMPTS].copy(), net.groups[:, GROUP_ATTEMPTS].copy()
        self._context.traffic.set_attempts(np.minimum(edges, 1.0), groups)

        def restore() -> None:
            self._context.traffic.set_attempts(edges, groups)

        self.undo.append(restore)
