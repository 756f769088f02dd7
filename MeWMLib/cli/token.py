"""`mewm token`: named tokens of a server on this computer. A server that runs takes notice at once."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from MeWMLib.cli.output import Output
from MeWMLib.cli.serve import server_folder
from MeWMLib.core.errors import InputError, output_error
from MeWMLib.core.private_files import private
from MeWMLib.jobs.server_users import Tokens, User


def token(arguments: argparse.Namespace, output: Output) -> int:
    """Make, list or revoke."""
    tokens, name = Tokens(server_folder(arguments)), arguments.name
    if arguments.action == "list":
        return _list(tokens.all(), output)
    if not name:
        raise InputError(what=f"`mewm token {arguments.action}` needs a name", remedy="See `mewm token --help`")
    if arguments.action == "revoke":
        tokens.revoke(name)
        output.show({"revoked": name}, f"Revoked: {name}. The server refuses this token from now on.")
        return 0
    scopes = tuple(part.strip() for part in arguments.scopes.split(",") if part.strip())
    out = Path(arguments.out).expanduser() if arguments.out else None
    if out is not None and out.exists():
        raise InputError(what="A file is there already", given=str(out), remedy="Give another --out")
    made = tokens.create(name, arguments.days, scopes)
    if out is None:
        output.show({"name": name, "token": made}, f"The token of {name}, which is shown only this once:", made)
        return 0
    try:
        with private(out, "w") as stream:
            stream.write(made + "\n")
    except OSError as error:
        # nobody could read this token, so it must not stay valid
        tokens.revoke(name)
        raise output_error(error, out) from error
    output.show({"name": name, "file": str(out)}, f"The token of {name} is in {out}, which only you can read.")
    return 0


def _list(users: tuple[User, ...], output: Output) -> int:
    def day(seconds: float) -> str:
        return time.strftime("%Y-%m-%d", time.localtime(seconds)) if seconds else "never"

    told = [
        {"name": one.name, "created": one.created, "expires": one.expires, "scopes": list(one.scopes)} for one in users
    ]
    if output.json(told):
        return 0
    now = time.time()
    rows = [
        (
            one.name,
            day(one.created),
            day(one.expires) + (" (over)" if 0 < one.expires < now else ""),
            ", ".join(one.scopes),
        )
        for one in users
    ]
    output.rows("Tokens of the server", ("Name", "Made", "Expires", "For"), rows)
    if not rows:
        output.result("There is none. `mewm token create NAME` makes one.")
    return 0
