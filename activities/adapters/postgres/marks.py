"""The mark of a migration's start: by it a ledger that holds what was approved is known as ours.

The fence cannot tell that: it is written before anything is run, and a resumed run has another.
So before the command can run, in the transaction that makes its role, the deployment marks that it
starts it for this set of migrations. The mark stands as long as that command may have had an
effect: it is withdrawn when its role is locked out and the ledger holds nothing of the set, and it
ends when an undo proves or restores the state before it.
"""

from dataclasses import dataclass

from activities.adapters.postgres.sessions import Connection, row

TABLE = """
CREATE TABLE IF NOT EXISTS slipway.migration_start (
    database name, deployment text, pending text, fence bigint NOT NULL, op_id text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (database, deployment, pending))"""


@dataclass(frozen=True)
class Mark:
    """What is marked. It names no epoch: a resumed run knows the work of the one before."""

    database: str
    deployment: str
    pending: str
    """Digest of the migrations that were to be applied."""

    @property
    def _key(self) -> tuple[str, str, str]:
        return self.database, self.deployment, self.pending

    async def write(self, admin: Connection, fence: int, op_id: str) -> None:
        """Mark that the command is started. Call it inside the claim's transaction."""
        await admin.execute(
            "INSERT INTO slipway.migration_start (database, deployment, pending, fence, op_id)"
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (database, deployment, pending)"
            " DO UPDATE SET fence = excluded.fence, op_id = excluded.op_id, at = now()",
            [*self._key, fence, op_id],
        )

    async def stands(self, admin: Connection) -> bool:
        """Whether a command of this deployment may have applied this set. Ask under the lock."""
        query = (
            "SELECT 1 FROM slipway.migration_start"
            " WHERE database = %s AND deployment = %s AND pending = %s"
        )
        return await row(admin, query, *self._key) is not None

    async def withdraw(self, admin: Connection) -> None:
        """Take the mark back: the command is over and had no effect. Call it under the lock."""
        await admin.execute(
            "DELETE FROM slipway.migration_start"
            " WHERE database = %s AND deployment = %s AND pending = %s",
            self._key,
        )


async def end_below(admin: Connection, database: str, fence: int) -> None:
    """End all marks of a database that an undo with this fence has taken back to its backup:
    whatever holds these migrations later was not made by the commands that were marked."""
    await admin.execute(
        "DELETE FROM slipway.migration_start WHERE database = %s AND fence < %s", [database, fence]
    )
