"""An undo as a person does it by hand, where slipway cannot."""

import shlex

from slipway.messages.record import RestoreDatabase, RestoreService, Undo
from slipway.plan import Plan

_PAGE = "docs/howto/roll-back.md"


def by_hand(plan: Plan, undo: Undo) -> str:
    """Return the command or the place to start from."""
    if isinstance(undo, RestoreDatabase):
        return _database(plan, undo)
    return _service(plan, undo)


def _service(plan: Plan, undo: RestoreService) -> str:
    container = plan.service(undo.service).container
    command = [
        *("kubectl", "--namespace", undo.namespace, "set", "image"),
        *(f"deployment/{undo.deployment}", f"{container}={undo.captured.image}"),
    ]
    return shlex.join(command)


def _database(plan: Plan, undo: RestoreDatabase) -> str:
    backup = undo.backup
    first = ""
    if plan.database.restore_server:
        first = f"fetch {backup.side_database} from database.restore_server, then "
    return (
        f"{first}swap {backup.database} for {backup.side_database}, the restored backup, as "
        f"{_PAGE} shows; the dump is s3://{plan.backup.bucket}/{backup.key}"
    )
