"""Requests to the Kubernetes API: raw JSON, short timeouts, errors that say what to do.

The client's typed models are not used: they drop fields that they do not know.
"""

import asyncio
import json
import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from activities.uninterrupted import uninterrupted
from slipway.errors import Absent, ChangedMeanwhile, Forbidden, SlipwayError, Unreachable
from slipway.judgements.environment import rule_for
from slipway.verdicts import Reason

_TIMEOUTS = (3, 10)
"""Seconds to connect and to read: a watch's own timeout is not to be trusted, these are."""
_LARGEST = 32 * 1024 * 1024
_THREADS = 8

_TEST_FAILED = "the server rejected our request due to an error in our request"
"""What Kubernetes says, and all it says, when the test of a JSON patch fails."""

_MISSING_RIGHT = re.compile(r'^[\w./-]+( "[^"]*")? is forbidden: User ".*?" cannot ')
"""How a request is refused for want of a right. Admission (a quota, a policy, a webhook) answers
403 as well, and also says "forbidden"."""

JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
"""Asks for an object without its content."""
ANYTHING = "application/json, */*"
JSON_PATCH = "application/json-patch+json"


@dataclass(frozen=True)
class Target:
    """What a request is about: enough for its path and for naming a missing right."""

    group: str
    version: str
    resource: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def path(self) -> str:
        """The path of the collection or object."""
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [base]
        if self.namespace:
            parts += ["namespaces", quote(self.namespace, safe="")]
        parts.append(self.resource)
        if self.name:
            parts.append(quote(self.name, safe=""))
        if self.subresource:
            parts.append(self.subresource)
        return "/".join(parts)

    def __str__(self) -> str:
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.resource} {self.name}{where}" if self.name else f"{self.resource}{where}"


@dataclass(frozen=True)
class _Version(Target):
    """What every authenticated user may read."""

    @property
    def path(self) -> str:
        """The path beside all groups."""
        return "/version"


class KubeApi:
    """One API server. Calls run in threads of their own, so that a slow server starves nobody."""

    def __init__(self, configuration: client.Configuration) -> None:
        configuration.retries = urllib3.Retry(total=0)  # Temporal retries, and says so
        configuration.connection_pool_maxsize = _THREADS
        self._client = client.ApiClient(configuration)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="kubernetes")
        self.host = str(configuration.host)

    @classmethod
    def connect(cls) -> "KubeApi":
        """Use `KUBECONFIG` (or ~/.kube/config), else the Pod's own service account.

        Raises SlipwayError when there is neither.
        """
        configuration = client.Configuration()
        try:
            # named here, since the client reads KUBECONFIG only when it is imported
            config.load_kube_config(
                os.environ.get("KUBECONFIG"), client_configuration=configuration
            )
        except config.ConfigException as outside:
            try:
                config.load_incluster_config(client_configuration=configuration)
            except config.ConfigException:
                raise SlipwayError(
                    f"No Kubernetes cluster is configured: {outside}.",
                    "Set KUBECONFIG to a kubeconfig file, or run the worker inside the cluster.",
                    reason=Reason.ENVIRONMENT_NOT_READY,
                ) from None
        return cls(configuration)

    def close(self) -> None:
        """Let the threads and connections go."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    async def read(
        self, target: Target, verb: str, *, accept: str = ANYTHING, **query: Any
    ) -> dict[str, Any]:
        """GET one JSON document. `verb`: get or list, for naming a missing right."""
        found = await self._send("GET", target, verb, query=query, accept=accept)
        return _document(target, found)

    async def version(self) -> str:
        """Return the server's version."""
        return str((await self.read(_Version("", "", "version"), "get")).get("gitVersion") or "")

    async def content(self, target: Target, **query: Any) -> bytes:
        """GET what is no JSON, such as a log."""
        return await self._send("GET", target, "get", query=query)

    async def write(
        self, method: str, target: Target, verb: str, body: Any, *, kind: str = JSON, **query: Any
    ) -> dict[str, Any]:
        """POST, PUT or PATCH. A cancelled caller waits for the answer: a write in flight must be
        over before anybody says that nothing is in flight."""
        work = self._send(method, target, verb, query=query, body=body, kind=kind)
        return _document(target, await uninterrupted(work))

    async def _send(
        self,
        method: str,
        target: Target,
        verb: str,
        *,
        query: Mapping[str, Any],
        body: Any = None,
        kind: str = JSON,
        accept: str = ANYTHING,
    ) -> bytes:
        headers = {"Accept": accept, "Content-Type": kind}
        call = partial(self._request, method, target.path, query, body, headers)
        try:
            return await self._answered(target, verb, call)
        except Forbidden as forbidden:
            await self._refuse_starting(forbidden)
        return await self._answered(target, verb, call)

    async def _answered(self, target: Target, verb: str, call: Callable[[], bytes]) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, call)
        except ApiException as error:
            raise self._explained(target, verb, error) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unreachable(f"did not answer: {type(error).__name__}: {error}") from None

    async def _refuse_starting(self, forbidden: Forbidden) -> None:
        """An API server that has just started forbids everything until it has read the Roles: that
        is no missing right. Raises Unreachable while it does not say that it is ready."""
        headers = {"Accept": ANYTHING}
        ready = partial(self._request, "GET", "/readyz", {}, None, headers)
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, ready)
        except (ApiException, urllib3.exceptions.HTTPError, OSError):
            raise Unreachable(
                f"{forbidden} The Kubernetes API at {self.host} is not ready, though: while it "
                "starts it forbids everything.",
                "Retry once it is.",
            ) from None

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: Any,
        headers: Mapping[str, str],
    ) -> bytes:
        answer = self._client.call_api(
            path,
            method,
            query_params=[(key, value) for key, value in query.items() if value is not None],
            header_params=dict(headers),
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=_TIMEOUTS,
        )
        try:
            content: bytes = answer.read(_LARGEST + 1)
        finally:
            answer.release_conn()
        if len(content) > _LARGEST:
            raise SlipwayError(f"{path} answered with more than 32 MiB.", "Look at the namespace.")
        return content

    def _explained(self, target: Target, verb: str, error: ApiException) -> SlipwayError:
        status, said = error.status or 0, _said(error)
        if status == 403 and _MISSING_RIGHT.search(said):
            # a namespace's own right stands in the Role of that namespace
            where = target.namespace or target.name or "-"
            remedy = rule_for(verb, target.group, target.resource, target.subresource, where)
            return Forbidden(f"slipway may not {verb} {target}.", remedy)
        if status == 404:
            return Absent(f"There is no {target}.", "Create it, or correct the plan.")
        if status == 409 or (status == 422 and _TEST_FAILED in said):
            return ChangedMeanwhile(f"{target} changed meanwhile.", "Read it again.")
        if status == 401:
            return Unreachable(
                "Kubernetes does not accept slipway's token.",
                "Renew the token that KUBECONFIG or the service account gives.",
            )
        if status in (0, 408, 429) or status >= 500:
            return self._unreachable(f"answered {status} {said}".strip())
        return SlipwayError(
            f"Kubernetes refused to {verb} {target}: {status} {said}.", "Correct what it names."
        )

    def _unreachable(self, said: str) -> Unreachable:
        return Unreachable(
            f"The Kubernetes API at {self.host} {said[:300]}.",
            "Check that it runs and that KUBECONFIG leads to it; then retry.",
        )


def _said(error: ApiException) -> str:
    """The server's own words: the message of its Status, with the causes it gives."""
    try:
        status = json.loads(error.body or "")
        causes = (status.get("details") or {}).get("causes") or []
        texts = [status.get("message", ""), *(one.get("message", "") for one in causes)]
    except (ValueError, AttributeError):
        texts = [str(error.body or error.reason or "")]
    return " ".join(" ".join(str(one) for one in texts).split())[:400].rstrip(".")


def _document(target: Target, content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unreachable(f"{target} was not answered with a JSON object.", "Retry.")
    return found
