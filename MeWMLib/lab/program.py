"""What the lab's programs share: parts and options in a table, bars, a result as JSON, errors in one sentence."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from MeWMLib.core.errors import MeWMError
from MeWMLib.core.terminal import bars

#: Told the name of a stage and its finished share; what follows ", " in the name is shown beside the bar.
Tell = Callable[[str, float], None]
#: Option to what `ArgumentParser.add_argument` takes.
Options = Mapping[str, Mapping[str, Any]]
#: What runs a part, its help, and its options.
Part = tuple[Callable[[argparse.Namespace, Tell], Any], str, Options]


def run_program(
    prog: str,
    about: str | None,
    parts: Mapping[str, Part],
    argv: list[str] | None = None,
    shared: Options | None = None,
    prepare: Callable[[argparse.Namespace], object] | None = None,
) -> int:
    """Run one part of a program; its result goes to standard output as JSON, unless it is empty.

    Args:
        prog, about: name and description of the program.
        parts: by the name that the user gives.
        argv: arguments; those of the process if left out.
        shared: options before the name of the part.
        prepare: called with the arguments before the part runs.

    Returns:
        The exit code, as `finish`.
    """
    parser = argparse.ArgumentParser(prog=prog, description=about)
    _add(parser, shared or {})
    names = parser.add_subparsers(dest="part", required=True)
    for name, (run, text, options) in parts.items():
        sub = names.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        _add(sub, options)
    args = parser.parse_args(argv)
    if prepare is not None:
        prepare(args)
    return finish(lambda tell: args.run(args, tell), getattr(args, "quiet", False))


def finish(work: Callable[[Tell], Any], quiet: bool = False) -> int:
    """Do the work of a program: bars and errors go to standard error, its result to standard output.

    Args:
        work: gives a text, or what is written as JSON; nothing is written of an empty result.
        quiet: no bars.

    Returns:
        The exit code: that of the error, 130 after Ctrl-C, else 0.
    """
    try:
        with bars(quiet) as shown:

            def tell(stage: str, fraction: float) -> None:
                name, _, text = stage.partition(", ")
                shown.step(name, 100 * fraction, 100, text)

            result = work(tell)
    except MeWMError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; what was finished is kept, and the same command goes on from there.\n")
        return 130
    if result:
        text = result if isinstance(result, str) else json.dumps(result, indent=1, ensure_ascii=False)
        sys.stdout.write(text + "\n")
    return 0


def _add(parser: argparse.ArgumentParser, options: Options) -> None:
    for name, settings in options.items():
        parser.add_argument(name, **settings)
