"""kwok's stages: what the simulated kubelet does to nodes and pods, and its faults.

A pod whose first container's image matches a fault's expression follows the fault's stages; the
ready stage excludes it, or it would heal the pod at once. Stages are objects in the cluster, so
they can be replaced while pods live: apply what `pod_stages` returns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "kwok"
COLLECTION = "/apis/kwok.x-k8s.io/v1alpha1/stages"
TAG = "-crashloop"
Stage = dict[str, Any]


def node_stages() -> list[Stage]:
    """What makes a node ready."""
    return [_load("node-initialize")]


def crashloop_stages(image_regex: str) -> list[Stage]:
    """All pod stages, with images that match `image_regex` (RE2) in a crash loop.

    Replaces the stages of an earlier call; a pod that no longer matches becomes ready.
    """
    return pod_stages({"crashloop": image_regex})


def pod_stages(faults: Mapping[str, str] | None = None) -> list[Stage]:
    """The pod stages, with image expressions by fault (only `crashloop` so far)."""
    expressions = {"crashloop": TAG, **(faults or {})}
    ready = _load("pod-ready")
    for expression in expressions.values():
        ready["spec"]["selector"]["matchExpressions"].append(_matches(expression, "NotIn"))
    stages = [ready, _load("pod-delete")]
    for fault, expression in expressions.items():
        for name in (f"{fault}-wait", f"{fault}-fail"):
            stage = _load(name)
            stage["spec"]["selector"]["matchExpressions"].append(_matches(expression, "In"))
            stages.append(stage)
    return stages


def path(stage: Stage) -> str:
    """The API path of a stage, for server-side apply."""
    return f"{COLLECTION}/{stage['metadata']['name']}"


def _matches(expression: str, operator: str) -> dict[str, Any]:
    key = f".spec.containers[0].image | test({json.dumps(expression)})"
    return {"key": key, "operator": operator, "values": ["true"]}


def _load(name: str) -> Stage:
    stage: Stage = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return stage
