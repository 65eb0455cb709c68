"""Whether somebody follows just now: signs of life of a slot's reader, as the server sees them."""

import time
from dataclasses import dataclass, field

from activities.adapters.fallback.stream import purpose_of
from activities.adapters.fallback.wire import session_name
from activities.adapters.postgres.sessions import Connection, row, rows

_SILENT = 3.0
"""Seconds without a sign after which a reader counts as frozen. A living one gives one a second."""

_READER = """
SELECT s.active_pid, r.reply_time::text,
    coalesce(a.wait_event_type, '') NOT IN ('Activity', 'Client')
FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid
LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
WHERE s.slot_name = %s AND r.application_name = %s"""
"""Whose process reads the slot, when its reader last said something, and whether the process is at
work itself: while it decodes a large transaction it hears nobody for up to half a minute."""

_SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND usename = %s"


@dataclass
class Signs:
    """Watches the reader of one slot."""

    slot: str
    user: str
    """The role that followers log in as."""
    _last: tuple[object, ...] = ()
    _since: float = field(default_factory=time.monotonic)

    async def alive(self, admin: Connection, position: str) -> bool:
        """Whether a follower reads the slot and is not frozen. `position`: the side database's."""
        found = await row(admin, _READER, self.slot, self._name)
        if found is None:
            return False
        pid, replied, busy = found
        sign = (pid, replied, position)
        if busy or sign != self._last:
            self._last, self._since = sign, time.monotonic()
        return time.monotonic() - self._since < _SILENT

    async def sessions(self, admin: Connection) -> list[int]:
        """Return the server processes of whoever follows: reader, catalog, side database."""
        return [int(pid) for (pid,) in await rows(admin, _SESSIONS, self._name, self.user)]

    @property
    def _name(self) -> str:
        return session_name(purpose_of(self.slot))
