"""Where the world keeps its files, and how it writes them."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devstack.stack import Stack

PACKAGE = Path(__file__).resolve().parent.parent
"""The folder `devstack` of the checkout."""
REPOSITORY = PACKAGE.parent


def root(stack: "Stack") -> Path:
    """Return the folder of everything local and generated."""
    return Path(stack.run_dir)


def environments(stack: "Stack") -> Path:
    """Return the folder that holds one folder per environment."""
    return root(stack) / "environments"


def environment_folder(stack: "Stack", name: str) -> Path:
    """Return an environment's folder."""
    return environments(stack) / name


def pod_log(stack: "Stack", namespace: str, pod: str) -> Path:
    """Return the file that kwok serves as the pod's log."""
    return root(stack) / "logs" / "pods" / namespace / f"{pod}.log"


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.touch(mode=mode)
    scratch.write_text(text)
    scratch.replace(path)


def write_json(path: Path, value: Any, *, mode: int = 0o644) -> None:
    """Write plain data as JSON, as a whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n", mode=mode)


def read_json(path: Path) -> Any:
    """Return the plain data of a JSON file."""
    return json.loads(path.read_text())
