"""Run a study and read its answer: `python launch.py --experiment=NAME`."""

import sys
from pathlib import Path

from cnnjax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(__file__).parent / "experiments"))
