"""Why something could not be reached, in words for a reason."""

from __future__ import annotations

import http.client
import socket
import ssl

from swarmroll.gates.base import told

_Kinds = tuple[type[BaseException], ...]

# The first row that matches decides: from the particular to the general.
_WORDS: tuple[tuple[_Kinds, str], ...] = (
    ((ssl.SSLCertVerificationError,), "its certificate cannot be trusted"),
    ((TimeoutError,), "no answer in time"),
    ((ssl.SSLError,), "TLS failed"),
    ((ConnectionRefusedError,), "connection refused"),
    ((socket.gaierror,), "this host name cannot be looked up"),
    ((ConnectionError,), "the connection was lost"),
    ((http.client.IncompleteRead,), "the answer was cut off"),
    ((http.client.HTTPException, ValueError), "no HTTP answer"),
)
# Those say nothing more in their own words.
_CLEAR = (TimeoutError, ConnectionRefusedError, http.client.IncompleteRead)

FAILURES = (OSError, http.client.HTTPException, ValueError)
"""What talking to somebody may raise, where arguments have been checked before."""


def why(exc: BaseException) -> str:
    """The reason in words."""
    for kinds, words in _WORDS:
        if isinstance(exc, kinds):
            return words if isinstance(exc, _CLEAR) else f"{words} ({_detail(exc)})"
    return _detail(exc)


def _detail(exc: BaseException) -> str:
    known = getattr(exc, "verify_message", None) or getattr(exc, "strerror", None)
    return str(known) if known else told(exc)
