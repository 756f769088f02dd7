"""A port of this computer to which a PACS sends what was asked for by C-MOVE; it is open only while we wait for it."""
# mypy: allow-untyped-calls

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from MeWMLib.core.errors import PacsError
from MeWMLib.exchange.address import PacsAddress

#: Status that answers an object we did not ask for: not authorised.
_NOT_ASKED = 0x0124


@contextlib.contextmanager
def receiving(
    address: PacsAddress, classes: Sequence[str], syntaxes: Sequence[str], wanted: Collection[str]
) -> Iterator[list[Any]]:
    """Take objects on the port of an address.

    Args:
        address: with our title and port. Only a PACS on this computer is answered on loopback alone.
        classes, syntaxes: that are taken.
        wanted: SOPInstanceUIDs; others are refused, since anyone who reaches the port could send something.

    Returns:
        A list that fills with datasets.

    Raises:
        PacsError: the port cannot be opened.
    """
    import pynetdicom

    received: list[Any] = []

    def keep(event: Any) -> int:
        if event.request.AffectedSOPInstanceUID not in wanted:
            return _NOT_ASKED
        data = event.dataset
        data.file_meta = event.file_meta
        received.append(data)
        return 0x0000

    entity = pynetdicom.AE(ae_title=address.our_title)
    entity.require_called_aet = True
    entity.maximum_pdu_size = 0
    for name in classes:
        entity.add_supported_context(name, list(syntaxes))
    try:
        server: Any = entity.start_server(
            ("127.0.0.1" if address.is_here else "", address.move_port),
            block=False,
            evt_handlers=[(pynetdicom.evt.EVT_C_STORE, keep)],
        )
    except OSError as error:
        raise PacsError(
            what="The port to which the PACS should send cannot be opened",
            given=f"port {address.move_port} ({error.strerror})",
            remedy="End what uses it, or have another one entered in the PACS and name it with &move=",
        ) from error
    try:
        yield received
    finally:
        server.shutdown()
