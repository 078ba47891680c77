"""Studies: experiments x architectures x trials, on any number of workers, stored so that nothing is lost.

`run_experiment` runs, `load_result` reads a finished run. Knows nothing of figures and of the command line.
"""

from sim.study.options import RunOptions
from sim.study.result import InterruptedRunError, RunResult
from sim.study.run import load_result, run_experiment

__all__ = ["InterruptedRunError", "RunOptions", "RunResult", "load_result", "run_experiment"]
