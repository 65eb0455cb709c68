"""Which migrations may be applied: journal, ledgers and release compared as sets; SQL looked at."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import BadInput
from slipway.judgements.migration_text import MigrationText, folder_when, folders_sha256, is_folder
from slipway.judgements.migrations import LARGEST_SET, parse_journal, pending_of, review, unequal
from slipway.judgements.statements import objections, statements
from slipway.messages.migration import AppliedMigration
from slipway.release import MigrationFile


def _text(number: int, sql: str = "", when: int | None = None) -> MigrationText:
    sql = sql or f"CREATE TABLE t{number} (id int);"
    return MigrationText(
        tag=f"{number:04d}_step",
        when=1000 + number if when is None else when,
        hash=hashlib.sha256(sql.encode()).hexdigest(),
        sql=sql,
    )


def _applied(*texts: MigrationText) -> list[AppliedMigration]:
    return [AppliedMigration(hash=one.hash, created_at=one.when) for one in texts]


def _promised(*texts: MigrationText) -> list[MigrationFile]:
    return [MigrationFile(tag=one.tag, sha256=one.hash) for one in texts]


ONE, TWO, THREE = _text(1), _text(2), _text(3)


def test_what_is_pending_promised_and_in_staging_may_be_applied() -> None:
    found = review([ONE, TWO], _applied(ONE), _promised(TWO), _applied(ONE, TWO))
    assert found.refused == []
    assert [one.tag for one in found.pending] == [TWO.tag]
    assert found.pending[0].in_staging
    assert [one.tag for one in found.applied] == [ONE.tag]


def test_nothing_pending_is_fine() -> None:
    assert review([ONE], _applied(ONE), [], _applied(ONE)).refused == []


def test_only_the_last_ten_are_listed_newest_first() -> None:
    texts = [_text(number) for number in range(1, 20)]
    found = review(texts, _applied(*texts), [], [])
    assert [one.tag for one in found.applied] == [one.tag for one in reversed(texts[-10:])]


def test_older_than_the_newest_applied_would_be_skipped() -> None:
    late = _text(2, when=500)
    found = review([late, THREE], _applied(THREE), _promised(late), _applied(late, THREE))
    assert any("skipped in silence" in one for one in found.refused)


def test_journal_must_rise_strictly() -> None:
    same = _text(2, when=ONE.when)
    assert any("not younger" in one for one in review([ONE, same], [], [], None).refused)


def test_edited_after_it_was_applied() -> None:
    edited = _text(1, sql="CREATE TABLE other (id int);")
    found = review([edited], _applied(ONE), [], None)
    assert f"{ONE.tag} was edited after it had been applied." in found.refused


def test_ledger_without_file_means_the_schema_is_ahead() -> None:
    found = review([ONE], _applied(ONE, TWO), [], None)
    assert any("schema is ahead" in one for one in found.refused)


def test_applied_twice_is_noticed() -> None:
    assert unequal([ONE], [*_applied(ONE), *_applied(ONE)]) == [f"{ONE.tag} was applied twice."]


def test_release_and_workspace_must_name_the_same() -> None:
    found = review([ONE, TWO], _applied(ONE), _promised(THREE), _applied(TWO))
    assert len(found.refused) == 2
    altered = [MigrationFile(tag=TWO.tag, sha256="0" * 64)]
    assert len(review([ONE, TWO], _applied(ONE), altered, _applied(TWO)).refused) == 2


def test_not_in_staging_is_refused_unless_staging_is_not_asked() -> None:
    arguments = ([ONE, TWO], _applied(ONE), _promised(TWO))
    assert any("staging" in one for one in review(*arguments, _applied(ONE)).refused)
    assert review(*arguments, None).refused == []


def test_staging_ahead_is_noted_not_refused() -> None:
    found = review([ONE], _applied(ONE), [], _applied(ONE, THREE))
    assert found.refused == []
    assert len(found.notes) == 1


def test_too_long_to_show_is_refused() -> None:
    long = _text(1, sql="SELECT 1;" + " " * LARGEST_SET)
    assert any("KiB" in one for one in review([long], [], _promised(long), None).refused)


@pytest.mark.parametrize(
    "sql",
    [
        "COMMIT;",
        "CREATE TABLE a (id int);\n--> statement-breakpoint\n commit ;",
        "/* x /* y */ */ ROLLBACK",
        "BEGIN; SELECT 1; END;",
        "START TRANSACTION",
        "SAVEPOINT a",
        "PREPARE TRANSACTION 'x'",
        "create index concurrently i on t (x)",
        "CREATE UNIQUE INDEX CONCURRENTLY i ON t (x)",
        "DROP INDEX CONCURRENTLY i",
        "REINDEX TABLE CONCURRENTLY t",
        "ALTER TABLE p DETACH PARTITION q CONCURRENTLY",
        "VACUUM",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "RESET ROLE",
        "SET LOCAL ROLE x",
        "DISCARD ALL",
        "ALTER SYSTEM SET x = 1",
        "DROP DATABASE x",
        "SELECT 'it''s'; COMMIT",
        r"SELECT E'a\'b'; COMMIT",
        'SELECT "a;b"; COMMIT',
        "SELECT $x$ ; $x$; COMMIT",
        "SELECT 1 -- ;\n; COMMIT",
    ],
)
def test_statements_that_break_the_transaction_are_found(sql: str) -> None:
    assert objections(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'COMMIT; ROLLBACK;'",
        "-- COMMIT;\nSELECT 1",
        "/* COMMIT; */ SELECT 1",
        'CREATE TABLE "COMMIT" (id int)',
        "DO $$ BEGIN PERFORM 1; END $$;",
        "DO $body$ BEGIN RAISE NOTICE '$$; COMMIT'; END $body$;",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END; $$",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2;"
        " END; SELECT 3",
        "SELECT CASE WHEN true THEN 1 END",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY m",
        "UPDATE t SET role = 'x'",
        "SET lock_timeout = '1s'",
        "",
    ],
)
def test_harmless_statements_are_left_alone(sql: str) -> None:
    assert objections(sql) == []


@given(st.text(max_size=300))
def test_any_text_is_read_to_its_end(text: str) -> None:
    assert all(words for words in statements(text))


@given(st.text(alphabet="abc;'\"$-/* \n", max_size=60))
def test_a_commit_after_closed_quotes_is_always_seen(noise: str) -> None:
    quoted = "'" + noise.replace("'", "''") + "'"
    assert objections(f"SELECT {quoted}; COMMIT;")
    assert not objections(f"SELECT {quoted};")


def _journal(**changes: object) -> bytes:
    entry = {"idx": 0, "version": "7", "when": 1, "tag": "0000_a", "breakpoints": True}
    document = {"version": "7", "dialect": "postgresql", "entries": [{**entry, **changes}]}
    return json.dumps(document).encode()


def test_journal_is_parsed() -> None:
    assert parse_journal(_journal()).entries[0].tag == "0000_a"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{" * 5000,
        _journal(tag="../../etc/passwd"),
        _journal(when=-1),
        _journal(when="soon"),
        _journal(surprise=1),
        b'{"version": "7", "dialect": "mysql", "entries": []}',
    ],
)
def test_hostile_journal_is_refused(content: bytes) -> None:
    with pytest.raises(BadInput, match="journal cannot be read"):
        parse_journal(content)


@given(st.sets(st.integers(1, 9)), st.sets(st.integers(1, 9)))
def test_pending_is_exactly_what_the_ledger_lacks(there: set[int], done: set[int]) -> None:
    texts = [_text(number) for number in sorted(there)]
    applied = _applied(*[_text(number) for number in done])
    assert {one.tag for one in pending_of(texts, applied)} == {
        _text(number).tag for number in there - done
    }
    assert (unequal(texts, applied) == []) == (there == done)


@pytest.mark.parametrize(
    ("sql", "refused"),
    [
        ("CREATE ROLE app", True),
        ("ALTER USER app PASSWORD 'x'", True),
        ("DROP GROUP app", True),
        ("REASSIGN OWNED BY a TO b", True),
        ("DROP OWNED BY a", True),
        ("GRANT admin TO app", True),
        ("GRANT CONNECT ON DATABASE teei TO app", True),
        ("REVOKE ALL ON DATABASE teei FROM PUBLIC", True),
        ("COMMENT ON DATABASE teei IS 'x'", True),
        ("GRANT SELECT ON users TO app", False),
        ("GRANT SELECT ON ALL TABLES IN SCHEMA public TO app", False),
        ("REVOKE ALL ON SCHEMA public FROM PUBLIC", False),
        ("COMMENT ON TABLE users IS 'database'", False),
        ("ALTER TABLE role ADD COLUMN owned text", False),
        ('CREATE TABLE "role" (id int)', False),
    ],
)
def test_what_all_databases_of_a_server_share_is_no_migrations_business(
    sql: str, refused: bool
) -> None:
    assert any("all databases of the server share" in one for one in objections(sql)) == refused


def _folder(name: str, sql: str = "") -> MigrationText:
    sql = sql or f"CREATE TABLE t{name} (id int);"
    digest = hashlib.sha256(sql.encode()).hexdigest()
    return MigrationText(tag=name, when=folder_when(name), hash=digest, sql=sql, folder=True)


def _named(text: MigrationText, **changes: Any) -> AppliedMigration:
    made = AppliedMigration(hash=text.hash, created_at=text.when, name=text.tag)
    return made.model_copy(update=changes)


OLD, NEW = _folder("20260101000000_old"), _folder("20260601120000_new")


def test_folders_are_known_by_name_and_hash() -> None:
    assert pending_of([OLD, NEW], [_named(OLD)]) == [NEW]
    assert unequal([OLD, NEW], [_named(OLD), _named(NEW)]) == []


def test_a_ledger_from_before_folders_is_matched_by_hash_and_second() -> None:
    before = [_named(OLD, name="", created_at=OLD.when + 123)]
    assert unequal([OLD], before) == []
    later = [_named(OLD, name="", created_at=OLD.when + 5000)]
    assert unequal([OLD], later) != []


def test_an_older_folder_is_applied_all_the_same_and_noted() -> None:
    found = review([OLD, NEW], [_named(NEW)], _promised(OLD), [_named(OLD)])
    assert found.refused == []
    assert [one.tag for one in found.pending] == [OLD.tag]
    assert any("applies it all the same" in one for one in found.notes)


def test_an_edited_and_a_renamed_folder_are_refused() -> None:
    edited = _folder(OLD.tag, "CREATE TABLE another (id int);")
    assert f"{OLD.tag} was edited after it had been applied." in unequal([edited], [_named(OLD)])
    renamed = _folder("20260101000000_renamed", OLD.sql)
    (_, said) = unequal([renamed], [_named(OLD)])
    assert "under the name 20260101000000_old: the tool would apply it again" in said


def test_folders_of_one_second_may_stand_side_by_side() -> None:
    twin = _folder("20260101000000_twin")
    assert review([OLD, twin], [], _promised(OLD, twin), [_named(OLD), _named(twin)]).refused == []


@pytest.mark.parametrize("name", ["20261301000000_a", "20260230000000_a"])
def test_a_folder_whose_name_is_no_time_is_refused(name: str) -> None:
    assert is_folder(name)
    with pytest.raises(BadInput, match="does not begin with a time"):
        folder_when(name)


@pytest.mark.parametrize("name", ["meta", "2026_a", "20260101000000", "20260101000000_../x"])
def test_other_folders_are_no_migrations(name: str) -> None:
    assert not is_folder(name)


def test_the_digest_of_folders_is_what_sha256sum_prints() -> None:
    lines = "".join(f"{one.hash}  {one.tag}/migration.sql\n" for one in (OLD, NEW))
    assert folders_sha256([OLD, NEW]) == hashlib.sha256(lines.encode()).hexdigest()
