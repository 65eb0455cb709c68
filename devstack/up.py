"""Brings the whole stack up, keeps what runs, restarts what died, and takes it down."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

from devstack import build, ports, world_link
from devstack.errors import StackError
from devstack.layout import HOST, Layout, default_root, write_private
from devstack.locks import exclusive
from devstack.process import Processes
from devstack.servers import (
    kubernetes,
    postgres,
    prometheus,
    temporal,
    temporal_ui,
    versitygw,
)
from devstack.servers.server import Server, bring_up
from devstack.stack import Stack

PORT_SECONDS = 120.0
QUICK_SECONDS = 2.0
# The demo and the tests compress time, so they scrape each second; uncompressed, 5 s is meant.
SCRAPE_SECONDS = 1
STOP_ORDER = (
    ("world", prometheus.NAME, temporal_ui.NAME, versitygw.NAME, postgres.NAME, temporal.NAME),
    ("kwok", "kube-scheduler", "kube-controller-manager"),
    ("kube-apiserver",),
    ("etcd",),
)
Say = Callable[[str], None]


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def up(root: Path | None = None, *, demo: bool = True, tell: Say = say) -> Stack:
    """Start what does not run yet and return the stack. Idempotent; two at once take turns.

    With `demo` the environment of that name exists and serves afterwards.
    """
    root = root or default_root()
    root.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(root, tell):
        programs = build.ensure()
        processes = Processes(root)
        alive = [name for name in processes.names() if processes.pid(name) is not None]
        layout = Layout.open(root, running=bool(alive))
        started = time.monotonic()
        bringer = _Bringer(processes, tell)
        bringer.in_parallel(lanes(layout, programs))
        stack = describe(layout, programs)
        stack.save()
        _write_env(root, stack)
        if world_link.exists():
            bringer.one(world_link.server(stack, layout))
        if demo:
            _create_demo(stack, tell)
        if bringer.started:
            seconds = time.monotonic() - started
            tell(f"local stack: {bringer.started} started, ready in {seconds:.1f} s")
        else:
            tell("local stack: already running")
    return stack


def down(root: Path | None = None, *, everything: bool = False, tell: Say = say) -> None:
    """Stop all servers by process id; with `everything` also delete the stack's data."""
    root = root or default_root()
    if not root.exists():
        tell("local stack: nothing to stop")
        return
    with _one_at_a_time(root, tell):
        processes = Processes(root)
        known = {name for group in STOP_ORDER for name in group}
        rest = tuple(name for name in processes.names() if name not in known)
        stopped = 0
        for group in (rest, *STOP_ORDER):
            with ThreadPoolExecutor(max_workers=8) as pool:
                stopped += sum(pool.map(processes.stop, group))
        tell(f"local stack: {stopped} stopped")
        if everything:
            _delete(root)
            tell(f"deleted {root}")


def status(root: Path | None = None) -> dict[str, int | None]:
    """Process id by program, None for one that was started and has died."""
    root = root or default_root()
    if not root.exists():
        return {}
    processes = Processes(root)
    return {name: processes.pid(name) for name in processes.names()}


def check(root: Path | None = None) -> list[str]:
    """What does not serve, a sentence each; asks every server, starts nothing."""
    root = root or default_root()
    if not (root / "layout.json").exists():
        return ["no local stack: `make stack` starts one"]
    layout = Layout.open(root, running=True)
    programs = build.ensure()
    servers = [s for lane in lanes(layout, programs) for group in lane for s in group]
    answers = [(server.name, server.missing()) for server in servers]
    return [f"{name}: {missing}" for name, missing in answers if missing is not None]


def lanes(layout: Layout, programs: dict[str, Path]) -> list[list[list[Server]]]:
    """What runs beside what: lanes are independent, the groups of a lane follow each other."""
    return [
        kubernetes.servers(layout, programs),
        [[postgres.server(layout)]],
        [
            [temporal.server(layout, programs["temporal-server"])],
            [temporal_ui.server(layout, programs["temporal-ui-server"])],
        ],
        [[versitygw.server(layout, programs["versitygw"])]],
        [
            [
                prometheus.server(
                    layout,
                    programs,
                    world_link.history_writer(),
                    interval_seconds=SCRAPE_SECONDS,
                )
            ]
        ],
    ]


def describe(layout: Layout, programs: dict[str, Path]) -> Stack:
    """The stack's addresses as one document."""
    config = layout.config(kubernetes.NAME)
    return Stack(
        temporal_address=layout.address("temporal"),
        temporal_namespace=temporal.NAMESPACE,
        temporal_ui_url=layout.url("temporal-ui"),
        pg_host=HOST,
        pg_port=layout.ports["postgres"],
        pg_superuser=postgres.SUPERUSER,
        pg_superuser_password=layout.secrets["postgres"],
        pg_bin=str(postgres.bin_folder(layout)),
        pg_data=str(postgres.data_folder(layout)),
        s3_endpoint=layout.url("s3"),
        s3_access_key=layout.secrets["s3-access-key"],
        s3_secret_key=layout.secrets["s3-secret-key"],
        bucket=versitygw.BUCKET,
        kube_server=f"https://{layout.address('kube-apiserver')}",
        kube_ca_file=str(config / "ca.crt"),
        kube_admin_kubeconfig=str(config / "admin.kubeconfig"),
        kube_world_kubeconfig=str(config / "world.kubeconfig"),
        kube_slipway_kubeconfig=str(config / "slipway.kubeconfig"),
        kube_audit_log=str(layout.root / "logs" / "kube-audit.log"),
        kubectl=str(programs["kubectl"]),
        prometheus_url=layout.url("prometheus"),
        promtool=str(programs["promtool"]),
        world_url=layout.url("world"),
        webhook_url=layout.url("webhook"),
        run_dir=str(layout.root),
    )


class _Bringer:
    """Starts servers and tells of each one."""

    def __init__(self, processes: Processes, tell: Say) -> None:
        self._processes = processes
        self._tell = tell
        self.started = 0

    def in_parallel(self, work: Sequence[Sequence[Sequence[Server]]]) -> None:
        """Run each lane in a thread; the first error wins, the other lanes still finish."""
        with ThreadPoolExecutor(max_workers=len(work)) as pool:
            for future in [pool.submit(self._lane, lane) for lane in work]:
                future.result()

    def one(self, server: Server) -> None:
        """Have one server running."""
        began = time.monotonic()
        if bring_up(server, self._processes, wait_for_port):
            self.started += 1
            self._tell(f"  {server.name}: ready in {time.monotonic() - began:.1f} s")

    def _lane(self, groups: Sequence[Sequence[Server]]) -> None:
        for group in groups:
            with ThreadPoolExecutor(max_workers=len(group)) as pool:
                list(pool.map(self.one, group))


def wait_for_port(port: int) -> None:
    """A predecessor may keep its port while it ends (kube-apiserver does, for seconds)."""
    deadline = time.monotonic() + PORT_SECONDS
    while not ports.is_free(port):
        if time.monotonic() > deadline:
            raise StackError(
                f"Port {port} of 127.0.0.1 is used by a program that is not ours. Run "
                "`python -m devstack down`; the next `up` then chooses another port."
            )
        time.sleep(0.1)


def _one_at_a_time(root: Path, tell: Say) -> AbstractContextManager[None]:
    return exclusive(
        root.with_name(f"{root.name}.lock"),
        waiting=lambda: tell("local stack: another command works on it, waiting"),
    )


def _write_env(root: Path, stack: Stack) -> None:
    lines = ["# Addresses and credentials of the local stack: `source` it into a shell."]
    for name, value in stack.environment().items():
        text = f'"{value}{os.pathsep}$PATH"' if name == "PATH" else f"'{value}'"
        lines.append(f"export {name}={text}")
    write_private(root / "env", "\n".join(lines) + "\n")


def _create_demo(stack: Stack, tell: Say) -> None:
    began = time.monotonic()
    world_link.create_demo(stack)
    seconds = time.monotonic() - began
    if seconds > QUICK_SECONDS:
        tell(f"  environment demo: ready in {seconds:.1f} s")


def _delete(root: Path) -> None:
    if (root / "layout.json").exists():
        postgres.forget(Layout.open(root, running=True))
    shutil.rmtree(root, ignore_errors=True)
