"""Nodes and zones: where pods run, and what room is left.

Pods are packed by their memory limits and spread over zones, as a scheduler with a topology-spread rule
does. It knows nothing of time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from sim.scenario.schema import Scenario


@dataclass
class Node:
    """One machine."""

    name: str
    region: str
    zone: int
    memory_mib: float
    used_mib: float = 0.0
    n_returns: int = 0
    holds: set[str] = field(default_factory=set)
    """Faults that keep it down."""

    @property
    def is_up(self) -> bool:
        """Whether pods can run here."""
        return not self.holds

    @cached_property
    def zone_name(self) -> str:
        """`region/zone-N`, N from 1."""
        return zone_name(self.region, self.zone)


def zone_name(region: str, zone: int) -> str:
    """Name of a zone; `zone` counts from 0, its name from 1."""
    return f"{region}/zone-{zone + 1}"


def node_name(region: str, index: int) -> str:
    """Name of a node; `index` counts from 0, its name from 1."""
    return f"{region}/node-{index + 1}"


class Topology:
    """All nodes of the regions that an architecture uses."""

    def __init__(self, scenario: Scenario) -> None:
        self.nodes: dict[str, list[Node]] = {}
        self._scenario = scenario
        for region in scenario.place:
            self.nodes[region] = []
            for _ in range(scenario.regions[region].nodes.count):
                self.add_node(region)

    def all_nodes(self) -> list[Node]:
        """Nodes of all regions, region by region; first those that were there at the start, which keep their places."""
        counts = {region: self._scenario.regions[region].nodes.count for region in self.nodes}
        first = [node for region, present in self.nodes.items() for node in present[: counts[region]]]
        return first + [node for region, present in self.nodes.items() for node in present[counts[region] :]]

    @property
    def n_nodes(self) -> int:
        """Nodes of all regions."""
        return sum(map(len, self.nodes.values()))

    def add_node(self, region: str) -> Node:
        """One more node, in the zone that has the fewest."""
        spec = self._scenario.regions[region]
        present = self.nodes[region]
        zone = len(present) % spec.zones  # they are filled in turn, and no node ever goes
        node = Node(node_name(region, len(present)), region, zone, spec.nodes.memory)
        present.append(node)
        return node

    def may_add_node(self, region: str) -> bool:
        """Whether the region's quota and the scenario allow one more node."""
        nodes = self._scenario.regions[region].nodes
        return nodes.provision is not None and (nodes.quota is None or len(self.nodes[region]) < nodes.quota)

    def find_room(self, region: str, memory_mib: float, siblings: Iterable[Node]) -> Node | None:
        """Node for a pod of `memory_mib`, or None: the zone with the fewest siblings, then the fullest node.

        Parameters
        ----------
        region : str
            Where.
        memory_mib : float
            Its limit.
        siblings : iterable of Node
            Nodes of the other pods of the same service and region; not looked at if there is no room anywhere.
        """
        fits = [n for n in self.nodes[region] if not n.holds and n.memory_mib - n.used_mib >= memory_mib]
        if not fits:
            return None
        in_zone: dict[int, int] = {}
        on_node: dict[str, int] = {}
        for node in siblings:
            in_zone[node.zone] = in_zone.get(node.zone, 0) + 1
            on_node[node.name] = on_node.get(node.name, 0) + 1
        return min(
            fits,
            key=lambda n: (in_zone.get(n.zone, 0), on_node.get(n.name, 0), n.memory_mib - n.used_mib, n.name),
        )
