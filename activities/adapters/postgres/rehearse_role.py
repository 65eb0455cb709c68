"""The role that a rehearsed migration logs in with. It may act as the owner but inherits nothing of
it, so that it may connect only where it is named itself (the copy) or everybody may."""

import secrets

from psycopg import sql

from activities.adapters.postgres import control, side
from activities.adapters.postgres.control import Attempt
from activities.adapters.postgres.sessions import Connection
from slipway.judgements.backup import short_id


async def open_role(
    admin: Connection, copy: str, owner: str, deployment: str, deadline: float
) -> Attempt:
    """Make the role for one run on `copy`; no statement of it lasts longer than `deadline` seconds.

    It is noted under the copy's name, so that whoever drops the copy finds it.
    """
    attempt = Attempt(
        f"slipway_reh_{short_id(deployment)}_{secrets.token_hex(4)}", secrets.token_urlsafe(32)
    )
    async with admin.transaction():
        await _create(admin, attempt, owner)
        await _settle(admin, attempt.role, copy, owner, f"{deadline * 1000:.0f}ms")
        await admin.execute(
            "INSERT INTO slipway.attempt (role, database, deployment) VALUES (%s, %s, %s)",
            [attempt.role, copy, deployment],
        )
    return attempt


async def _create(admin: Connection, attempt: Attempt, owner: str) -> None:
    hashed = admin.pgconn.encrypt_password(
        attempt.password.encode(), attempt.role.encode(), b"scram-sha-256"
    ).decode()
    role = sql.Identifier(attempt.role)
    await admin.execute(
        sql.SQL("CREATE ROLE {} LOGIN NOINHERIT PASSWORD {} IN ROLE {}").format(
            role, sql.Literal(hashed), sql.Identifier(owner)
        )
    )
    # its statements and their times are shown to its members, without pg_monitor too
    await admin.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))


async def _settle(admin: Connection, role: str, copy: str, owner: str, longest: str) -> None:
    settings = {
        "role": owner,
        "statement_timeout": longest,
        "idle_in_transaction_session_timeout": longest,
        "client_connection_check_interval": "1s",
    }
    for name, value in settings.items():
        await admin.execute(
            sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} = {}").format(
                sql.Identifier(role), sql.Identifier(copy), sql.Identifier(name), sql.Literal(value)
            )
        )
    await admin.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
            sql.Identifier(copy), sql.Identifier(role)
        )
    )


async def close_roles(admin: Connection, copy: str, roles: list[str]) -> None:
    """End the sessions of roles, take back what they may on the copy, and drop them."""
    await control.forbid_login(admin, roles)
    await control.end_sessions(admin, roles=roles)
    for role in roles:
        if await side.exists(admin, copy):
            await admin.execute(
                sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(
                    sql.Identifier(copy), sql.Identifier(role)
                )
            )
    await control.retire(admin, roles)
