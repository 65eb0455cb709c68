"""Which changes of images the judge reads from the audit log."""

from typing import Any

from devstack.demo.audit import changes

OLD, NEW = "api@sha256:old", "api@sha256:new"


def _event(image: str, op_id: str, *, code: int = 200, stands: str = "", uri: str = "") -> Any:
    """A patch of `api` to an image, and what it left standing: its own operation or another."""
    template = {"spec": {"containers": [{"name": "app", "image": image}]}}
    annotations = {"slipway.teei/op-id": stands or op_id}
    done = {"metadata": {"annotations": annotations}, "spec": {"template": template}}
    return {
        "objectRef": {"name": "api"},
        "requestURI": f"/apis/apps/v1/namespaces/x/deployments/api?fieldManager=slipway{uri}",
        "requestReceivedTimestamp": "2026-11-30T04:10:42.107206Z",
        "responseStatus": {"code": code},
        "requestObject": [
            {"op": "test", "path": "/metadata/uid", "value": "1"},
            {"op": "replace", "path": "/spec/template", "value": template},
            {"op": "add", "path": "/metadata/annotations/slipway.teei~1op-id", "value": op_id},
        ],
        "responseObject": done if code == 200 else {"kind": "Status", "metadata": {}},
    }


def _tried(image: str, stands: str) -> Any:
    return _event(image, "", stands=stands, uri="&dryRun=All")


def _seen(*events: Any) -> list[tuple[str, str]]:
    return [(one.image, one.op_id) for one in changes(events, {"api": OLD})]


def test_changes_of_images_count_once_and_trials_and_refusals_do_not() -> None:
    events = [
        _tried(NEW, "before"),
        _event(NEW, "d/rollout:api", code=409),
        _event(NEW, "d/rollout:api"),
        _event(NEW, "d/fence"),
        _event(OLD, "d/undo:api"),
    ]
    assert _seen(*events) == [(NEW, "d/rollout:api"), (OLD, "d/undo:api")]


def test_a_write_whose_client_died_counts_when_what_stands_next_is_its_own() -> None:
    lost = _event(NEW, "d/rollout:api", code=504)
    assert _seen(lost, _tried(OLD, "d/rollout:api")) == [(NEW, "d/rollout:api")]
    assert _seen(lost, _event(OLD, "d/undo:api", stands="d/rollout:api"))[0][0] == NEW
    assert _seen(lost, _event(NEW, "d/rollout:api")) == [(NEW, "d/rollout:api")]


def test_a_write_whose_client_died_without_effect_does_not_count() -> None:
    lost = _event(NEW, "d/rollout:api", code=504)
    assert _seen(lost) == []
    assert _seen(lost, _tried(NEW, "before")) == []
    assert _seen(_event(NEW, "d/rollout:api", code=504, uri="&dryRun=All"), _tried(NEW, "x")) == []
