"""`--server`: the user's consent, the token, and the runner that speaks to the server."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from MeWMLib.cli.output import Output
from MeWMLib.core.errors import ConsentError
from MeWMLib.core.terminal import agreed
from MeWMLib.jobs import server_token
from MeWMLib.jobs.runner import Runner
from MeWMLib.jobs.wire import Address


def maker(arguments: argparse.Namespace, output: Output) -> Callable[[], Runner] | None:
    """What makes the runner of a command, or None for this computer.

    Raises:
        InputError: not an address.
        ConsentError: nobody agreed that images are sent.
    """
    if not arguments.server:
        return None
    from MeWMLib.jobs.remote import RemoteRunner
    from MeWMLib.jobs.remote_http import ServerClient

    address = Address.parse(arguments.server)
    if not arguments.yes_send_images:
        _ask(address, output)
    client = ServerClient(address, lambda: server_token.find(address.url, arguments.token_file))
    return lambda: RemoteRunner(client)


def _ask(address: Address, output: Output) -> None:
    output.notice(
        f"The voxels and the grid of the CT, the labels, the goal, the clinical data and the settings will be sent to "
        f"{address.url}. No name, no id, no date and no path is sent."
    )
    if address.is_open:
        output.notice("The connection is NOT encrypted: anyone in between can read it.")
    if not agreed("Send them?"):
        raise ConsentError(
            what="You have not agreed that images are sent to the server; nothing was sent",
            given=address.url,
            remedy="Agree with --yes-send-images, or leave --server out to compute here",
        )
