"""The command `mewm`. It imports no deep-learning framework: heavy work runs in a worker process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

from MeWMLib.cli.arguments import parse
from MeWMLib.cli.output import Output
from MeWMLib.core.errors import CancelledError, MeWMError
from MeWMLib.core.limits import limit_of
from MeWMLib.jobs.table import load

__all__ = ["main"]


def main(argv: Sequence[str] | None = None, worker: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code.

    Args:
        argv: the arguments; by default those of this process.
        worker: command of the worker process, for tests.

    Returns:
        0 done, 2 bad input, 3 missing dependency, 130 cancelled, 1 crash.
    """
    for stream in (sys.stdout, sys.stderr):
        # a Windows console may be unable to encode what a file name or a table holds
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with contextlib.suppress(OSError, ValueError):
                reconfigure(encoding="utf-8", errors="replace")
    typed = list(sys.argv[1:] if argv is None else argv)
    arguments = parse(typed)
    output = Output(quiet=getattr(arguments, "quiet", False), as_json=getattr(arguments, "json", False))
    try:
        arguments.worker, arguments.typed = worker, typed
        with limit_of(getattr(arguments, "max_gib", None)):
            code: int = load(arguments.command)(arguments, output)
    except MeWMError as error:
        output.error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        output.error("Stopped.")
        return CancelledError.exit_code
    except BrokenPipeError:
        # `mewm ... | head`: the reader has seen enough
        sys.stderr.close()
        return 0
    return code
