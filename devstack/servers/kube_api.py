"""The few calls the stack itself makes to the Kubernetes API, as the admin."""

from __future__ import annotations

import json
import ssl
from types import TracebackType
from typing import Any, Self

import httpx

from devstack.errors import StackError
from devstack.layout import Layout


class KubeApi:
    """A short-lived client, as the admin or with another token; objects are plain JSON."""

    def __init__(self, layout: Layout, *, token: str | None = None) -> None:
        authority = layout.config("kubernetes") / "ca.crt"
        self._http = httpx.Client(
            base_url=f"https://{layout.address('kube-apiserver')}",
            verify=ssl.create_default_context(cafile=str(authority)),
            headers={"Authorization": f"Bearer {token or layout.secrets['kube-admin']}"},
            timeout=10,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def get(self, path: str) -> dict[str, Any] | None:
        """An object, or None where there is none. httpx.HTTPError when it cannot be asked."""
        answer = self._http.get(path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return _json(answer)

    def text(self, path: str) -> tuple[int, str]:
        """Status and body of a path that does not answer in JSON."""
        answer = self._http.get(path)
        return answer.status_code, answer.text

    def create(self, collection: str, body: dict[str, Any]) -> bool:
        """Create an object; False where it is there already."""
        answer = self._http.post(collection, json=body)
        if answer.status_code == httpx.codes.CONFLICT:
            return False
        _json(answer)
        return True

    def apply(self, path: str, body: dict[str, Any]) -> None:
        """Make the object what `body` says (server-side apply)."""
        answer = self._http.patch(
            path,
            params={"fieldManager": "devstack", "force": "true"},
            content=json.dumps(body),
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        _json(answer)


def _json(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_error:
        raise StackError(
            f"Kubernetes refused {answer.request.method} {answer.request.url.path}: "
            f"{answer.status_code} {answer.text[:300]}"
        )
    body: dict[str, Any] = answer.json()
    return body
