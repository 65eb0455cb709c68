"""What the environment must offer: rights in the cluster, addresses of a local stack, roles."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from slipway.messages.preflight import Finding, Group

LOCAL_LABEL = "slipway.teei/local-stack"
_ADD = "Add to slipway's Role in namespace"
LOCAL_SETTING = "slipway.local_stack"


@dataclass(frozen=True)
class Right:
    """One verb on one kind of object, as a Role grants it."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    why: str = ""

    @property
    def kind(self) -> str:
        """The resource as a Role names it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    @property
    def rule(self) -> str:
        """The line to add to the Role."""
        return (
            f'- {{apiGroups: ["{self.group}"], resources: ["{self.kind}"], verbs: ["{self.verb}"]}}'
        )


_APPS, _LEASES = "apps", "coordination.k8s.io"
_READING = (
    Right("get", _APPS, "deployments", why="what runs is compared with what should"),
    Right("list", _APPS, "deployments", why="what runs is compared with what should"),
    Right("list", _APPS, "replicasets", why="a service's pods are found by them"),
    Right("list", "", "pods", why="restarts and readiness are watched"),
    Right("get", "", "pods", "log", why="errors are counted in the logs"),
)
PRODUCTION_RIGHTS = (
    *_READING,
    Right("patch", _APPS, "deployments", why="it replaces a service's template and undoes that"),
    Right("get", "", "namespaces", why="its label says whether this is the local stack"),
    Right("get", _LEASES, "leases", why="a Lease names the open deployment"),
    Right("create", _LEASES, "leases", why="a Lease names the open deployment"),
    Right("update", _LEASES, "leases", why="a Lease names the open deployment"),
)
"""Each is asked of the API server before a deployment; deploy/k8s grants them, and nothing more."""
STAGING_RIGHTS = _READING
OBSERVING_RIGHTS = _READING
"""All that `python -m worker --role observe` needs; deploy/k8s/observe-rbac.yaml grants it."""
_COMPARED = "whether it changed between the capture and a rollback cannot be told without"
CONFIG_MAPS = Right("get", "", "configmaps", why=_COMPARED)
SECRETS = Right("get", "", "secrets", why=_COMPARED)
OPTIONAL_RIGHTS = (CONFIG_MAPS, SECRETS)
"""Only noted where they are missing. deploy/k8s grants the first. Kubernetes has no right to see a
Secret's version without its content, so the second is for each team to give, on names alone."""


def rule_for(verb: str, group: str, resource: str, subresource: str, namespace: str) -> str:
    """Return the remedy for a request that was forbidden."""
    rule = Right(verb, group, resource, subresource).rule
    return f"{_ADD} {namespace}: {rule}"


def missing_rights(namespace: str, missing: Iterable[Right], group: Group) -> list[Finding]:
    """Return a finding for each right that slipway lacks, with the line to add."""
    return [
        Finding(
            severity="block",
            group=group,
            what=f"slipway may not {one.verb} {one.kind} in namespace {namespace}: {one.why}.",
            remedy=rule_for(one.verb, one.group, one.resource, one.subresource, namespace),
        )
        for one in missing
    ]


def unread_settings(namespace: str, right: Right, names: list[str]) -> Finding:
    """Return a note that slipway may not read these ConfigMaps or Secrets, with the line to add."""
    listed = ", ".join(f'"{one}"' for one in names)
    rule = right.rule.replace(", verbs:", f", resourceNames: [{listed}], verbs:")
    return Finding(
        severity="note",
        group="cluster",
        what=f"slipway may not {right.verb} {right.kind} {', '.join(names)} in namespace "
        f"{namespace}: {right.why}.",
        remedy=f"{_ADD} {namespace}: {rule}",
    )


def distinct(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings without those that ask for the same line of a Role once more, as every look
    does that was refused for want of it."""
    kept: dict[str, Finding] = {}
    for one in findings:
        kept.setdefault(one.remedy if one.remedy.startswith(_ADD) else one.what, one)
    return list(kept.values())


def local_only(
    time_scale: float, far: list[str], labels: Mapping[str, str], setting: str | None
) -> list[Finding]:
    """Block compressed time unless everything is the local stack."""
    if time_scale <= 1:
        return []
    wrong = []
    if far:
        wrong.append(f"{', '.join(far[:5])} is not on this machine")
    if labels.get(LOCAL_LABEL) != "true":
        wrong.append(f"the namespace does not carry the label {LOCAL_LABEL}=true")
    if setting != "true":
        wrong.append(f"the database does not carry the setting {LOCAL_SETTING}=true")
    if not wrong:
        return []
    what = f"time_scale is {time_scale:g}, but {'; '.join(wrong)}."
    remedy = "Remove time_scale: it is for the local stack only."
    return [Finding(severity="block", group="addresses", what=what, remedy=remedy)]
