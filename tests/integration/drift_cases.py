"""What a migration may do to a schema, and what must become of the rows that follow.

Each case has a schema of its own in one production database: all of them are followed through one
slot, one migration after the other.
"""

from dataclasses import dataclass, field

Refused = tuple[str, str, str]
"""Operation, kind, SQLSTATE."""


@dataclass(frozen=True)
class Case:
    """A schema drift."""

    name: str
    setup: str
    migration: str
    after: list[str]
    """Transactions of the application on the new schema."""
    same: list[tuple[str, str]] = field(default_factory=list)
    """Queries of production and of the side database whose content must be equal afterwards."""
    conflicts: list[Refused] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    """Transactions on the old schema, after the backup."""
    side: list[tuple[str, list[tuple[object, ...]]]] = field(default_factory=list)
    """Queries of the side database and their rows, where it may not equal production."""
    told: list[str] = field(default_factory=list)
    """Parts of sentences of `carried_now`."""
    unledgered: bool = False
    """The DDL is not in the ledger's transaction."""


T = "CREATE TABLE t (id int PRIMARY KEY, a text, b text);"
ROWS = "INSERT INTO t SELECT n, 'a' || n, 'b' || n FROM generate_series(1, 20) n;"
CHANGES = [
    "INSERT INTO t (id, a, b) VALUES (101, 'x', 'y')",
    "UPDATE t SET a = 'changed' WHERE id < 5",
    "DELETE FROM t WHERE id = 7",
]
OLD = ("SELECT id, a, b FROM t", "SELECT id, a, b FROM t")
BIG = "(SELECT string_agg(md5(n::text || '{}'), '') FROM generate_series(1, 4000) n)"

CASES = [
    Case("add_nullable", T + ROWS, "ALTER TABLE t ADD c int", CHANGES, [OLD], before=CHANGES[1:2]),
    Case(
        "add_default",
        T + ROWS,
        "ALTER TABLE t ADD c int NOT NULL DEFAULT 7",
        [*CHANGES, "UPDATE t SET c = 9 WHERE id = 9"],
        [OLD],
    ),
    Case(
        "rename_column",
        T + ROWS,
        "ALTER TABLE t RENAME a TO fresh",
        ["INSERT INTO t (id, fresh, b) VALUES (102, 'x', 'y')", "UPDATE t SET fresh = 'z'"],
        [("SELECT id, fresh, b FROM t", "SELECT id, a, b FROM t")],
        before=CHANGES,
    ),
    Case(
        "swap_names",
        T + ROWS,
        "ALTER TABLE t RENAME a TO c; ALTER TABLE t RENAME b TO a; ALTER TABLE t RENAME c TO b",
        ["INSERT INTO t (id, a, b) VALUES (102, 'was b', 'was a')", "UPDATE t SET a = a || '!'"],
        [("SELECT id, b, a FROM t", "SELECT id, a, b FROM t")],
        before=CHANGES,
    ),
    Case(
        "rename_table",
        T + ROWS + "CREATE SCHEMA rename_table_elsewhere;",
        "ALTER TABLE t RENAME TO moved; ALTER TABLE moved SET SCHEMA rename_table_elsewhere",
        [
            one.replace("INTO t", "INTO rename_table_elsewhere.moved")
            .replace("UPDATE t", "UPDATE rename_table_elsewhere.moved")
            .replace("FROM t", "FROM rename_table_elsewhere.moved")
            for one in CHANGES
        ],
        [("SELECT * FROM rename_table_elsewhere.moved", "SELECT * FROM t")],
        before=["UPDATE t SET b = 'before' WHERE id = 3"],
    ),
    Case(
        "drop_nullable",
        T + ROWS,
        "ALTER TABLE t DROP b",
        ["INSERT INTO t VALUES (101, 'x')", "UPDATE t SET a = 'z' WHERE id < 5", CHANGES[2]],
        [("SELECT id, a FROM t", "SELECT id, a FROM t")],
        before=["UPDATE t SET b = 'before' WHERE id = 3"],
        side=[
            ("SELECT id, b FROM t WHERE id IN (3, 101) ORDER BY id", [(3, "before"), (101, None)])
        ],
    ),
    Case(
        "drop_and_add_again",
        T + ROWS,
        "ALTER TABLE t DROP b; ALTER TABLE t ADD b text",
        ["INSERT INTO t VALUES (101, 'x', 'new b')", "UPDATE t SET b = 'new b' WHERE id < 5"],
        [("SELECT id, a FROM t", "SELECT id, a FROM t")],
        side=[("SELECT id, b FROM t WHERE id IN (3, 101) ORDER BY id", [(3, "b3"), (101, None)])],
    ),
    Case(
        "truncate",
        T + ROWS + "CREATE TABLE other (id int PRIMARY KEY REFERENCES t);"
        "INSERT INTO other SELECT id FROM t;",
        "ALTER TABLE t ADD c int",
        ["TRUNCATE t CASCADE", "INSERT INTO t VALUES (1, 'only', 'one', 3)"],
        [OLD],
        side=[("SELECT count(*) FROM other", [(0,)])],
    ),
    Case(
        "truncate_referenced",
        T + ROWS + "CREATE TABLE other (id int PRIMARY KEY REFERENCES t);"
        "INSERT INTO other SELECT id FROM t;",
        "ALTER TABLE other DROP CONSTRAINT other_id_fkey",
        ["TRUNCATE t", "INSERT INTO t VALUES (1, 'only', 'one')"],
        [OLD, ("SELECT id FROM other", "SELECT id FROM other")],
    ),
    Case(
        "large_values",
        "CREATE TABLE t (id int PRIMARY KEY, a text, b text);"
        f"INSERT INTO t SELECT n, {BIG.format(1)}, 'b' FROM generate_series(1, 3) n;",
        "ALTER TABLE t ADD c int",
        [
            "UPDATE t SET b = 'small change' WHERE id = 1",
            "UPDATE t SET id = 20 WHERE id = 2",
            f"UPDATE t SET a = {BIG.format(2)} WHERE id = 3",
            f"INSERT INTO t VALUES (4, {BIG.format(3)}, 'b')",
        ],
        [OLD],
        before=["UPDATE t SET b = 'before'"],
    ),
    Case(
        "other_key_over_old_columns",
        "CREATE TABLE t (id int PRIMARY KEY, a text NOT NULL, b text);" + ROWS,
        "ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD PRIMARY KEY (a)",
        [*CHANGES[:1], "UPDATE t SET b = 'z', a = a || '!' WHERE id < 5", CHANGES[2]],
        [OLD],
        told=["has another key now (a)"],
    ),
    Case(
        "ddl_in_a_data_transaction",
        T + ROWS,
        "SELECT 1",
        [
            "UPDATE t SET a = 'first' WHERE id = 1; ALTER TABLE t RENAME a TO fresh;"
            "UPDATE t SET fresh = 'second' WHERE id = 2; ALTER TABLE t ADD c int;"
            "INSERT INTO t VALUES (101, 'x', 'y', 1)",
            "UPDATE t SET fresh = 'third' WHERE id = 3",
        ],
        [("SELECT id, fresh, b FROM t", "SELECT id, a, b FROM t")],
    ),
    Case(
        "ddl_outside_the_ledger",
        T + ROWS,
        "ALTER TABLE t RENAME a TO c; ALTER TABLE t RENAME b TO a; ALTER TABLE t RENAME c TO b;"
        "ALTER TABLE t ADD d int",
        ["INSERT INTO t VALUES (102, 'is a', 'is b', 1)", "UPDATE t SET a = a || '!'"],
        [("SELECT id, b, a FROM t", "SELECT id, a, b FROM t")],
        before=CHANGES,
        unledgered=True,
    ),
    Case(
        "keyless_full",
        "CREATE TABLE t (a int, b text, c json); ALTER TABLE t REPLICA IDENTITY FULL;"
        "INSERT INTO t SELECT n % 3, NULLIF('b' || n % 2, 'b1'), '{\"n\": 1}'"
        " FROM generate_series(1, 30) n;",
        "ALTER TABLE t ADD d int DEFAULT 5",
        [
            "UPDATE t SET a = 50 WHERE ctid IN (SELECT ctid FROM t WHERE a = 1 LIMIT 3)",
            "DELETE FROM t WHERE ctid IN (SELECT ctid FROM t WHERE b IS NULL LIMIT 4)",
            "INSERT INTO t SELECT 1, NULL, '{}' FROM generate_series(1, 3)",
            "UPDATE t SET d = 6",
        ],
        [("SELECT a, b, c::text FROM t", "SELECT a, b, c::text FROM t")],
    ),
    Case(
        "drop_not_null_column",
        "CREATE TABLE t (id int PRIMARY KEY, a text NOT NULL, b text);" + ROWS,
        "ALTER TABLE t DROP a",
        ["INSERT INTO t VALUES (101, 'y')", "UPDATE t SET b = 'z' WHERE id < 5", CHANGES[2]],
        [("SELECT id, b FROM t WHERE id < 100", "SELECT id, b FROM t")],
        [("insert", "refused", "23502")],
    ),
    Case(
        "drop_column_with_default",
        "CREATE TABLE t (id int PRIMARY KEY, a text NOT NULL DEFAULT 'none', b text);" + ROWS,
        "ALTER TABLE t DROP a",
        ["INSERT INTO t VALUES (101, 'y'), (102, 'y')", "UPDATE t SET b = 'z' WHERE id < 5"],
        [("SELECT id, b FROM t", "SELECT id, b FROM t")],
        [("insert", "invented", "")] * 2,
    ),
    Case(
        "varchar_widened",
        "CREATE TABLE t (id int PRIMARY KEY, a varchar(5), b text);" + ROWS,
        "ALTER TABLE t ALTER a TYPE varchar(20)",
        [
            "INSERT INTO t SELECT n, CASE n WHEN 150 THEN 'far too long' ELSE 'fits' END, 'y'"
            " FROM generate_series(101, 200) n",
            "UPDATE t SET a = 'also too long' WHERE id = 1",
            "UPDATE t SET b = 'later', a = 'fits' WHERE id = 150",
        ],
        [
            ("SELECT * FROM t WHERE id <> 1", "SELECT * FROM t WHERE id <> 1"),
            ("SELECT id, 'a1' FROM t WHERE id = 1", "SELECT id, a FROM t WHERE id = 1"),
        ],
        [("insert", "refused", "22001"), ("update", "refused", "22001")],
    ),
    Case(
        "int_to_bigint",
        "CREATE TABLE t (id int PRIMARY KEY, a int, b text);"
        "INSERT INTO t SELECT n, n, 'b' FROM generate_series(1, 20) n;",
        "ALTER TABLE t ALTER a TYPE bigint; ALTER TABLE t ALTER id TYPE bigint",
        [
            "INSERT INTO t VALUES (101, 5000000000, 'b'), (102, 6, 'b'), (6000000000, 6, 'b')",
            "UPDATE t SET a = 8 WHERE id IN (3, 101)",
            "DELETE FROM t WHERE id = 6000000000",
        ],
        [("SELECT id::int, a::int, b FROM t", "SELECT * FROM t")],
        [("insert", "refused", "22003")] * 2,
    ),
    Case(
        "int_to_text",
        "CREATE TABLE t (id int PRIMARY KEY, a int, b text);"
        "INSERT INTO t SELECT n, n, 'b' FROM generate_series(1, 20) n;",
        "ALTER TABLE t ALTER a TYPE text",
        ["INSERT INTO t VALUES (101, 'word', 'b'), (102, '6', 'b'), (103, '007', 'b')"],
        [
            (
                "SELECT id, a::int, b FROM t WHERE id <> 101",
                "SELECT * FROM t",
            )
        ],
        [("insert", "refused", "22P02"), ("insert", "altered", "")],
    ),
    Case(
        "enum_value_added",
        "CREATE TYPE mood AS ENUM ('low', 'high');"
        "CREATE TABLE t (id int PRIMARY KEY, a mood, b text);"
        "INSERT INTO t SELECT n, 'low', 'b' FROM generate_series(1, 20) n;",
        "ALTER TYPE mood ADD VALUE 'middle'",
        [
            "INSERT INTO t VALUES (101, 'middle', 'b'), (102, 'high', 'b')",
            "UPDATE t SET a = 'high' WHERE id = 101",
        ],
        [("SELECT id, a::text, b FROM t", "SELECT id, a::text, b FROM t")],
        [("insert", "refused", "22P02")],
    ),
    Case(
        "timestamp_precision",
        "CREATE TABLE t (id int PRIMARY KEY, a timestamp(0));"
        "INSERT INTO t SELECT n, '2026-01-01 10:00:00' FROM generate_series(1, 9) n;",
        "ALTER TABLE t ALTER a TYPE timestamp(6)",
        [
            "INSERT INTO t VALUES (101, '2026-01-01 10:00:00.6'), (102, '2026-01-01 10:00:00')",
            "UPDATE t SET a = '2026-01-01 10:00:00.2' WHERE id = 1",
        ],
        [("SELECT id, a::timestamp(0) FROM t", "SELECT * FROM t")],
        [("insert", "altered", ""), ("update", "altered", "")],
    ),
    Case(
        "numeric_scale",
        "CREATE TABLE t (id int PRIMARY KEY, a numeric(10, 2));"
        "INSERT INTO t SELECT n, n FROM generate_series(1, 9) n;",
        "ALTER TABLE t ALTER a TYPE numeric(12, 4)",
        ["INSERT INTO t VALUES (101, 1.2345), (102, 1.23)"],
        [("SELECT id, a::numeric(10, 2) FROM t", "SELECT * FROM t")],
        [("insert", "altered", "")],
    ),
    Case(
        "timestamp_to_timestamptz",
        "CREATE TABLE t (id int PRIMARY KEY, a timestamp);"
        "INSERT INTO t SELECT n, '2026-01-01 10:00:00' FROM generate_series(1, 9) n;",
        "ALTER TABLE t ALTER a TYPE timestamptz",
        [
            "SET timezone = 'Asia/Kolkata';"
            "INSERT INTO t VALUES (101, '2026-01-01 10:00:00.5+05:30'), (102, 'infinity')",
            "UPDATE t SET a = '2026-07-01 00:00:00+02' WHERE id = 1",
        ],
        [("SELECT id, a AT TIME ZONE 'UTC' FROM t", "SELECT * FROM t")],
    ),
    Case(
        "char_and_bool",
        "CREATE TABLE t (id int PRIMARY KEY, a char(4), b bool, c varchar(3));"
        "INSERT INTO t SELECT n, 'ab', true, 'c' FROM generate_series(1, 9) n;",
        "ALTER TABLE t ALTER a TYPE char(8); ALTER TABLE t ALTER b TYPE text;"
        "ALTER TABLE t ALTER c TYPE char(6)",
        ["INSERT INTO t VALUES (101, 'xy', 'true', 'c'), (102, 'too long', 't', 'c')"],
        [
            (
                "SELECT id, a::char(4), b::bool, rtrim(c) FROM t WHERE id <> 102",
                "SELECT id, a, b, rtrim(c) FROM t",
            )
        ],
        [("insert", "altered", ""), ("insert", "refused", "22001")],
    ),
    Case(
        "not_null_dropped",
        "CREATE TABLE t (id int PRIMARY KEY, a text NOT NULL, b text);" + ROWS,
        "ALTER TABLE t ALTER a DROP NOT NULL",
        [
            "INSERT INTO t VALUES (101, NULL, 'y'), (102, 'x', 'y')",
            "UPDATE t SET a = NULL WHERE id = 1",
        ],
        [("SELECT id, coalesce(a, 'a1'), b FROM t WHERE id <> 101", "SELECT * FROM t")],
        [("insert", "refused", "23502"), ("update", "refused", "23502")],
    ),
    Case(
        "check_dropped",
        "CREATE TABLE t (id int PRIMARY KEY, a text CHECK (a <> 'bad'), b text);" + ROWS,
        "ALTER TABLE t DROP CONSTRAINT t_a_check",
        [
            "INSERT INTO t VALUES (101, 'bad', 'y'), (102, 'x', 'y')",
            "UPDATE t SET a = 'bad' WHERE id = 1",
        ],
        [("SELECT id, replace(a, 'bad', 'a1'), b FROM t WHERE id <> 101", "SELECT * FROM t")],
        [("insert", "refused", "23514"), ("update", "refused", "23514")],
    ),
    Case(
        "unique_dropped",
        "CREATE TABLE t (id int PRIMARY KEY, a text UNIQUE, b text);" + ROWS,
        "ALTER TABLE t DROP CONSTRAINT t_a_key",
        [
            "INSERT INTO t VALUES (101, 'a2', 'y'), (102, 'x', 'y')",
            "UPDATE t SET a = 'a3' WHERE id = 1",
        ],
        [
            (
                "SELECT id, CASE id WHEN 1 THEN 'a1' ELSE a END, b FROM t WHERE id <> 101",
                "SELECT * FROM t",
            )
        ],
        [("insert", "refused", "23505"), ("update", "refused", "23505")],
    ),
    Case(
        "foreign_key_dropped",
        T + ROWS + "CREATE TABLE child (id int PRIMARY KEY, t int REFERENCES t);"
        "INSERT INTO child SELECT id, id FROM t;",
        "ALTER TABLE child DROP CONSTRAINT child_t_fkey",
        ["INSERT INTO child VALUES (101, 999)", "DELETE FROM t WHERE id = 5"],
        [OLD, ("TABLE child", "TABLE child")],
    ),
    Case(
        "deferrable_unique_dropped",
        "CREATE TABLE t (id int PRIMARY KEY, a text UNIQUE DEFERRABLE, b text);" + ROWS,
        "ALTER TABLE t DROP CONSTRAINT t_a_key",
        ["INSERT INTO t VALUES (101, 'a2', 'y')"],
        [OLD],
    ),
    Case(
        "identity_always",
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text,"
        " n int GENERATED ALWAYS AS (length(a)) STORED);"
        "INSERT INTO t (a) SELECT 'a' || n FROM generate_series(1, 9) n;",
        "ALTER TABLE t ADD c int",
        [
            "INSERT INTO t (a) VALUES ('longer'), ('b')",
            "UPDATE t SET a = 'other' WHERE id = 2",
            "UPDATE t SET id = DEFAULT WHERE id = 3",
            "DELETE FROM t WHERE id = 4",
        ],
        [
            (
                "SELECT CASE id WHEN (SELECT max(id) FROM t) THEN 3 ELSE id END, a, n FROM t",
                "SELECT id, a, n FROM t",
            )
        ],
        [("update", "refused", "")],
    ),
    Case(
        "generated_with_whole_rows",
        "CREATE TABLE t (id int PRIMARY KEY, a int, g int GENERATED ALWAYS AS (a * 2) STORED,"
        " b text); ALTER TABLE t REPLICA IDENTITY FULL;"
        "INSERT INTO t (id, a, b) SELECT n, n, 'b' FROM generate_series(1, 9) n;",
        "ALTER TABLE t ADD h int GENERATED ALWAYS AS (a * 3) STORED",
        ["UPDATE t SET a = 50 WHERE id < 4", "INSERT INTO t VALUES (101, 1)", CHANGES[2]],
        [("SELECT id, a, g, b FROM t", "SELECT id, a, g, b FROM t")],
    ),
    Case(
        "generated_no_longer",
        "CREATE TABLE t (id int PRIMARY KEY, a int, g int GENERATED ALWAYS AS (a * 2) STORED);"
        "INSERT INTO t SELECT n, n FROM generate_series(1, 9) n;",
        "ALTER TABLE t ALTER g DROP EXPRESSION",
        ["UPDATE t SET g = 7 WHERE id = 1", "INSERT INTO t VALUES (101, 1, 5), (102, 1, 2)"],
        [("SELECT id, a FROM t", "SELECT id, a FROM t")],
        [("update", "altered", ""), ("insert", "altered", "")],
    ),
    Case(
        "always_identity_beside_the_key",
        "CREATE TABLE t (id int PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, a text);"
        "INSERT INTO t (id, a) SELECT n, 'a' FROM generate_series(1, 9) n;",
        "ALTER TABLE t ADD c int",
        [
            "UPDATE t SET a = 'b' WHERE id = 1",
            "UPDATE t SET n = DEFAULT WHERE id = 2",
            "UPDATE t SET id = 50 WHERE id = 3",
        ],
        [("SELECT id, a FROM t", "SELECT id, a FROM t")],
        [("update", "altered", "")],
    ),
    Case(
        "trigger",
        T + ROWS + "CREATE TABLE log (id serial PRIMARY KEY, what text);"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS"
        " $$BEGIN INSERT INTO log (what) VALUES (new.id); RETURN new; END$$;"
        "CREATE TRIGGER note AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note();",
        "ALTER TABLE t ADD c int",
        CHANGES,
        [OLD, ("TABLE log", "TABLE log")],
    ),
    Case(
        "key_replaced",
        T + ROWS,
        "ALTER TABLE t ADD uid serial; ALTER TABLE t DROP id; ALTER TABLE t ADD PRIMARY KEY (uid)",
        [
            "INSERT INTO t (a, b) VALUES ('x', 'y')",
            "UPDATE t SET a = 'z' WHERE uid = 1",
            "DELETE FROM t WHERE uid = 2",
        ],
        [],
        [("insert", "refused", ""), ("update", "refused", ""), ("delete", "refused", "")],
        side=[("SELECT count(*) FROM t WHERE a LIKE 'a%'", [(20,)])],
        told=["was dropped: none of its changes can be followed"],
    ),
    Case(
        "partition_added",
        "CREATE TABLE t (id int, at date, a text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');"
        "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');"
        "INSERT INTO t SELECT n, date '2026-01-01' + n, 'a' FROM generate_series(1, 300) n;",
        "CREATE TABLE t3 PARTITION OF t FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')",
        [
            "INSERT INTO t VALUES (901, '2027-02-01', 'new'), (902, '2026-12-01', 'new')",
            "UPDATE t SET at = '2026-12-31' WHERE id = 1",
            "DELETE FROM t WHERE id = 2",
            "UPDATE t SET a = 'x' WHERE id > 200 AND id < 900",
        ],
        [("SELECT * FROM t WHERE id <> 901", "SELECT * FROM t")],
        [("insert", "refused", "23514")],
        told=["t3 is a new partition"],
    ),
    Case(
        "table_recreated",
        T + ROWS,
        "CREATE TABLE fresh (id int PRIMARY KEY, a text, b text);"
        "INSERT INTO fresh SELECT * FROM t; DROP TABLE t; ALTER TABLE fresh RENAME TO t",
        CHANGES,
        side=[("SELECT count(*) FROM t WHERE a LIKE 'a%'", [(20,)])],
        told=["table_recreated.t was recreated"],
    ),
    Case(
        "table_dropped",
        T + ROWS,
        "DROP TABLE t",
        [],
        side=[("SELECT count(*) FROM t", [(20,)])],
        told=["table_dropped.t was dropped"],
    ),
    Case(
        "table_added",
        T + ROWS,
        "CREATE TABLE fresh (id int PRIMARY KEY)",
        ["INSERT INTO fresh VALUES (1)", *CHANGES],
        [OLD],
        told=["table_added.fresh is a new table"],
    ),
    Case(
        "domain_and_array",
        "CREATE DOMAIN short AS text CHECK (length(VALUE) < 8);"
        "CREATE TYPE pair AS (x int, y text);"
        "CREATE TABLE t (id short PRIMARY KEY, a int[], b pair, c int4range, d interval, e float8);"
        "INSERT INTO t SELECT 'k' || n, ARRAY[n, NULL], ROW(n, 'q,\"')::pair, int4range(n, n + 3),"
        " make_interval(months => n), n / 3.0 FROM generate_series(1, 9) n;",
        "ALTER TABLE t ADD z int",
        [
            "INSERT INTO t VALUES"
            " ('n1', '{{1,2},{3,4}}', (NULL, ''), 'empty', '1 mon -3 days', 'NaN')",
            "UPDATE t SET d = d * 2, e = e / 7 WHERE id < 'k5'",
        ],
        [("SELECT id, a, b, c, d, e FROM t", "SELECT id, a, b, c, d, e FROM t")],
    ),
    Case(
        "inheritance",
        T + ROWS + "CREATE TABLE child (c int, PRIMARY KEY (id)) INHERITS (t);"
        "INSERT INTO child SELECT n, 'c', 'd', n FROM generate_series(1, 9) n;",
        "ALTER TABLE t ADD extra int",
        [
            "UPDATE t SET a = 'both' WHERE id = 1",
            "UPDATE ONLY t SET a = 'parent' WHERE id = 2",
            "INSERT INTO child VALUES (101, 'x', 'y', 1, 2)",
            "DELETE FROM child WHERE id = 3",
            "TRUNCATE ONLY t",
            "INSERT INTO t VALUES (1, 'again', 'b')",
        ],
        [
            ("SELECT id, a, b FROM ONLY t", "SELECT id, a, b FROM ONLY t"),
            ("SELECT id, a, b, c FROM child", "TABLE child"),
        ],
    ),
    Case(
        "odd_names",
        'CREATE TABLE "T %s ""x" (id int PRIMARY KEY, "a $1 ""q""" text, "SELECT" int);'
        "INSERT INTO \"T %s \"\"x\" VALUES (1, 'a', 1), (2, 'b', 2);",
        'ALTER TABLE "T %s ""x" ADD "new;--" int',
        [
            "INSERT INTO \"T %s \"\"x\" VALUES (3, E'tab\\t\\\\back\\n''quote', 3, 4)",
            'UPDATE "T %s ""x" SET "SELECT" = 9 WHERE id = 1',
        ],
        [('SELECT id, "a $1 ""q""", "SELECT" FROM "T %s ""x"', 'TABLE "T %s ""x"')],
    ),
    # what the migration itself does to the data
    Case(
        "backfill",
        T + ROWS,
        "ALTER TABLE t ADD c text; UPDATE t SET c = upper(a)",
        ["UPDATE t SET b = 'later' WHERE id = 2", *CHANGES],
        [OLD],
    ),
    Case(
        "changed_in_place",
        T + ROWS,
        "UPDATE t SET a = upper(a) WHERE id <= 5",
        ["UPDATE t SET b = 'later' WHERE id = 5"],
        side=[
            ("SELECT a FROM t WHERE id <= 4 ORDER BY id", [("a1",), ("a2",), ("a3",), ("a4",)]),
            # without the whole old row nothing tells what the application has not touched
            ("SELECT a, b FROM t WHERE id = 5", [("A5", "later")]),
        ],
    ),
    Case(
        "changed_in_place_full",
        T + ROWS + "ALTER TABLE t REPLICA IDENTITY FULL;",
        "UPDATE t SET a = upper(a) WHERE id <= 5",
        ["UPDATE t SET b = 'later' WHERE id = 5", "DELETE FROM t WHERE id = 4"],
        side=[
            (
                "SELECT a, b FROM t WHERE id <= 5 ORDER BY id",
                [("a1", "b1"), ("a2", "b2"), ("a3", "b3"), ("a5", "later")],
            )
        ],
    ),
    Case(
        "deleted_and_reused",
        T + ROWS,
        "DELETE FROM t WHERE id = 3",
        ["INSERT INTO t VALUES (3, 'reused', 'y')"],
        [],
        [("insert", "refused", "23505")],
        side=[("SELECT a FROM t WHERE id = 3", [("a3",)])],
    ),
    Case(
        "inserted_by_the_migration",
        T + ROWS,
        "INSERT INTO t VALUES (500, 'migration', 'y'), (501, 'migration', 'y')",
        ["UPDATE t SET a = 'application' WHERE id = 500"],
        [("SELECT * FROM t WHERE id <> 501", "SELECT * FROM t")],
    ),
    Case(
        "backfill_by_marker",
        T + ROWS,
        "ALTER TABLE t ADD c text",
        [
            "SELECT pg_logical_emit_message(true, 'slipway.migration', 'backfill');"
            "UPDATE t SET a = upper(a)",
            "UPDATE t SET b = 'later' WHERE id = 30",
        ],
        side=[("SELECT count(*) FROM t WHERE a LIKE 'a%'", [(20,)])],
    ),
]
