"""The client of a PACS by its address; the packages of a protocol are imported when one speaks it."""

from __future__ import annotations

from MeWMLib.exchange.address import DICOMWEB, PacsAddress
from MeWMLib.exchange.dicomweb import DicomWeb
from MeWMLib.exchange.dimse import Dimse
from MeWMLib.exchange.pacs import Pacs


def connect(address: PacsAddress) -> Pacs:
    """The client of an address; nothing is asked before a method is called.

    Raises:
        DependencyError: the packages of the extra `pacs` are not installed.
        PacsRefusedError: credentials that cannot be used.
    """
    return DicomWeb(address) if address.kind == DICOMWEB else Dimse(address)
