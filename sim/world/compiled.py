"""How this layer compiles (`sim.compilation`): only what passes over faults; everything that is played out is SimPy."""

from pathlib import Path
from typing import Final

from sim.compilation import Compiler
from sim.randomness import philox as generator
from sim.traffic import layout, levels

_SOURCES: Final = ("compiled.py", *(f"quiet_{name}.py" for name in ("arrays", "draws", "fleet", "kills", "loop")))
_OTHERS: Final = (generator, layout, levels)
_COMPILER: Final = Compiler(
    "world",
    (
        *(Path(__file__).with_name(name) for name in _SOURCES),
        *(Path(str(module.__file__)) for module in _OTHERS),
    ),
)
compiled, inner = _COMPILER.compiled, _COMPILER.inner

philox = inner(generator.philox)
to_unit = inner(generator.to_unit)
