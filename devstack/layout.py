"""Where a stack keeps its things: folders, ports and generated secrets."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack import ports

CHECKOUT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"

PORTS = (
    "temporal",
    "temporal-http",
    "temporal-frontend-membership",
    "temporal-history",
    "temporal-history-membership",
    "temporal-matching",
    "temporal-matching-membership",
    "temporal-worker",
    "temporal-worker-membership",
    "temporal-ui",
    "postgres",
    "s3",
    "etcd",
    "etcd-peer",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok",
    "prometheus",
    "world",
    "webhook",
)
SECRETS = (
    "postgres",
    "s3-access-key",
    "s3-secret-key",
    "kube-admin",
    "kube-control-plane",
    "kube-slipway",
    "kube-world",
)


def default_root() -> Path:
    """The stack's folder: SLIPWAY_DEVSTACK_DIR, else `.devstack` in this checkout."""
    return Path(os.environ.get("SLIPWAY_DEVSTACK_DIR") or CHECKOUT / ".devstack").resolve()


@dataclass(frozen=True)
class Layout:
    """One stack's folder with its ports and secrets, the same over restarts."""

    root: Path
    ports: Mapping[str, int]
    secrets: Mapping[str, str]

    @classmethod
    def open(cls, root: Path, *, running: bool) -> Layout:
        """Read the layout or make it; taken ports are replaced only while nothing runs."""
        file = root / "layout.json"
        known = json.loads(file.read_text()) if file.exists() else {"ports": {}, "secrets": {}}
        kept = known["ports"]
        if not running:
            kept = {name: port for name, port in kept.items() if ports.is_free(port)}
        generated = {name: known["secrets"].get(name) or secrets.token_hex(20) for name in SECRETS}
        layout = cls(root, ports.choose(PORTS, kept), generated)
        write_private(file, json.dumps({"ports": layout.ports, "secrets": generated}, indent=2))
        return layout

    def data(self, name: str) -> Path:
        """The folder of a server's data, made on demand."""
        return self._folder("data", name)

    def config(self, name: str) -> Path:
        """The folder of a server's generated configuration, made on demand."""
        return self._folder("config", name)

    def address(self, port: str) -> str:
        """`127.0.0.1:<port>` of a name in PORTS."""
        return f"{HOST}:{self.ports[port]}"

    def url(self, port: str) -> str:
        """`http://127.0.0.1:<port>` of a name in PORTS."""
        return f"http://{self.address(port)}"

    @property
    def mark(self) -> str:
        """Eight hexadecimal digits that belong to this folder alone."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:8]

    def _folder(self, *parts: str) -> Path:
        folder = self.root.joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def write_private(path: Path, text: str) -> Path:
    """Write a file only its owner may read, at once and whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
    return path
