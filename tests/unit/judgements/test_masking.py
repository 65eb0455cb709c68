"""What people are shown of a log holds no secret, and can be stored."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.judgements.masking import LONGEST, masked, shown

SECRETS = [
    "ERROR cannot connect to postgres://app:Sekret@db",
    "postgres://app:Se@Sekret@db/x",
    "redis://:Sekret@cache:6379",
    "Authorization: Bearer Sekret1, status 401",
    '{"authorization":"Basic Sekret=="}',
    '{"msg":"{\\"authorization\\":\\"Bearer Sekret\\"}"}',
    "upstream refused Bearer abc-Sekret",
    "jwt eyJhbGciOiJI.eyJzdWIiOiIx.Sekret-_x expired",
    "password=Sekret host=db",
    'password = "Sekret"',
    '{"password":"Sek\\"Sekret","a":1}',
    '{\\"password\\":\\"Sek\\\\\\"Sekret\\",\\"a\\":1}',
    "{ password: 'Sekret', user: 'ada' }",
    "DB_PASSWORD=Sekret",
    "x-api-key: Sekret",
    "client_secret=Sekret",
    'accessToken => "Sekret"',
    "ALTER ROLE ada PASSWORD 'Sek''Sekret'",
    "GET /?token=Sekret&page=1",
]
HOSTILE = [
    "a",
    "\\",
    '"',
    "@",
    "password",
    "password=",
    'password="',
    "a://a:",
    "a://",
    "a://a:x@",
    "bearer ",
    "eyJaaaaaaaa.",
    "authorization:",
    "password '",
    'token\\"',
    'token:\\\\\\"',
    "1a.",
]


@pytest.mark.parametrize("line", SECRETS)
def test_secrets_are_masked(line: str) -> None:
    assert "Sekret" not in masked(line)
    assert "***" in masked(line)


@pytest.mark.parametrize(
    "line",
    [
        'password authentication failed for user "app"',
        "Unexpected token } in JSON at position 4",
        "GET http://svc:8080/health 502",
        "mail to ada@example.org bounced",
    ],
)
def test_what_is_no_secret_is_kept(line: str) -> None:
    assert masked(line) == line


def test_what_stands_around_a_secret_is_kept() -> None:
    line = 'ERROR {"user":"ada","password":"x","host":"db"} at postgres://app:x@db:5432/teei'
    kept = 'ERROR {"user":"ada","password":"***","host":"db"} at postgres://app:***@db:5432/teei'
    assert masked(line) == kept


@pytest.mark.parametrize("part", HOSTILE)
def test_masking_takes_time_in_proportion_to_the_text(part: str) -> None:
    """It ends: with the square of the length it would take hours."""
    masked(part * (1_000_000 // len(part)))


def test_what_is_shown_can_be_stored() -> None:
    lone = json.loads('"\\ud83d is half a face"')
    assert shown(lone) == "? is half a face"
    assert len(shown("x" * 100_000)) == LONGEST


@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_any_line_can_be_shown(line: str) -> None:
    shown(line).encode()
