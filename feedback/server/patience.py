"""How long a connection may take to say what it wants: the server below waits for ever for the head of a request."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_WAIT_S = 10.0
"""A connection on which no request has arrived, nor is answered, for so long is closed, within twice that time [s]."""


class PatientProtocol(H11Protocol):
    """HTTP/1.1, but whoever opens connections and sends nothing, or the head of a request bit by bit, keeps no place of others."""

    _look: asyncio.TimerHandle | None = None
    _seen: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._look = self.loop.call_later(HEAD_WAIT_S, self._look_after)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def _look_after(self) -> None:
        at_work = self.cycle is not None and not self.cycle.response_complete
        if self.cycle is self._seen and not at_work:
            self.transport.close()
            return
        self._seen = self.cycle
        self._look = self.loop.call_later(HEAD_WAIT_S, self._look_after)
