"""The side database follows production on a real server: what is carried, restarts, the drain."""

import time
from collections.abc import Iterator

import pytest

from activities.adapters.fallback import follower as fallback_follower
from activities.adapters.fallback import store
from activities.adapters.fallback.protocol import parse_lsn
from devstack.world.database import access
from slipway.errors import FallbackLost
from tests.integration.data_world import until
from tests.integration.fallback_world import APPLIED, FallbackWorld, fallback_world, following
from tests.integration.own_postgres import OwnPostgres, own_postgres

SCHEMA = """
CREATE TYPE mood AS ENUM ('low', 'high');
CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL,
    mood mood NOT NULL DEFAULT 'low', settings jsonb NOT NULL DEFAULT '{}', balance numeric(12, 4),
    photo bytea, joined timestamptz NOT NULL DEFAULT now());
CREATE TABLE events (id bigserial, at date NOT NULL, what text, PRIMARY KEY (id, at))
    PARTITION BY RANGE (at);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE events_new PARTITION OF events FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
CREATE TABLE keyless (what text);
CREATE TABLE orders (id int PRIMARY KEY, user_id bigint REFERENCES users (id), note text);
INSERT INTO users (email, settings, balance, photo)
    SELECT 'u' || n || '@teei.example', jsonb_build_object('n', n), n / 3.0,
           decode(md5(n::text), 'hex') FROM generate_series(1, 200) n;
INSERT INTO events (at, what)
    SELECT date '2026-01-01' + (n % 360), 'e' || n FROM generate_series(1, 300) n;
INSERT INTO orders SELECT n, n, 'first' FROM generate_series(1, 50) n;
"""
TABLES = ("users", "events", "orders")


@pytest.fixture(scope="module")
def server() -> Iterator[OwnPostgres]:
    with own_postgres() as running:
        yield running


@pytest.fixture
def world(server: OwnPostgres) -> Iterator[FallbackWorld]:
    with fallback_world(server.stack, SCHEMA) as made:
        yield made


def assert_equal(world: FallbackWorld, *tables: str) -> None:
    for table in tables:
        one, other = world.hashes(f"TABLE {table}", f"TABLE {table}")
        assert one == other, table
        assert one[0] > 0


async def test_rows_follow_with_inserts_updates_and_deletes(world: FallbackWorld) -> None:
    await world.begin()
    world.as_owner("UPDATE users SET balance = balance + 1 WHERE id % 2 = 0")  # before it follows
    with following(world) as follower:
        world.as_owner(
            "INSERT INTO users (email, balance) SELECT 'n' || n, n FROM generate_series(1, 500) n",
            "UPDATE users SET email = email || '!', mood = 'high' WHERE id % 3 = 0",
            "DELETE FROM orders WHERE id > 40",
            "UPDATE orders SET id = id + 1000 WHERE id < 5",
            "UPDATE events SET what = 'changed' WHERE id % 7 = 0",
            "INSERT INTO events (at, what) SELECT '2026-12-01', 'late' FROM generate_series(1, 10)",
        )
        await world.drain(follower)
        assert follower.follower.progress.conflicts == 0
    assert_equal(world, *TABLES)
    assert await world.conflicts() == []


async def test_drain_marker_tells_how_far_the_side_database_is(world: FallbackWorld) -> None:
    await world.begin()
    with following(world) as follower:
        world.as_owner("INSERT INTO orders VALUES (900, 1, 'before the marker')")
        marker = await world.mark()
        lsn = parse_lsn(str(world.run("SELECT pg_current_wal_lsn()::text")[0][0]))
        await until(lambda: world.is_beyond(marker))
        assert parse_lsn(marker) < lsn
        await until(lambda: follower.follower.progress.position > parse_lsn(marker))
        seen = follower.follower.progress
        assert world.run("SELECT id FROM orders WHERE id = 900", world.side_name) == [(900,)]
        assert 0 < seen.position <= lsn
        async with world.side_session() as side:
            assert parse_lsn(await store.position(side)) >= seen.position
        assert set(world.followers()) == {"reader", "catalog", "side"}
        await until(lambda: follower.follower.progress.received > 0)
        await until(lambda: follower.follower.progress.lag == 0)


async def test_position_moves_on_while_only_other_databases_write(
    world: FallbackWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback_follower, "_REST_EVERY", 0.2)
    await world.begin()
    with following(world) as follower:
        await world.drain(follower)
        before = confirmed(world)
        world.run("CREATE TABLE noise AS SELECT n FROM generate_series(1, 100000) n", "slipway")
        try:
            await until(lambda: confirmed(world) > before + 1_000_000)
        finally:
            world.run("DROP TABLE noise", "slipway")
        world.as_owner("INSERT INTO orders VALUES (900, 1, 'after it')")
    with following(world) as follower:
        await world.drain(follower)
    assert_equal(world, *TABLES)


def confirmed(world: FallbackWorld) -> int:
    """What the server was told; never more than the side database has."""
    query = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = '{}'"
    told = parse_lsn(str(world.run(query.format(world.slot))[0][0]))
    stored = world.run("SELECT lsn::text FROM slipway_fallback.position", world.side_name)
    assert told <= parse_lsn(str(stored[0][0]))
    return told


async def test_ledger_of_the_old_data_stays_as_it_was(world: FallbackWorld) -> None:
    world.as_owner(APPLIED)
    await world.begin()
    with following(world) as follower:
        world.migrate("ALTER TABLE orders ADD extra int")
        world.as_owner("UPDATE drizzle.__drizzle_migrations SET hash = 'other'")
        world.as_owner("DELETE FROM drizzle.__drizzle_migrations WHERE id = 1")
        await world.drain(follower)
    ledger = "SELECT id, hash FROM drizzle.__drizzle_migrations"
    assert world.run(ledger, world.side_name) == [(1, "h")]
    assert world.run(ledger) == [(2, "other")]
    assert await world.conflicts() == []


ODD_SETTINGS = {
    "timezone": "Asia/Kathmandu",
    "datestyle": "SQL, DMY",
    "intervalstyle": "iso_8601",
    "bytea_output": "escape",
    "extra_float_digits": "-6",
    "statement_timeout": "100ms",
    "idle_in_transaction_session_timeout": "100ms",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "xmloption": "document",
    "array_nulls": "off",
    "search_path": "nowhere",
}


async def test_settings_of_a_database_change_no_value_on_the_way(world: FallbackWorld) -> None:
    world.as_owner(
        "CREATE TABLE kinds (id int PRIMARY KEY, a timestamptz, b date, c interval, d bytea,"
        " e float8, f real, g int[], h regclass, i numeric, j timestamp, k timetz, l text)"
    )
    await world.begin()
    for database in (world.name, world.side_name):
        for name, value in ODD_SETTINGS.items():
            world.run(f"ALTER DATABASE {database} SET {name} = '{value}'", "postgres")
    with following(world) as follower:
        with access.superuser(world.stack, world.name) as connection:
            connection.execute("SET statement_timeout = 0; SET default_transaction_read_only = off")
            connection.execute(
                "INSERT INTO public.kinds SELECT n, timestamptz '2026-03-04 05:06:07.089+00'"
                " + n * interval '37 min', date '2026-01-02' + n, make_interval(n, n, 0, n, -n),"
                " decode(md5(n::text), 'hex'), n / 3.0, n / 7.0, ARRAY[n, NULL],"
                " 'public.users', n / 9.0, '0044-03-15 BC', '04:05:06.7+05:45',"
                " E'\\\\ back \\n' FROM generate_series(1, 40) n"
            )
        with access.superuser(world.stack, world.name) as connection:
            connection.execute("SET statement_timeout = 0; SET default_transaction_read_only = off")
            query = "SELECT pg_logical_emit_message(true, 'slipway.drain', '')::text"
            (marker,) = connection.execute(query).fetchone() or ("",)
        await until(lambda: follower.failed or world.is_beyond(str(marker)))
        assert not follower.failed
    for database in (world.name, world.side_name):
        world.run(f"ALTER DATABASE {database} RESET ALL", "postgres")
    assert_equal(world, "kinds")
    assert await world.conflicts() == []


async def test_conflict_holds_the_row_that_was_refused(world: FallbackWorld) -> None:
    await world.begin()
    world.migrate("ALTER TABLE orders ALTER note TYPE text; ALTER TABLE orders ADD extra jsonb")
    world.migrate("ALTER TYPE mood ADD VALUE 'middle'")
    with following(world) as follower:
        world.as_owner(
            "UPDATE users SET mood = 'middle', email = 'é\"{}' WHERE id = 3",
            "INSERT INTO orders VALUES (7, 7, 'taken?', '{\"a\": [1]}') ON CONFLICT DO NOTHING",
        )
        await world.drain(follower)
        assert follower.follower.progress.conflicts == 1
    (found,) = await world.conflicts()
    assert (found.kind, found.operation, found.table) == ("refused", "update", "public.users")
    assert found.sqlstate == "22P02"
    assert found.new_row is not None
    assert found.new_row["mood"] == "middle"
    assert found.new_row["email"] == 'é"{}'
    assert found.new_row["id"] == "3"
    assert found.xid > 0
    assert parse_lsn(found.commit_lsn) > 0
    one, other = world.hashes("TABLE users LIMIT 2", "TABLE users LIMIT 2")
    assert one == other


async def test_new_columns_of_a_refused_row_are_recorded_too(world: FallbackWorld) -> None:
    await world.begin()
    world.migrate("ALTER TABLE orders DROP CONSTRAINT orders_pkey, ADD uid serial PRIMARY KEY")
    with following(world) as follower:
        world.as_owner("INSERT INTO orders (id, note) VALUES (1, 'twice')")
        await world.drain(follower)
    (found,) = await world.conflicts()
    assert found.sqlstate == "23505"
    assert found.constraint == "orders_pkey"
    assert found.new_row == {"id": "1", "user_id": None, "note": "twice"}
    assert found.unknown_row is not None
    assert found.unknown_row.keys() == {"uid"}


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
async def test_conflicts_are_settled_when_their_row_is_made_good(
    world: FallbackWorld, identity: str
) -> None:
    world.as_owner(
        f"ALTER TABLE orders REPLICA IDENTITY {identity};ALTER TABLE orders ALTER note SET NOT NULL"
    )
    await world.begin()
    world.migrate("ALTER TABLE orders ALTER note DROP NOT NULL; ALTER TABLE orders ADD extra int")
    with following(world) as follower:
        world.as_owner(
            "INSERT INTO orders (id) SELECT n FROM generate_series(901, 904) n",
            "UPDATE orders SET note = NULL WHERE id IN (1, 2)",
            "UPDATE orders SET note = 'healed' WHERE id = 901",
            "DELETE FROM orders WHERE id = 902",
            "UPDATE orders SET id = 999 WHERE id = 903",
        )
        await world.drain(follower)
    with following(world) as follower:  # the open ones are known again after a restart
        world.as_owner(
            "UPDATE orders SET note = 'again' WHERE id = 1", "UPDATE orders SET extra = 3"
        )
        await world.drain(follower)
    keyed: dict[str | None, set[bool]] = {}
    for one in await world.conflicts():
        assert one.new_row is not None
        keyed.setdefault(one.new_row["id"], set()).add(bool(one.settled))
    assert keyed["901"] == keyed["902"] == {True}
    assert keyed["904"] == keyed["999"] == keyed["903"] == {False}
    assert keyed["2"] == {False}
    assert keyed["1"] == {identity == "DEFAULT"}  # else only what differs was written
    assert world.run(
        "SELECT id, note FROM orders WHERE id IN (1, 2, 901, 902) ORDER BY id", world.side_name
    ) == [(1, "again"), (2, "first"), (901, "healed")]


async def test_large_transactions_are_written_in_pieces(world: FallbackWorld) -> None:
    await world.begin()
    with following(world) as follower:
        world.as_owner(
            "INSERT INTO orders SELECT n, 1, repeat('x', 60) FROM generate_series(1000, 40000) n",
            "UPDATE orders SET note = 'y' || id WHERE id % 2 = 0",
            "DELETE FROM orders WHERE id % 5 = 0",
        )
        await world.drain(follower)
    assert_equal(world, *TABLES)
    assert await world.conflicts() == []


async def test_one_bad_row_of_a_large_transaction_is_singled_out(world: FallbackWorld) -> None:
    await world.begin()
    world.migrate("ALTER TYPE mood ADD VALUE 'middle'")
    with following(world) as follower:
        world.as_owner(
            "INSERT INTO users (email, mood) SELECT 'm' || n,"
            " (CASE n WHEN 7777 THEN 'middle' ELSE 'low' END)::mood"
            " FROM generate_series(1, 12000) n"
        )
        await world.drain(follower)
    (found,) = await world.conflicts()
    assert found.new_row is not None
    assert found.new_row["email"] == "m7777"
    one, other = world.hashes(
        "SELECT id, email, mood::text FROM users WHERE email <> 'm7777'",
        "SELECT id, email, mood::text FROM users",
    )
    assert one == other


async def test_large_migration_is_taken_back_at_its_ledger_row(world: FallbackWorld) -> None:
    await world.begin()
    with following(world) as follower:
        world.as_owner("INSERT INTO orders SELECT n, 1, 'old' FROM generate_series(1000, 21000) n")
        await world.drain(follower)
        # first pieces fit the old columns and are written, then come ones that do not
        world.migrate(
            "UPDATE orders SET note = 'migrated'; ALTER TABLE orders ADD big text;"
            "ALTER TABLE orders RENAME note TO remark; UPDATE orders SET big = 'filled'"
        )
        world.as_owner("INSERT INTO orders (id, remark) VALUES (90000, 'after')")
        await world.drain(follower)
        assert follower.follower.progress.epoch == 1
        assert follower.lost == 0
    assert world.run(
        "SELECT note, count(*) FROM orders GROUP BY note ORDER BY note", world.side_name
    ) == [("after", 1), ("first", 50), ("old", 20001)]
    assert await world.conflicts() == []


async def test_large_ddl_outside_the_ledger_is_read_again_in_its_epoch(
    world: FallbackWorld,
) -> None:
    await world.begin()
    with following(world) as follower:
        world.as_owner(
            "INSERT INTO orders SELECT n, 1, 'old' FROM generate_series(1000, 9000) n;"
            "ALTER TABLE orders RENAME note TO remark; ALTER TABLE orders ADD big text;"
            "INSERT INTO orders SELECT n, 1, 'new', 'b' FROM generate_series(10000, 19000) n"
        )
        await world.drain(follower)
        assert follower.follower.progress.epoch == 1
    one, other = world.hashes("SELECT id, user_id, remark FROM orders", "TABLE orders")
    assert one == other
    assert await world.conflicts() == []


async def test_follower_behind_two_migrations_places_what_lies_between(
    world: FallbackWorld,
) -> None:
    await world.begin()
    swap = "ALTER TABLE orders RENAME note TO x; ALTER TABLE orders RENAME other TO note;"
    swap += "ALTER TABLE orders RENAME x TO other"
    world.migrate("ALTER TABLE orders ADD other text")
    world.as_owner("INSERT INTO orders VALUES (901, 1, 'old column', 'new')")
    world.migrate(swap)
    world.as_owner("INSERT INTO orders VALUES (902, 1, 'old column', 'new')")
    world.migrate("ALTER TABLE orders DROP user_id")
    world.as_owner("INSERT INTO orders VALUES (903, 'old column', 'new')")
    with following(world) as follower:
        await world.drain(follower)
        assert follower.follower.progress.epoch >= 3  # one more for what no reading has seen
    assert world.run(
        "SELECT id, user_id, note FROM orders WHERE id > 900 ORDER BY id", world.side_name
    ) == [(901, 1, "old column"), (902, 1, "old column"), (903, None, "old column")]


async def test_relation_that_cannot_be_placed_ends_the_fallback(world: FallbackWorld) -> None:
    await world.begin()
    world.as_owner("ALTER TABLE orders DROP note; ALTER TABLE orders ADD note text")
    world.as_owner("INSERT INTO orders VALUES (901, 1, 'which note?')")
    world.as_owner("ALTER TABLE orders RENAME note TO a; ALTER TABLE orders RENAME user_id TO note")
    world.as_owner("INSERT INTO orders VALUES (902, 1, 'x')")
    world.as_owner("ALTER TABLE orders RENAME a TO c; ALTER TABLE orders RENAME note TO d")
    with (
        following(world) as follower,
        pytest.raises(FallbackLost, match=r"public\.orders .* cannot be told"),
    ):
        await world.drain(follower)
    assert world.run("SELECT count(*) FROM orders WHERE id = 902", world.side_name) == [(0,)]


async def test_slot_beyond_the_side_database_is_refused(world: FallbackWorld) -> None:
    await world.begin()
    world.as_owner("INSERT INTO orders VALUES (900, 1, 'lost without a word')")
    world.run(f"SELECT pg_replication_slot_advance('{world.slot}', pg_current_wal_lsn())")
    with (
        following(world) as follower,
        pytest.raises(FallbackLost, match=r"beyond .* the changes between were lost"),
    ):
        await world.drain(follower)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("SELECT pg_drop_replication_slot('s_{name}')", "slot s_.* is gone"),
        ("DROP PUBLICATION p_{name}", "publication p_.* is gone"),
    ],
)
async def test_what_is_gone_ends_the_fallback(world: FallbackWorld, broken: str, said: str) -> None:
    await world.begin()
    world.run(broken.format(name=world.name))
    with following(world) as follower, pytest.raises(FallbackLost, match=said):
        await world.drain(follower)


async def test_publication_dropped_while_it_follows_ends_the_fallback(
    world: FallbackWorld,
) -> None:
    await world.begin()
    with following(world) as follower:
        await world.drain(follower)
        world.run(f"DROP PUBLICATION {world.publication}")
        world.as_owner("INSERT INTO orders VALUES (900, 1, 'x')")
        with pytest.raises(FallbackLost, match="publication"):
            await world.drain(follower)


async def test_database_that_was_not_prepared_cannot_follow(world: FallbackWorld) -> None:
    await world.begin()
    async with world.side_session() as side:
        await store.forget(side)
    with following(world) as follower:
        await until(lambda: follower.failed)
    with pytest.raises(FallbackLost, match="does not know its position"):
        raise follower.failed[0]


async def test_missing_right_is_named(server: OwnPostgres, world: FallbackWorld) -> None:
    await world.begin()
    right = "SET ON PARAMETER session_replication_role"
    world.run(f"REVOKE {right} FROM slipway_admin")
    try:
        with (
            following(world) as follower,
            pytest.raises(FallbackLost, match="session_replication_role"),
        ):
            await world.drain(follower)
    finally:
        world.run(f"GRANT {right} TO slipway_admin")


async def test_slot_that_lost_its_log_ends_the_fallback(
    server: OwnPostgres, world: FallbackWorld
) -> None:
    await world.begin()
    with following(world) as follower:
        await world.drain(follower)
    server.set("max_slot_wal_keep_size", "16MB")
    try:
        for _ in range(4):
            world.run("SELECT pg_logical_emit_message(false, 'noise', repeat('x', 1000000))")
            for _ in range(20):
                world.run("SELECT pg_logical_emit_message(false, 'noise', repeat('x', 1000000))")
            world.run("SELECT pg_switch_wal()")
            world.run("CHECKPOINT")
        with following(world) as follower, pytest.raises(FallbackLost, match="is lost"):
            await world.drain(follower)
    finally:
        server.set("max_slot_wal_keep_size", "-1")


async def test_stream_stays_open_while_the_side_database_waits(
    server: OwnPostgres, world: FallbackWorld
) -> None:
    server.set("wal_sender_timeout", "8s")  # a word comes each second, unless the machine is busy
    try:
        await world.begin()
        with following(world) as follower:
            await world.drain(follower)
            with access.superuser(world.stack, world.side_name) as other:
                other.execute("BEGIN; LOCK TABLE orders")
                world.as_owner("INSERT INTO orders VALUES (900, 1, 'waits')")
                await until(lambda: waiting_for_lock(world))
                began = time.monotonic()  # longer than what the server waits for a word
                await until(lambda: time.monotonic() - began > 9 and confirmed(world))
            await world.drain(follower)
            assert follower.lost == 0
    finally:
        server.set("wal_sender_timeout", "60s")


async def test_stop_ends_a_follower_that_waits_for_a_lock(world: FallbackWorld) -> None:
    await world.begin()
    with access.superuser(world.stack, world.side_name) as other:
        with following(world) as follower:
            await world.drain(follower)
            other.execute("BEGIN; LOCK TABLE orders")
            world.as_owner("INSERT INTO orders VALUES (900, 1, 'waits')")
            await until(lambda: waiting_for_lock(world))
        assert follower.lost == 0
    with following(world) as follower:
        await world.drain(follower)
    assert_equal(world, *TABLES)


def waiting_for_lock(world: FallbackWorld) -> bool:
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = '{}' AND wait_event_type = 'Lock'"
    return bool(world.run(query.format(world.side_name), "postgres"))


async def test_what_cannot_be_carried_is_named(world: FallbackWorld) -> None:
    world.as_owner(
        "CREATE UNLOGGED TABLE scratch (id int PRIMARY KEY)",
        "CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM users",
        "CREATE TABLE unidentified (id int PRIMARY KEY);"
        "ALTER TABLE unidentified REPLICA IDENTITY NOTHING",
        "CREATE TABLE late_key (id int PRIMARY KEY DEFERRABLE)",
        "CREATE TABLE by_index (id int NOT NULL, other int);"
        "CREATE UNIQUE INDEX by_index_id ON by_index (id);"
        "ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_id",
        "CREATE TABLE parts (at date) PARTITION BY RANGE (at)",
        "CREATE TABLE audited (id int PRIMARY KEY);"
        "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';"
        "CREATE TRIGGER audit AFTER INSERT ON audited FOR EACH ROW EXECUTE FUNCTION audit();"
        "ALTER TABLE audited ENABLE ALWAYS TRIGGER audit",
        "SELECT lo_create(0)",
    )
    await world.begin()
    carried = {one.name: one for one in world.carried}
    assert carried.keys() == {
        "drizzle.__drizzle_migrations",
        "public.users",
        "public.events",
        "public.orders",
        "public.by_index",
    }
    assert [one.name for one in carried["public.by_index"].columns if one.key] == ["id"]
    assert len(carried["public.events"].partitions) == 2
    left = {one.table: one.why for one in world.left}
    assert left.keys() == {
        "public.keyless",
        "public.scratch",
        "public.totals",
        "public.unidentified",
        "public.late_key",
        "public.parts",
        "public.audited",
        "pg_largeobject",
    }
    assert "unlogged" in left["public.scratch"]
    assert "1 large objects" in left["pg_largeobject"]
    with following(world) as follower:
        world.as_owner(
            "INSERT INTO by_index VALUES (1, 1)",
            "UPDATE by_index SET id = 2, other = 5",
            "INSERT INTO keyless VALUES ('not carried')",
            "DELETE FROM keyless",
        )
        await world.drain(follower)
    assert_equal(world, "by_index")


async def test_catching_up_prints_its_rate(world: FallbackWorld) -> None:
    await world.begin()
    world.as_owner(
        "INSERT INTO orders SELECT n, 1, 'x' FROM generate_series(1000, 2000) n",
        "DO $$ BEGIN FOR n IN 1000..9000 LOOP"
        " UPDATE users SET balance = balance + 1 WHERE id = 1 + n % 200;"
        " INSERT INTO events (at, what) VALUES ('2026-02-02', 'tick');"
        " UPDATE orders SET note = n WHERE id = 1000 + n % 1000;"
        " COMMIT; END LOOP; END $$",
    )
    began = time.monotonic()
    with following(world) as follower:
        await world.drain(follower, 120)
        seconds = time.monotonic() - began
        changes = follower.follower.progress.changes
    print(f"caught up {changes} interleaved changes in {seconds:.1f} s: {changes / seconds:.0f}/s")
    assert changes == 1001 + 8001 * 3
    assert_equal(world, *TABLES)
