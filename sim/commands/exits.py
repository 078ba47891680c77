"""Exit codes and messages on stderr, shared by all commands."""

import sys

EXIT_GATE_FAILED = 1
EXIT_USAGE = 2
EXIT_RUN_ERROR = 3
EXIT_INTERRUPTED = 130


def print_error(text: str) -> None:
    """One message on stderr."""
    sys.stderr.write(f"{text}\n")
