"""Migration folders that go wrong in silence, or late, and what slipway must say about each.

`kit` is what drizzle-kit 0.31 was seen to do with the same folder on the same database: its exit
code, whether the ledger grew as it should, and whether it gave any word about an error.
"""

from dataclasses import dataclass

GUARD = "ALTER TABLE users ADD COLUMN a int;"
CONTINUE = "--> statement-breakpoint\n"


@dataclass(frozen=True)
class Case:
    """One folder."""

    name: str
    files: tuple[str, ...]
    """SQL of the pending migrations, in order."""
    slipway: str
    """What it must say: `refuses <words>`, `stops <rule>`, `asks <rule>`, or `goes on`."""
    kit: str
    """`ok`, `fails silently`, `fails`, `skips silently`, `half done`; `not run` for folders of
    1.x, which the workspace's version does not know."""
    whens: tuple[int, ...] = ()
    """Milliseconds after the newest applied migration, file by file; else 1000, 2000, …"""
    ledger: str = ""
    """SQL that changes the ledger beforehand."""
    edit: str = ""
    """A file of the workspace, to which a comment is appended."""
    missing: bool = False
    """The last pending file is not there."""
    folders: tuple[str, ...] = ()
    """Names of folders of drizzle 1.x, instead of a journal."""
    journal_too: bool = False
    read: str = ""
    """A read check of services on old code."""
    accept: str = ""
    """The rule that an approver must accept by name."""


SILENT = "fails silently"
CASES = (
    Case("a column is added", (GUARD,), "goes on", "ok"),
    Case("two files", (GUARD, "CREATE TABLE t (id int);"), "goes on", "ok"),
    Case("older than the newest applied", (GUARD,), "refuses skipped in silence",
         "skips silently", whens=(-5000,)),
    Case("the second as old as the first", (GUARD, "CREATE TABLE t (id int);"),
         "refuses not younger", "ok", whens=(1000, 1000)),
    Case("the second older than the first", (GUARD, "CREATE TABLE t (id int);"),
         "refuses not younger", "ok", whens=(2000, 1000)),
    Case("an applied file was edited", (GUARD,), "refuses was edited after", "ok",
         edit="0000_platform.sql"),
    Case("the ledger holds what has no file", (GUARD,), "refuses has no file here",
         "ok", ledger="INSERT INTO drizzle.__drizzle_migrations (hash, created_at)"
         " VALUES (repeat('a', 64), 5)"),
    Case("applied twice", (GUARD,), "refuses was applied twice", "ok",
         ledger="INSERT INTO drizzle.__drizzle_migrations (hash, created_at)"
         " SELECT hash, created_at FROM drizzle.__drizzle_migrations ORDER BY id LIMIT 1"),
    Case("a pending file is missing", (GUARD, "CREATE TABLE t (id int);"),
         "refuses cannot be read", SILENT, missing=True),
    Case("COMMIT in the middle", (f"{GUARD}\n{CONTINUE}COMMIT;\n{CONTINUE}SELECT 1 / 0;",),
         "refuses own transaction halfway", "half done"),
    Case("BEGIN and COMMIT around it", (f"BEGIN;\n{CONTINUE}{GUARD}\n{CONTINUE}COMMIT;",),
         "refuses own transaction halfway", "ok"),
    Case("ROLLBACK at the end", (f"{GUARD}\n{CONTINUE}ROLLBACK;",),
         "refuses own transaction halfway", "ok"),
    Case("CREATE INDEX CONCURRENTLY", ("CREATE INDEX CONCURRENTLY i ON users (email);",),
         "refuses CONCURRENTLY", SILENT),
    Case("VACUUM", ("VACUUM users;",), "refuses cannot run inside", SILENT),
    Case("SET ROLE", (f"SET ROLE NONE;\n{CONTINUE}{GUARD}",), "refuses leave the role", "any"),
    Case("a role is made", ("CREATE ROLE corpus_made;",), "refuses reaches beyond", "any"),
    Case("the second of two fails", (GUARD, "SELECT 1 / 0;"), "stops rehearsal-failed", SILENT),
    Case("duplicates in production", ("CREATE UNIQUE INDEX i ON users (lower(email));",),
         "stops rehearsal-failed", SILENT),
    Case("required without default", ("ALTER TABLE users ADD COLUMN a int NOT NULL;",),
         "stops rehearsal-failed", SILENT),
    Case("a check that rows break", ("ALTER TABLE users ADD CHECK (id > 5);",),
         "stops rehearsal-failed", SILENT),
    Case("an enum's new value is used at once",
         ("ALTER TYPE user_role ADD VALUE 'guest';\n--> statement-breakpoint\n"
          "UPDATE users SET role = 'guest' WHERE id = 1;",), "stops rehearsal-failed", SILENT),
    Case("no SQL at all", ("ALTER TABEL users;",), "stops rehearsal-failed", SILENT),
    Case("a name made by chance",
         ("DO $$ BEGIN EXECUTE format('CREATE TABLE t%s (id int)',"
          " (extract(epoch FROM clock_timestamp()) * 1000)::bigint); END $$;",),
         "stops not-repeatable", "ok"),
    Case("a column of old code is renamed", ("ALTER TABLE users RENAME COLUMN email TO mail;",),
         "stops read-check-broken", "ok", read="SELECT email FROM users LIMIT 1"),
    Case("a table is dropped", ("DROP TABLE login_sessions;",), "asks drop-table", "ok",
         accept="drop-table"),
    Case("a column is dropped", ("ALTER TABLE users DROP COLUMN profile;",), "asks drop-column",
         "ok", accept="drop-column"),
    Case("DELETE without WHERE", ("DELETE FROM login_sessions;",), "asks delete-all", "ok",
         accept="delete-all"),
    Case("UPDATE without WHERE", ("UPDATE users SET display_name = 'x';",), "asks update-all",
         "ok", accept="update-all"),
    Case("UPDATE hidden in DO", ("DO $$ BEGIN UPDATE users SET display_name = 'x'; END $$;",),
         "asks changes-data", "ok", accept="changes-data"),
    Case("TRUNCATE", ("TRUNCATE login_sessions;",), "asks truncate", "ok", accept="truncate"),
    Case("a table is made anew",
         ("CREATE TABLE n (LIKE login_sessions); INSERT INTO n SELECT * FROM login_sessions;"
          " DROP TABLE login_sessions; ALTER TABLE n RENAME TO login_sessions;",),
         "asks recreate-table", "ok", accept="recreate-table"),
    Case("a type is changed", ("ALTER TABLE journeys ALTER COLUMN stage TYPE bigint;",),
         "asks changes-type", "ok"),
    Case("a lock is held for long", (f"{GUARD}\n{CONTINUE}SELECT pg_sleep(1.5);",),
         "asks locks-reads", "ok"),
    Case("1.x: one folder", (GUARD,), "goes on", "not run",
         folders=("20270101000000_a",)),
    Case("1.x: older than the newest applied", (GUARD,), "goes on", "not run",
         folders=("20250101000000_a",)),
    Case("1.x: no time in its name", (GUARD,), "refuses does not begin with a time", "not run",
         folders=("20261399000000_a",)),
    Case("1.x: a journal as well", (GUARD,), "refuses two formats", "not run",
         folders=("20270101000000_a",), journal_too=True),
    Case("1.x: an applied folder was edited", (GUARD,), "refuses was edited after", "not run",
         folders=("20270101000000_a",), edit="20260101000000_platform/migration.sql"),
    Case("1.x: applied under another name", (GUARD,), "refuses under the name", "not run",
         folders=("20270101000000_a",),
         ledger="UPDATE drizzle.__drizzle_migrations SET name = '20260101000000_old' WHERE id = 1"),
    Case("1.x: the second of two fails", (GUARD, "SELECT 1 / 0;"), "stops rehearsal-failed",
         "not run", folders=("20270101000000_a", "20270101000001_b")),
)  # fmt: skip
