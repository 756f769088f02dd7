"""A client of OpenAI-compatible chat endpoints: bounded in time, size and tries, and careful about what it sends.

No redirect is followed (it would send the patient's data elsewhere), no cookie is kept, no netrc is read, and the key
is in one header only. The time of a request is bounded as a whole: a server that sends one byte a second cannot delay
the caller. Tries are counted here and not by urllib3's Retry, which bounds their number but not their time, and which
would hide them from the audit file.
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import requests

from MeWMLib.core.errors import (
    EndpointAnswerError,
    EndpointBusyError,
    EndpointError,
    EndpointKeyError,
    EndpointTimeoutError,
    EndpointUnreachableError,
)
from MeWMLib.core.records import dump_json, parse_json
from MeWMLib.policy.llm import cache, privacy
from MeWMLib.policy.llm.answers import clean
from MeWMLib.policy.llm.endpoints import Endpoint

#: A chat answer that names some agents is a few kilobytes; more is not read.
MOST_BYTES = 1_000_000
#: First wait before another try, doubled each time; and the longest one, whatever Retry-After says.
FIRST_WAIT_S, MOST_WAIT_S = 1.0, 30.0
#: All tries of one question together may take this many times the time limit of one request.
MOST_TIMES = 3.0
#: Status to the error, what is wrong with the endpoint, and what to do.
_REFUSALS: dict[int, tuple[type[EndpointError], str, str]] = {
    **dict.fromkeys(
        (401, 403), (EndpointKeyError, "does not accept the key", "Check {key} and what it may be used for")
    ),
    **dict.fromkeys((429, 503), (EndpointBusyError, "is busy", "Try again later")),
    **dict.fromkeys((500, 502, 504), (EndpointUnreachableError, "is out of order", "Try again later")),
    **dict.fromkeys(
        range(300, 400),
        (
            EndpointError,
            "points to another address, which is not followed",
            "Give the final address, so that you know who is asked",
        ),
    ),
    404: (EndpointError, "was not found, or does not know the model", "Check the address {url} and the model {model}"),
}


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

    def add(self, endpoint: Endpoint, seconds: float, prompt_tokens: int = 0, completion_tokens: int = 0) -> None:
        """Count one request."""
        self.requests += 1
        self.seconds += seconds
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        if endpoint.price_in or endpoint.price_out:
            self.cost += (prompt_tokens * endpoint.price_in + completion_tokens * endpoint.price_out) / 1e6
            self.currency = endpoint.currency

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


@dataclass
class ChatClient:
    """Asks one endpoint.

    Attributes:
        endpoint: who is asked.
        use_cache: take answers to earlier equal requests.
        sleep, clock: replaced in tests.
    """

    endpoint: Endpoint
    use_cache: bool = True
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    usage: Usage = field(default_factory=Usage)
    _next_start: float = field(default=0.0, repr=False)

    def body(self, messages: Sequence[Message], schema: dict[str, Any] | None) -> bytes:
        """The exact bytes that `ask` sends.

        Args:
            messages: the conversation.
            schema: JSON schema of the answer.
        """
        data: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": messages,
            "max_tokens": self.endpoint.max_tokens,
            "temperature": self.endpoint.temperature,
            "stream": False,
        }
        if schema is not None and self.endpoint.structured == "json_schema":
            named = {"name": "answer", "strict": True, "schema": schema}
            data["response_format"] = {"type": "json_schema", "json_schema": named}
        elif schema is not None and self.endpoint.structured == "json_object":
            data["response_format"] = {"type": "json_object"}
        return dump_json(data).encode("ascii")

    def ask(self, messages: Sequence[Message], schema: dict[str, Any] | None, prompt: str) -> str:
        """Send the conversation and return what the model said.

        Args:
            messages: the conversation.
            schema: JSON schema of the answer.
            prompt: version of the template, part of the cache's key.

        Raises:
            EndpointConsentError: nobody agreed to this endpoint.
            EndpointKeyError: there is no key, or it was refused.
            EndpointTimeoutError, EndpointUnreachableError, EndpointBusyError: also after several tries.
            EndpointAnswerError: what came back is not a chat answer.
            EndpointError: any other refusal.
        """
        privacy.require_consent(self.endpoint)
        body = self.body(messages, schema)
        key = cache.key_of(self.endpoint, body, prompt)
        known = cache.stored(key) if self.use_cache else None
        if known is not None:
            self.usage.cached += 1
            return known
        try:
            content, tokens = self._tries(body)
        except _NotUnderstood:
            # some gateways do not know response_format: then the prompt alone must do
            content, tokens = self._tries(self.body(messages, None))
        if self.use_cache:
            cache.store(key, content, tokens)
        return content

    def _tries(self, body: bytes) -> tuple[str, dict[str, int]]:
        secret = self.endpoint.key()
        end = self.clock() + MOST_TIMES * self.endpoint.timeout_s
        tries = 0
        while True:
            self._hold_back(end)
            try:
                return self._once(body, secret)
            except EndpointTimeoutError:
                raise
            except (EndpointBusyError, EndpointUnreachableError) as error:
                asked = getattr(error, "retry_after", 0.0)
                pause = min(MOST_WAIT_S, max(FIRST_WAIT_S * 2**tries, asked))
                if tries == self.endpoint.retries or self.clock() + pause >= end:
                    raise
            tries += 1
            self.sleep(pause)

    def _hold_back(self, end: float) -> None:
        """Wait until the rate limit allows another request."""
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

    def _once(self, body: bytes, secret: str | None) -> tuple[str, dict[str, int]]:
        start, outcome, tokens = self.clock(), "failed", dict[str, int]()
        try:
            status, headers, data = _exchange(self.endpoint, body, secret)
            outcome = str(status)
            if status != 200:
                raise _refusal(self.endpoint, status, headers, data, secret, b'"response_format"' in body)
            content, tokens = _content(data, self.endpoint)
            return content, tokens
        except EndpointTimeoutError:
            outcome = "timeout"
            raise
        finally:
            seconds = self.clock() - start
            self.usage.add(self.endpoint, seconds, **tokens)
            privacy.audit(self.endpoint, body, outcome, seconds, tokens)


class _NotUnderstood(EndpointError):
    """The endpoint does not understand response_format, or something else in the request."""


def _refusal(
    endpoint: Endpoint, status: int, headers: Mapping[str, str], data: bytes, secret: str | None, structured: bool
) -> EndpointError:
    said = data[:2000].decode("utf-8", "replace")
    said = clean(said.replace(secret, " ") if secret else said, 160)
    kind, what, remedy = _REFUSALS.get(status, (EndpointError, "refused the request", "Check its settings"))
    if structured and status in (400, 422):
        kind, what = _NotUnderstood, "does not understand the request"
    known = {"key": endpoint.key_variable or "the key", "url": endpoint.url, "model": endpoint.model}
    error = kind(
        what=f"The endpoint {endpoint.name} {what}",
        given=f"HTTP {status}" + (f": {said}" if said else ""),
        remedy=remedy.format_map(known),
    )
    if isinstance(error, EndpointBusyError):
        error.retry_after = _seconds(headers.get("Retry-After"))  # type: ignore[attr-defined]
    return error


def _exchange(endpoint: Endpoint, body: bytes, secret: str | None) -> tuple[int, Mapping[str, str], bytes]:
    """Send and receive on a thread, so that the total time is bounded whatever the other side does."""
    answer: futures.Future[tuple[int, Mapping[str, str], bytes]] = futures.Future()
    given_up = threading.Event()

    def work() -> None:
        try:
            answer.set_result(_send(endpoint, body, secret, given_up))
        except Exception as error:  # noqa: BLE001 (any error is raised again by `result`)
            answer.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return answer.result(endpoint.timeout_s)
    except futures.TimeoutError:
        given_up.set()
        raise _timeout(endpoint) from None


def _send(
    endpoint: Endpoint, body: bytes, secret: str | None, given_up: threading.Event
) -> tuple[int, Mapping[str, str], bytes]:
    def with_key(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if secret:
            request.headers["Authorization"] = f"Bearer {secret}"
        return request

    try:
        with requests.Session() as session:
            session.trust_env = not endpoint.is_loopback  # a proxy is for addresses outside
            with session.post(
                f"{endpoint.url.rstrip('/')}/chat/completions",
                data=body,
                headers={"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "MeWM"},
                auth=with_key,  # also without a key: else requests would look into netrc
                timeout=(min(20.0, endpoint.timeout_s), endpoint.timeout_s),
                allow_redirects=False,
                stream=True,
            ) as response:
                data = bytearray()
                for chunk in response.iter_content(4096):
                    data += chunk
                    if given_up.is_set():
                        raise _timeout(endpoint)
                    if len(data) > MOST_BYTES:
                        raise EndpointAnswerError(
                            what=f"The answer of the endpoint {endpoint.name} is too long",
                            given=f"over {MOST_BYTES} bytes",
                        )
                return response.status_code, response.headers, bytes(data)
    except requests.Timeout:
        raise _timeout(endpoint) from None
    except (requests.RequestException, OSError, ValueError) as error:
        # the text of such an error may hold the address, but never the key or the body
        raise EndpointUnreachableError(
            what=f"The endpoint {endpoint.name} does not answer, or the connection was cut",
            given=f"{endpoint.host} ({type(error).__name__})",
            remedy="Is it running, and is the address right?",
        ) from error


def _timeout(endpoint: Endpoint) -> EndpointTimeoutError:
    return EndpointTimeoutError(
        what=f"The endpoint {endpoint.name} did not answer in time",
        given=f"{endpoint.timeout_s:g} s",
        remedy="Raise timeout_s of the endpoint, or use a faster one",
    )


def _seconds(text: str | None) -> float:
    """Seconds of a Retry-After header; 0 if it gives none (it may also be a date)."""
    return float(text) if text and re.fullmatch(r"\d{1,6}(?:\.\d+)?", text.strip()) else 0.0


def _content(data: bytes, endpoint: Endpoint) -> tuple[str, dict[str, int]]:
    """What the model said, and its tokens."""
    answer = parse_json(data, f"The answer of the endpoint {endpoint.name}", EndpointAnswerError, given=endpoint.host)
    try:
        content = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        content = None
    if isinstance(content, list):  # some servers answer in parts
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if not isinstance(content, str) or not content.strip():
        raise EndpointAnswerError(what=f"The endpoint {endpoint.name} did not send a chat answer", given=endpoint.host)
    used = answer.get("usage")
    used = used if isinstance(used, dict) else {}
    return content, {name: _whole(used.get(name)) for name in ("prompt_tokens", "completion_tokens")}


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else 0
