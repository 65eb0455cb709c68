"""A 403 of the Kubernetes API: a missing right, or a server that has only just started."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kubernetes import client

from activities.adapters.cluster import Cluster
from activities.adapters.kube_api import KubeApi, Target
from slipway.errors import Forbidden, SlipwayError, Unreachable
from tests.http_stub import Handler, serving

_CANNOT = 'User "slipway" cannot get resource "deployments" in API group "apps"'
_FORBIDDEN = (403, json.dumps({"message": f'deployments.apps "buddy" is forbidden: {_CANNOT}'}))
_READY, _STARTING, _FOUND = (200, "ok"), (500, "not yet"), (200, json.dumps({"kind": "x"}))
_TARGET = Target("apps", "v1", "deployments", "production", "buddy")


@contextmanager
def _answering(*answers: tuple[int, str]) -> Iterator[tuple[KubeApi, list[str]]]:
    """Serve these answers one after the other; yield a client and the paths it asked for."""
    left, asked = list(answers), []

    class Served(Handler):
        def answer(self) -> None:
            asked.append(self.path)
            status, text = left.pop(0)
            self.say(status, text.encode())

    with serving(Served) as address:
        api = KubeApi(client.Configuration(host=address))
        try:
            yield api, asked
        finally:
            api.close()


def test_what_a_ready_server_forbids_twice_is_a_missing_right() -> None:
    with (
        _answering(_FORBIDDEN, _READY, _FORBIDDEN) as (api, asked),
        pytest.raises(Forbidden, match=r'verbs: \["get"\]'),
    ):
        asyncio.run(api.read(_TARGET, "get"))
    assert asked == [_TARGET.path, "/readyz", _TARGET.path]


def test_a_server_that_became_ready_meanwhile_is_asked_again() -> None:
    with _answering(_FORBIDDEN, _READY, _FOUND) as (api, _):
        assert asyncio.run(api.read(_TARGET, "get")) == {"kind": "x"}


@pytest.mark.parametrize("ready", [_STARTING, _FORBIDDEN])
def test_a_server_that_only_starts_is_worth_another_attempt(ready: tuple[int, str]) -> None:
    with (
        _answering(_FORBIDDEN, ready) as (api, _),
        pytest.raises(Unreachable, match=r"may not get deployments buddy .* not ready"),
    ):
        asyncio.run(api.read(_TARGET, "get"))


@pytest.mark.parametrize(
    "said",
    [
        'admission webhook "images.example" denied the request: this registry is forbidden',
        "deployments.apps \"buddy\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' "
        "denied request: no images of today",
        'replicasets.apps "buddy-1" is forbidden: exceeded quota: few',
    ],
)
def test_what_admission_refuses_is_no_missing_right(said: str) -> None:
    with (
        _answering((403, json.dumps({"message": said}))) as (api, asked),
        pytest.raises(SlipwayError, match=re.escape(said)) as raised,
    ):
        asyncio.run(api.read(_TARGET, "get"))
    assert not isinstance(raised.value, Forbidden)
    assert asked == [_TARGET.path]


def test_a_list_without_an_end_is_an_error_and_not_half_a_list() -> None:
    page = (200, json.dumps({"metadata": {"continue": "more"}, "items": [{"kind": "x"}]}))
    last = (200, json.dumps({"metadata": {}, "items": [{"kind": "x"}]}))
    with _answering(*[page] * 19, last) as (api, _):
        assert len(asyncio.run(Cluster(api).list_pods("production"))) == 20
    with (
        _answering(*[page] * 20) as (api, _),
        pytest.raises(SlipwayError, match="more than 10000 pods in namespace production"),
    ):
        asyncio.run(Cluster(api).list_pods("production"))
