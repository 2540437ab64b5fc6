"""Image references: read, checked and pinned as the docker CLI does."""

from __future__ import annotations

import re

import attrs

from swarmroll.core.redact import shown
from swarmroll.errors import SpecError

# github.com/distribution/reference, regexp.go.
_ALPHANUMERIC = r"[a-z0-9]+"
_COMPONENT = rf"{_ALPHANUMERIC}(?:(?:[._]|__|-+){_ALPHANUMERIC})*"
_HOST_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_HOST_PART}(?:\.{_HOST_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")
# The algorithms of opencontainers/go-digest, and the length of their hex digests.
_DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
_MAX_REPOSITORY = 255
_MAX_REFERENCE = 1000


@attrs.frozen(kw_only=True)
class ImageReference:
    """
    The name of an image, taken apart.

    Attributes:
        name: The name as written, without tag and digest: ``app``, ``ghcr.io/team/app``.
        registry: Where it is looked up: ``docker.io`` where the name gives no other.
        repository: Its name there: ``library/app``, ``team/app``.
        tag: The tag as written, or None.
        digest: The digest (``sha256:…``), or None. With a digest, engines ignore the tag.

    """

    name: str
    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: object, *, name: str = "image") -> ImageReference:
        """
        Read a reference, by the rules of github.com/distribution/reference.

        Args:
            text: Such as ``app:2``, ``ghcr.io/team/app@sha256:…``.
            name: What the reference is for, as the error should call it.

        Raises:
            SpecError: It is no valid reference; says which part, and why.

        """
        if not isinstance(text, str) or not 0 < len(text) <= _MAX_REFERENCE:
            raise SpecError(f'{name} must be an image such as "app:2", got {shown(text)}')
        if re.search(r"[\s\x00-\x1f\x7f]", text):
            raise SpecError(f"{name} must not contain white space, got {shown(text)}")
        rest, at, digest = text.partition("@")
        slash = rest.rfind("/") + 1
        last, colon, tag = rest[slash:].partition(":")
        bare = rest[:slash] + last
        registry, repository = _split(bare)
        _check_name(registry, repository, bare, text, name)
        if colon and not _TAG.fullmatch(tag):
            raise SpecError(
                f"{name} must have a tag of letters, digits, _ . - (at most 128), got {shown(text)}"
            )
        if at:
            check_digest(digest, name=name)
        return cls(
            name=bare,
            registry=registry,
            repository=repository,
            tag=tag if colon else None,
            digest=digest if at else None,
        )

    @property
    def canonical(self) -> str:
        """The full name: ``docker.io/library/app:latest``."""
        full = attrs.evolve(self, name=f"{self.registry}/{self.repository}")
        if self.tag is None and self.digest is None:
            full = attrs.evolve(full, tag="latest")
        return str(full)

    def pinned(self, digest: str) -> ImageReference:
        """
        The same image, with this digest.

        As the CLI does, the tag stays for people to read (``app:2@sha256:…``), and is ``latest``
        where there is neither tag nor digest.

        Raises:
            SpecError: It is no valid digest.

        """
        check_digest(digest, name="digest")
        tag = "latest" if self.tag is None and self.digest is None else self.tag
        return attrs.evolve(self, tag=tag, digest=digest)

    def unpinned(self) -> ImageReference:
        """The same image without its digest."""
        return attrs.evolve(self, digest=None)

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        digest = "" if self.digest is None else f"@{self.digest}"
        return f"{self.name}{tag}{digest}"


def _split(name: str) -> tuple[str, str]:
    """Registry and repository: distribution/reference, normalize.go, splitDockerDomain."""
    domain, slash, repository = name.partition("/")
    is_domain = domain == "localhost" or re.search("[.:]", domain) or domain.lower() != domain
    if not slash or not is_domain:
        domain, repository = "docker.io", name
    if domain == "index.docker.io":
        domain = "docker.io"
    if domain == "docker.io" and "/" not in repository:
        repository = f"library/{repository}"
    return domain, repository


def _check_name(registry: str, repository: str, bare: str, text: str, name: str) -> None:
    if repository != repository.lower():
        raise SpecError(f"{name} must have a lower case repository name, got {shown(text)}")
    if _IDENTIFIER.fullmatch(bare):
        raise SpecError(f"{name} must be a name, not an image ID, got {shown(text)}")
    if not _DOMAIN.fullmatch(registry) or not _REPOSITORY.fullmatch(repository):
        raise SpecError(f'{name} must be an image such as "app:2", got {shown(text)}')
    if len(repository) > _MAX_REPOSITORY:
        raise SpecError(f"{name} must have a repository name of at most 255 characters")


def check_digest(digest: str, *, name: str) -> None:
    """
    Is this a content digest, as ``sha256:`` and 64 hexadecimal digits?

    Raises:
        SpecError: It is not.

    """
    algorithm, _, encoded = digest.partition(":")
    length = _DIGEST_LENGTHS.get(algorithm, -1)
    if len(encoded) != length or not re.fullmatch("[a-f0-9]+", encoded):
        raise SpecError(
            f"{name} must have a digest such as sha256:<64 hexadecimal digits>, got {shown(digest)}"
        )
