"""What each mend of the module would be without it, and the tests that must notice (see `reverts.py`)."""

from . import application, outdated, start

MENDS = (*start.MENDS, *outdated.MENDS, *application.MENDS)
