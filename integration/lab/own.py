"""
A host made from nothing: engines from Debian's packages, an engine of our own, no way out.

For machines without Docker where we are root, such as CI. Everything is below one directory per run
and in one network namespace of the same name, so two runs never meet.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from integration.lab import cache, debian, engine, namespace, rootfs, rundir
from integration.lab.clients import connected
from integration.lab.errors import LabError
from integration.lab.host import BaseImages, Host
from integration.lab.progress import say
from integration.lab.recipes import BASES, ENGINES, OUTER, PROMETHEUS, TOOLS, RootFs, node

_KIND = "own"
_ENGINE = "engine"


def possible() -> bool:
    """Whether this machine can do it."""
    return os.geteuid() == 0 and debian.distribution() == "debian"


@contextmanager
def own_host(engines: list[str]) -> Iterator[dict[str, Host]]:
    """
    Start a host, and end it with all that runs on it.

    Yields:
        The host for each engine version; without those whose packages could not be had, unless that
        is the version that everything runs on.
    """
    with ExitStack() as stack:
        with cache.locked():
            rundir.clean_up_after_the_dead(_KIND, _clean_up)
            debian.install_helpers()
            trees = _programs({*engines, OUTER})
            images = _base_images(trees)
            prometheus = _prometheus()
            directory = rundir.new(_KIND, stack)
        stack.callback(_clean_up, directory)
        say("starting an engine to run the nodes on")
        namespace.create(directory.name)
        engine.start(directory / _ENGINE, trees[OUTER], directory.name)
        url = engine.url(directory / _ENGINE)
        _import(url, images)
        sockets = directory / "sockets"
        sockets.mkdir()
        compose = trees[OUTER] / "usr/bin/docker-compose"
        yield {
            version: Host(
                id=directory.name,
                engine=version,
                docker_url=url,
                compose=f"env DOCKER_HOST={shlex.quote(url)} {shlex.quote(str(compose))}",
                directory=str(directory),
                sockets=str(sockets),
                namespace=directory.name,
                bases=BaseImages(
                    node=_base_name("node-{engine}"),
                    registry=_base_name("registry"),
                    busybox=_base_name("busybox"),
                    haproxy=_base_name("haproxy"),
                ),
                prometheus=prometheus,
            )
            for version in engines
            if version in trees
        }


def _programs(wanted: set[str]) -> dict[str, Path]:
    """The unpacked packages of each engine, and those of the tools."""
    trees = {"tools": cache.kept("tools", TOOLS, partial(debian.fetch, TOOLS))}
    for version in sorted(wanted):
        packages = ENGINES[version]
        try:
            trees[version] = cache.kept(
                f"engine-{version}", packages, partial(debian.fetch, packages)
            )
        except LabError as error:
            if version == OUTER:
                raise
            say(f"ENGINE {version} WILL NOT BE TESTED: {error}")
    return trees


def _prometheus() -> str | None:
    """The program, out of its package."""
    try:
        tree = cache.kept("prometheus", PROMETHEUS, partial(debian.fetch, PROMETHEUS))
    except LabError as error:
        say(f"PROMETHEUS GATES WILL NOT BE TESTED: {error}")
        return None
    return str(tree / "usr/bin/prometheus")


def _base_images(trees: dict[str, Path]) -> dict[str, tuple[RootFs, Path]]:
    """Image name -> its recipe and its tar."""
    nodes = {f"node-{version}": node(version) for version in trees if version in ENGINES}
    images = {}
    for name, recipe in {**BASES, **nodes}.items():
        search = [trees[key] for key in (recipe.engine, "tools") if key]
        fingerprint = (rootfs.fingerprint(recipe), [tree.name for tree in search])
        made = cache.kept(f"image-{name}", fingerprint, partial(rootfs.build, recipe, search))
        images[name] = (recipe, made / rootfs.TAR)
    return images


def _import(url: str, images: dict[str, tuple[RootFs, Path]]) -> None:
    say(f"importing {', '.join(images)}")
    with connected(url, timeout=120) as client:
        for name, (recipe, tar) in images.items():
            repository, _, tag = _base_name(name).partition(":")
            client.api.import_image_from_file(
                str(tar), repository, tag=tag, changes=list(recipe.changes)
            )


def _base_name(name: str) -> str:
    return f"swarmroll-lab/{name}:1"


def _clean_up(directory: Path) -> None:
    say("ending the engine and everything on it")
    engine.stop(directory / _ENGINE, directory.name)
    namespace.delete(directory.name)
    shutil.rmtree(directory, ignore_errors=True)
