"""What a worker is told by its environment and its command line."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from slipway import names
from slipway.errors import BadInput

_QUEUE = re.compile(r"[A-Za-z0-9._-]{1,100}")
_BUILD = re.compile(r"[A-Za-z0-9._-]{1,128}")
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}")


class Role(StrEnum):
    """Which queue a worker serves, and so which rights its process needs."""

    WORKFLOW = "workflow"
    """Workflows, evidence, notices: no production credential."""
    PRIVILEGED = "privileged"
    """Everything that touches database, cluster, metrics or bucket."""
    ALL = "all"
    """Both in one process: for trying out."""
    OBSERVE = "observe"
    """Watches deployments that others make, with rights to read and nothing else. It serves a queue
    of its own and is in no other role, so that nothing it does can ever use their rights."""

    @property
    def serves_workflows(self) -> bool:
        """Whether workflows and unprivileged activities run here."""
        return self in (Role.WORKFLOW, Role.ALL)

    @property
    def is_privileged(self) -> bool:
        """Whether activities with production credentials run here."""
        return self in (Role.PRIVILEGED, Role.ALL)

    @property
    def observes(self) -> bool:
        """Whether deployments of others are watched here."""
        return self is Role.OBSERVE


@dataclass(frozen=True)
class Settings:
    """A worker's settings. Lengths are seconds."""

    role: Role
    task_queue: str
    artifacts: Path
    """Evidence and workspaces; a worker that observes needs none."""
    metrics_address: str = ""
    """Where metrics are served for Prometheus; empty: nowhere."""
    health_address: str = ""
    """Where probes are answered; empty: nowhere."""
    build_id: str = ""
    """Switches worker versioning on. Such a worker gets nothing until an operator has made its
    version the current one."""
    grace: float = 20.0
    """How long running activities may go on after SIGTERM; keep it below the pod's own grace."""


def read_settings(environ: Mapping[str, str], role: str | None = None) -> Settings:
    """Return the settings of an environment. Raises BadInput naming the variable and a remedy."""
    wanted = _role(role or environ.get("SLIPWAY_ROLE") or Role.ALL.value)
    return Settings(
        role=wanted,
        task_queue=read_task_queue(environ),
        artifacts=Path() if wanted.observes else _artifacts(environ),
        metrics_address=_matching(environ, "SLIPWAY_METRICS", _ADDRESS, ""),
        health_address=_matching(environ, "SLIPWAY_HEALTH", _ADDRESS, ""),
        build_id=_matching(environ, "SLIPWAY_BUILD_ID", _BUILD, ""),
        grace=_seconds(environ, "SLIPWAY_GRACE", Settings.grace),
    )


def read_task_queue(environ: Mapping[str, str]) -> str:
    """Return the queue of the workflow worker. Raises BadInput for a malformed one."""
    return _matching(environ, "SLIPWAY_TASK_QUEUE", _QUEUE, names.DEFAULT_TASK_QUEUE)


def read_build_id(value: str) -> str:
    """Return a build's name as a command line gives it. Raises BadInput for a malformed one."""
    if not value:
        raise BadInput("--build-id is empty.", "Name a build, as SLIPWAY_BUILD_ID does.")
    return _matching({"--build-id": value}, "--build-id", _BUILD, "")


def _role(value: str) -> Role:
    try:
        return Role(value)
    except ValueError:
        known = ", ".join(role.value for role in Role)
        raise BadInput(f"Role {value[:40]!r} is unknown.", f"Choose one of {known}.") from None


def _artifacts(environ: Mapping[str, str]) -> Path:
    value = environ.get("SLIPWAY_ARTIFACTS", "")
    if not value:
        raise BadInput(
            "SLIPWAY_ARTIFACTS is not set.",
            "Set it to the folder that holds evidence and migration workspaces.",
        )
    path = Path(value)
    if not path.is_dir():
        raise BadInput(f"SLIPWAY_ARTIFACTS: {value} is no folder.", "Create it, or correct it.")
    return path


def _matching(environ: Mapping[str, str], name: str, pattern: re.Pattern[str], default: str) -> str:
    value = environ.get(name) or default
    if value and not pattern.fullmatch(value):
        raise BadInput(f"{name}: {value[:60]!r} does not fit {pattern.pattern}.", "Correct it.")
    return value


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    value = environ.get(name, "")
    try:
        seconds = float(value) if value else default
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise BadInput(f"{name}: {value[:20]!r} is not 0 to 3600 seconds.", "Correct it.")
    return seconds
