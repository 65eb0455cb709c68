"""Command lines of PostgreSQL's tools, and addresses of databases."""

import pytest

from activities.adapters.postgres.url import parse_target
from slipway import pg_commands
from slipway.errors import BadInput
from slipway.pg_commands import Part, Where

WHERE = Where("db.internal", 5433, "slipway", "teei")
CONNECTION = [
    "--no-password",
    "--host=db.internal",
    "--port=5433",
    "--username=slipway",
    "--dbname=teei",
]


def test_dump_is_one_snapshot_in_custom_format_uncompressed() -> None:
    assert pg_commands.dump("/bin/pg_dump", WHERE, "0003-1") == [
        "/bin/pg_dump",
        *CONNECTION,
        "--format=custom",
        "--compress=0",
        "--snapshot=0003-1",
        "--exclude-schema=slipway_fallback",
        "--lock-wait-timeout=60000",
    ]


def test_restore_ends_at_the_first_error_and_publishes_nothing() -> None:
    assert pg_commands.restore("pg_restore", WHERE, "/tmp/x.dump") == [
        "pg_restore",
        *CONNECTION,
        "--exit-on-error",
        "--no-publications",
        "--no-subscriptions",
        "--jobs=2",
        "/tmp/x.dump",
    ]


def test_reading_through_needs_no_server() -> None:
    command = pg_commands.read_through("pg_restore", "x.dump")
    assert command == ["pg_restore", "--exit-on-error", "--file=/dev/null", "x.dump"]
    assert "--list" not in command


def test_schema_leaves_out_what_slipway_and_replication_add() -> None:
    left_out = {"--no-publications", "--no-subscriptions", "--exclude-schema=slipway_fallback"}
    assert left_out <= set(pg_commands.schema("pg_dump", WHERE))


def test_schema_is_pinned_to_a_snapshot_when_one_is_given() -> None:
    assert "--snapshot=s" in pg_commands.schema("pg_dump", WHERE, "s")
    assert not [one for one in pg_commands.schema("pg_dump", WHERE) if "snapshot" in one]


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ("pg_dump (PostgreSQL) 18.4\n", 18),
        ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", 15),
        ("pg_dump (PostgreSQL) 19devel", 19),
        ("pg_dump (PostgreSQL) 19beta1", 19),
    ],
)
def test_major_version(text: str, major: int) -> None:
    assert pg_commands.major_of(text) == major


def test_no_version_is_an_error() -> None:
    with pytest.raises(ValueError, match="no version"):
        pg_commands.major_of("command not found 18")


def test_address_with_escapes_and_encryption() -> None:
    target = parse_target(
        "postgresql://slip%40way:p%40ss%2F%3A@[::1]:5433/teei?sslmode=verify-full", "env:URL"
    )
    assert (target.user, target.password, target.host) == ("slip@way", "p@ss/:", "::1")
    assert (target.port, target.database) == (5433, "teei")
    assert target.environment() == {"PGSSLMODE": "verify-full"}
    assert "p@ss" not in repr(target)
    assert "p@ss" not in target.name
    assert parse_target("postgres://u:p@h/d", "x").port == 5432


SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"mysql://u:{SECRET}@h/d",
        f"postgresql://u:{SECRET}@x@h/d",
        f"postgresql://u:{SECRET}@h:{SECRET}/d",
        f"postgresql://u:{SECRET}@[::1/d",
        f"postgresql://u:{SECRET}@h,i/d",
        f"postgresql://u:{SECRET}@h/d?options=-crole%3Dx",
        f"postgresql://u:{SECRET}@h/d?sslmode=a&sslmode=b",
        f"postgresql://u:{SECRET}@h/host=evil",
        f"postgresql://u:{SECRET}@h/",
        f"postgresql://u:{SECRET}@h/d\n",
        f"postgresql://h/{SECRET}",
        f"postgresql://u:{SECRET}@h:99999/d",
        SECRET,
        "",
        "x" * 10_000,
    ],
)
def test_wrong_address_is_refused_without_repeating_any_of_it(text: str) -> None:
    with pytest.raises(BadInput, match="env:PROD_URL is no address") as caught:
        parse_target(text, "env:PROD_URL")
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_is_carried_over_keeps_slipways_own_schema_and_comes_by_the_pipe() -> None:
    out = pg_commands.carry_out("pg_dump", WHERE, "0003-1", Part.ALL)
    assert "--exclude-schema=slipway_fallback" not in out
    assert "--snapshot=0003-1" in out
    assert "--data-only" in pg_commands.carry_out("pg_dump", WHERE, "0003-1", Part.DATA)
    assert "--schema-only" in pg_commands.carry_out("pg_dump", WHERE, "0003-1", Part.SCHEMA)
    back = pg_commands.carry_in("pg_restore", WHERE)
    assert back[-3:] == ["--exit-on-error", "--no-publications", "--no-subscriptions"]
