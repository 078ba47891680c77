"""How this layer compiles (`sim.compilation`), and the generator as compiled functions."""

from pathlib import Path
from typing import Any, Final

import numpy as np

from sim.compilation import Compiler
from sim.randomness import philox as generator

_COMPILER: Final = Compiler("reliability", (*sorted(Path(__file__).parent.glob("*.py")), Path(generator.__file__)))
compiled, inner = _COMPILER.compiled, _COMPILER.inner

philox = compiled(generator.philox)
to_unit = compiled(generator.to_unit)
LOW: Final = np.uint64(0xFFFFFFFF)
HALF: Final = np.uint64(32)


@compiled
def uniform_pair(key: Any, trial: Any, index: int) -> tuple[float, float]:
    """Return the two numbers of `sim.randomness.uniforms` for one key (uint64), trial (uint64) and index."""
    place = np.uint64(index)
    words = philox((place & LOW, place >> HALF, trial & LOW, trial >> HALF), key & LOW, key >> HALF)
    return to_unit(words[0], words[1]), to_unit(words[2], words[3])
