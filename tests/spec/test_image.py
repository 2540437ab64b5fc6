"""Image references are read as distribution/reference does."""

from __future__ import annotations

from typing import Any

import pytest

from swarmroll.core.image import ImageReference
from swarmroll.errors import SpecError

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("app", ("app", "docker.io", "library/app", None, None)),
        ("app:2", ("app", "docker.io", "library/app", "2", None)),
        ("team/app:2", ("team/app", "docker.io", "team/app", "2", None)),
        ("docker.io/app", ("docker.io/app", "docker.io", "library/app", None, None)),
        ("index.docker.io/a/b", ("index.docker.io/a/b", "docker.io", "a/b", None, None)),
        ("ghcr.io/t/app:v1.2", ("ghcr.io/t/app", "ghcr.io", "t/app", "v1.2", None)),
        ("localhost/app", ("localhost/app", "localhost", "app", None, None)),
        ("reg:5000/app", ("reg:5000/app", "reg:5000", "app", None, None)),
        ("[::1]:5000/app:1", ("[::1]:5000/app", "[::1]:5000", "app", "1", None)),
        ("Reg/app", ("Reg/app", "Reg", "app", None, None)),
        (f"app@{DIGEST}", ("app", "docker.io", "library/app", None, DIGEST)),
        (f"r:1/a__b-c:2@{DIGEST}", ("r:1/a__b-c", "r:1", "a__b-c", "2", DIGEST)),
    ],
)
def test_a_reference_is_taken_apart(text: str, parts: tuple[str | None, ...]) -> None:
    """And put together again it is what was written."""
    found = ImageReference.parse(text)
    assert parts == (found.name, found.registry, found.repository, found.tag, found.digest)
    assert text == str(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be an image"),
        (None, "must be an image"),
        ("a" * 1001, "must be an image"),
        ("app 2", "white space"),
        ("app:2\n", "white space"),
        ("app\x1b[2J", "white space"),
        ("App:2", "lower case"),
        ("ghcr.io/Team/app", "lower case"),
        ("a" * 64, "not an image ID"),
        ("-app", "must be an image"),
        ("app//x", "must be an image"),
        ("/app", "must be an image"),
        (":2", "must be an image"),
        ("a_-b", "must be an image"),
        ("user:pw@reg.io/app", "digest"),
        ("app:", "must have a tag"),
        ("app:-x", "must have a tag"),
        ("app:" + "x" * 129, "must have a tag"),
        ("app@sha256:abc", "digest"),
        ("app@md5:" + "a" * 32, "digest"),
        ("app@" + DIGEST.replace("a", "A"), "digest"),
        ("app@", "digest"),
        ("r.io/" + "a" * 256, "at most 255"),
    ],
)
def test_what_is_no_reference_is_refused_with_the_reason(text: Any, message: str) -> None:
    """Before an engine tries to pull it."""
    with pytest.raises(SpecError, match=f"image .*{message}"):
        ImageReference.parse(text)


def test_a_pinned_reference_keeps_its_tag_for_people() -> None:
    """As the docker CLI writes it."""
    assert f"app:2@{DIGEST}" == str(ImageReference.parse("app:2").pinned(DIGEST))
    assert f"app:latest@{DIGEST}" == str(ImageReference.parse("app").pinned(DIGEST))
    older = ImageReference.parse(f"app@sha256:{'b' * 64}")
    assert f"app@{DIGEST}" == str(older.pinned(DIGEST))
    assert str(ImageReference.parse(f"app:2@{DIGEST}").unpinned()) == "app:2"


def test_pinning_wants_a_digest() -> None:
    """Not a tag."""
    with pytest.raises(SpecError, match="digest must have a digest"):
        ImageReference.parse("app").pinned("2")


def test_the_canonical_name_says_where_to_look() -> None:
    """For the registry."""
    assert ImageReference.parse("app").canonical == "docker.io/library/app:latest"
    assert ImageReference.parse(f"a/b@{DIGEST}").canonical == f"docker.io/a/b@{DIGEST}"


def test_a_registry_password_in_a_reference_is_not_repeated() -> None:
    """A common mistake."""
    with pytest.raises(SpecError) as caught:
        ImageReference.parse("user:canary1@reg.io/app:2")
    assert "canary1" not in str(caught.value)
