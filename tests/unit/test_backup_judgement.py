"""Names of backups, and whether a copy equals its source."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.judgements.backup import (
    differences,
    dump_key,
    home_name,
    is_ours,
    manifest_key,
    schema_digests,
    schema_sha256,
    side_name,
)
from slipway.judgements.shelf import left_databases
from slipway.messages.record import TableFingerprint

ID = "production-20261123T202134Z-3fa9c1"


def test_dump_is_named_by_utc_and_deployment() -> None:
    at = datetime(2026, 11, 23, 21, 21, 34, tzinfo=timezone(timedelta(hours=1)))
    assert dump_key("production/", at, ID) == (
        "production/prod-backup-20261123-202134-3fa9c1.dump.zst"
    )
    assert manifest_key("production/", ID, "2") == f"production/manifests/{ID}-2.json"


def test_deployment_without_id_is_refused() -> None:
    with pytest.raises(ValueError, match="no usable ID"):
        dump_key("production/", datetime.now(UTC), "production-")


@given(st.from_regex(r"[a-z_][a-z0-9_]{0,62}", fullmatch=True), st.integers(1, 99))
def test_side_names_fit_and_are_known_as_ours(database: str, tag: int) -> None:
    name = side_name(database, ID, str(tag))
    assert len(name) <= 63
    assert name.endswith(f"_slipway_3fa9c1_{tag}")
    assert is_ours(name, database)
    fetched = home_name(name)
    assert len(fetched) <= 63
    assert fetched not in (name, database)
    assert is_ours(fetched, database)
    assert left_databases([fetched], database, ID) == [fetched]
    assert not is_ours(database, database) or "_slipway_" in database


def test_copies_of_another_database_are_not_ours() -> None:
    assert is_ours("teei_slipway_3fa9c1_1", "teei")
    assert not is_ours("teei_slipway_3fa9c1_1", "teei_demo")
    assert not is_ours("teei_demo", "teei_demo")
    assert not is_ours("teei_slipway_", "teei")
    assert not is_ours("postgres", "teei")


def _table(name: str, rows: int = 1, content: str = "5") -> TableFingerprint:
    return TableFingerprint(table=name, rows=rows, hash=content)


def test_differences_name_tables_and_numbers() -> None:
    want = [_table("a"), _table("b"), _table("c", 3)]
    have = [_table("b", 1, "6"), _table("c", 2), _table("d")]
    assert differences(want, want) == []
    assert differences(want, list(reversed(want))) == []
    assert differences(want, have) == [
        "a is missing",
        "b has 1 rows with other content",
        "c has 2 rows instead of 3",
        "d is not in the backup",
    ]
    assert differences(want, have, most=1)[-1] == "and 3 more"


def test_schema_digest_sees_everything_but_what_varies_between_two_dumps() -> None:
    text = "\\restrict abc\n-- Dumped by pg_dump version 18.4\nCREATE TABLE a ();\n\\unrestrict abc"
    other = (
        "\\restrict xyz\n-- Dumped by pg_dump version 18.5\nCREATE TABLE a ();\n\\unrestrict xyz"
    )
    assert schema_sha256(text) == schema_sha256(other)
    assert schema_sha256(text) != schema_sha256(text.replace("TABLE a", "TABLE b"))


@pytest.mark.parametrize("how", ["FULL", "NOTHING", "USING INDEX mails"])
def test_what_identifies_rows_in_the_log_is_no_part_of_the_schema(how: str) -> None:
    plain = "CREATE TABLE public.t (\n    id integer\n);\n\n\nALTER TABLE public.t OWNER TO o;\n"
    given = plain.replace(
        "\n);\n", f'\n);\n\nALTER TABLE ONLY public."of X" REPLICA IDENTITY {how};\n'
    )
    assert schema_sha256(given) == schema_sha256(plain)
    assert schema_digests(given)[0] == schema_digests(plain)[0]
    assert schema_digests(given)[1] != schema_digests(plain)[1]  # as an older slipway has it
    words = plain.replace("id integer", f"id integer DEFAULT 'REPLICA IDENTITY {how};'")
    assert schema_sha256(words) != schema_sha256(plain)
