"""Random numbers as pure functions of what they are for: `draws` one by one by name, `philox` in bulk by key."""

from sim.randomness.draws import Draws, uniform
from sim.randomness.philox import key_of, uniforms

__all__ = ["Draws", "key_of", "uniform", "uniforms"]
