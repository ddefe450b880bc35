"""`python -m api`: the outer of the API's two processes. `api.serving` is the inner one, and all that the API does."""

import sys

from api.keeper import Keeper, parse_held, python_flags
from flotilla.hardening import harden

if __name__ == "__main__":
    harden()
    inner = [sys.executable, *python_flags(), "-m", "api.serving"]
    sys.exit(Keeper(inner, parse_held(sys.argv[1:])).run())
