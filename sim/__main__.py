"""`python -m sim` is `regionfall`."""

from sim.cli import main

if __name__ == "__main__":
    main()
