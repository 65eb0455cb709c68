"""kwok's stages: what the simulated kubelet does to nodes and pods, and its faults.

A pod whose first container's image matches a fault's expression follows the fault's stages; the
ready stage excludes it, or it would heal the pod at once. Stages are objects in the cluster, so
they can be replaced while pods live: apply what `pod_stages` returns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "kwok"
COLLECTION = "/apis/kwok.x-k8s.io/v1alpha1/stages"
FAULTS = ("crashloop", "oom", "imagepull", "neverready", "readythendies")
"""Fates of pods, each in the images whose tag ends in its name."""
LIFE_MILLISECONDS = 6000
"""How long a pod serves that is ready first and dies then."""
_STATUS = ".status.containerStatuses.[]"
_DEATHS = {"oom": "exitCode: 137, reason: OOMKilled", "readythendies": "exitCode: 1, reason: Error"}
Stage = dict[str, Any]


def node_stages() -> list[Stage]:
    """What makes a node ready."""
    return [_load("node-initialize")]


def pod_stages(expressions: Mapping[str, str] | None = None) -> list[Stage]:
    """The pod stages; `expressions` (RE2) say which images have a fault, else their tags do.

    Replaces the stages of an earlier call; a pod that no longer matches becomes ready.
    """
    wanted = {fault: f"-{fault}(@|$)" for fault in FAULTS} | dict(expressions or {})
    ready = _load("pod-ready")
    stages = [ready, _load("pod-delete")]
    for fault, expression in wanted.items():
        _select(ready, _matches(expression, "NotIn"))
        for stage in _BUILD[fault](fault):
            _select(stage, _matches(expression, "In"))
            stages.append(stage)
    return stages


def _crash_loop(fault: str) -> list[Stage]:
    return [_load(f"{fault}-wait"), _load(f"{fault}-fail")]


def _image_pull(fault: str) -> list[Stage]:
    return [_load(f"{fault}-refused"), _load(f"{fault}-backoff")]


def _never_ready(fault: str) -> list[Stage]:
    return [_load(f"{fault}-run")]


def _dies(fault: str) -> list[Stage]:
    """Ready, dead after a while, and from then on in a crash loop."""
    death = ("exitCode: 1, reason: Error", _DEATHS[fault])
    born = _load("pod-ready", name=f"{fault}-ready")
    _select(born, {"key": f"{_STATUS}.name", "operator": "DoesNotExist"})
    dies = _load("crashloop-wait", death, name=f"{fault}-die")
    _select(dies, _is('.status.conditions.[] | select( .type == "Ready" ) | .status', "True"))
    dies["spec"]["delay"]["durationMilliseconds"] = LIFE_MILLISECONDS
    wait = _load("crashloop-wait", death, name=f"{fault}-wait")
    _select(wait, {"key": f"{_STATUS}.state.terminated.reason", "operator": "Exists"})
    return [born, dies, wait, _load("crashloop-fail", death, name=f"{fault}-fail")]


_BUILD: dict[str, Callable[[str], list[Stage]]] = {
    "crashloop": _crash_loop,
    "oom": _dies,
    "imagepull": _image_pull,
    "neverready": _never_ready,
    "readythendies": _dies,
}


def path(stage: Stage) -> str:
    """The API path of a stage, for server-side apply."""
    return f"{COLLECTION}/{stage['metadata']['name']}"


def _matches(expression: str, operator: str) -> dict[str, Any]:
    key = f".spec.containers[0].image | test({json.dumps(expression)})"
    return {"key": key, "operator": operator, "values": ["true"]}


def _is(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "operator": "In", "values": [value]}


def _select(stage: Stage, expression: dict[str, Any]) -> None:
    stage["spec"]["selector"]["matchExpressions"].append(expression)


def _load(file: str, change: tuple[str, str] = ("", ""), *, name: str = "") -> Stage:
    """Read a stage; `change` replaces a text of it, `name` its own name."""
    old, new = change
    text = (FOLDER / f"{file}.yaml").read_text()
    stage: Stage = yaml.safe_load(text.replace(old, new) if old else text)
    stage["metadata"]["name"] = name or stage["metadata"]["name"]
    return stage
