"""Rehearses in a process of its own, for tests that kill it: `FOLDER REQUEST PG_BIN`."""

import asyncio
import sys
from pathlib import Path

from temporalio.testing import ActivityEnvironment

from activities.adapters.postgres.adapter import Postgres
from activities.rehearsals import Rehearsals
from slipway.messages.rehearsal import RehearseMigrations
from tests.integration.data_world import Folder
from tests.integration.patience import be_patient


def main() -> None:
    """Rehearse once."""
    be_patient()
    folder, request, programs = (Path(one) for one in sys.argv[1:4])
    asked = RehearseMigrations.model_validate_json(request.read_text())
    work = Rehearsals(Postgres(programs), Folder(folder))
    asyncio.run(ActivityEnvironment().run(work.rehearse, asked))


if __name__ == "__main__":
    main()
