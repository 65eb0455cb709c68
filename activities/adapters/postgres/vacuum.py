"""Autovacuum gives its lock on a table up to a session that has waited for it for as long as the
server's `deadlock_timeout` (a second unless set otherwise), and to no other: whoever gives way
sooner meets it again and again.

Source: PostgreSQL documentation, "The Autovacuum Daemon"; ProcSleep() in storage/lmgr/proc.c.
"""

from activities.adapters.postgres.sessions import Connection, row

_MARGIN = 0.5
"""Seconds from the end of deadlock_timeout until the lock is there."""
_AT_WORK = """
SELECT (SELECT setting::float / 1000 FROM pg_settings WHERE name = 'deadlock_timeout')
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.locktype = 'relation' AND l.granted AND a.backend_type = 'autovacuum worker'
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND n.nspname || '.' || c.relname = ANY(%s) AND a.query NOT LIKE '%%to prevent wraparound)'
LIMIT 1"""
"""What keeps transaction numbers from running out gives way to nobody. Who may not read all
statistics (pg_monitor may) sees none."""


async def patience(session: Connection, tables: list[str], usual: float) -> float:
    """Return how long to wait for a lock on one of `tables` (`schema.table`), in seconds: `usual`,
    or longer where an autovacuum is at work on one that then gives its lock up."""
    found = await row(session, _AT_WORK, tables)
    return max(usual, float(found[0]) + _MARGIN) if found else usual
