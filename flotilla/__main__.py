"""`python -m flotilla`: the same as the command `flotilla`."""

import sys

from flotilla.cli import main

sys.exit(main())
