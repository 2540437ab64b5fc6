"""
Where the engine is: an address, DOCKER_HOST, or the current docker context, as for the docker CLI.

One thing differs from the CLI, and from docker-py: TLS is verified unless it is switched off by
name (``TLS(verify=False)``, or a context with SkipTLSVerify). DOCKER_CERT_PATH without
DOCKER_TLS_VERIFY means plain text to the CLI, and TLS that trusts anybody to docker-py.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import attrs

from swarmroll.core.redact import mask_text
from swarmroll.errors import EngineUnavailable
from swarmroll.printable import printable

if TYPE_CHECKING:
    import ssl

    from swarmroll.engine.dial import Dial
    from swarmroll.engine.docker import DockerEngine

DEFAULT_SOCKET = "/var/run/docker.sock"
PLAIN_PORT, TLS_PORT = 2375, 2376


@attrs.frozen(kw_only=True)
class TLS:
    """
    How to speak TLS to an engine.

    Attributes:
        ca: File with the certificates of the authorities to trust; None trusts the system's.
        cert: File with our own certificate, where the engine asks for one.
        key: File with its private key, without a passphrase.
        verify: Whether the engine's certificate and name are checked. Without, anybody on the
            way can pose as the engine, which is as much as root on every node.
    """

    ca: str | os.PathLike[str] | None = None
    cert: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None
    verify: bool = True


TlsOption: TypeAlias = "bool | TLS | object | None"
"""True, False, a TLS (or docker-py's TLSConfig), or None; see ``open_engine``."""


@attrs.frozen(kw_only=True)
class Address:
    """
    Where one engine is.

    Attributes:
        url: As people write it; for messages.
        scheme: ``unix``, ``tcp`` or ``ssh``.
        path: Of a unix socket.
        port: None for the port that the ssh configuration says.
        tls: For ``tcp``; None means plain text.
    """

    url: str
    scheme: str
    path: str = ""
    host: str = ""
    port: int | None = None
    user: str | None = None
    tls: TLS | None = None

    def dial(self, *, keepalive: float) -> Dial:
        """
        How streams to it are opened; certificates are read now.

        Raises:
            EngineUnavailable: A file of the TLS settings cannot be read.
        """
        from swarmroll.engine import dial  # noqa: PLC0415 - ssl is not needed before

        if self.scheme == "unix":
            return dial.unix(self.path)
        if self.scheme == "ssh":
            return dial.ssh(self.host, user=self.user, port=self.port)
        assert self.port is not None, "addresses of scheme tcp have a port"
        if self.tls is None:
            return dial.tcp(self.host, self.port, keepalive=keepalive)
        context = _context(self.tls, self.url)
        return dial.tls(self.host, self.port, context, keepalive=keepalive)


def open_engine(
    host: str | Sequence[str] | None = None,
    *,
    client: object = None,
    tls: TlsOption = None,
    timeout: float | tuple[float, float] = (30.0, 10.0),
    heartbeat: float = 5.0,
    max_body: int = 64 * 1024 * 1024,
) -> DockerEngine:
    """
    The engine at an address; nothing is sent to it yet.

    Args:
        host: ``unix://``, ``tcp://`` or ``ssh://``; several managers of one swarm; or None for
            the engine that the docker CLI would use.
        client: A docker-py client instead: its address, TLS files and registry credentials are
            taken over. It is not used itself, and never closed.
        tls: For ``tcp://``: True for TLS with the docker CLI's files, False for plain text, TLS
            (or docker-py's TLSConfig) for your own files, None for what the environment says.
        timeout: Seconds for a read with its repetitions and for a write, and for a single
            request of a read; or the first alone.
        heartbeat: Seconds after which a silent TCP connection is checked by the kernel, and
            the longest pause between attempts to open the event stream (at most 2).
        max_body: Bytes of the longest answer.

    Raises:
        EngineUnavailable: The address cannot be one, or a file that it needs cannot be read.
        TypeError: An argument has the wrong type.
    """
    from swarmroll.engine.docker import (  # noqa: PLC0415 - docker-py is slow to import
        DockerEngine,
        address_of,
    )

    total, each = timeout if isinstance(timeout, tuple) else (timeout, min(timeout, 10.0))
    addresses = (address_of(client),) if client is not None else locate(host, tls=tls)
    return DockerEngine(
        addresses,
        client=client,
        total=total,
        each=min(each, total),
        heartbeat=heartbeat,
        max_body=max_body,
    )


def locate(
    host: str | Sequence[str] | None = None,
    *,
    tls: TlsOption = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[Address, ...]:
    """
    The addresses of one or more managers; see ``open_engine``.

    Raises:
        EngineUnavailable: One of them cannot be an address, or the docker context is not there.
    """
    env = os.environ if environ is None else environ
    if host is None:
        return (_current(tls, env),)
    hosts = (host,) if isinstance(host, str) else tuple(host)
    if not hosts or not all(isinstance(one, str) for one in hosts):
        raise TypeError("host must be an address such as unix:///var/run/docker.sock, or several")
    settings = _settings(tls, env)
    return tuple(parse(one, settings) for one in hosts)


def _current(tls: TlsOption, env: Mapping[str, str]) -> Address:
    """DOCKER_HOST before DOCKER_CONTEXT before currentContext (docker/cli cli/command/cli.go)."""
    if env.get("DOCKER_HOST"):
        return parse(env["DOCKER_HOST"], _settings(tls, env))
    folder = _config_folder(env)
    name = env.get("DOCKER_CONTEXT") or _current_context(folder)
    if name and name != "default":
        return _context_address(name, folder, tls)
    return parse(f"unix://{DEFAULT_SOCKET}", None)


def parse(url: str, tls: TLS | None) -> Address:
    """
    Read an address.

    Args:
        url: As people write it.
        tls: What is spoken to ``tcp://``; None means plain text.

    Raises:
        EngineUnavailable: It is none, or of a kind that swarmroll does not know.
    """
    shown, clean = printable(mask_text(url)), printable(url.strip())
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as exc:
        raise EngineUnavailable(f"{shown}: not an address ({exc})") from exc
    if parts.scheme == "unix":
        # docker-py and the CLI take unix://path and unix:///path for the same.
        path = "/" + (parts.netloc + parts.path).lstrip("/")
        return Address(url=clean, scheme="unix", path=DEFAULT_SOCKET if path == "/" else path)
    if parts.scheme not in ("tcp", "http", "https", "ssh"):
        raise EngineUnavailable(
            f"{shown}: not an address that swarmroll knows; write unix:///path, tcp://host:port or "
            "ssh://user@host"
        )
    user = parts.username if parts.scheme == "ssh" else None
    if not parts.hostname or parts.netloc.rpartition("@")[0] != (user or ""):
        raise EngineUnavailable(
            f"{shown}: must be tcp://host:port or ssh://user@host:port, without a password"
        )
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise EngineUnavailable(f"{shown}: must end with the port")
    if parts.scheme == "ssh":
        return Address(url=clean, scheme="ssh", host=parts.hostname, port=port, user=user)
    if parts.scheme == "https" and tls is None:
        tls = TLS()
    if parts.scheme == "http":
        tls = None
    return Address(
        url=clean,
        scheme="tcp",
        host=parts.hostname,
        port=port or (TLS_PORT if tls else PLAIN_PORT),
        tls=tls,
    )


def _settings(tls: TlsOption, env: Mapping[str, str]) -> TLS | None:
    if tls is None:
        wanted = ("DOCKER_TLS_VERIFY", "DOCKER_TLS", "DOCKER_CERT_PATH")
        return _usual_files(env) if any(env.get(name) for name in wanted) else None
    if tls is False:
        return None
    if tls is True:
        return _usual_files(env)
    return _as_tls(tls)


def _as_tls(tls: object) -> TLS:
    if isinstance(tls, TLS):
        return tls
    if not hasattr(tls, "ca_cert"):
        raise TypeError(f"tls must be True, False or a TLS, got {type(tls).__name__}")
    # docker-py's TLSConfig; its `verify` is None unless it was set.
    cert, key = getattr(tls, "cert", None) or (None, None)
    return TLS(ca=tls.ca_cert, cert=cert, key=key, verify=getattr(tls, "verify", True) is not False)


def _usual_files(env: Mapping[str, str]) -> TLS:
    folder = Path(env.get("DOCKER_CERT_PATH") or _config_folder(env))
    return _files(folder, verify=True)


def _files(folder: Path, *, verify: bool) -> TLS:
    """Those of ca.pem, cert.pem and key.pem that are there."""
    found = {name: folder / f"{name}.pem" for name in ("ca", "cert", "key")}
    return TLS(verify=verify, **{name: path for name, path in found.items() if path.exists()})


def _context(tls: TLS, url: str) -> ssl.SSLContext:
    import ssl  # noqa: PLC0415 - only for who uses it

    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.cert:
            # With a password that is never right: the default asks on the terminal.
            context.load_cert_chain(tls.cert, tls.key, password=lambda: "")
    except FileNotFoundError as exc:
        missing = [str(p) for p in (tls.ca, tls.cert, tls.key) if p and not Path(p).exists()]
        raise EngineUnavailable(f"{url}: there is no TLS file {', '.join(missing)}") from exc
    except (OSError, ValueError) as exc:
        raise EngineUnavailable(
            f"{url}: the TLS files cannot be used ({exc}); they must be PEM, and the key without a "
            "passphrase"
        ) from exc
    if tls.ca:
        # Python 3.13 began to refuse certificates without extensions that the docker CLI, and
        # Docker's own instructions for making them, do without.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not tls.verify:
        warnings.warn(
            f"{url}: TLS without verification: anybody on the way can pose as the engine",
            stacklevel=2,
        )
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


# --- docker contexts ----------------------------------------------------------------------------


def _config_folder(env: Mapping[str, str]) -> Path:
    return Path(env.get("DOCKER_CONFIG") or Path(env.get("HOME") or Path.home()) / ".docker")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as exc:
        raise EngineUnavailable(f"{path} cannot be read ({exc}); give the host instead") from exc
    return found if isinstance(found, dict) else {}


def _current_context(folder: Path) -> str:
    name = _read_json(folder / "config.json").get("currentContext")
    return name if isinstance(name, str) else ""


def _context_address(name: str, folder: Path, tls: TlsOption) -> Address:
    """A docker context, from the CLI's store (docker/cli cli/context/store)."""
    key = hashlib.sha256(name.encode()).hexdigest()
    endpoints = _read_json(folder / "contexts" / "meta" / key / "meta.json").get("Endpoints")
    docker = endpoints.get("docker") if isinstance(endpoints, dict) else None
    if not isinstance(docker, dict):
        raise EngineUnavailable(
            f"docker context {printable(name)}: not known here, or without an engine; "
            "see `docker context ls`, or give the host instead"
        )
    host = docker.get("Host") or f"unix://{DEFAULT_SOCKET}"
    files = _files(
        folder / "contexts" / "tls" / key / "docker",
        verify=docker.get("SkipTLSVerify") is not True,
    )
    stored = None if files == TLS() else files
    return parse(str(host), stored if tls is None else _settings(tls, {}))
