"""
Keeps secrets out of everything people see.

A value is taken for a secret by its key (``DB_PASSWORD``), by its looks (a JWT, a PEM block, a
password in a URL), or by where it stands (the argument after ``--token``). It errs on the side of
masking: a masked time-out is a nuisance, a printed password an incident. What the engine is sent is
never touched.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from json import dumps
from math import log2
from typing import TYPE_CHECKING, Any

from swarmroll.printable import printable

if TYPE_CHECKING:
    from swarmroll.core.spec import ServiceSpec

MASK = "••••"
"""What stands in the place of a secret."""

# Names that give a secret away wherever they stand in a key: DBPASSWORD, myTokenValue.
_ANYWHERE = re.compile(
    r"passw|passphrase|secret|token|credential|apikey|cookie|private|session|(?<![a-z])auth(?!or(?!i))"
    r"|oauth",
    re.IGNORECASE,
)
# Names that are too short to be looked for inside words ("monkey", "compass"): one of the key's
# words must be, or end in, them.
_WORD = re.compile(
    r"(?:[a-z0-9]*(?<!mon)(?<!tur)(?<!don)keys?|[a-z0-9]*(?<!by)(?<!com)pass|[a-z0-9]*pwd|pw|auth|dsn|jwt|otp|salt|creds?|sid|psk"
    r"|bearer|signature)",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[0-9]+")
# DB_PASSWORD_FILE=/run/secrets/db tells where the secret is, not what it is.
_POINTER = re.compile(r"_(?:file|path|dir)$", re.IGNORECASE)


def is_secret_key(key: str) -> bool:
    """Does this key (of an environment variable, a label, an option) announce a secret?"""
    if _ANYWHERE.search(key):
        return True
    return any(_WORD.fullmatch(word) for word in _WORDS.findall(key))


_Span = tuple[int, int]

# Each pattern's last group is the secret. Bounded, so that no text can make them slow.
_LOOKS = tuple(
    re.compile(pattern)
    for pattern in (
        # A PEM block, cut off or whole.
        (
            r"(-----BEGIN [A-Z0-9 ]{0,40}-----(?:(?!-----END)[\s\S]){0,20000}"
            r"(?:-----END [A-Z0-9 ]{0,40}-----)?)"
        ),
        # A JSON web token.
        r"\b(eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?)",
        # AWS, GitHub, GitLab, Slack, Stripe, Google, npm, PyPI, Docker Hub, Swarm's own.
        r"\b((?:AKIA|ASIA)[A-Z0-9]{12,})",
        r"\b(gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,})",
        r"\b(xox[abeoprs]-[A-Za-z0-9-]{8,}|xapp-[A-Za-z0-9-]{8,})",
        r"\b([sr]k_(?:live|test)_[A-Za-z0-9]{8,}|AIza[\w-]{20,}|npm_[A-Za-z0-9]{20,})",
        r"\b(pypi-[\w-]{16,}|dckr_(?:pat|oat)_[\w-]{16,}|SWMTKN-[\w-]{16,}|SWMKEY-[\w+/-]{16,})",
        # A password in a URL; a lone user name in one is often a token.
        r"\b[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s/?#@:\"']{0,256}:([^\s/\"']{1,512})@",
        r"\b[A-Za-z][A-Za-z0-9+.-]{0,30}://([^\s/?#@:\"']{1,512})@",
        # Credentials before a registry: user:password@registry/app.
        (
            r"(?<![\w/:@.-])[\w.+-]{1,128}:(?!//)([^\s/@:\"']{1,512})@"
            r"(?=(?!sha\d{3}:)[\w.-]{1,255}[:/])"
        ),
        # HTTP headers.
        r"(?i)\b(?:bearer|basic)\s+([A-Za-z0-9._~+/=-]{6,})",
        (
            r"(?i)\b(?:authorization|x-[a-z-]{0,30}(?:token|key|auth))\"?\s{0,4}:\s{0,4}\"?"
            r"(?!bearer\b|basic\b)([^\s\"']{3,})"
        ),
        r"(?i)\b(?:set-)?cookie\"?\s{0,4}:\s{0,4}\"?([^\r\n\"']{3,512})",
        r"(?i)\b(?:password|passwd|passphrase|api[_-]?key)\s{0,4}:\s{0,4}(?!//)([^\s\"',;]{1,512})",
    )
)
# name=value in a connection string or a query; "name": "value" in JSON; --name value in a shell.
_QUOTED = r"\"([^\"]{1,4096})\"|'([^']{1,4096})'"
_PAIRS = (
    re.compile(rf"([A-Za-z_][\w.-]{{0,127}})\s?=\s?(?:{_QUOTED}|([^\s,;&\"']{{1,4096}}))"),
    re.compile(
        rf"[\"']([A-Za-z_][\w.-]{{0,127}})[\"']\s?:\s?(?:{_QUOTED}|([^\s,;&\"'}}]{{1,64}}))"
    ),
    re.compile(
        rf"(?<!\S)--?([A-Za-z][\w.-]{{1,127}})\s+(?:{_QUOTED}|([^\s\"'-][^\s\"']{{0,4095}}))"
    ),
)
# No pattern above or below fits a single word that is shorter; most texts are such words.
SHORTEST_WORD = 16

# What a random token is made of. Image digests, task and container ids are plain lower case.
_TOKEN = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{24,4096}={0,2}")


def _looks_random(token: str) -> bool:
    if not (re.search("[a-z]", token) and re.search("[A-Z]", token)):
        return False
    if len(re.findall("[0-9]", token)) < 2:
        return False
    counts = Counter(token).values()
    return -sum(n / len(token) * log2(n / len(token)) for n in counts) >= 4.0


def _spans(text: str) -> Iterator[_Span]:
    """Where in a text secrets stand, by their looks alone."""
    if len(text) < SHORTEST_WORD and (text.isalnum() or not text):
        return
    for pattern in _LOOKS:
        for match in pattern.finditer(text):
            yield match.span(1)
    for pattern in _PAIRS:
        for match in pattern.finditer(text):
            if is_secret_key(match[1]) and not _is_pointer(match[1], match[match.lastindex or 0]):
                yield match.span(match.lastindex or 0)
    for match in _TOKEN.finditer(text):
        if _looks_random(match[0]):
            yield match.span()


def _is_pointer(key: str, value: str) -> bool:
    return value.startswith("/") and _POINTER.search(key) is not None


def _merged(spans: Iterable[_Span]) -> list[_Span]:
    merged: list[_Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _masked(text: str, spans: Iterable[_Span], found: set[str]) -> str:
    pieces, at = [], 0
    for start, end in _merged(spans):
        found.add(text[start:end])
        pieces += [text[at:start], MASK]
        at = end
    return "".join([*pieces, text[at:]])


def _mask_pair(key: str, value: str, found: set[str]) -> str:
    if is_secret_key(key) and not _is_pointer(key, value):
        spans = [(0, len(value))] if value else []
        return _masked(value, spans, found)
    return _masked(value, _spans(value), found)


def mask_value(key: str, value: str) -> str:
    """
    The value of an environment variable, label or option, fit to be shown.

    Wholly masked if the key announces a secret; else only the parts that look like one, so that
    ``postgres://app:hunter2@db/app`` keeps its host.
    """
    return _mask_pair(key, value, set())


_OPTION = re.compile(r"--?([A-Za-z][\w.-]*)")


def _mask_args(args: Sequence[str], found: set[str]) -> list[str]:
    masked = []
    option = ""
    for arg in args:
        name, equals, value = arg.partition("=")
        if option and is_secret_key(option) and not arg.startswith("--"):
            masked.append(_mask_pair(option, arg, found))
        elif equals and _OPTION.fullmatch(name):
            masked.append(f"{name}={_mask_pair(name, value, found)}")
        else:
            masked.append(_masked(arg, _spans(arg), found))
        match = _OPTION.fullmatch(arg)
        option = match[1] if match else ""
    return masked


def mask_args(args: Sequence[str]) -> tuple[str, ...]:
    """A command line, with ``--password=x``, ``--password x`` and secret-looking parts masked."""
    return tuple(_mask_args(args, set()))


def mask_text(text: str, known_secrets: Iterable[str] = ()) -> str:
    """
    Free text, such as an engine's error or a log line, fit to be shown.

    Args:
        text: Anything.
        known_secrets: Strings to mask wherever they occur, also JSON-escaped; see
            ``secrets_of()``. Shorter than 4 characters they are passed over: they would tear
            holes into every word.

    """
    forms = {form for secret in known_secrets for form in (secret, dumps(secret)[1:-1])}
    for form in sorted(forms, key=len, reverse=True):
        if len(form) >= 4:
            text = text.replace(form, MASK)
    return _masked(text, _spans(text), set())


# Keys of the engine's own documents that sound secret, and are not: they name Docker objects, or
# hold objects whose leaves are looked at one by one.
_HARMLESS = frozenset({"Secrets", "SecretID", "SecretName", "Privileges", "CredentialSpec"})
# Lists whose items a diff calls by name; a secret named db_password has no secret name.
_LISTS = frozenset({"Secrets", "Configs", "Mounts", "Networks", "Ports", "Ulimits"})
_COMMANDS = frozenset({"Args", "Command", "Test"})


def mask_document(path: Sequence[str], value: Any, found: set[str] | None = None) -> Any:
    """
    A piece of a service spec, fit to be shown.

    Args:
        path: Where in the spec the piece stands; its last keys say what it is.
        value: Plain JSON.
        found: Takes every secret that was masked, if given.

    """
    return _mask_json(tuple(path), value, set() if found is None else found)


def _mask_json(path: tuple[str, ...], value: Any, found: set[str]) -> Any:
    if isinstance(value, dict):
        return {
            _masked(name, _spans(name), found): _mask_json((*path, name), item, found)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return _mask_list(path, value, found)
    key = path[-1] if path else ""
    if key in _HARMLESS or value is None or isinstance(value, bool):
        return value
    # Whatever lies inside something secret is secret: {"Tokens": {"ci": "…"}}.
    key = next((outer for outer in _telling(path) if is_secret_key(outer)), key)
    if isinstance(value, str):
        return _mask_pair(key, value, found)
    return MASK if is_secret_key(key) else value


def _telling(path: tuple[str, ...]) -> Iterator[str]:
    """The keys of a path that say something about the value; not the names of listed items."""
    before = ""
    for key in path:
        if key not in _HARMLESS and before not in _LISTS:
            yield key
        before = key


def _mask_list(path: tuple[str, ...], items: list[Any], found: set[str]) -> list[Any]:
    key = path[-1] if path else ""
    texts = all(isinstance(item, str) for item in items)
    if key == "Env" and texts:
        return [_mask_entry(item, found) for item in items]
    if key in _COMMANDS and texts:
        return _mask_args(items, found)
    return [_mask_json(path, item, found) for item in items]


def _mask_entry(entry: str, found: set[str]) -> str:
    name, equals, value = entry.partition("=")
    return f"{name}={_mask_pair(name, value, found)}" if equals else entry


def secrets_of(spec: ServiceSpec) -> frozenset[str]:
    """
    Every string in a spec that would be masked when shown.

    For ``mask_text()``: engines and applications like to repeat their configuration in errors.
    """
    found: set[str] = set()
    mask_document((), spec.to_engine(), found)
    return frozenset(found)


def shown(value: object, *, key: str = "") -> str:
    """A wrong value in an error message: short, masked, printable; of containers only the type."""
    if isinstance(value, str):
        text = printable(mask_value(key, value))
        return f'"{text[:60]}…"' if len(text) > 61 else f'"{text}"'
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**21 else "an integer of more than 64 bits"
    return f"a {type(value).__name__}"
