"""What a migration did to the tables that are followed, and the follower cannot follow."""

from collections.abc import Sequence
from dataclasses import dataclass

from activities.adapters.fallback.catalog import (
    NOT_OURS,
    Carried,
    CarriedColumn,
    NotCarried,
    Partition,
    columns_of,
    partitions_of,
)
from activities.adapters.postgres.sessions import Connection, rows

_NOW = f"""
SELECT c.oid::int8, n.nspname || '.' || c.relname, c.relreplident::text,
    EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid
            AND CASE WHEN c.relreplident = 'i' THEN i.indisreplident
                     ELSE i.indisprimary AND i.indimmediate END)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND NOT c.relispartition AND {NOT_OURS}
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                    AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 2"""  # noqa: S608 - NOT_OURS is a constant


@dataclass(frozen=True)
class _Table:
    oid: int
    name: str
    identity: str
    identified: bool


async def carried_now(
    production: Connection, carried: Sequence[Carried], left: Sequence[NotCarried] = ()
) -> list[str]:
    """Say what changed since the snapshot that keeps rows from being followed, one sentence each.

    `left`: what was not carried from the start; it is not told again.
    """
    now = {oid: _Table(oid, *rest) for oid, *rest in await rows(production, _NOW)}
    names = {one.name: one.oid for one in now.values()}
    columns = await columns_of(production, [one.oid for one in carried])
    partitions = await partitions_of(production, [one.oid for one in carried])
    said: list[str] = []
    for one in carried:
        table = now.get(one.oid)
        if table is None:
            said.append(_gone(one, one.name in names))
            continue
        new = columns.get(one.oid, [])
        said += _keys(one, table, new)
        said += _partitions(one, partitions.get(one.oid, []), _types(one.columns) == _types(new))
    known = {one.oid for one in carried}
    told = {one.table for one in left} | {one.name for one in carried}
    said += [
        f"{one.name} is a new table: what is written into it is not followed."
        for one in now.values()
        if one.oid not in known and one.name not in told
    ]
    (objects,) = (await rows(production, "SELECT count(*) FROM pg_largeobject_metadata"))[0]
    if objects and "pg_largeobject" not in told:
        said.append(f"There are {objects} large objects now: they are not followed.")
    return said


def _gone(table: Carried, recreated: bool) -> str:
    if recreated:
        return (
            f"{table.name} was recreated: it is another table of the same name, and what is "
            "written into it is not followed."
        )
    return f"{table.name} was dropped: the fallback keeps its rows as they were then."


def _keys(table: Carried, now: _Table, columns: Sequence[CarriedColumn]) -> list[str]:
    if now.identity != "f" and not (now.identified and now.identity in "di"):
        return [
            f"{now.name} has no replica identity any more: its UPDATEs and DELETEs fail on "
            "production while it is published."
        ]
    old = {one.attnum for one in table.columns if one.key}
    key = {one.attnum: one.name for one in columns if one.key}
    if old == key.keys():
        return []
    there = {one.attnum for one in columns}
    lost = [one.name for one in table.columns if one.key and one.attnum not in there]
    if lost:
        return [
            f"The key {', '.join(lost)} of {table.name} was dropped: none of its changes can be "
            "followed, all of them become conflicts."
        ]
    fresh = [
        name for attnum, name in key.items() if attnum not in {c.attnum for c in table.columns}
    ]
    if fresh and now.identity != "f":
        return [
            f"{now.name} is now identified by {', '.join(fresh)}, which the old schema lacks: its "
            "UPDATEs and DELETEs become conflicts."
        ]
    return [f"{now.name} has another key now ({', '.join(key.values()) or 'none'})."]


def _types(columns: Sequence[CarriedColumn]) -> set[tuple[int, int, int]]:
    return {(one.attnum, one.type_oid, one.typmod) for one in columns}


def _partitions(table: Carried, now: Sequence[Partition], same_types: bool) -> list[str]:
    before = {oid: (name, file) for oid, name, file in table.partitions}
    after = {oid: (name, file) for oid, name, file in now}
    said = [
        f"{name} is a new partition of {table.name}: its rows are conflicts until the side "
        "database has it."
        for oid, (name, _) in after.items()
        if oid not in before
    ]
    said += [
        f"The partition {name} of {table.name} is gone: the fallback still has its rows."
        for oid, (name, _) in before.items()
        if oid not in after
    ]
    if same_types:  # another type rewrites every partition; nothing else should
        said += [
            f"The partition {name} of {table.name} was truncated or rewritten: what TRUNCATE "
            "removed from a single partition the fallback still has."
            for oid, (name, file) in after.items()
            if oid in before and before[oid][1] != file
        ]
    return said
