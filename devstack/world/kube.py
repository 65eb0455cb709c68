"""A small client of the Kubernetes API for the world: raw JSON over HTTP, as the admin."""

import base64
import json
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from devstack.errors import StackError

if TYPE_CHECKING:
    from devstack.stack import Stack

_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"


def settings(stack: "Stack") -> dict[str, Any]:
    """Return the arguments of an httpx client that speaks as the user `world`."""
    config = yaml.safe_load(Path(stack.kube_world_kubeconfig).read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = _trusting(cluster)
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    if "client-certificate" in user:
        context.load_cert_chain(user["client-certificate"], user["client-key"])
    return {
        "base_url": cluster["server"],
        "verify": context,
        "headers": headers,
        "timeout": 60.0,
        "trust_env": False,  # no proxy between this machine and itself
    }


def _trusting(cluster: dict[str, str]) -> ssl.SSLContext:
    if cluster["server"].startswith("http://"):
        return ssl.create_default_context()  # not used
    if "certificate-authority-data" in cluster:
        text = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return ssl.create_default_context(cadata=text)
    return ssl.create_default_context(cafile=cluster["certificate-authority"])


class Kube:
    """Creates, replaces and removes objects. Answers of 404 on removal and 409 on creation are
    not errors: both mean that the wanted state is there."""

    def __init__(self, stack: "Stack") -> None:
        self._http = httpx.Client(**settings(stack))

    def __enter__(self) -> "Kube":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str) -> dict[str, Any] | None:
        """Return an object or list, or None when there is none."""
        answer = self._http.get(path)
        return None if answer.status_code == 404 else _sound(answer)

    def create(self, collection: str, body: dict[str, Any]) -> bool:
        """Create an object; return False when it is there already."""
        answer = self._http.post(collection, json=body)
        if answer.status_code == 409:
            return False
        _sound(answer)
        return True

    def apply(self, path: str, body: dict[str, Any]) -> None:
        """Make an object what `body` says (server-side apply)."""
        answer = self._http.patch(
            path,
            params={"fieldManager": "devstack", "force": "true"},
            content=yaml.safe_dump(body),
            headers={"Content-Type": _APPLY},
        )
        _sound(answer)

    def merge(self, path: str, body: dict[str, Any]) -> None:
        """Merge fields into an object."""
        _sound(self._http.patch(path, json=body, headers={"Content-Type": _MERGE}))

    def patch(self, path: str, body: Any, kind: str, **query: str) -> dict[str, Any]:
        """Patch an object in any of the forms that Kubernetes knows, and return it."""
        content = json.dumps(body)
        headers = {"Content-Type": kind}
        return _sound(self._http.patch(path, params=query, content=content, headers=headers))

    def delete(self, path: str) -> None:
        """Remove an object or collection."""
        answer = self._http.delete(path, params={"propagationPolicy": "Background"})
        if answer.status_code != 404:
            _sound(answer)


def _sound(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_error:
        request = answer.request
        raise StackError(
            f"Kubernetes refused {request.method} {request.url.path}: "
            f"{answer.status_code} {answer.text[:300]}"
        )
    found: dict[str, Any] = answer.json()
    return found
