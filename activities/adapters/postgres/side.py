"""Side databases: copies beside production, with its settings and grants, closed to others."""

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from activities.adapters.postgres.sessions import Connection, row, rows
from slipway.errors import SlipwayError
from slipway.judgements.backup import is_ours
from slipway.verdicts import Reason

_LIKE = """
SELECT pg_encoding_to_char(encoding), datlocprovider::text, datcollate, datctype,
       to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', datconnlimit
FROM pg_database d WHERE datname = %s"""

_SETTINGS = """
SELECT r.rolname, split_part(entry, '=', 1), substr(entry, strpos(entry, '=') + 1)
FROM pg_db_role_setting s
JOIN pg_database d ON d.oid = s.setdatabase
LEFT JOIN pg_roles r ON r.oid = s.setrole
CROSS JOIN unnest(s.setconfig) AS entry
WHERE d.datname = %s ORDER BY 1 NULLS FIRST, 2"""

_GRANTS = """
SELECT coalesce(r.rolname, ''), a.privilege_type, a.is_grantable
FROM pg_database d CROSS JOIN aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE d.datname = %s ORDER BY 1, 2"""
"""Grants as they apply; the empty role is PUBLIC."""

_TRIES = 3
_LISTS = {
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
}
"""Settings whose value is a list of quoted names."""


async def exists(admin: Connection, name: str) -> bool:
    """Whether a database of that name exists."""
    return await row(admin, "SELECT 1 FROM pg_database WHERE datname = %s", name) is not None


async def kind_of(admin: Connection, name: str) -> TupleRow:
    """Return encoding, locale and connection limit of a database of this server."""
    found = await row(admin, _LIKE, name)
    if found is None:
        raise SlipwayError(f"There is no database {name}.", "Correct `database` in the plan.")
    return found


async def create(admin: Connection, name: str, kind: TupleRow, owner: str) -> None:
    """Create an empty database of this kind, see `kind_of`, for its owner."""
    encoding, provider, collate, ctype, locale, icu_locale, _ = kind
    by = {"c": "libc", "i": "icu", "b": "builtin"}[provider]
    parts = [
        sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING {}").format(
            sql.Identifier(name), sql.Identifier(owner), sql.Literal(encoding)
        ),
        sql.SQL("LOCALE_PROVIDER {} LC_COLLATE {} LC_CTYPE {}").format(
            sql.Literal(by), sql.Literal(collate), sql.Literal(ctype)
        ),
    ]
    named = locale or icu_locale
    if named and by != "libc":
        word = "ICU_LOCALE" if by == "icu" else "BUILTIN_LOCALE"
        parts.append(sql.SQL(f"{word} {{}}").format(sql.Literal(named)))
    await admin.execute(sql.SQL(" ").join(parts))


async def comment_of(admin: Connection, name: str) -> str | None:
    """Return a database's comment, empty where it has none; None when there is no database."""
    found = await row(
        admin,
        "SELECT coalesce(shobj_description(oid, 'pg_database'), '')"
        " FROM pg_database WHERE datname = %s",
        name,
    )
    return None if found is None else str(found[0])


async def hand_over(admin: Connection, name: str, new: str, comment: str) -> None:
    """Rename a closed database, say in its comment what it is, and open it: all or nothing."""
    async with admin.transaction():
        await admin.execute(
            sql.SQL("COMMENT ON DATABASE {} IS {}").format(
                sql.Identifier(name), sql.Literal(comment)
            )
        )
        await admin.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                sql.Identifier(name), sql.Identifier(new)
            )
        )
        await allow(admin, new, True)


async def copies_of(admin: Connection, database: str) -> list[str]:
    """Return the names of all databases that slipway made beside one."""
    found = await rows(admin, "SELECT datname FROM pg_database ORDER BY 1")
    return [str(one[0]) for one in found if is_ours(str(one[0]), database)]


async def drop(admin: Connection, name: str) -> bool:
    """Drop a database and end its sessions; return whether it was there."""
    existed = await exists(admin, name)
    words = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    for _ in range(_TRIES):
        try:
            await admin.execute(words)
            return existed
        except psycopg.errors.ObjectInUse:  # the server waits only 5 s for sessions to end
            continue
    await admin.execute(words)
    return existed


async def allow(admin: Connection, name: str, allowed: bool) -> None:
    """Open a database for connections, or close it for everybody, superusers included."""
    await admin.execute(
        sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(
            sql.Identifier(name), sql.SQL("true" if allowed else "false")
        )
    )


async def is_open(admin: Connection, name: str) -> bool:
    """Whether a database accepts connections."""
    found = await row(admin, "SELECT datallowconn FROM pg_database WHERE datname = %s", name)
    return bool(found and found[0])


async def copy_settings(
    admin: Connection, source: str, copy: str, of: Connection | None = None
) -> None:
    """Give a copy the settings, grants and connection limit of its source. They are in no dump,
    and do not follow when two databases swap names. What the copy had before is replaced.
    `of`: a session of the source's server, where that is another one."""
    of = of or admin
    async with admin.transaction():
        await _copy_settings(admin, of, source, copy)
        await _copy_grants(admin, of, source, copy)
        limit = (await kind_of(of, source))[-1]
        await admin.execute(
            sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(
                sql.Identifier(copy), sql.Literal(limit)
            )
        )
    left = await unlike(of, source, admin, copy)
    if left:
        raise SlipwayError(f"{copy} did not take over from {source}: {', '.join(left)}.")


async def unlike(at: Connection, one: str, there: Connection, other: str) -> list[str]:
    """Name the kinds of settings in which two databases differ: settings, grants. Each with a
    session of its server."""
    left = [await rows(at, _SETTINGS, one), await rows(at, _GRANTS, one)]
    right = [await rows(there, _SETTINGS, other), await rows(there, _GRANTS, other)]
    return [what for what, a, b in zip(("settings", "grants"), left, right, strict=True) if a != b]


async def statements(admin: Connection, database: str) -> list[str]:
    """Return a database's settings, grants and connection limit as SQL statements."""
    name = sql.Identifier(database)
    limit = (await row(admin, _LIKE, database) or (-1,))[-1]
    made: list[sql.Composable] = [
        sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {};").format(name, sql.Literal(limit)),
        sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC;").format(name),
    ]
    for role, setting, value in await rows(admin, _SETTINGS, database):
        made.append(setting_of(_scope(role, database), setting, value))
    on = sql.SQL("ON DATABASE {}").format(name)
    made += [
        _grant(on, role, right, grantable) + sql.SQL(";")
        for role, right, grantable in await rows(admin, _GRANTS, database)
    ]
    return [one.as_string(admin) for one in made]


def setting_of(scope: sql.Composable, name: str, value: str) -> sql.Composable:
    """Return the statement that gives a role or database a setting. A list stays one."""
    words = sql.SQL(value) if name in _LISTS and value else sql.Literal(value)
    return sql.SQL("{} SET {} = {};").format(scope, _setting(name), words)


def _grant(on: sql.Composable, role: str, right: str, grantable: bool) -> sql.Composed:
    again = sql.SQL(" WITH GRANT OPTION" if grantable else "")
    return sql.SQL("GRANT {} {} TO {}{}").format(sql.SQL(right), on, _grantee(role), again)


async def kept_about(admin: Connection, name: str) -> list[TupleRow]:
    """Return what the server keeps about a database outside of it: settings, grants, owner."""
    about = await rows(admin, _LIKE, name)
    owner = await rows(
        admin,
        "SELECT r.rolname, d.datallowconn FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba"
        " WHERE d.datname = %s",
        name,
    )
    return [*await rows(admin, _SETTINGS, name), *await rows(admin, _GRANTS, name), *about, *owner]


async def _copy_settings(admin: Connection, of: Connection, source: str, copy: str) -> None:
    for role, name, _ in await rows(admin, _SETTINGS, copy):
        await admin.execute(sql.SQL("{} RESET {}").format(_scope(role, copy), _setting(name)))
    for role, name, value in await rows(of, _SETTINGS, source):
        try:
            await _set(admin, _scope(role, copy), name, value)
        except psycopg.errors.InsufficientPrivilege:
            raise _may_not_set(admin, source, name) from None


async def _set(admin: Connection, scope: sql.Composable, name: str, value: str) -> None:
    if name not in _LISTS:
        words = sql.SQL("{} SET {} = {}").format(scope, _setting(name), sql.Literal(value))
        await admin.execute(words)
        return
    # a quoted literal would become one element; what set_config took as a list stays one
    before = (await row(admin, "SELECT current_setting(%s, true)", name) or ("",))[0]
    await admin.execute("SELECT set_config(%s, %s, true)", [name, value])
    await admin.execute(sql.SQL("{} SET {} FROM CURRENT").format(scope, _setting(name)))
    await admin.execute("SELECT set_config(%s, %s, true)", [name, before or ""])


def _may_not_set(admin: Connection, source: str, name: str) -> SlipwayError:
    user = admin.info.user
    return SlipwayError(
        f"Role {user} may not give a copy of {source} the setting {name}, which a rollback needs.",
        f"GRANT SET ON PARAMETER {name} TO {user}, then retry.",
        reason=Reason.ENVIRONMENT_NOT_READY,
    )


async def _copy_grants(admin: Connection, of: Connection, source: str, copy: str) -> None:
    on = sql.SQL("ON DATABASE {}").format(sql.Identifier(copy))
    for role in {one[0] for one in await rows(admin, _GRANTS, copy)}:
        await admin.execute(sql.SQL("REVOKE ALL {} FROM {}").format(on, _grantee(role)))
    for role, right, grantable in await rows(of, _GRANTS, source):
        await admin.execute(_grant(on, role, right, grantable))


def _grantee(role: str) -> sql.Composable:
    return sql.Identifier(role) if role else sql.SQL("PUBLIC")


def _scope(role: str | None, database: str) -> sql.Composable:
    if role is None:
        return sql.SQL("ALTER DATABASE {}").format(sql.Identifier(database))
    return sql.SQL("ALTER ROLE {} IN DATABASE {}").format(
        sql.Identifier(role), sql.Identifier(database)
    )


def _setting(name: str) -> sql.Composable:
    return sql.SQL(".").join(sql.Identifier(part) for part in name.split("."))


async def close_to_others(admin: Connection, name: str, owner: str) -> None:
    """Take every grant on a database from everybody but its owner."""
    on = sql.SQL("ON DATABASE {}").format(sql.Identifier(name))
    async with admin.transaction():
        for role in {one[0] for one in await rows(admin, _GRANTS, name)} - {owner}:
            await admin.execute(sql.SQL("REVOKE ALL {} FROM {}").format(on, _grantee(role)))


async def open_for_owner(admin: Connection, name: str, owner: str) -> None:
    """Open a database to its owner and administrators only. Two who do so at once take turns: the
    server refuses to change a database twice at the same moment."""
    async with admin.transaction():
        await admin.execute("SELECT pg_advisory_xact_lock(20905, hashtext(%s))", [f"open {name}"])
        if not await is_open(admin, name):
            await close_to_others(admin, name, owner)
            await allow(admin, name, True)
