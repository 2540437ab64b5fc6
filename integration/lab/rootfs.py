"""Base images without a registry: programs, the libraries they load, and a few files, in a tar."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from pathlib import Path

from integration.lab.debian import find_program
from integration.lab.errors import LabError
from integration.lab.recipes import RootFs

TAR = "image.tar"

#: name -> target. Debian's loader and many a script know both names of these directories.
_LINKS = {"sbin": "bin", "var/run": "../run", "usr/bin": "../bin"}
_FILES = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    "etc/group": "root:x:0:\ndocker:x:999:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}
_DIRECTORIES = (
    *("bin", "dev", "etc", "proc", "root", "run", "sys", "tmp"),
    *("usr", "usr/share", "var", "var/lib"),
)
_IPTABLES = tuple(f"{ip}tables{verb}" for ip in ("ip", "ip6") for verb in ("", "-save", "-restore"))


class _Writer:
    """A tar of root's files, to which every path is added once."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._seen: set[str] = set()

    def directory(self, name: str) -> None:
        self._add(name, type=tarfile.DIRTYPE, mode=0o1777 if name == "tmp" else 0o755)

    def link(self, name: str, target: str) -> None:
        self._add(name, type=tarfile.SYMTYPE, linkname=target)

    def text(self, name: str, content: str) -> None:
        self._add(name, content=content.encode())

    def file(self, name: str, source: Path) -> None:
        """Copy a file; the executable bit comes along, the owner does not."""
        executable = source.stat().st_mode & stat.S_IXUSR
        self._add(name, content=source.read_bytes(), mode=0o755 if executable else 0o644)

    def _add(
        self,
        name: str,
        *,
        content: bytes = b"",
        mode: int = 0o644,
        type: bytes = tarfile.REGTYPE,  # noqa: A002 - tarfile's own word
        linkname: str = "",
    ) -> None:
        if name in self._seen:
            return
        self._seen.add(name)
        entry = tarfile.TarInfo(name)
        entry.mode, entry.type, entry.linkname, entry.size = mode, type, linkname, len(content)
        self._archive.addfile(entry, io.BytesIO(content))


def build(recipe: RootFs, trees: list[Path], into: Path) -> None:
    """
    Write the tar of a base image.

    Args:
        recipe: What goes in.
        trees: Directories of unpacked packages, searched in this order before the machine itself.
        into: The directory in which the file `TAR` is made.
    """
    libraries = os.pathsep.join(
        str(path) for tree in trees for path in tree.glob("usr/lib/*-linux-*")
    )
    with tarfile.open(into / TAR, "w") as archive:
        writer = _Writer(archive)
        for name in _DIRECTORIES:
            writer.directory(name)
        for name, target in _LINKS.items():
            writer.link(name, target)
        if recipe.overlay:
            for source in sorted(recipe.overlay.rglob("*")):
                name = str(source.relative_to(recipe.overlay))
                writer.directory(name) if source.is_dir() else writer.file(name, source)
        for name in recipe.programs:
            _add_program(writer, name, trees, libraries)
        for name, content in _FILES.items():
            writer.text(name, content)


def fingerprint(recipe: RootFs) -> object:
    """Everything in a recipe that changes the tar; where the checkout lies does not."""
    overlay = recipe.overlay
    files = sorted(overlay.rglob("*")) if overlay else ()
    contents = [
        (str(file.relative_to(overlay)), file.read_bytes())
        for file in files
        if overlay and file.is_file()
    ]
    return (recipe.engine, recipe.programs, contents)


def _add_program(writer: _Writer, name: str, trees: list[Path], libraries: str) -> None:
    folders = [tree / folder for tree in trees for folder in ("usr/sbin", "usr/bin", "bin", "sbin")]
    program = find_program(name, *folders)
    if program is None:
        raise LabError(f"{name} is neither in {', '.join(map(str, trees))} nor on this machine")
    writer.file(f"bin/{name}", program)
    for library in _loaded(program, libraries):
        writer.file(_without_tree(library, trees), library)
    if name == "busybox":
        applets = subprocess.run([program, "--list"], check=True, capture_output=True, text=True)
        for applet in applets.stdout.split():
            writer.link(f"bin/{applet}", "busybox")
    if name == "xtables-nft-multi":
        for alias in _IPTABLES:
            writer.link(f"bin/{alias}", name)
        for extension in sorted(Path("/usr/lib").glob("*/xtables/*.so")):
            writer.file(str(extension.relative_to("/")), extension)


def _loaded(program: Path, libraries: str) -> list[Path]:
    """What the dynamic loader would load; nothing for a static program."""
    environment = {**os.environ, "LD_LIBRARY_PATH": libraries}
    output = subprocess.run(
        ["ldd", str(program)], check=False, capture_output=True, text=True, env=environment
    ).stdout
    if "not found" in output:
        raise LabError(f"{program} needs libraries that are not here: {output.strip()}")
    words = (word for line in output.splitlines() for word in line.split())
    return [Path(word) for word in words if word.startswith("/")]


def _without_tree(path: Path, trees: list[Path]) -> str:
    for tree in trees:
        if path.is_relative_to(tree):
            return str(path.relative_to(tree))
    return str(path.relative_to("/"))
