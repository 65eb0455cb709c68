"""What can go wrong around a release: people, the calendar, a tool, a server. Small values, by the
name that `make demo FAULT=…` takes."""

import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from devstack.demo.people import WILLING, Manner
from devstack.stack import Stack
from devstack.world import layout

NOBODY = "http://127.0.0.1:9/notices"
"""An address at which nothing listens."""
CUT = 4096
"""Bytes that a damaged pg_dump keeps to itself."""
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class Outage:
    """A shared server that is stopped once the second service of the run is being deployed."""

    server: str
    """As the stack names it."""
    seconds: float | None = None
    """How long it stays away; None: until the run has ended."""


@dataclass(frozen=True)
class Trouble:
    """What is not as it should be around a release. The defaults are an ordinary day."""

    manner: Manner = WILLING
    approval_deadline: str | None = None
    """The plan's, shortened: a demo does not wait a day, nor may its evidence be that old."""
    opens_in: timedelta | None = None
    """The deployment window is shut, and opens so much later."""
    deaf: bool = False
    """Nobody listens where notices go."""
    damaged_dump: bool = False
    """pg_dump loses the end of what it writes, and says that all went well."""
    outage: Outage | None = None
    late_row: bool = False
    """While approval is waited for, production gets a row that the pending migration cannot take;
    the restored backup, on which it was rehearsed, does not have it."""


NONE = Trouble()
_RETRY_FIRST = Manner(decisions=("retry", "rollback"))
STUBBORN = Trouble(manner=Manner(decisions=("retry", "retry", "retry", "rollback")))
"""Nothing is wrong, and the operator has a parked step tried again before it is rolled back."""
TROUBLES: dict[str, Trouble] = {
    "backup:truncated": Trouble(damaged_dump=True),
    "approval:rejected": Trouble(manner=Manner(approval="reject")),
    "approval:expires": Trouble(manner=Manner(approval="silence"), approval_deadline="30m"),
    "window:closed": Trouble(opens_in=timedelta(days=2)),
    "metrics:down": Trouble(manner=_RETRY_FIRST, outage=Outage("prometheus")),
    "store:down": Trouble(manner=_RETRY_FIRST, outage=Outage("versitygw", 60.0)),
    "notices:down": Trouble(deaf=True),
    "migration:fails-after-rehearsal": Trouble(late_row=True),
}


def overlaid(trouble: Trouble, now: datetime) -> dict[str, Any]:
    """Return what a plan's overlay says differently because of a trouble."""
    changes: dict[str, Any] = {}
    if trouble.opens_in is not None:
        day = _DAYS[(now + trouble.opens_in).weekday()]
        hours = {"start": "00:00", "end": "24:00", "timezone": "UTC"}
        changes["window"] = {"days": [day], **hours}
    if trouble.deaf:
        changes["notices"] = {"webhook": NOBODY}
    return changes


def plan_for(trouble: Trouble, plan: Path, folder: Path) -> Path:
    """Return the plan to deploy by: a changed copy in `folder` where the trouble asks for one."""
    if trouble.approval_deadline is None:
        return plan
    document = yaml.safe_load(plan.read_text())
    document.setdefault("timings", {})["approval_deadline"] = trouble.approval_deadline
    path = folder / f"changed-{plan.name}"
    layout.write_json(path, document)
    return path


def programs(trouble: Trouble, stack: Stack) -> Path | None:
    """Return a folder of programs that the privileged worker finds before the real ones."""
    if not trouble.damaged_dump:
        return None
    folder = layout.root(stack) / "damaged"
    real = Path(stack.pg_bin) / "pg_dump"
    layout.write_text(
        folder / "pg_dump",
        _DAMAGED.format(python=sys.executable, real=str(real), cut=CUT),
        mode=0o755,
    )
    return folder


_DAMAGED = """\
#!{python}
\"\"\"pg_dump as it should be, but for the end of every archive.\"\"\"
import subprocess, sys

REAL, CUT = {real!r}, {cut}
if "--format=custom" not in sys.argv:
    sys.exit(subprocess.call([REAL, *sys.argv[1:]], close_fds=False))
with subprocess.Popen([REAL, *sys.argv[1:]], stdout=subprocess.PIPE, close_fds=False) as child:
    kept = b""
    while piece := child.stdout.read(1 << 16):
        kept += piece
        sys.stdout.buffer.write(kept[:-CUT])
        kept = kept[-CUT:]
sys.stdout.buffer.flush()
sys.exit(child.returncode)
"""
