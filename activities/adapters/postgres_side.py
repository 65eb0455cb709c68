"""Side databases: copies beside production, with its settings and grants, closed to others."""

import psycopg
from psycopg import sql

from activities.adapters.postgres_sessions import Connection, row, rows
from slipway.errors import SlipwayError
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


async def create(admin: Connection, name: str, like: str, owner: str) -> None:
    """Create an empty database with the encoding and locale of another, for its owner."""
    found = await row(admin, _LIKE, like)
    if found is None:
        raise SlipwayError(f"There is no database {like}.", "Correct `database` in the plan.")
    encoding, provider, collate, ctype, locale, icu_locale, _ = found
    kind = {"c": "libc", "i": "icu", "b": "builtin"}[provider]
    parts = [
        sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING {}").format(
            sql.Identifier(name), sql.Identifier(owner), sql.Literal(encoding)
        ),
        sql.SQL("LOCALE_PROVIDER {} LC_COLLATE {} LC_CTYPE {}").format(
            sql.Literal(kind), sql.Literal(collate), sql.Literal(ctype)
        ),
    ]
    named = locale or icu_locale
    if named and kind != "libc":
        word = "ICU_LOCALE" if kind == "icu" else "BUILTIN_LOCALE"
        parts.append(sql.SQL(f"{word} {{}}").format(sql.Literal(named)))
    await admin.execute(sql.SQL(" ").join(parts))


async def drop(admin: Connection, name: str) -> bool:
    """Drop a database and end its sessions; return whether it was there."""
    existed = await exists(admin, name)
    await admin.execute(
        sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    )
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


async def copy_settings(admin: Connection, source: str, copy: str) -> None:
    """Give a copy the settings, grants and connection limit of its source. They are in no dump,
    and do not follow when two databases swap names. What the copy had before is replaced."""
    async with admin.transaction():
        await _copy_settings(admin, source, copy)
        await _copy_grants(admin, source, copy)
        limit = (await row(admin, _LIKE, source) or (-1,))[-1]
        await admin.execute(
            sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(
                sql.Identifier(copy), sql.Literal(limit)
            )
        )
    left = await unlike(admin, source, copy)
    if left:
        raise SlipwayError(f"{copy} did not take over from {source}: {', '.join(left)}.")


async def unlike(admin: Connection, one: str, other: str) -> list[str]:
    """Name the kinds of settings in which two databases differ: settings, grants."""
    left = [await rows(admin, _SETTINGS, one), await rows(admin, _GRANTS, one)]
    right = [await rows(admin, _SETTINGS, other), await rows(admin, _GRANTS, other)]
    return [what for what, a, b in zip(("settings", "grants"), left, right, strict=True) if a != b]


async def _copy_settings(admin: Connection, source: str, copy: str) -> None:
    for role, name, _ in await rows(admin, _SETTINGS, copy):
        await admin.execute(sql.SQL("{} RESET {}").format(_scope(role, copy), _setting(name)))
    for role, name, value in await rows(admin, _SETTINGS, source):
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


async def _copy_grants(admin: Connection, source: str, copy: str) -> None:
    on = sql.SQL("ON DATABASE {}").format(sql.Identifier(copy))
    for role in {one[0] for one in await rows(admin, _GRANTS, copy)}:
        await admin.execute(sql.SQL("REVOKE ALL {} FROM {}").format(on, _grantee(role)))
    for role, right, grantable in await rows(admin, _GRANTS, source):
        again = sql.SQL(" WITH GRANT OPTION" if grantable else "")
        await admin.execute(
            sql.SQL("GRANT {} {} TO {}{}").format(sql.SQL(right), on, _grantee(role), again)
        )


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
