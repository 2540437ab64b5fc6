"""
Debian packages, unpacked without being installed.

The machine's own package state is not touched: apt gets lists, status and caches of its own. Only a
few small helpers that dockerd and the lab call by name are installed, where they are missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from integration.lab.errors import LabError
from integration.lab.progress import say
from integration.lab.recipes import Packages

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

#: Program -> the package that has it. These do work unpacked, but not without their libraries.
HELPERS = {"runc": "runc", "iptables": "iptables", "ip": "iproute2"}


def distribution() -> str:
    """The machine's distribution in the words of os-release ("debian", "ubuntu"), or ""."""
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    return fields.get("ID", "").strip('"')


def find_program(name: str, *extra: Path) -> Path | None:
    """Look a program up in the given directories, then in PATH and where root's programs live."""
    path = os.pathsep.join([*map(str, extra), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def install(*packages: str) -> None:
    """Install packages on the machine itself."""
    say(f"installing {' '.join(packages)} with apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # One of several archives that cannot be read need not be the one that has the packages.
    subprocess.run(["apt-get", "-qq", "update"], check=False, env=environment)
    command = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *packages]
    _run(command, f"install {' '.join(packages)}", env=environment)


def install_helpers() -> None:
    """Install the small programs that the lab needs from the machine itself."""
    missing = [package for name, package in HELPERS.items() if find_program(name) is None]
    if missing:
        install(*missing)


def fetch(packages: Packages, into: Path) -> None:
    """Download packages and unpack them into a directory; no maintainer script is run."""
    archive = _archive()
    with tempfile.TemporaryDirectory(prefix="swarmroll-apt-") as scratch:
        apt = _isolated_apt(Path(scratch), archive, packages.suite)
        _run([*apt, "update"], f"read Debian's {packages.suite} index")
        downloads = Path(scratch) / "downloads"
        downloads.mkdir()
        _run(
            [*apt, "download", *packages.names],
            f"download {' '.join(packages.names)} of Debian's {packages.suite}",
            cwd=downloads,
        )
        for deb in sorted(downloads.glob("*.deb")):
            _run(["dpkg-deb", "-x", str(deb), str(into)], f"unpack {deb.name}")


def _archive() -> str:
    """The Debian archive that this machine already uses."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    filters = ["Created-By: Packages", "Origin: Debian", "Label: Debian"]
    for attempt in ("as it is", "after an update"):
        output = subprocess.run(
            [*command, *filters], check=False, capture_output=True, text=True
        ).stdout
        if output:
            return output.splitlines()[0]
        if attempt == "as it is":
            subprocess.run(["apt-get", "-qq", "update"], check=False)
    raise LabError("apt knows no Debian archive: look at /etc/apt/sources.list and sources.list.d")


def _isolated_apt(scratch: Path, archive: str, suite: str) -> list[str]:
    for folder in ("lists/partial", "archives/partial"):
        (scratch / folder).mkdir(parents=True)
    (scratch / "status").touch()
    sources = scratch / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {archive} {suite} main\n", encoding="utf-8")
    options = {
        "Dir::State::lists": scratch / "lists",
        "Dir::State::status": scratch / "status",
        "Dir::Cache::archives": scratch / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Acquire::Languages": "none",
        # A suite that is not released yet may lie about in a mirror for longer than it says. The
        # signature is checked all the same.
        "Acquire::Check-Valid-Until": "false",
        # apt's unprivileged user cannot write to the scratch directory.
        "APT::Sandbox::User": "root",
    }
    return ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]


def _run(
    command: list[str],
    purpose: str,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, env=env)
    if done.returncode:
        raise LabError(f"could not {purpose}: {(done.stderr or done.stdout).strip()}")
