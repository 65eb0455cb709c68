"""Writes rows again in a process of its own, to be killed in the middle:
`python -m tests.integration.reapplying STACK.json NAME FOLDER REQUEST.json`."""

import asyncio
import json
import sys
from pathlib import Path

from temporalio.testing import ActivityEnvironment

from activities.reapply import Reapply
from devstack.stack import Stack
from slipway.messages.reapply import ReapplyFiles
from tests.integration.data_world import DataWorld


def main(stack: str, name: str, folder: str, request: str) -> None:
    """Write them."""
    world = DataWorld(Stack(**json.loads(Path(stack).read_text())), name, Path(folder))
    wanted = ReapplyFiles.model_validate_json(Path(request).read_text())
    activity = Reapply(world.postgres, world.store).reapply
    asyncio.run(ActivityEnvironment().run(activity, wanted))


if __name__ == "__main__":
    main(*sys.argv[1:])
