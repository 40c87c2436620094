"""Run a study and read its answer: `python launch.py --experiment=NAME`."""

import sys
from pathlib import Path

try:
    from cnnjax.cli.main import main
except ModuleNotFoundError as e:
    sys.exit(f"the package {e.name} is missing: run `pip install -e .` in {Path(__file__).parent}")

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(__file__).parent / "experiments"))
