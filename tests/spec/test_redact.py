"""Secrets are masked wherever people look, and everything else stays readable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmroll.core.redact import (
    MASK,
    is_secret_key,
    mask_args,
    mask_document,
    mask_text,
    mask_value,
    secrets_of,
    shown,
)
from swarmroll.core.spec import ServiceSpec
from swarmroll.printable import printable


@pytest.mark.parametrize(
    "key",
    [
        "PASSWORD",
        "DB_PASSWORD",
        "MYSQL_PWD",
        "dbPass",
        "DBPASS",
        "passphrase",
        "SECRET_KEY_BASE",
        "aws_access_key_id",
        "API_KEY",
        "apiKey",
        "APIKEY",
        "ENCRYPTIONKEY",
        "GITHUB_TOKEN",
        "credentials",
        "AUTH",
        "basic_auth",
        "proxy.authorization",
        "OAUTH2",
        "SENTRY_DSN",
        "privateKey",
        "COOKIE",
        "SESSION_ID",
        "sid",
        "PASSWORD_SALT",
        "x-api-key",
    ],
)
def test_a_key_gives_a_secret_away(key: str) -> None:
    """In any spelling that is about."""
    assert is_secret_key(key)
    assert mask_value(key, "hunter2") == MASK


@pytest.mark.parametrize(
    "key",
    [
        "LOG",
        "PORT",
        "KEYCLOAK_URL",
        "MONKEY",
        "AUTHOR",
        "COMPASS",
        "BYPASS",
        "HOSTNAME",
        "DATABASE_URL",
        "com.docker.stack.namespace",
        "PATH",
        "INSIDE",
    ],
)
def test_a_harmless_key_hides_nothing(key: str) -> None:
    """A diff that masks everything helps nobody."""
    assert mask_value(key, "hunter2") == "hunter2"


def test_an_empty_value_is_no_secret() -> None:
    """That a password is empty is worth seeing."""
    assert mask_value("PASSWORD", "") == ""


def test_a_path_to_a_secret_is_no_secret() -> None:
    """As long as it is a path."""
    assert mask_value("DB_PASSWORD_FILE", "/run/secrets/db") == "/run/secrets/db"
    assert mask_value("DB_PASSWORD_FILE", "hunter2") == MASK


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("postgres://app:hunter2@db:5432/app", f"postgres://app:{MASK}@db:5432/app"),
        ("https://ghp0123456789@github.com/x", f"https://{MASK}@github.com/x"),
        ("amqp://a:p%40@h amqp://b:q@h", f"amqp://a:{MASK}@h amqp://b:{MASK}@h"),
        ("redis://:hunter2@cache/0", f"redis://:{MASK}@cache/0"),
        ("user:hunter2@registry.io/app:1", f"user:{MASK}@registry.io/app:1"),
        ("eyJhbGciOi.eyJzdWIiOi.c2ln", MASK),
        ("AKIAIOSFODNN7EXAMPLE", MASK),
        ("ghp_0123456789abcdefghij", MASK),
        ("xoxb-1234567890-abc", MASK),
        ("SWMTKN-1-0123456789abcdefgh", MASK),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", MASK),
        ("-----BEGIN PRIVATE KEY-----\nabc", MASK),
        ("aB3dE5gH7jK9mN1pQ3sT5vX7", MASK),
        ("host=db password=hunter2 user=x", f"host=db password={MASK} user=x"),
        ("host=db password='hunter 2'", f"host=db password='{MASK}'"),
        ('{"password": "hunter2", "user": "x"}', f'{{"password": "{MASK}", "user": "x"}}'),
        ('{"pin": 1, "secret": 123}', f'{{"pin": 1, "secret": {MASK}}}'),
        ("curl -H 'Authorization: Bearer abcdefgh'", f"curl -H 'Authorization: Bearer {MASK}'"),
        ("Authorization: hunter2hunter2", f"Authorization: {MASK}"),
        ("Cookie: a=b; c=d", f"Cookie: {MASK}"),
        ("mysql --password hunter2 --user x", f"mysql --password {MASK} --user x"),
        ("password: hunter2", f"password: {MASK}"),
    ],
)
def test_a_value_that_looks_like_a_secret_is_masked_in_place(value: str, expected: str) -> None:
    """Under any key; what stands around it stays."""
    assert expected == mask_value("OPTIONS", value)
    assert expected == mask_text(value)


@pytest.mark.parametrize(
    "value",
    [
        "app:2@sha256:" + "0123456789abcdef" * 4,
        "ghcr.io/team/app:v1.2.3@sha256:" + "fedcba9876543210" * 4,
        "https://user-guide.example.com/path?x=1",
        "http://10.0.0.5:8080/health",
        "3f2b8c9a0d1e4f5a6b7c8d9e0f1a2b3c4d5e6f70",
        "8f14e45f-ceea-467f-a1d6-91a4fd6b1c2d",
        "task x9q2m4v7k1z0c8b5n3l6j0h2g",
        "/usr/local/share/application/config.yaml",
        "unable to get secret from secret store: secret x9q2m not found",
        "node.labels.disk == ssd",
        "MAILTO=ops@example.com:25",
        "com.example.VeryLongClassNameForTestsOnly",
        "slot 3 on node w2: task: non-zero exit (1)",
    ],
)
def test_ordinary_values_stay_readable(value: str) -> None:
    """Digests, ids, addresses, paths and engine messages."""
    assert value == mask_text(value)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--password=x", "y"], (f"--password={MASK}", "y")),
        (["--password", "x", "y"], ("--password", MASK, "y")),
        (["-token", "x"], ("-token", MASK)),
        (["--token", "--verbose", "x"], ("--token", "--verbose", "x")),
        (["--port", "80"], ("--port", "80")),
        (["--url=https://u:p@h"], (f"--url=https://u:{MASK}@h",)),
        (["DB_PASSWORD=x"], (f"DB_PASSWORD={MASK}",)),
        (["sh", "-c", "x --secret y"], ("sh", "-c", f"x --secret {MASK}")),
    ],
)
def test_arguments_are_masked_in_both_styles(args: list[str], expected: tuple[str, ...]) -> None:
    """With an equals sign, or as the next word."""
    assert expected == mask_args(args)


def test_known_secrets_are_masked_in_free_text() -> None:
    """Longest first, also as JSON escapes them, but not tiny ones."""
    text = 'bad login hunter2 and hunter2-long and "a\\"bcd" on 80'
    expected = f'bad login {MASK} and {MASK} and "{MASK}" on 80'
    assert expected == mask_text(text, {"hunter2", "hunter2-long", 'a"bcd', "80"})


def test_the_secrets_of_a_spec_are_known() -> None:
    """To be masked in what engines say."""
    spec = ServiceSpec.from_engine(
        {
            "Labels": {"token": "labelled", "plain": "seen"},
            "TaskTemplate": {
                "ContainerSpec": {
                    "Env": ["PASSWORD=hunter2", "LOG=info", "URL=pg://u:urlpw@h/x", "BARE"],
                    "Args": ["--key", "argued", "--port=80"],
                    "Secrets": [{"SecretName": "db", "SecretID": "s1"}],
                    "Odd": [None, True, 5, {"Password": 5}],
                }
            },
        }
    )
    assert secrets_of(spec) == {"hunter2", "urlpw", "argued", "labelled"}


def test_names_of_docker_secrets_are_shown() -> None:
    """They are names."""
    secrets = [{"SecretName": "db", "SecretID": "s1", "File": {"Name": "db"}}]
    assert secrets == mask_document(["Secrets"], secrets)
    assert mask_document(["Secrets", "db_password", "SecretID"], "s1") == "s1"
    assert mask_document(["Secrets", "db_password", "File", "Mode"], 292) == 292


def test_what_lies_inside_something_secret_is_masked() -> None:
    """However deep."""
    assert mask_document(["Tokens"], {"ci": ["x", {"y": "z"}]}) == {"ci": [MASK, {"y": MASK}]}
    assert mask_document(["Tokens", "ci"], "x") == MASK


def test_numbers_under_a_secret_key_are_masked() -> None:
    """A PIN is one too."""
    assert mask_document(["Password"], 1234) == MASK
    assert mask_document(["Password"], [1234, True, None]) == [MASK, True, None]
    assert mask_document(["Retries"], 1234) == 1234


@given(st.text(), st.text())
def test_masking_never_fails_and_is_stable(key: str, value: str) -> None:
    """Whatever comes; what is masked stays masked."""
    masked = mask_value(key, value)
    assert masked == mask_value(key, masked) or MASK in masked
    mask_text(value, {key})
    assert printable(value).isprintable() or "\u200c" in value or "\u200d" in value or _odd(value)


def _odd(value: str) -> bool:
    # Unassigned, private and exotic blanks: Python does not print them, terminals do no harm.
    return any(not c.isprintable() for c in printable(value))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("grün 世界 🙂", "grün 世界 🙂"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31mred\x9b0m\x07", r"\x1b[31mred\x9b0m\x07"),
        ("abc\u202edcba\u2066", r"abc\u202edcba\u2066"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("line\u2028end\ud800", r"line\u2028end\ud800"),
        ("\U000e0041", r"\ue0041"),
    ],
)
def test_what_is_printed_has_no_power_over_a_terminal(text: str, expected: str) -> None:
    """Letters of all languages stay."""
    assert expected == printable(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", '"x"'),
        ("x" * 100, f'"{"x" * 60}…"'),
        ("https://u:pw@h", f'"https://u:{MASK}@h"'),
        (None, "None"),
        (True, "True"),
        (1.5, "1.5"),
        (-3, "-3"),
        (10**30, "an integer of more than 64 bits"),
        ([1], "a list"),
        (b"pw", "a bytes"),
    ],
)
def test_a_wrong_value_is_shown_short_and_safe(value: object, expected: str) -> None:
    """In the message of the error that refuses it."""
    assert expected == shown(value)


def test_a_wrong_value_under_a_secret_key_is_not_shown() -> None:
    """Only that there was one."""
    assert shown("hunter2", key="PASSWORD") == f'"{MASK}"'
