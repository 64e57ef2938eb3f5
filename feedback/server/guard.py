"""What every request must pass before the application sees it, and what every answer carries.

Covers of OWASP ASVS 5: host and origin checks against rebinding and cross-site requests (V3.5), limits on size and time (V4),
headers that keep the browser from running, framing or sniffing anything foreign (V3.4).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from threading import Lock
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feedback.server.config import LOOPBACK

MAX_BODY_BYTES = 16 * 1024
MAX_BODY_WAIT_S = 10.0
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """ASGI middleware with the checks.

    Args:
        app: The application behind it.
        url: Where people reach it; requests must be for its host (or this machine's own names) and come from its pages.
    """

    def __init__(self, app: ASGIApp, url: str) -> None:
        self.app = app
        parts = urlsplit(url)
        self.headers = dict(HEADERS)
        if parts.scheme == "https":
            self.headers["Strict-Transport-Security"] = "max-age=31536000"
        host = parts.hostname or ""
        self.hosts = {host, *LOOPBACK}
        names = LOOPBACK if host in LOOPBACK else (host,)
        port = "" if parts.port is None else f":{parts.port}"
        self.origins = {f"{parts.scheme}://{f'[{name}]' if ':' in name else name}{port}" for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, and hand it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-cache" if scope["path"].startswith("/static/") else "no-store")
            await send(message)

        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], headers)
        if refusal is None:
            body = await _small_body(headers, receive)
            if isinstance(body, bytes):
                await self.app(scope, _replay(body, receive), send_with_headers)
                return
            refusal = body
        await refusal(scope, receive, send_with_headers)

    def _refusal(self, method: str, headers: Headers) -> PlainTextResponse | None:
        try:
            host = urlsplit(f"//{headers.get('host', '')}").hostname
        except ValueError:
            host = None
        if host not in self.hosts:
            return PlainTextResponse("this host name is not served here; see drive-fusion review --public-url\n", 421)
        if method in SAFE_METHODS:
            return None
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if (
            (origin is not None and origin not in self.origins)
            or site not in (None, "same-origin", "none")
            or (origin, site) == (None, None)
        ):
            return PlainTextResponse("refused: the request does not come from this site's own pages\n", 403)
        return None


async def _small_body(headers: Headers, receive: Receive) -> bytes | PlainTextResponse:
    """Read a request's body, or say why not: no request here needs a long one."""
    too_long = PlainTextResponse(f"request body larger than {MAX_BODY_BYTES} bytes\n", 413, headers={"Connection": "close"})
    announced = headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > MAX_BODY_BYTES:
        return too_long
    body = b""
    try:
        async with asyncio.timeout(MAX_BODY_WAIT_S):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return PlainTextResponse("the request ended early\n", 400)
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > MAX_BODY_BYTES:
                    return too_long
    except TimeoutError:
        return PlainTextResponse(f"no complete request within {MAX_BODY_WAIT_S:g} s\n", 408, headers={"Connection": "close"})
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read already, then whatever follows (a disconnect)."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


class RateLimit:
    """At most so many failures from one address in a while.

    Args:
        failures: How many are let pass.
        window_s: Within this time [s].
    """

    MAX_ADDRESSES = 10_000

    def __init__(self, failures: int = 10, window_s: float = 60.0) -> None:
        self.failures = failures
        self.window_s = window_s
        self._of: dict[str, deque[float]] = {}
        self._one_at_a_time = Lock()  # requests run in threads

    def wait_s(self, address: str) -> float:
        """How long an address must wait before it may try again [s]; 0 if not at all."""
        with self._one_at_a_time:
            times = self._of.get(address)
            if times is None:
                return 0.0
            now = time.monotonic()
            while times and now - times[0] > self.window_s:
                times.popleft()
            if not times:
                self._of.pop(address, None)
            return times[0] + self.window_s - now if len(times) >= self.failures else 0.0

    def failed(self, address: str) -> None:
        """Note a failure."""
        with self._one_at_a_time:
            if len(self._of) >= self.MAX_ADDRESSES:
                self._of.pop(next(iter(self._of)), None)
            self._of.setdefault(address, deque(maxlen=self.failures)).append(time.monotonic())
