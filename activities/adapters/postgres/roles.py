"""What no dump of a database holds, as SQL: roles without passwords, settings, grants."""

from psycopg import sql

from activities.adapters.postgres import side
from activities.adapters.postgres.sessions import Connection, Sessions, rows
from activities.adapters.postgres.url import Target
from slipway import pg_commands
from slipway.errors import SlipwayError

_MOST = 16 * 1024 * 1024
_HEAD = """\
-- Roles, memberships, settings and grants that the dump of database {database} needs.
-- Passwords are not kept: set them anew. A line about a role that exists already may fail; go on.
"""

_ROLES = """
SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication,
       rolbypassrls, rolconnlimit, rolvaliduntil::text
FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1"""
_MEMBERS = """
SELECT r.rolname, m.rolname, a.admin_option
FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
ORDER BY 1, 2"""
_ROLE_SETTINGS = """
SELECT r.rolname, split_part(entry, '=', 1), substr(entry, strpos(entry, '=') + 1)
FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole
CROSS JOIN unnest(s.setconfig) AS entry
WHERE s.setdatabase = 0 AND r.rolname !~ '^pg_' ORDER BY 1, 2"""
_WORDS = ("SUPERUSER", "INHERIT", "CREATEROLE", "CREATEDB", "LOGIN", "REPLICATION", "BYPASSRLS")


async def roles_sql(sessions: Sessions, admin: Connection, target: Target) -> bytes:
    """Return the SQL that makes roles, settings and grants of a database again.

    pg_dumpall writes it where the role may; else the catalogs everybody may read are asked.
    """
    roles = await _by_tool(sessions, target) or await by_catalog(admin)
    own = await side.statements(admin, target.database)
    return "\n".join([_HEAD.format(database=target.database), roles, *own, ""]).encode()


async def _by_tool(sessions: Sessions, target: Target) -> str:
    try:
        program = sessions.tool("pg_dumpall")
    except SlipwayError:
        return ""
    command = pg_commands.roles(program, target.where)
    done = await sessions.run_tool(command, target, keep=_MOST)
    return done.stdout if not done.code and len(done.stdout) < _MOST else ""


async def by_catalog(admin: Connection) -> str:
    """Return roles, memberships and roles' settings as SQL, by what every role may read."""
    made = [_role(*one) for one in await rows(admin, _ROLES)]
    for role, member, again in await rows(admin, _MEMBERS):
        words = sql.SQL("GRANT {} TO {}{};").format(
            sql.Identifier(role),
            sql.Identifier(member),
            sql.SQL(" WITH ADMIN OPTION" if again else ""),
        )
        made.append(words)
    for role, name, value in await rows(admin, _ROLE_SETTINGS):
        scope = sql.SQL("ALTER ROLE {}").format(sql.Identifier(role))
        made.append(side.setting_of(scope, name, value))
    return "\n".join(one.as_string(admin) for one in made)


def _role(name: str, *given: object) -> sql.Composable:
    rights = [word if has else f"NO{word}" for word, has in zip(_WORDS, given, strict=False)]
    limit, until = given[len(_WORDS) :]
    words = sql.SQL("CREATE ROLE {}; ALTER ROLE {} WITH {} CONNECTION LIMIT {}").format(
        sql.Identifier(name),
        sql.Identifier(name),
        sql.SQL(" ").join(map(sql.SQL, rights)),
        sql.Literal(limit),
    )
    if until is not None:
        words += sql.SQL(" VALID UNTIL {}").format(sql.Literal(until))
    return words + sql.SQL(";")
