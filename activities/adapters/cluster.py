"""What slipway does in a cluster: read Deployments and their pods, write templates and a Lease."""

from collections.abc import Awaitable
from typing import Any

from activities.adapters import pod_logs
from activities.adapters.kube_api import JSON_PATCH, METADATA, KubeApi, Target
from activities.adapters.pod_logs import PodLog
from slipway.errors import Absent, SlipwayError
from slipway.judgements.environment import Right
from slipway.judgements.logs import LogLine
from slipway.judgements.workload import Raw, controlled_by, metadata
from slipway.verdicts import Reason

FIELD_MANAGER = "slipway"
_PAGE = 500
_PAGES = 20


class Cluster:
    """One cluster, as raw JSON objects. Every call may raise SlipwayErrors of `kube_api`."""

    def __init__(self, api: KubeApi | None = None) -> None:
        """`api`: made from `KUBECONFIG` or the service account when first needed if left out."""
        self._given = api

    @property
    def _api(self) -> KubeApi:
        if self._given is None:
            self._given = KubeApi.connect()
        return self._given

    def close(self) -> None:
        """Let the connections go."""
        if self._given is not None:
            self._given.close()

    async def get_deployment(self, namespace: str, name: str) -> Raw:
        """Return a Deployment. Raises Absent when there is none."""
        return await self._api.read(_deployments(namespace, name), "get")

    async def list_deployments(self, namespace: str) -> list[Raw]:
        """Return all Deployments of a namespace."""
        return await self._list(_deployments(namespace))

    async def list_replica_sets(self, deployment: Raw) -> list[Raw]:
        """Return the ReplicaSets that a Deployment controls."""
        found = await self._list(
            Target("apps", "v1", "replicasets", str(metadata(deployment).get("namespace"))),
            labelSelector=_selector(deployment),
        )
        return controlled_by(found, str(metadata(deployment).get("uid")))

    async def list_pods(self, namespace: str, selector: str | None = None) -> list[Raw]:
        """Return the pods of a namespace, or those that a label selector names."""
        return await self._list(_pods(namespace), labelSelector=selector)

    async def list_pods_of(self, deployment: Raw) -> list[Raw]:
        """Return the pods that a Deployment's selector names."""
        namespace = str(metadata(deployment).get("namespace"))
        return await self.list_pods(namespace, _selector(deployment))

    async def patch_deployment(
        self, deployment: Raw, operations: list[dict[str, Any]], *, dry_run: bool = False
    ) -> Raw:
        """Patch a Deployment (JSON patch) and return it as it stands then.

        Raises ChangedMeanwhile when one of the patch's tests fails.
        """
        found = metadata(deployment)
        return await self._api.write(
            "PATCH",
            _deployments(str(found.get("namespace")), str(found.get("name"))),
            "patch",
            operations,
            kind=JSON_PATCH,
            fieldManager=FIELD_MANAGER,
            dryRun="All" if dry_run else None,
        )

    async def pod_log(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        tail: int = pod_logs.MOST_LINES,
        since_seconds: float | None = None,
        previous: bool = False,
    ) -> list[LogLine]:
        """Return the newest `tail` lines of a container's log, no older than `since_seconds`."""
        target = _log(namespace, pod)
        query = {"container": container, "sinceSeconds": _whole_seconds(since_seconds)}
        query["previous"] = "true" if previous else None
        return (await pod_logs.newest(self._api, target, tail, **query)).lines

    async def log_since(
        self, namespace: str, pod: str, container: str, *, since_seconds: float
    ) -> PodLog:
        """Return a container's log of the last `since_seconds`, which may be cut to the newest."""
        return await pod_logs.newest(
            self._api,
            _log(namespace, pod),
            pod_logs.MOST_LINES,
            container=container,
            sinceSeconds=_whole_seconds(since_seconds),
        )

    async def first_line(
        self, namespace: str, pod: str, container: str, *, since_seconds: float | None = None
    ) -> LogLine | None:
        """Return the oldest line of a container's log, or the oldest that is no older than
        `since_seconds`, and at most one second younger: never one that is older."""
        return await pod_logs.first(
            self._api,
            _log(namespace, pod),
            container=container,
            sinceSeconds=None if since_seconds is None else max(1, int(since_seconds)),
        )

    async def config_map(self, namespace: str, name: str) -> Raw | None:
        """Return a ConfigMap, or None when there is none."""
        target = Target("", "v1", "configmaps", namespace, name)
        return await _if_there(self._api.read(target, "get"))

    async def secret_metadata(self, namespace: str, name: str) -> Raw | None:
        """Return a Secret's metadata, or None when there is none. Its content is not asked for."""
        target = Target("", "v1", "secrets", namespace, name)
        return await _if_there(self._api.read(target, "get", accept=METADATA))

    async def get_lease(self, namespace: str, name: str) -> Raw | None:
        """Return a Lease, or None when there is none."""
        return await _if_there(self._api.read(_leases(namespace, name), "get"))

    async def create_lease(self, namespace: str, body: Raw) -> Raw:
        """Create a Lease. Raises ChangedMeanwhile when it is there already."""
        return await self._api.write("POST", _leases(namespace), "create", body)

    async def replace_lease(self, namespace: str, body: Raw) -> Raw:
        """Replace a Lease read before. Raises ChangedMeanwhile when it changed meanwhile."""
        name = str(metadata(body).get("name"))
        return await self._api.write("PUT", _leases(namespace, name), "update", body)

    async def namespace_labels(self, namespace: str) -> dict[str, str]:
        """Return a namespace's labels."""
        target = Target("", "v1", "namespaces", name=namespace)
        return dict(metadata(await self._api.read(target, "get")).get("labels") or {})

    async def version(self) -> str:
        """Return the API server's version, such as `v1.36.3`."""
        return await self._api.version()

    async def may(self, namespace: str, right: Right, name: str = "") -> bool:
        """Ask the API server whether slipway has a right in a namespace, or on one object there."""
        attributes = {
            "namespace": namespace,
            "verb": right.verb,
            "group": right.group,
            "resource": right.resource,
            "subresource": right.subresource,
        }
        attributes["name"] = namespace if right.resource == "namespaces" else name
        target = Target("authorization.k8s.io", "v1", "selfsubjectaccessreviews")
        body = {"spec": {"resourceAttributes": attributes}}
        answer = await self._api.write("POST", target, "create", body)
        return bool((answer.get("status") or {}).get("allowed"))

    async def _list(self, target: Target, **query: Any) -> list[Raw]:
        found: list[Raw] = []
        after: str | None = None
        for _ in range(_PAGES):
            page = await self._api.read(target, "list", limit=_PAGE, **query, **_continue(after))
            found += page.get("items") or []
            after = metadata(page).get("continue") or None
            if after is None:
                return found
        raise SlipwayError(
            f"There are more than {_PAGE * _PAGES} {target}; slipway does not judge by a part.",
            "Remove what has ended, such as `kubectl delete pods --field-selector "
            "status.phase=Failed`, or find out what creates so many; then retry.",
            reason=Reason.ENVIRONMENT_NOT_READY,
        )


async def _if_there(reading: Awaitable[Raw]) -> Raw | None:
    try:
        return await reading
    except Absent:
        return None


def _continue(after: str | None) -> dict[str, str]:
    return {"continue": after} if after else {}


def _deployments(namespace: str, name: str = "") -> Target:
    return Target("apps", "v1", "deployments", namespace, name)


def _leases(namespace: str, name: str = "") -> Target:
    return Target("coordination.k8s.io", "v1", "leases", namespace, name)


def _pods(namespace: str) -> Target:
    return Target("", "v1", "pods", namespace)


def _log(namespace: str, pod: str) -> Target:
    return Target("", "v1", "pods", namespace, pod, "log")


def _whole_seconds(seconds: float | None) -> int | None:
    """The API takes whole ones; a line too many is better than one too few."""
    return None if seconds is None else max(1, int(seconds) + 1)


def _selector(deployment: Raw) -> str:
    """A Deployment's selector as text; labels first, then expressions."""
    selector = (deployment.get("spec") or {}).get("selector") or {}
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or []:
        key, values = one.get("key"), ",".join(one.get("values") or [])
        parts.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": f"{key}",
                "DoesNotExist": f"!{key}",
            }[one.get("operator", "Exists")]
        )
    return ",".join(parts)
