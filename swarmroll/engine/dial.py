"""
Byte streams to an engine: over a unix socket, TCP, TLS or ssh.

Every stream that is opened here is a socket whose time-out covers everything until it is set
anew (``swarmroll.streams``).
"""

from __future__ import annotations

import contextlib
import math
import selectors
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import attrs

from swarmroll.errors import EngineUnavailable
from swarmroll.streams import WholeTime, open_tcp, over_tls

if TYPE_CHECKING:
    import paramiko

Dial = Callable[[float | None], socket.socket]
"""Opens a stream within so many seconds."""


class NotReached(OSError):
    """No stream could be opened, so that nothing has been sent; the reason is its cause."""


class SshFailed(ConnectionError):
    """ssh could not do it; the message is what it said."""


class _SshSocket(WholeTime):
    """
    The near end of an ssh client's standard input and output.

    Attributes:
        complaint: What the ssh client wrote on its standard error, once the stream is closed.
    """

    complaint = ""

    def attach(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        """Own the ssh client: it ends, and is waited for, when the stream is closed."""
        self._process, self._errors = process, errors

    def _real_close(self, *args: Any) -> None:
        # The hook that ssl.SSLSocket uses too: called when the last reader has let go.
        super()._real_close(*args)  # type: ignore[misc]
        with contextlib.suppress(subprocess.TimeoutExpired):
            # A client that could not connect is just ending: its exit follows its last words.
            self._process.wait(0.2)
        self._process.kill()
        self._process.wait()
        with self._errors:
            self._errors.seek(0)
            self.complaint = self._errors.read(2000).decode(errors="replace").strip()


def unix(path: str) -> Dial:
    """A unix socket on this machine."""
    return partial(_dial_unix, path)


def tcp(host: str, port: int, *, keepalive: float) -> Dial:
    """
    TCP without TLS.

    Args:
        host: Name or address.
        port: Number.
        keepalive: Seconds of silence after which the kernel asks whether the peer still lives.
    """
    return partial(_dial_tcp, host, port, keepalive)


def tls(host: str, port: int, context: ssl.SSLContext, *, keepalive: float) -> Dial:
    """TCP with TLS, checked as the context says."""
    return partial(_dial_tls, host, port, context, keepalive)


def ssh(host: str, *, user: str | None, port: int | None) -> Dial:
    """
    ``docker system dial-stdio`` on another machine, as the docker CLI does.

    The ssh client of the machine is used where there is one, and with it everything that the
    user's ssh configuration says, the port included; paramiko otherwise. Neither ever asks
    anything, and so neither accepts a host key that is not known.

    Raises:
        EngineUnavailable: The machine has neither.
    """
    if shutil.which("ssh"):
        return partial(_dial_ssh_client, host, user, port)
    if find_spec("paramiko") is None:
        raise EngineUnavailable(
            f"ssh://{host}: no ssh client on this machine; install OpenSSH, or the package paramiko"
        )
    return partial(_dial_paramiko, host, user, port)


def _dial_unix(path: str, timeout: float | None) -> socket.socket:
    stream = WholeTime(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.settimeout(timeout)
        stream.connect(path)
    except BaseException:
        stream.close()
        raise
    return stream


def _dial_tcp(host: str, port: int, keepalive: float, timeout: float | None) -> WholeTime:
    stream = open_tcp(host, port, timeout)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    seconds = max(1, math.ceil(keepalive))
    for name, value in (("TCP_KEEPIDLE", seconds), ("TCP_KEEPINTVL", seconds), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return stream


def _dial_tls(
    host: str, port: int, context: ssl.SSLContext, keepalive: float, timeout: float | None
) -> socket.socket:
    return over_tls(_dial_tcp(host, port, keepalive, timeout), context, host)


def _dial_ssh_client(
    host: str, user: str | None, port: int | None, timeout: float | None
) -> socket.socket:
    command = ["ssh", "-T", "-o", "BatchMode=yes"]
    if timeout is not None:
        command += ["-o", f"ConnectTimeout={math.ceil(timeout)}"]
    if user:
        command += ["-l", user]
    if port:
        command += ["-p", str(port)]
    near, far = socket.socketpair()
    stream = _SshSocket(near.family, near.type, near.proto, fileno=near.detach())
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - the stream owns it
    with far:
        # In a session of its own: Ctrl-C is for us, who may have a request to finish.
        process = subprocess.Popen(
            [*command, "--", host, "docker system dial-stdio"],
            stdin=far.fileno(),
            stdout=far.fileno(),
            stderr=errors,
            start_new_session=True,
        )
    stream.attach(process, errors)
    stream.settimeout(timeout)
    return stream


def _dial_paramiko(
    host: str, user: str | None, port: int | None, timeout: float | None
) -> socket.socket:
    client, channel = _paramiko_channel(host, user, port, timeout)
    near, far = socket.socketpair()
    stream = WholeTime(near.family, near.type, near.proto, fileno=near.detach())
    stream.settimeout(timeout)
    threading.Thread(
        target=_pump, args=(client, channel, far), name="swarmroll-ssh", daemon=True
    ).start()
    return stream


def _paramiko_channel(
    host: str, user: str | None, port: int | None, timeout: float | None
) -> tuple[paramiko.SSHClient, paramiko.Channel]:
    import paramiko  # noqa: PLC0415 - an extra, for machines without an ssh client

    known = paramiko.SSHConfig()
    with contextlib.suppress(FileNotFoundError):
        known = paramiko.SSHConfig.from_path(str(Path.home() / ".ssh" / "config"))
    config = known.lookup(host)
    client = paramiko.SSHClient()
    client.load_system_host_keys()
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    try:
        client.connect(
            config.get("hostname", host),
            port=port or int(config.get("port", 22)),
            username=user or config.get("user"),
            key_filename=config.get("identityfile"),
            timeout=timeout,
            banner_timeout=timeout,
            auth_timeout=timeout,
        )
        transport = client.get_transport()
        assert transport is not None, "paramiko has just connected it"
        channel = transport.open_session(timeout=timeout)
        channel.exec_command("docker system dial-stdio")
    except paramiko.SSHException as exc:
        client.close()
        raise SshFailed(str(exc)) from exc
    except BaseException:
        client.close()
        raise
    return client, channel


def _pump(client: paramiko.SSHClient, channel: paramiko.Channel, far: socket.socket) -> None:
    """Carry bytes between a paramiko channel and a socket until either ends."""
    with client, channel, far, selectors.DefaultSelector() as ready, contextlib.suppress(OSError):
        ready.register(channel.fileno(), selectors.EVENT_READ, (channel, far))
        ready.register(far, selectors.EVENT_READ, (far, channel))
        while True:
            for key, _ in ready.select():
                source, sink = key.data
                data = source.recv(65536)
                if not data:
                    return
                sink.sendall(data)


@attrs.define(kw_only=True)
class NotedDial:
    """
    A dial that can be hung up from another thread.

    Attributes:
        dial: How streams are really opened.
    """

    dial: Dial
    _stream: socket.socket | None = None
    _hung_up: bool = False
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def __call__(self, timeout: float | None) -> socket.socket:
        """Open a stream, and remember it."""
        stream = self.dial(timeout)
        with self._lock:
            self._stream = stream
            if self._hung_up:
                stream.close()
                raise ConnectionAbortedError("hung up")
        return stream

    def be_patient(self) -> None:
        """From now on the open stream may be silent for ever."""
        with self._lock:
            if self._stream is not None and not self._hung_up:
                self._stream.settimeout(None)

    def hang_up(self) -> None:
        """End the stream that is open, if any, and let no other be opened."""
        with self._lock:
            self._hung_up = True
            if self._stream is not None:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._stream, socket.SHUT_RDWR)
