"""What the user writes: the scenario language, its checks, and the experiment loaded from it."""

from typing import Any


def json_schema() -> dict[str, Any]:
    """JSON Schema of the scenario file; see `sim.scenario.jsonschema`."""
    from sim.scenario.jsonschema import scenario_schema  # the models take a while to import

    return scenario_schema()
