"""How this layer compiles (`sim.compilation`): only what passes over faults; everything that is played out is SimPy."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from sim.compilation import Compiler
from sim.randomness import philox as generator
from sim.traffic import layout

_SOURCES: Final = ("compiled.py", *(f"quiet_{name}.py" for name in ("arrays", "draws", "fleet", "kills", "loop")))
_LEVELS: Final = find_spec("sim.traffic.levels")
"""Not imported for its place: it needs the whole data plane, and who only draws times does not."""
assert _LEVELS is not None
_OTHERS: Final = (generator.__file__, layout.__file__, _LEVELS.origin)
_COMPILER: Final = Compiler(
    "world",
    (
        *(Path(__file__).with_name(name) for name in _SOURCES),
        *(Path(str(file)) for file in _OTHERS),
    ),
)
compiled, inner = _COMPILER.compiled, _COMPILER.inner

philox = inner(generator.philox)
to_unit = inner(generator.to_unit)
