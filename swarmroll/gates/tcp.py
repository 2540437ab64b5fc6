"""A gate that connects to a port."""

from __future__ import annotations

import attrs

from swarmroll.core.gate import GateContext, Verdict
from swarmroll.gates.base import Asked, is_whole, quoted, words_of, wrong
from swarmroll.gates.reach import FAILURES, why
from swarmroll.printable import printable
from swarmroll.streams import WholeTime, open_tcp

MOST = 64 * 1024
"""Bytes that are read while looking for what is expected."""


@attrs.frozen(repr=False, eq=False)
class TcpGate(Asked):
    """
    Passes when a TCP port accepts a connection and, if wanted, gives the right answer.

    A port that the swarm publishes accepts connections as long as a single task is there to take
    them, and the proxy of some setups even without: expect an answer where that matters.

    Attributes:
        host: Name or address.
        port: Number.
        send: What is sent first; not shown.
        expect: What has to come, anywhere in the first 64 KiB.
        **: See ``Asked``.

    Raises:
        PlanError: An argument is wrong; the message names it.
    """

    host: str = attrs.field()
    port: int = attrs.field()
    send: bytes | str = attrs.field(default=b"", kw_only=True)
    expect: bytes | str = attrs.field(default=b"", kw_only=True)

    def __attrs_post_init__(self) -> None:
        if not _is_host(self.host):
            raise wrong("TcpGate.host", "a host name or address", self.host)
        if not is_whole(self.port, 1, 65535):
            raise wrong("TcpGate.port", "a number from 1 to 65535", self.port)
        for name in ("send", "expect"):
            if not isinstance(getattr(self, name), bytes | str):
                raise wrong(f"TcpGate.{name}", "bytes or a string", getattr(self, name))
        super().__attrs_post_init__()

    def check(self, context: GateContext) -> Verdict:  # noqa: ARG002 - host and port say it all
        """Connect once."""
        try:
            with open_tcp(self.host, self.port, self.rules.timeout) as stream:
                if self.send:
                    stream.sendall(_bytes(self.send))
                missing = self._missing(stream)
        except FAILURES as exc:
            return Verdict.failed(f"{self._place}: {why(exc)}")
        if missing:
            return Verdict.failed(f"{self._place}: {missing}")
        return Verdict.passed("connected" if not self.expect else "the expected answer came")

    def _own_name(self) -> str:
        return f"tcp {self._place}"

    @property
    def _place(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def _missing(self, stream: WholeTime) -> str:
        """What did not come; empty if all did."""
        wanted, came = _bytes(self.expect), bytearray()
        ended = "it hung up"
        try:
            while wanted not in came:
                piece = stream.recv(4096)
                came += piece
                if not piece or len(came) > MOST:
                    ended = f"it sent more than {MOST} bytes" if piece else ended
                    break
        except TimeoutError:
            ended = "no more came in time"
        if wanted in came:
            return ""
        expected = quoted(wanted.decode(errors="replace"))
        if not came:
            return f"wanted {expected}, but {ended} without a word"
        secrets = words_of([_bytes(self.send).decode(errors="replace")])
        return f"wanted {expected}, got {quoted(came.decode(errors='replace'), secrets)}; {ended}"


def _bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _is_host(value: object) -> bool:
    if not isinstance(value, str) or not 0 < len(value) < 256:
        return False
    return printable(value) == value and not set(" /@[]").intersection(value)
