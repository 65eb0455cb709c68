"""The Drizzle workspace: one shared installation, a copy per environment, the real command."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from devstack.errors import StackError
from devstack.locks import exclusive
from devstack.world import layout, node
from devstack.world.database import access

if TYPE_CHECKING:
    from devstack.stack import Stack

SOURCE = layout.PACKAGE / "drizzle"
MIGRATIONS = Path("packages/shared-schema/src/migrations")
JOURNAL = MIGRATIONS / "meta" / "_journal.json"
PENDING: dict[str, tuple[str, ...]] = {
    "none": (),
    "one": ("0002_report_language",),
    "two": ("0002_report_language", "0003_report_shares"),
    "three": ("0002_report_language", "0003_report_shares", "0004_flag_reviewer"),
    "fails": ("0002_unique_emails",),
    "fails-late": ("0002_report_language", "0003_unique_emails"),
    "fails-after-rehearsal": ("0002_country_codes",),
    "drift": ("0002_report_language",),
}
"""What a release may bring, by name: tags in the order of the journal."""
_UNDECLARED = {"drift": "report_summary"}
"""What a set changes in the schema's source without a migration."""
_MODULES = (Path("node_modules"), Path("packages/shared-schema/node_modules"))


def stamp() -> str:
    """Return twelve hexadecimal digits that change with the base workspace."""
    return hashlib.sha256(_contents(SOURCE / "base")).hexdigest()[:12]


def shared_workspace(stack: "Stack") -> Path:
    """Return the workspace with the applied migrations and its packages installed, made once."""
    lockfile = SOURCE / "base" / "pnpm-lock.yaml"
    folder = layout.root(stack) / "drizzle" / stamp()
    with exclusive(layout.root(stack) / "drizzle.lock"):
        if (folder / ".ready").exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(SOURCE / "base", folder, ignore=shutil.ignore_patterns("node_modules"))
        command = ["pnpm", "install", "--frozen-lockfile", "--prefer-offline"]
        done = _run(stack, command, folder, timeout=300)
        if done.returncode != 0:
            raise StackError(
                f"The packages of {lockfile.name} cannot be installed:\n{_words(done)}"
            )
        (folder / ".ready").touch()
    return folder


def prepare(stack: "Stack", target: Path, pending: str) -> list[str]:
    """Make a workspace at `target` that holds the base and a pending set; return the tags.

    Its installed packages are links to the shared workspace. Raises ValueError for an unknown set.
    """
    if pending not in PENDING:
        raise ValueError(f"no pending set {pending!r}; there are {', '.join(PENDING)}")
    shared = shared_workspace(stack)
    shutil.rmtree(target, ignore_errors=True)
    skipped = shutil.ignore_patterns("node_modules", ".ready")
    shutil.copytree(shared, target, ignore=skipped)
    for tag in PENDING[pending]:
        shutil.copytree(SOURCE / "pending" / tag, target, dirs_exist_ok=True)
    if pending in _UNDECLARED:
        shutil.copytree(SOURCE / "undeclared" / _UNDECLARED[pending], target, dirs_exist_ok=True)
    for modules in _MODULES:
        (target / modules).symlink_to(shared / modules)
    return list(PENDING[pending])


def migrate(stack: "Stack", workspace: Path, database: str) -> None:
    """Apply what is pending with the playbook's own command, as slipway's role and its owner's.

    Raises StackError with the command's words.
    """
    address = access.url(stack, access.ADMIN, database)
    options = quote(f"-c role={access.OWNER}", safe="")
    done = _run(
        stack,
        ["pnpm", "db:migrate"],
        workspace,
        timeout=180,
        DATABASE_URL=f"{address}?options={options}",
    )
    if done.returncode != 0:
        raise StackError(f"pnpm db:migrate failed on {database}:\n{_words(done)}")


def file_digests(workspace: Path, tags: list[str]) -> dict[str, str]:
    """Return the SHA-256 of each migration's file: the hash that drizzle's ledger holds."""
    return {
        tag: hashlib.sha256((workspace / MIGRATIONS / f"{tag}.sql").read_bytes()).hexdigest()
        for tag in tags
    }


def _run(
    stack: "Stack", command: list[str], folder: Path, *, timeout: float, **extra: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=node.environment(stack, **extra),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def _words(done: subprocess.CompletedProcess[str]) -> str:
    """Return the end of a command's output without any password of an address."""
    text = f"{done.stdout}\n{done.stderr}".strip()[-1500:]
    return re.sub(r"://([^:/\s]+):[^@\s]+@", r"://\1:***@", text)


def _contents(folder: Path) -> bytes:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    kept = [path for path in files if "node_modules" not in path.parts]
    return b"".join(str(path.relative_to(folder)).encode() + path.read_bytes() for path in kept)
