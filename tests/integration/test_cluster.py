"""The cluster adapter against a real control plane, with slipway's own few rights."""

import time
from typing import Any

import pytest
from kubernetes import client

from activities.adapters.cluster import Cluster
from activities.adapters.kube_api import KubeApi, Target
from slipway.errors import Absent, ChangedMeanwhile, Forbidden, SlipwayError, Unreachable
from slipway.judgements import workload as objects
from slipway.judgements.environment import PRODUCTION_RIGHTS, Right
from tests.integration.cluster_world import ClusterWorld

pytestmark = pytest.mark.stack


async def test_deployments_replica_sets_and_pods_hang_together(place: ClusterWorld) -> None:
    found = await place.cluster.get_deployment(place.namespace, "journey")
    current = objects.current_replica_set(found, await place.cluster.list_replica_sets(found))
    assert current is not None
    pods = await place.cluster.list_pods_of(found)
    mine = objects.controlled_by(pods, objects.metadata(current)["uid"])
    assert len(mine) == objects.replicas_wanted(found)


async def test_a_missing_right_is_named_with_the_line_to_add(place: ClusterWorld) -> None:
    with pytest.raises(Forbidden) as raised:
        await place.cluster._api.read(Target("", "v1", "secrets", place.namespace), "list")
    assert 'resources: ["secrets"], verbs: ["list"]' in raised.value.remedy
    assert raised.value.final


async def test_slipway_may_do_what_it_needs_and_no_more(place: ClusterWorld) -> None:
    for right in PRODUCTION_RIGHTS:
        assert await place.cluster.may(place.namespace, right), right
    for right in (
        Right("delete", "apps", "deployments"),
        Right("create", "apps", "deployments"),
        Right("get", "", "secrets"),
        Right("create", "", "pods", "exec"),
    ):
        assert not await place.cluster.may(place.namespace, right), right
    patching = Right("patch", "apps", "deployments")
    assert not await place.cluster.may(place.environment.staging_namespace, patching)


async def test_a_stale_patch_changes_nothing_and_says_so(place: ClusterWorld) -> None:
    found = await place.cluster.get_deployment(place.namespace, "journey")
    stale: list[dict[str, Any]] = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
        {"op": "replace", "path": "/spec/template/metadata/labels/app", "value": "x"},
    ]
    with pytest.raises(ChangedMeanwhile):
        await place.cluster.patch_deployment(found, stale)
    after = await place.cluster.get_deployment(place.namespace, "journey")
    assert objects.template_of(after) == objects.template_of(found)


async def test_a_wrong_patch_is_told_in_the_servers_words(place: ClusterWorld) -> None:
    found = await place.cluster.get_deployment(place.namespace, "journey")
    wrong = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": ""}
    with pytest.raises(SlipwayError, match="image: Required value"):
        await place.cluster.patch_deployment(found, [wrong])


async def test_a_dry_run_fills_in_defaults_and_writes_nothing(place: ClusterWorld) -> None:
    found = await place.cluster.get_deployment(place.namespace, "journey")
    bare = {
        "metadata": objects.template_of(found)["metadata"],
        "spec": {"containers": [{"name": "app", "image": "registry.example/x:1"}]},
    }
    operation = {"op": "replace", "path": "/spec/template", "value": bare}
    answer = await place.cluster.patch_deployment(found, [operation], dry_run=True)
    assert objects.template_of(answer)["spec"]["restartPolicy"] == "Always"
    after = await place.cluster.get_deployment(place.namespace, "journey")
    assert objects.template_of(after) == objects.template_of(found)


async def test_logs_carry_their_time(place: ClusterWorld) -> None:
    found = await place.cluster.get_deployment(place.namespace, "discord-bot")
    pod = objects.name_of((await place.cluster.list_pods_of(found))[0])
    lines = await place.cluster.pod_log(place.namespace, pod, "app", tail=5)
    assert 1 <= len(lines) <= 5
    assert all(abs(time.time() - line.at) < 3600 for line in lines)


async def test_what_is_not_there_is_absent(place: ClusterWorld) -> None:
    with pytest.raises(Absent, match="nowhere"):
        await place.cluster.get_deployment(place.namespace, "nowhere")
    with pytest.raises(Absent):
        await place.cluster.pod_log(place.namespace, "nowhere", "app")
    assert await place.cluster.get_lease(place.namespace, "nowhere") is None


async def test_the_namespace_says_that_it_is_the_local_stack(place: ClusterWorld) -> None:
    labels = await place.cluster.namespace_labels(place.namespace)
    assert labels["slipway.teei/local-stack"] == "true"


async def test_a_dead_api_server_is_unreachable_and_worth_another_attempt(
    unused_tcp_port: int,
) -> None:
    cluster = Cluster(KubeApi(client.Configuration(host=f"https://127.0.0.1:{unused_tcp_port}")))
    with pytest.raises(Unreachable) as raised:
        await cluster.get_deployment("production", "journey")
    assert not raised.value.final
    assert str(unused_tcp_port) in str(raised.value)
    cluster.close()
