"""What the app's server refuses and adds whatever is asked for: strange hosts and origins, and the page's policy.

A web page elsewhere can make a browser send requests to this computer, and with a name that it lets point here
(DNS rebinding) even read the answers. So the server answers only to its own address, and only to its own page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from MeWMLib.core.errors import InputError

#: What the page may do: its own scripts, styles and pictures, requests to its own server, and nothing else.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    # a CT does not belong into the cache of a browser
    "cache-control": "no-store",
}
_HOSTS = ("127.0.0.1", "localhost", "[::1]")


def refused(headers: Mapping[str, str], port: int, front: bool = False) -> str:
    """Why a request is not for this server's page; "" if it is.

    Args:
        headers: of the request, with names in small letters.
        port: at which the server listens.
        front: it asks for the page itself, which holds nothing: a browser may come to it from anywhere, such as from
            the file that `mewm app` gives it.
    """
    own = {f"{host}:{port}" for host in _HOSTS}
    host = headers.get("host", "")
    if host not in own:
        return f"Host {host[:80]!r}"
    origin = headers.get("origin", "")
    if origin and origin != f"http://{host}":
        return f"Origin {origin[:80]!r}"
    if front and headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document":
        return ""
    site = headers.get("sec-fetch-site", "same-origin")
    return "" if site in ("same-origin", "none") else f"Sec-Fetch-Site {site[:20]!r}"


class Guard:
    """Middleware (ASGI) that does both.

    Args:
        app: the application behind it.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        server = scope.get("server") or ("", 0)
        if wrong := refused(headers, server[1] or 0, scope["method"] == "GET" and scope["path"] == "/"):
            error = InputError(
                what="The request does not come from the page of this app",
                given=wrong,
                remedy="Open the address that `mewm app` has printed",
            )
            await _answer(send, 403, json.dumps({"error": error.to_json()}).encode())
            return

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *_RAW]}
            await send(message)

        await self._app(scope, receive, with_headers)


_RAW = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


async def _answer(send: Any, status: int, body: bytes) -> None:
    kind = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*kind, *_RAW]})
    await send({"type": "http.response.body", "body": body})
