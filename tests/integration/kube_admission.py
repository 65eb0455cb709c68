"""What an API server's own admission refuses: policies, webhooks, quotas, each for one test."""

import base64
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from devstack.errors import StackError
from devstack.stack import Stack
from tests.http_stub import Handler, serving
from tests.integration.cluster_world import until
from tests.integration.rollout_world import NEW, Place, image

_BASE = "/apis/admissionregistration.k8s.io/v1"
DEPLOYMENTS = ("apps", "deployments", "UPDATE")
PODS = ("", "pods", "CREATE")
_WORDS = ("denied", "failed calling webhook", "exceeded quota")
What = tuple[str, str, str]


def _rules(what: What) -> list[dict[str, Any]]:
    group, resource, operation = what
    return [
        {
            "apiGroups": [group],
            "apiVersions": ["v1"],
            "operations": [operation],
            "resources": [resource],
        }
    ]


def _selectors(p: Place) -> dict[str, Any]:
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": p.namespace}},
        "objectSelector": {"matchLabels": {"app": p.name}},
    }


async def _refuses(p: Place, what: What) -> bool:
    """Whether the server refuses the new image by now; nothing is written."""
    container = {"name": "app", "image": image()}
    labels = {"app": p.name}
    if what == PODS:
        path = f"/api/v1/namespaces/{p.namespace}/pods/{p.name}-tried"
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{p.name}-tried", "labels": labels},
            "spec": {"containers": [container]},
        }
    else:
        path = p.path
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        spec = {"selector": {"matchLabels": labels}, "template": template}
        metadata = {"name": p.name, "labels": labels}
        kind = {"apiVersion": "apps/v1", "kind": "Deployment"}
        body = {**kind, "metadata": metadata, "spec": spec}
    try:
        kind_of_patch = "application/apply-patch+yaml"
        more = {"fieldManager": "tried", "force": "true", "dryRun": "All"}
        await p.ask(p.kube.patch, path, body, kind_of_patch, **more)
    except StackError as error:
        if any(text in str(error) for text in _WORDS):
            return True
        raise
    return False


@asynccontextmanager
async def _standing(
    p: Place, what: What, objects: dict[str, dict[str, Any]]
) -> AsyncIterator[None]:
    """Create objects of the server's admission, wait until they work, and remove them."""
    name = f"{p.namespace}-{p.name}"
    try:
        for collection, spec in objects.items():
            body = {"metadata": {"name": name}, **spec}
            await p.ask(p.kube.create, f"{_BASE}/{collection}", body)
        await until(lambda: _refuses(p, what), "the server refuses the new image")
        yield
    finally:
        for collection in objects:
            await p.ask(p.kube.delete, f"{_BASE}/{collection}/{name}")

        async def takes_it() -> bool:
            return not await _refuses(p, what)

        await until(takes_it, "the server takes the new image again")


@asynccontextmanager
async def policy(p: Place, what: What, said: str) -> AsyncIterator[None]:
    """A policy of the server that refuses the new image."""
    containers = "object.spec" if what == PODS else "object.spec.template.spec"
    expression = f"{containers}.containers.all(c, !c.image.contains('{NEW}'))"
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {**_selectors(p), "resourceRules": _rules(what)},
        "validations": [{"expression": expression, "message": said}],
    }
    binding = {"policyName": f"{p.namespace}-{p.name}", "validationActions": ["Deny"]}
    objects: dict[str, dict[str, Any]] = {
        "validatingadmissionpolicies": {"spec": spec},
        "validatingadmissionpolicybindings": {"spec": binding},
    }
    async with _standing(p, what, objects):
        yield


@asynccontextmanager
async def webhook(p: Place, what: What, url: str) -> AsyncIterator[None]:
    """A webhook that the server asks about every write to the Deployment (or its pods)."""
    authority = await p.ask(Path(p.stack.kube_ca_file).read_bytes)
    hook = {
        "name": "images.slipway.test",
        "clientConfig": {"url": url, "caBundle": base64.b64encode(authority).decode()},
        "rules": _rules(what),
        **_selectors(p),
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 30,
    }
    async with _standing(p, what, {"validatingwebhookconfigurations": {"webhooks": [hook]}}):
        yield


@contextmanager
def refusing(stack: Stack, said: str) -> Iterator[str]:
    """A webhook's server that refuses everything with these words; yields its address."""

    class Served(Handler):
        def answer(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = {"uid": asked["request"]["uid"], "allowed": False, "status": {"message": said}}
            review = {key: asked[key] for key in ("apiVersion", "kind")} | {"response": answer}
            self.say(200, json.dumps(review).encode(), Content_Type="application/json")

    folder = Path(stack.kube_ca_file).parent
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    with serving(Served, context) as address:
        yield f"{address}/validate"


async def quota(p: Place, counted: str) -> None:
    """A quota that is used up. No controller counts here, so its status is written by hand."""
    path = f"/api/v1/namespaces/{p.namespace}/resourcequotas"
    hard = {counted: "1"}
    await p.ask(p.kube.create, path, {"metadata": {"name": "few"}, "spec": {"hard": hard}})
    status = {"status": {"hard": hard, "used": hard}}
    await p.merge(status, path=f"{path}/few/status")
    if counted == "pods":
        await until(lambda: _refuses(p, PODS), "the quota counts")
