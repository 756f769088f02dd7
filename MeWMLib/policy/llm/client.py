"""A client of OpenAI-compatible chat endpoints: bounded in time, size and tries, and careful with what it sends.

No redirect is followed (it would send the patient elsewhere), no cookie is kept, no netrc is read, and the key stands
in one header only. The time of a request is bounded as a whole: a server that sends one byte a second cannot hold the
caller.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.auth import AuthBase

from MeWMLib.core.errors import (
    EndpointAnswerError,
    EndpointBusyError,
    EndpointError,
    EndpointKeyError,
    EndpointTimeoutError,
    EndpointUnreachableError,
)
from MeWMLib.policy.llm import cache, privacy
from MeWMLib.policy.llm.answers import clean
from MeWMLib.policy.llm.endpoints import Endpoint

#: A chat answer of some agents is some kilobytes; more is not read.
MOST_BYTES = 1_000_000
#: First wait before another try, doubled each time; and the longest one, whatever Retry-After says.
FIRST_WAIT_S, MOST_WAIT_S = 1.0, 30.0
#: All tries of one question together may take so many times the time of one request.
MOST_TIMES = 3.0
_BUSY = (429, 503)
_BROKEN = (500, 502, 504)


@dataclass
class Usage:
    """Tokens, money and time, added up over requests."""

    requests: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    currency: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form; a cost of 0 without a currency means that no price is known."""
        return {**vars(self), "cost": round(self.cost, 6), "seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class Message:
    """One message: text, and pictures before it."""

    role: str
    text: str
    images: tuple[bytes, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The form of the chat protocol."""
        if not self.images:
            return {"role": self.role, "content": self.text}
        parts: list[dict[str, Any]] = []
        for png in self.images:
            data = base64.b64encode(privacy.require_clean_image(png)).decode()
            parts.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}})
        return {"role": self.role, "content": [*parts, {"type": "text", "text": self.text}]}


class _Bearer(AuthBase):
    """Puts the key into its header; with it in place, requests reads no netrc."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            r.headers["Authorization"] = f"Bearer {self._key}"
        return r


@dataclass
class ChatClient:
    """Asks one endpoint.

    Attributes:
        endpoint: who is asked.
        use_cache: take answers from former equal requests.
        sleep, clock: replaced in tests.
    """

    endpoint: Endpoint
    use_cache: bool = True
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    usage: Usage = field(default_factory=Usage)
    _next_start: float = field(default=0.0, repr=False)

    def body(self, messages: Sequence[Message], schema: dict[str, Any] | None, structured: str | None = None) -> bytes:
        """The exact bytes that `ask` sends.

        Args:
            messages: the conversation.
            schema: JSON schema of the answer.
            structured: another way to ask for it than the endpoint's own.
        """
        data: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": [m.to_json() for m in messages],
            "max_tokens": self.endpoint.max_tokens,
            "temperature": self.endpoint.temperature,
            "stream": False,
        }
        way = structured or self.endpoint.structured
        if schema is not None and way == "json_schema":
            named = {"name": "answer", "strict": True, "schema": schema}
            data["response_format"] = {"type": "json_schema", "json_schema": named}
        elif schema is not None and way == "json_object":
            data["response_format"] = {"type": "json_object"}
        return json.dumps(data, ensure_ascii=True, separators=(",", ":")).encode("ascii")

    def ask(self, messages: Sequence[Message], schema: dict[str, Any] | None, prompt: str) -> str:
        """Send the conversation and return what the model said.

        Args:
            messages: the conversation.
            schema: JSON schema of the answer.
            prompt: version of the template, part of the cache's key.

        Raises:
            EndpointConsentError: nobody agreed to this endpoint.
            EndpointKeyError: no key, or a refused one.
            EndpointTimeoutError, EndpointUnreachableError, EndpointBusyError: also after several tries.
            EndpointAnswerError: what came back is no chat answer.
            EndpointError: anything else that it refused.
        """
        privacy.require_consent(self.endpoint)
        body = self.body(messages, schema)
        key = cache.key_of(self.endpoint, body, prompt)
        known = cache.stored(key) if self.use_cache else None
        if known is not None:
            self.usage.cached += 1
            return str(known["content"])
        try:
            content, used = self._tries(body)
        except _NotUnderstood:
            # some gateways know no response_format: then the prompt alone must do
            content, used = self._tries(self.body(messages, None))
        if self.use_cache:
            cache.store(key, content, used)
        return content

    def _tries(self, body: bytes) -> tuple[str, dict[str, Any]]:
        secret = self.endpoint.key()
        end = self.clock() + MOST_TIMES * self.endpoint.timeout_s
        wait = FIRST_WAIT_S
        for left in reversed(range(self.endpoint.retries + 1)):
            self._hold_back(end)
            try:
                return self._once(body, secret)
            except (EndpointBusyError, EndpointUnreachableError) as error:
                asked = getattr(error, "retry_after", None)
                pause = min(MOST_WAIT_S, max(wait, asked or 0.0))
                if left == 0 or isinstance(error, EndpointTimeoutError) or self.clock() + pause >= end:
                    raise
                self.sleep(pause)
                wait *= 2
        raise AssertionError  # not reached: the last try returns or raises

    def _hold_back(self, end: float) -> None:
        pause = self._next_start - self.clock()
        if pause > 0:
            if self.clock() + pause >= end:
                raise EndpointBusyError(
                    what=f"The endpoint {self.endpoint.name} may not be asked so often",
                    given=f"{self.endpoint.requests_per_minute:g} requests a minute",
                    remedy="Wait, or raise requests_per_minute",
                )
            self.sleep(pause)
        self._next_start = max(self.clock(), self._next_start) + 60.0 / self.endpoint.requests_per_minute

    def _once(self, body: bytes, secret: str | None) -> tuple[str, dict[str, Any]]:
        start, outcome, used = self.clock(), "failed", dict[str, Any]()
        try:
            status, headers, data = _exchange(self.endpoint, body, secret)
            outcome = str(status)
            self._refuse(status, headers, data, secret, b'"response_format"' in body)
            content, used = _content(data, self.endpoint)
            self._count(used)
            return content, used
        except EndpointTimeoutError:
            outcome = "timeout"
            raise
        finally:
            self.usage.requests += 1
            self.usage.seconds += self.clock() - start
            privacy.audit(self.endpoint, body, outcome, self.clock() - start, used)

    def _count(self, used: dict[str, Any]) -> None:
        self.usage.prompt_tokens += used["prompt_tokens"]
        self.usage.completion_tokens += used["completion_tokens"]
        e = self.endpoint
        if e.price_in or e.price_out:
            self.usage.cost += (used["prompt_tokens"] * e.price_in + used["completion_tokens"] * e.price_out) / 1e6
            self.usage.currency = e.currency

    def _refuse(self, status: int, headers: Any, data: bytes, secret: str | None, structured: bool) -> None:
        if status == 200:
            return
        name = self.endpoint.name
        said = data[:2000].decode("utf-8", "replace")
        said = clean(said.replace(secret, " ") if secret else said, 160)
        given = f"HTTP {status}" + (f": {said}" if said else "")
        if status in (401, 403):
            remedy = f"Check {self.endpoint.key_variable or 'the key'} and what it may be used for"
            raise EndpointKeyError(what=f"The endpoint {name} does not take the key", given=given, remedy=remedy)
        if status in _BUSY:
            busy = EndpointBusyError(what=f"The endpoint {name} is busy", given=given, remedy="Try again later")
            busy.retry_after = _seconds(headers.get("Retry-After"))  # type: ignore[attr-defined]
            raise busy
        if status in _BROKEN:
            raise EndpointUnreachableError(what=f"The endpoint {name} is broken", given=given, remedy="Try again later")
        if status in (400, 422) and structured:
            raise _NotUnderstood(what=f"The endpoint {name} does not understand the request", given=given)
        if 300 <= status < 400:
            raise EndpointError(
                what=f"The endpoint {name} points to another address, which is not followed",
                given=f"HTTP {status}",
                remedy="Give the final address, so that you know who is asked",
            )
        if status == 404:
            raise EndpointError(
                what=f"The endpoint {name} is not there, or does not know the model",
                given=given,
                remedy=f"Check the address {self.endpoint.url} and the model {self.endpoint.model}",
            )
        raise EndpointError(what=f"The endpoint {name} refused the request", given=given, remedy="Check its settings")


class _NotUnderstood(EndpointError):
    """The endpoint does not understand response_format, or anything else of the request."""


def _exchange(endpoint: Endpoint, body: bytes, secret: str | None) -> tuple[int, Any, bytes]:
    """Send and receive on a thread, so that the whole is bounded whatever the other side does."""
    found: dict[str, Any] = {}
    given_up = threading.Event()
    worker = threading.Thread(target=_send, args=(endpoint, body, secret, found, given_up), daemon=True)
    worker.start()
    worker.join(endpoint.timeout_s)
    if worker.is_alive():
        given_up.set()
        raise _timeout(endpoint)
    if "error" in found:
        raise found["error"]
    return found["status"], found["headers"], found["data"]


def _send(
    endpoint: Endpoint, body: bytes, secret: str | None, found: dict[str, Any], given_up: threading.Event
) -> None:
    try:
        with requests.Session() as session:
            session.trust_env = not endpoint.is_loopback  # a proxy is for addresses outside
            session.cookies.clear()
            with session.post(
                f"{endpoint.url.rstrip('/')}/chat/completions",
                data=body,
                headers={"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "MeWM"},
                auth=_Bearer(secret),
                timeout=(min(20.0, endpoint.timeout_s), endpoint.timeout_s),
                allow_redirects=False,
                stream=True,
            ) as response:
                data = bytearray()
                for chunk in response.iter_content(4096):
                    data += chunk
                    if given_up.is_set():
                        return
                    if len(data) > MOST_BYTES:
                        raise EndpointAnswerError(
                            what=f"The endpoint {endpoint.name} answered too much", given=f"over {MOST_BYTES} bytes"
                        )
                found.update(status=response.status_code, headers=response.headers, data=bytes(data))
    except EndpointError as error:
        found["error"] = error
    except requests.Timeout:
        found["error"] = _timeout(endpoint)
    except (requests.RequestException, OSError, ValueError) as error:
        # the text of such an error may hold the address, never the key or the body
        found["error"] = EndpointUnreachableError(
            what=f"The endpoint {endpoint.name} does not answer, or the connection was cut",
            given=f"{endpoint.host} ({type(error).__name__})",
            remedy="Is it running, and is the address right?",
        )


def _timeout(endpoint: Endpoint) -> EndpointTimeoutError:
    return EndpointTimeoutError(
        what=f"The endpoint {endpoint.name} did not answer in time",
        given=f"{endpoint.timeout_s:g} s",
        remedy="Raise timeout_s of the endpoint, or use a faster one",
    )


def _seconds(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < 1e6 else None


def _content(data: bytes, endpoint: Endpoint) -> tuple[str, dict[str, Any]]:
    """What the model said, and its tokens."""
    try:
        answer = json.loads(data.decode("utf-8"))
        content = answer["choices"][0]["message"]["content"]
        if isinstance(content, list):  # some servers answer in parts
            content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
        if not isinstance(content, str) or not content.strip():
            raise ValueError("empty")  # noqa: EM101, TRY301
        used = answer.get("usage")
        used = used if isinstance(used, dict) else {}
        tokens = {k: _whole(used.get(k)) for k in ("prompt_tokens", "completion_tokens")}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise EndpointAnswerError(
            what=f"The endpoint {endpoint.name} answered what is no chat answer", given=type(error).__name__
        ) from error
    return content, tokens


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else 0
