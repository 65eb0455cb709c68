"""The cluster's rights: what the code does, what it lists, and what deploy/k8s grants are one."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from activities.adapters.cluster import Cluster
from activities.adapters.kube_api import KubeApi, Target
from slipway.judgements.bucket import ACTIONS
from slipway.judgements.database_rights import RIGHTS, Login
from slipway.judgements.environment import (
    CONFIG_MAPS,
    OBSERVING_RIGHTS,
    OPTIONAL_RIGHTS,
    PRODUCTION_RIGHTS,
    SECRETS,
    STAGING_RIGHTS,
    Right,
    unread_settings,
)

ROOT = Path(__file__).resolve().parents[2]
HOWTO = (ROOT / "docs" / "howto" / "real-cluster.md").read_text()
OF_EVERYBODY = {"selfsubjectaccessreviews", "version"}
"""What every authenticated user may ask."""
OBJECT = {"metadata": {"namespace": "n", "name": "x", "uid": "u"}}
ARGUMENTS: dict[str, Any] = {
    "namespace": "n",
    "name": "x",
    "pod": "x",
    "container": "app",
    "deployment": OBJECT,
    "body": OBJECT,
    "operations": [],
    "since_seconds": 1.0,
    "selector": None,
    "right": Right("get", "", "pods"),
}


class Recording(KubeApi):
    """Notes which right each request needs."""

    def __init__(self) -> None:
        self.asked: set[tuple[str, str, str]] = set()

    async def _send(self, method: str, target: Target, verb: str, **_: Any) -> bytes:
        if target.resource not in OF_EVERYBODY:
            kind = f"{target.resource}/{target.subresource}".rstrip("/")
            self.asked.add((verb, target.group, kind))
        return b"{}"


def methods() -> list[str]:
    found = inspect.getmembers(Cluster, inspect.iscoroutinefunction)
    return [name for name, _ in found if not name.startswith("_")]


def listed(rights: tuple[Right, ...]) -> set[tuple[str, str, str]]:
    return {(one.verb, one.group, one.kind) for one in rights}


async def test_the_rights_listed_are_those_that_the_code_uses() -> None:
    api = Recording()
    cluster = Cluster(api)
    for name in methods():
        method = getattr(cluster, name)
        needed = [
            one.name
            for one in inspect.signature(method).parameters.values()
            if one.default is inspect.Parameter.empty
        ]
        await method(**{one: ARGUMENTS[one] for one in needed})
    assert api.asked == listed((*PRODUCTION_RIGHTS, *OPTIONAL_RIGHTS))


@pytest.mark.parametrize("name", methods())
def test_no_call_of_the_cluster_is_dead(name: str) -> None:
    sources = "".join(path.read_text() for path in (ROOT / "activities").rglob("*.py"))
    assert re.search(rf"(?:cluster|self)\.{name}\(", sources), f"nothing calls Cluster.{name}"


@pytest.mark.parametrize(
    ("file", "rights"),
    [
        ("production", (*PRODUCTION_RIGHTS, CONFIG_MAPS)),
        ("staging", STAGING_RIGHTS),
        ("observe", OBSERVING_RIGHTS),
    ],
)
def test_the_roles_grant_exactly_the_rights_listed(file: str, rights: tuple[Right, ...]) -> None:
    text = (ROOT / "deploy" / "k8s" / f"{file}-rbac.yaml").read_text()
    (role,) = [one for one in yaml.safe_load_all(text) if one["kind"] == "Role"]
    granted = [
        (verb, group, kind)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for kind in rule["resources"]
        for verb in rule["verbs"]
    ]
    assert sorted(granted) == sorted(listed(rights))


def test_an_observer_can_write_nothing() -> None:
    assert {one.verb for one in OBSERVING_RIGHTS} <= {"get", "list", "watch"}


def test_the_line_to_add_is_a_rule_of_a_role() -> None:
    for right in (*PRODUCTION_RIGHTS, *OPTIONAL_RIGHTS):
        (rule,) = yaml.safe_load(right.rule)
        assert rule == {
            "apiGroups": [right.group],
            "resources": [right.kind],
            "verbs": [right.verb],
        }


def test_settings_that_cannot_be_read_are_a_note_with_a_rule_on_their_names_only() -> None:
    note = unread_settings("prod", SECRETS, ["app", "pull"])
    assert note.severity == "note"
    assert "may not get secrets app, pull in namespace prod" in note.what
    (rule,) = yaml.safe_load(note.remedy.partition(": ")[2])
    assert rule == {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": ["app", "pull"],
        "verbs": ["get"],
    }


@pytest.mark.parametrize("action", ACTIONS)
def test_the_guide_names_every_action_on_the_bucket(action: str) -> None:
    assert f"`{action}`" in HOWTO


def test_the_guide_names_no_action_that_is_not_needed() -> None:
    assert set(re.findall(r"`(s3:\w+)`", HOWTO)) == set(ACTIONS)


@pytest.mark.parametrize("right", RIGHTS, ids=lambda right: f"{right.login}: {right.what}")
def test_the_guides_sql_grants_every_right(right: Any) -> None:
    (sql,) = re.findall(r"```sql\n(.*?)```", HOWTO, re.S)
    names = {
        "role": {Login.STAGING: "slipway_staging"}.get(right.login, "slipway_admin"),
        "owner": "teei_owner",
        "database": "slipway" if right.login is Login.CONTROL else "teei",
        "ledger": "drizzle.__drizzle_migrations",
        "ledger_schema": "drizzle",
    }
    statement = right.grant.format(**names)
    assert statement in sql, f"add to the guide: {statement}"
