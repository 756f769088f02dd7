"""Chat endpoints: which there are, how they are asked, and where their keys are. A key is never stored by MeWM."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from MeWMLib.core.errors import EndpointError, EndpointKeyError
from MeWMLib.core.folders import data_folder
from MeWMLib.core.keyring_entries import from_keyring
from MeWMLib.core.records import from_plain, read_json

#: Endpoints that the user added or changed, in the user's data folder.
ENDPOINTS_FILE = "endpoints.json"
#: Who sees to it that an answer follows its schema: the server, the server for being JSON only, or the prompt alone.
STRUCTURED = ("json_schema", "json_object", "prompt")
KEYRING_SERVICE = "mewm-endpoint"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_RANGES = {
    "timeout_s": (0.1, 3600.0),
    "max_tokens": (16, 100_000),
    "requests_per_minute": (0.1, 6000.0),
    "temperature": (0.0, 2.0),
    "price_in": (0.0, 1e4),
    "price_out": (0.0, 1e4),
    "retries": (0, 10),
}


@dataclass(frozen=True)
class Endpoint:
    """One OpenAI-compatible chat endpoint.

    Attributes:
        name: what the user calls it.
        url: base address, without /chat/completions.
        model: name of the model there.
        images: it accepts pictures.
        structured: one of `STRUCTURED`.
        key_variable: environment variable that holds the key; "" where none is needed.
        timeout_s: for one whole request.
        max_tokens: of one answer.
        requests_per_minute: further requests wait.
        temperature: of sampling.
        price_in, price_out: of a million tokens, in `currency`; 0 means not known.
        currency: of the prices.
        retries: how often a busy or broken endpoint is asked again.
        reasons: ask for a sentence about each agent; very small models do better without.
    """

    name: str
    url: str
    model: str
    images: bool = False
    structured: str = "json_schema"
    key_variable: str = ""
    timeout_s: float = 120.0
    max_tokens: int = 1200
    requests_per_minute: float = 30.0
    temperature: float = 0.0
    price_in: float = 0.0
    price_out: float = 0.0
    currency: str = "USD"
    retries: int = 3
    reasons: bool = True

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", self.name):
            raise EndpointError(
                what="This is not a name for an endpoint", given=repr(self.name), remedy="Use a-z, 0-9, dot, hyphen"
            )
        try:
            parts = urlsplit(self.url)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
            # a key in an address would end up in logs
            good = good and parts.username is None and parts.password is None
        except (ValueError, AttributeError):
            good = False
        if not good:
            raise EndpointError(
                what=f"The address of the endpoint {self.name} cannot be used",
                given=re.sub(r"//[^/@]*@", "//...@", str(self.url)),
                remedy="Write it as https://host/v1, without a key in it",
            )
        if urlsplit(self.url).scheme == "http" and not self.is_loopback:
            raise EndpointError(
                what=f"The endpoint {self.name} is not encrypted",
                given=self.url,
                remedy="Use https, or an endpoint on this computer",
            )
        if self.structured not in STRUCTURED:
            raise EndpointError(
                what=f"structured of the endpoint {self.name} is not known",
                given=repr(self.structured),
                remedy="Use " + ", ".join(STRUCTURED),
            )
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise EndpointError(
                    what=f"{name} of the endpoint {self.name} is not possible",
                    given=repr(value),
                    remedy=f"Give a number from {low:g} to {high:g}",
                )

    @property
    def is_loopback(self) -> bool:
        """True if it runs on this computer."""
        return urlsplit(self.url).hostname in _LOOPBACK

    @property
    def host(self) -> str:
        """Host and port, for messages."""
        return urlsplit(self.url).netloc

    @property
    def identity(self) -> str:
        """What a consent is given to: address and model. Another model is another recipient."""
        return f"{self.url.rstrip('/')} {self.model}"

    def key(self) -> str | None:
        """The key: from the environment, else the system's keyring; None where none is needed.

        Raises:
            EndpointKeyError: one is needed and there is none, or it holds characters that a header cannot carry.
        """
        found = os.environ.get(self.key_variable, "") if self.key_variable else ""
        found = (found or from_keyring(KEYRING_SERVICE, self.name)).strip()
        if found and not (found.isascii() and found.isprintable() and " " not in found):
            raise EndpointKeyError(
                what=f"The key of the endpoint {self.name} holds characters that cannot be sent",
                given=f"{len(found)} characters",
                remedy=f"Copy it again into {self.key_variable or 'the keyring'}",
            )
        if not found and self.key_variable:
            raise EndpointKeyError(
                what=f"There is no key for the endpoint {self.name}",
                given=f"{self.key_variable} is not set",
                remedy=f"Set {self.key_variable}, or store it in the keyring under {KEYRING_SERVICE} and {self.name}",
            )
        return found or None


def known_endpoints() -> dict[str, Endpoint]:
    """The ready configurations and the user's own by name; of two with one name, the user's counts.

    Raises:
        EndpointError: the user's file cannot be read.
    """
    own = data_folder() / ENDPOINTS_FILE
    return {**_presets(), **(_read(own) if own.exists() else {})}


def find_endpoint(name: str) -> Endpoint:
    """The endpoint of this name.

    Raises:
        EndpointError: there is none.
    """
    known = known_endpoints()
    if name not in known:
        raise EndpointError(
            what="There is no such endpoint",
            given=name,
            remedy=f"Known: {', '.join(known)}; add your own to {data_folder() / ENDPOINTS_FILE}",
        )
    return known[name]


@cache
def _presets() -> dict[str, Endpoint]:
    return _read(Path(__file__).with_name("presets.json"))


def _read(path: Path) -> dict[str, Endpoint]:
    remedy = "Correct the file, or remove it to have only the ready configurations"
    entries = read_json(path, "The file of endpoints", EndpointError, remedy, {"endpoints": list})["endpoints"]
    found = [
        from_plain(Endpoint, entry, f"endpoint {n} in {path.name}", EndpointError, remedy)
        for n, entry in enumerate(entries, start=1)
    ]
    return {endpoint.name: endpoint for endpoint in found}
