"""Takes a database back in a process of its own and stands still at a stage, to be killed or frozen
there; a line on standard input lets it go on:
`python -m tests.integration.rolling_back STACK.json NAME FOLDER REQUEST.json STAGE`."""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from temporalio.testing import ActivityEnvironment

from activities.adapters.pgbouncer import PgBouncer
from activities.adapters.pooler_pause import PoolerPause
from activities.adapters.postgres import control as postgres_control
from activities.adapters.postgres.swap import Swapping
from activities.database import DatabaseRollback
from devstack.stack import Stack
from slipway.messages.migration import RollBackDatabase
from tests.integration.data_world import DataWorld
from tests.integration.patience import be_patient
from tests.integration.taking import REACHED

STAGES: dict[str, tuple[Any, str]] = {
    "pausing": (PgBouncer, "pause"),
    "paused": (Swapping, "_close"),
    "closed": (postgres_control, "end_sessions"),
    "swapped": (PoolerPause, "let_go"),
}
"""Before which call it stops."""


def _stop_at(stage: str) -> None:
    owner, name = STAGES[stage]
    real = getattr(owner, name)
    calls = 0

    async def stopping(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        early = {"end_sessions": "databases" not in kwargs, "let_go": calls == 1}.get(name, False)
        if early:  # of the migrations' roles; what an attempt before has left
            return await real(*args, **kwargs)
        print(REACHED, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        return await real(*args, **kwargs)

    setattr(owner, name, stopping)


def main(stack: str, name: str, folder: str, request: str, stage: str) -> None:
    """Take it back, standing still at the stage."""
    tempfile.tempdir = folder
    be_patient()
    _stop_at(stage)
    world = DataWorld(Stack(**json.loads(Path(stack).read_text())), name, Path(folder))
    wanted = RollBackDatabase.model_validate_json(Path(request).read_text())
    activities = DatabaseRollback(world.postgres, world.store)
    asyncio.run(ActivityEnvironment().run(activities.roll_back, wanted))


if __name__ == "__main__":
    main(*sys.argv[1:])
