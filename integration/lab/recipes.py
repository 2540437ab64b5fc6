"""
What the lab is made of when it has to be made from a Debian archive.

Everything a reader might want to change is in this file: the engines and where each comes from, and
the programs inside each base image. The other modules only carry it out.
"""

from __future__ import annotations

from pathlib import Path

import attrs

HERE = Path(__file__).parent

#: The engine that the nodes' containers run on. Version 20 cannot: it refuses privileged containers
#: where the machine's root lacks a capability.
OUTER = "26"


@attrs.frozen(kw_only=True)
class Packages:
    """Debian packages to unpack side by side; nothing of them is installed on the machine."""

    suite: str
    names: tuple[str, ...]


@attrs.frozen(kw_only=True)
class RootFs:
    """
    A base image: programs with the libraries they load, and files laid over them.

    Attributes:
        engine: The engine whose packages are searched before the tools', or None.
        programs: Names of executables, looked up in the packages and then on the machine.
        overlay: A directory copied over the rest, or None.
        changes: What `docker import` is told about the image, in the words of a Dockerfile.
    """

    engine: str | None = None
    programs: tuple[str, ...]
    overlay: Path | None = None
    changes: tuple[str, ...]


#: Engine -> its packages. The suite decides the version: bookworm has 20.10, trixie 26.1, and
#: forky, which still moves, had 28.5 when this was written.
ENGINES = {
    "20": Packages(
        suite="bookworm",
        names=("docker.io", "containerd", "tini"),
    ),
    "26": Packages(
        suite="trixie",
        names=("docker.io", "docker-cli", "docker-compose", "containerd", "tini"),
    ),
    "28": Packages(
        suite="forky",
        names=("docker.io", "docker-cli", "containerd", "tini-static"),
    ),
}

#: What is not an engine.
TOOLS = Packages(
    suite="bookworm",
    names=(
        "busybox-static",
        "docker-registry",
        "haproxy",
        "liblua5.3-0",
        "libopentracing-c-wrapper0",
        "libopentracing1",
    ),
)

#: What a gate asks; it runs beside the swarms, on the machine itself.
PROMETHEUS = Packages(suite="bookworm", names=("prometheus",))

_PATH = "ENV PATH=/bin"


def node(engine: str) -> RootFs:
    """A swarm node of that engine: dockerd and all that it starts."""
    return RootFs(
        engine=engine,
        programs=(
            "busybox",
            "containerd",
            "containerd-shim-runc-v2",
            "docker",
            "docker-init",
            "docker-proxy",
            "dockerd",
            "ip",
            "runc",
            "xtables-nft-multi",
        ),
        overlay=HERE / "rootfs" / "node",
        changes=('ENTRYPOINT ["dockerd-entrypoint.sh"]', _PATH, "VOLUME /var/lib/docker"),
    )


#: The other base images, by name; each stands in for the official image of the same purpose.
BASES = {
    "busybox": RootFs(programs=("busybox",), changes=('CMD ["sh"]', _PATH)),
    "haproxy": RootFs(programs=("busybox", "haproxy"), changes=(_PATH,)),
    "registry": RootFs(
        programs=("busybox", "docker-registry"),
        overlay=HERE / "rootfs" / "registry",
        changes=(
            'ENTRYPOINT ["docker-registry", "serve"]',
            'CMD ["/etc/docker/registry/config.yml"]',
            _PATH,
            "VOLUME /var/lib/registry",
        ),
    ),
}
