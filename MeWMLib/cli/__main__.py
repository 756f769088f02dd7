"""`python -m MeWMLib.cli` is `mewm`."""

import sys

from MeWMLib.cli import main

if __name__ == "__main__":
    sys.exit(main())
