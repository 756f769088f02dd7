"""What is refused before a request is understood: too many connections, headers and bodies that do not end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.h11_impl import H11Protocol

from MeWMLib.core.errors import InputError, ServerSlowError
from MeWMLib.jobs.server_limits import Limits
from MeWMLib.jobs.server_notes import Notes

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n"


class Doorway(socket.socket):
    """A listening socket that keeps an eye on who has come in and has not shaken hands yet.

    Before TLS is agreed upon nothing of ours hears of a connection: whoever opens many and stays silent would have each
    of them for a minute, and nobody else could come in.

    Args:
        listening: the socket, whose place this one takes.
        limits, notes: of the server.
    """

    def __init__(self, listening: socket.socket, limits: Limits, notes: Notes) -> None:
        super().__init__(fileno=listening.detach())
        self._limits, self._notes = limits, notes
        self._silent: dict[tuple[str, int], _Guest] = {}
        self._count: Counter[str] = Counter()

    def accept(self) -> tuple[socket.socket, Any]:
        """As `socket.accept`.

        Raises:
            ConnectionAbortedError: too many of this address, or of all, have not shaken hands yet.
        """
        made, address = super().accept()
        guest = _Guest(fileno=made.detach())
        who, limits = (address[0], address[1]), self._limits
        if self._count[who[0]] >= limits.connections_per_address or len(self._silent) >= limits.connections:
            self._notes.count("mewm_requests_refused_total", reason="connections")
            guest.close()
            raise ConnectionAbortedError
        guest.leave = lambda: self.heard(who)
        self._silent[who] = guest
        self._count[who[0]] += 1
        asyncio.get_running_loop().call_later(limits.header_s, self._late, who, guest)
        return guest, address

    def heard(self, who: tuple[str, int]) -> None:
        """A connection has shaken hands, or is over."""
        if self._silent.pop(who, None) is not None:
            self._count[who[0]] -= 1
            if not self._count[who[0]]:
                del self._count[who[0]]

    def _late(self, who: tuple[str, int], guest: _Guest) -> None:
        if self._silent.get(who) is guest:
            self._notes.count("mewm_requests_refused_total", reason="header")
            with contextlib.suppress(OSError):
                guest.shutdown(socket.SHUT_RDWR)


class _Guest(socket.socket):
    """One connection; it says when it is over."""

    leave: Callable[[], None] = staticmethod(lambda: None)

    def close(self) -> None:
        self.leave()
        super().close()


def guarded(limits: Limits, notes: Notes, door: Doorway | None = None) -> type[H11Protocol]:
    """The protocol of a server: it counts the connections of an address, and ends those without a header in time."""
    count: dict[str, int] = {}

    class Guarded(H11Protocol):
        _late: asyncio.TimerHandle | None = None
        _address = ""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            address = self.client[0] if self.client else "?"
            if door is not None and self.client:
                door.heard(self.client)
            if count.get(address, 0) >= limits.connections_per_address or sum(count.values()) >= limits.connections:
                notes.count("mewm_requests_refused_total", reason="connections")
                transport.write(_BUSY)
                transport.close()
                return
            self._address = address
            count[address] = count.get(address, 0) + 1
            self._await_header()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            if self._address:
                left = count.get(self._address, 1) - 1
                if left:
                    count[self._address] = left
                else:
                    count.pop(self._address, None)
            super().connection_lost(exc)

        def handle_events(self) -> None:
            former = self.cycle
            super().handle_events()
            if self.cycle is not former:
                self._stop_waiting()

        def on_response_complete(self) -> None:
            # what follows, be it the next header or the rest of a body that nobody reads, has the same deadline
            self._await_header()
            super().on_response_complete()

        def _await_header(self) -> None:
            self._stop_waiting()
            self._late = self.loop.call_later(limits.header_s, self._too_late)

        def _stop_waiting(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _too_late(self) -> None:
            if not self.transport.is_closing():
                notes.count("mewm_requests_refused_total", reason="header")
                self.transport.abort()

    return Guarded


class BodyReader:
    """The body of a request, piece by piece, with deadlines.

    Args:
        request: whose body it is.
        limits: see `Limits`.
    """

    def __init__(self, request: Request, limits: Limits) -> None:
        self._chunks: AsyncIterator[bytes] = request.stream()
        self._limits = limits
        self._until = asyncio.get_running_loop().time() + limits.body_s
        self._pending = b""

    async def piece(self, most: int) -> bytes:
        """The next bytes; b"" at the end.

        Raises:
            ServerSlowError: nothing came in time, or the whole takes too long.
            InputError: the client went away.
        """
        if not self._pending:
            self._pending = await self._next()
        now, self._pending = self._pending[:most], self._pending[most:]
        return now

    async def _next(self) -> bytes:
        left = self._until - asyncio.get_running_loop().time()
        try:
            return await asyncio.wait_for(anext(self._chunks, b""), max(0.0, min(left, self._limits.quiet_s)))
        except asyncio.TimeoutError as error:
            raise ServerSlowError(
                what="The request did not come in time",
                given=f"nothing for {self._limits.quiet_s:g} s"
                if left > 0
                else f"not whole in {self._limits.body_s:g} s",
                remedy="Try again over a better line: an upload goes on where it stopped",
            ) from error
        except ClientDisconnect as error:
            raise InputError(what="The client went away while it sent a request") from error

    async def line(self, most: int) -> bytes:
        """The first line, without its end.

        Raises:
            InputError: it is longer than `most` bytes, or has no end.
        """
        while b"\n" not in self._pending:
            if len(self._pending) > most:
                raise InputError(what="The header of the upload is too long")
            chunk = await self._next()
            if not chunk:
                raise InputError(what="The upload stopped in the middle of its header")
            self._pending += chunk
        head, _, self._pending = self._pending.partition(b"\n")
        return head

    async def whole(self, most: int) -> bytes:
        """Everything.

        Raises:
            InputError: more than `most` bytes.
        """
        found = b""
        while piece := await self.piece(1 << 16):
            found += piece
            if len(found) > most:
                raise InputError(what="The request is too long", given=f"at most {most} bytes are taken")
        return found

    async def drain(self, most: int) -> None:
        """Read the rest and forget it: a client that is still sending would see a broken pipe, not the answer."""
        seen = 0
        try:
            while (piece := await self.piece(1 << 20)) and seen <= most:
                seen += len(piece)
        except (InputError, ServerSlowError):
            return
