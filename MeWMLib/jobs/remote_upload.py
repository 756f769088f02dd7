"""Send the files of a job in pieces, so that a connection that breaks costs one piece and not the whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from MeWMLib.core.errors import ServerError, UploadOffsetError
from MeWMLib.jobs.remote_http import Sent, ServerClient
from MeWMLib.jobs.wire import MAX_CHUNK_BYTES, FileEntry

#: The first piece (bytes); the next ones grow as long as each takes less than so many seconds.
_FIRST, _WANTED_S = 1 << 18, 1.0


class Rate:
    """How fast bytes go over a line.

    Args:
        total: how many there are.
    """

    def __init__(self, total: int) -> None:
        self._total = max(1, total)
        self._begun, self._first = time.monotonic(), -1

    def tell(self, done: int) -> tuple[float, float | None, str]:
        """The share that is done, the seconds left where they can be told, and both for people."""
        if self._first < 0:
            # what was there before this connection took no time of it
            self._begun, self._first = time.monotonic(), done
        seconds, moved = time.monotonic() - self._begun, done - self._first
        share = min(1.0, done / self._total)
        if seconds < 0.2 or moved <= 0:
            return share, None, f"{self._total / 1024**2:.1f} MB"
        rate = moved / seconds
        return share, (self._total - done) / rate, f"{self._total / 1024**2:.1f} MB at {rate / 1024**2:.1f} MB/s"


def send_files(
    client: ServerClient, sent: Sent, files: tuple[tuple[FileEntry, Path], ...], on_sent: Callable[[int], None]
) -> None:
    """Send what the server does not have yet.

    Args:
        client: of the server.
        sent: the job and what the server has of it.
        files: entry and local path of each.
        on_sent: told how many bytes of all files are there; an error from it ends the upload.

    Raises:
        ServerError: the connection broke, or the server refuses a piece; ask it what it has and call again.
    """
    done = dict(sent.files)
    most = _FIRST
    for entry, path in files:
        offset = done.get(entry.name, 0)
        with path.open("rb") as stream:
            while offset < entry.bytes:
                on_sent(sum(done.values()))
                stream.seek(offset)
                piece, begun = stream.read(most), time.monotonic()
                try:
                    end = client.send(sent.id, entry.name, offset, piece)
                except UploadOffsetError:
                    # an answer was lost, not the piece
                    end = client.offsets(sent.id).files.get(entry.name, 0)
                if end == offset:
                    raise ServerError(
                        what="The server takes no more of a file", given=f"{entry.name}, at {offset} bytes"
                    )
                if time.monotonic() - begun < _WANTED_S:
                    most = min(2 * most, MAX_CHUNK_BYTES)
                offset = done[entry.name] = end
    on_sent(sum(done.values()))
