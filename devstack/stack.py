"""The running stack as others see it: every address, key and file, in one JSON document."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from devstack.errors import StackError
from devstack.layout import default_root, write_private

FILE = "stack.json"


@dataclass(frozen=True)
class Stack:
    """Addresses and credentials of the local servers. Loopback only, nothing here is secret."""

    temporal_address: str
    temporal_namespace: str
    temporal_ui_url: str
    pg_host: str
    pg_port: int
    pg_superuser: str
    pg_superuser_password: str
    pg_bin: str
    pg_data: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    bucket: str
    kube_server: str
    kube_ca_file: str
    kube_admin_kubeconfig: str
    kube_world_kubeconfig: str
    kube_slipway_kubeconfig: str
    kube_audit_log: str
    kubectl: str
    prometheus_url: str
    promtool: str
    world_url: str
    webhook_url: str
    run_dir: str

    @classmethod
    def load(cls, root: Path | None = None) -> Stack:
        """Read the stack of a folder (default: this checkout's). StackError when there is none."""
        path = (root or default_root()) / FILE
        try:
            values = json.loads(path.read_text())
            return cls(**{field.name: values[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError) as error:
            raise StackError(f"No local stack at {path}: start it with `make stack`.") from error

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Stack:
        """Read the stack from `DEVSTACK_<FIELD>` variables, for servers that somebody else runs.

        Raises StackError naming what is missing or no number.
        """
        given = {field.name: environ.get(_variable(field.name), "") for field in fields(cls)}
        missing = [_variable(name) for name, value in given.items() if not value]
        if missing:
            raise StackError(f"Set {', '.join(missing)}: the addresses of the servers.")
        try:
            return cls(**{**given, "pg_port": int(given["pg_port"])})  # type: ignore[arg-type] # the one number
        except ValueError:
            raise StackError(f"{_variable('pg_port')} is no port.") from None

    def save(self) -> Path:
        """Write the stack beside its run folder."""
        return write_private(Path(self.run_dir) / FILE, json.dumps(asdict(self), indent=2) + "\n")

    def environment(self) -> dict[str, str]:
        """Variables for slipway, its worker and a person's shell; PATH is a prefix only."""
        return {
            "TEMPORAL_ADDRESS": self.temporal_address,
            "TEMPORAL_NAMESPACE": self.temporal_namespace,
            "KUBECONFIG": self.kube_slipway_kubeconfig,
            "AWS_ACCESS_KEY_ID": self.s3_access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3_secret_key,
            "AWS_ENDPOINT_URL_S3": self.s3_endpoint,
            "AWS_REGION": "us-east-1",
            "PATH": os.pathsep.join(self._program_folders()),
        }

    def _program_folders(self) -> list[str]:
        pnpm = Path(self.run_dir) / "node" / "node_modules" / ".bin"
        return [self.pg_bin, str(Path(self.kubectl).parent), str(pnpm)]


def _variable(field: str) -> str:
    return f"DEVSTACK_{field.upper()}"
