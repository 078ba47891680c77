"""The command line in a process for which the kernel refuses to store something.

`python refusing_disk.py HOW ARGUMENT...` runs `regionfall ARGUMENT...`. HOW is `limit=BYTES` (no file may grow beyond:
a real EFBIG), `rights` (no privileges, so that the permissions of folders hold for root too), or `none`.
"""

import ctypes
import os
import resource
import sys
from pathlib import Path

CAPABILITY_VERSION_3 = 0x20080522


def keep_to(how: str) -> None:
    """Take away from this process, for good, what `how` says."""
    if how.startswith("limit="):
        n_bytes = int(how.removeprefix("limit="))
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))  # Python ignores the signal and gets the error
    elif how == "rights":
        drop_privileges()
    elif how != "none":
        raise ValueError(how)


def drop_privileges() -> None:
    """Give up all capabilities: root is then held to the rights of a file like its owner."""
    if os.geteuid() != 0:
        return
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(header, none) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def main(how: str, arguments: list[str]) -> None:
    """Import and compile with all rights, then run with what is left."""
    import sim.study.elements
    import sim.study.recording
    from sim.cli import main as regionfall
    from sim.scenario.load import load_experiment

    sim.study.recording.FLUSH_INTERVAL_S = 0.0  # each task is stored at once
    if arguments[0] == "run":
        name, scenario = next(iter(load_experiment(Path(arguments[1])).scenarios.items()))
        sim.study.elements.measured_trials(scenario, name, range(1))  # compiled code is cached in other folders
    keep_to(how)
    sys.argv[1:] = arguments
    regionfall()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
