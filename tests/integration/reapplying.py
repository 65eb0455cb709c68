"""Writes rows again in a process of its own and stops in a transaction, to be killed there:
`python -m tests.integration.reapplying STACK.json NAME FOLDER REQUEST.json TRANSACTION`."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from temporalio.testing import ActivityEnvironment

from activities.adapters.postgres import reapply_rows
from activities.reapply import Reapply
from devstack.stack import Stack
from slipway.messages.reapply import ReapplyFiles
from tests.integration.data_world import DataWorld
from tests.integration.patience import be_patient

REACHED = "reached"


def _stop_in(transaction: int) -> None:
    """Stop where this one's rows are written and not yet committed."""
    real, count = reapply_rows.write_together, 0

    async def stopping(*arguments: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        done = await real(*arguments, **named)
        if count == transaction:
            print(REACHED, flush=True)
            await asyncio.Event().wait()
        return done

    reapply_rows.write_together = stopping


def main(stack: str, name: str, folder: str, request: str, transaction: str) -> None:
    """Write them until then."""
    be_patient()
    _stop_in(int(transaction))
    world = DataWorld(Stack(**json.loads(Path(stack).read_text())), name, Path(folder))
    wanted = ReapplyFiles.model_validate_json(Path(request).read_text())
    activity = Reapply(world.postgres, world.store).reapply
    asyncio.run(ActivityEnvironment().run(activity, wanted))


if __name__ == "__main__":
    main(*sys.argv[1:])
