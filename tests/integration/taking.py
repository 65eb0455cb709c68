"""Takes a backup in a process of its own and stops at a stage, to be killed there:
`python -m tests.integration.taking STACK.json NAME FOLDER STAGE`."""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from temporalio.testing import ActivityEnvironment

from activities.adapters.object_store import ObjectStore
from activities.adapters.postgres import catalog as postgres_catalog
from activities.adapters.postgres import dump as postgres_dump
from activities.adapters.postgres import extent as postgres_extent
from activities.adapters.postgres.backup import Copying
from activities.backups import Backups
from devstack.stack import Stack
from tests.integration.data_world import DataWorld
from tests.integration.patience import be_patient

STAGES: dict[str, tuple[Any, str]] = {
    "dumping": (postgres_catalog, "fingerprints"),
    "reading back": (postgres_dump, "read_through"),
    "restoring": (postgres_dump, "restore"),
    "restored": (postgres_extent, "like"),
    "roles": (Copying, "roles"),
    "uploading": (ObjectStore, "call"),
    "uploaded": (ObjectStore, "lock"),
    "locked": (ObjectStore, "put_new"),
}
"""Before which call it stops."""
REACHED = "reached"


def _stop_at(stage: str) -> None:
    owner, name = STAGES[stage]
    real = getattr(owner, name)

    async def stopping(*args: Any, **kwargs: Any) -> Any:
        if name == "call" and args[1] != "complete_multipart_upload":
            return await real(*args, **kwargs)
        print(REACHED, flush=True)
        return await asyncio.Event().wait()

    setattr(owner, name, stopping)


def main(stack: str, name: str, folder: str, stage: str) -> None:
    """Take the backup until the stage, then stand still."""
    be_patient()
    tempfile.tempdir = folder
    _stop_at(stage)
    world = DataWorld(Stack(**json.loads(Path(stack).read_text())), name, Path(folder))
    backups = Backups(world.postgres, world.store)
    asyncio.run(ActivityEnvironment().run(backups.take, world.take()))


if __name__ == "__main__":
    main(*sys.argv[1:])
