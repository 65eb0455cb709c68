"""The Kubernetes control plane: etcd, API server, controllers and scheduler, on loopback."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import yaml

from devstack.layout import Layout, write_private
from devstack.process import Spec
from devstack.servers import kubelet, pki
from devstack.servers.kube_api import KubeApi
from devstack.servers.server import Server, http_missing
from devstack.servers.stages import path, pod_stages

__all__ = ["NAME", "path", "pod_stages", "servers"]

NAME = "kubernetes"
APISERVER = "kube-apiserver"
# Who speaks to the API, with which groups: slipway gets what its Role gives it, nothing else.
USERS = {
    "admin": ("system:masters",),
    "world": ("system:masters",),
    "control-plane": ("system:masters",),
    "slipway": (),
}
CONTROLLERS = (
    "deployment",
    "disruption",
    "endpointslice",
    "garbage-collector",
    "namespace",
    "node-lifecycle",
    "pod-garbage-collector",
    "replicaset",
    "root-ca-certificate-publisher",
    "serviceaccount",
    "taint-eviction",
)
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        # Our own controllers and kwok are the cluster itself; the log is about its users.
        {"level": "None", "users": ["control-plane", "system:apiserver"]},
        {"level": "None", "verbs": ["get", "list", "watch"]},
        {
            "level": "RequestResponse",
            "verbs": ["create", "update", "patch", "delete"],
            "resources": [{"group": "apps", "resources": ["deployments"]}],
        },
        {"level": "Metadata"},
    ],
}


def servers(layout: Layout, programs: dict[str, Path]) -> list[list[Server]]:
    """What starts one after the other: etcd, the API server, then everything that uses it."""
    return [
        [_etcd(layout, programs["etcd"])],
        [_apiserver(layout, programs[APISERVER])],
        [
            _client(layout, "kube-controller-manager", programs, _controller_manager(layout)),
            _client(layout, "kube-scheduler", programs, ()),
            kubelet.server(layout, programs["kwok"]),
        ],
    ]


def _etcd(layout: Layout, program: Path) -> Server:
    client, peer = layout.url("etcd"), layout.url("etcd-peer")
    argv = (
        str(program),
        f"--data-dir={layout.data('etcd')}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",  # survives a killed process, not a power cut
        "--log-level=warn",
    )
    return Server(
        name="etcd",
        port=layout.ports["etcd"],
        prepare=lambda: Spec("etcd", argv),
        missing=lambda: http_missing(client + "/health"),
    )


def _apiserver(layout: Layout, program: Path) -> Server:
    return Server(
        name=APISERVER,
        port=layout.ports[APISERVER],
        prepare=lambda: _prepare_apiserver(layout, program),
        missing=lambda: _apiserver_missing(layout),
        set_up=lambda: kubelet.declare(layout),
        seconds=120,
    )


def _prepare_apiserver(layout: Layout, program: Path) -> Spec:
    folder = layout.config(NAME)
    keys = pki.ensure(folder)
    for user in USERS:
        _write_kubeconfig(layout, keys, user)
    tokens = write_private(folder / "tokens.csv", _token_lines(layout))
    policy = folder / "audit-policy.yaml"
    policy.write_text(yaml.safe_dump(AUDIT_POLICY, sort_keys=False))
    argv = (
        str(program),
        f"--etcd-servers={layout.url('etcd')}",
        "--bind-address=127.0.0.1",
        # Without it the server looks for a default route, which a machine may not have.
        "--advertise-address=10.255.255.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={layout.ports[APISERVER]}",
        f"--cert-dir={folder}",
        f"--tls-cert-file={keys.certificate('server')}",
        f"--tls-private-key-file={keys.key('server')}",
        f"--client-ca-file={keys.ca}",
        f"--token-auth-file={tokens}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={keys.key('service-accounts')}",
        f"--service-account-signing-key-file={keys.key('service-accounts')}",
        "--service-cluster-ip-range=10.0.0.0/24",
        f"--kubelet-client-certificate={keys.certificate('kubelet-client')}",
        f"--kubelet-client-key={keys.key('kubelet-client')}",
        f"--kubelet-certificate-authority={keys.ca}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={layout.root / 'logs' / 'kube-audit.log'}",
        "--audit-log-maxsize=200",
        "--audit-log-maxbackup=3",
        "--profiling=false",
    )
    return Spec(APISERVER, argv, grace_seconds=20)


def _apiserver_missing(layout: Layout) -> str | None:
    try:
        with KubeApi(layout) as api:
            status, text = api.text("/readyz")
    except (httpx.HTTPError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return None if status == httpx.codes.OK else text.splitlines()[-1]


def _client(layout: Layout, name: str, programs: dict[str, Path], more: tuple[str, ...]) -> Server:
    folder = layout.config(NAME)
    argv = (
        str(programs[name]),
        f"--kubeconfig={folder / 'control-plane.kubeconfig'}",
        "--bind-address=127.0.0.1",
        f"--secure-port={layout.ports[name]}",
        f"--tls-cert-file={folder / 'server.crt'}",
        f"--tls-private-key-file={folder / 'server.key'}",
        "--leader-elect=false",
        "--profiling=false",
        *more,
    )
    return Server(
        name=name,
        port=layout.ports[name],
        prepare=lambda: Spec(name, argv),
        missing=lambda: _healthz_missing(layout, name),
    )


def _controller_manager(layout: Layout) -> tuple[str, ...]:
    folder = layout.config(NAME)
    return (
        f"--service-account-private-key-file={folder / 'service-accounts.key'}",
        f"--root-ca-file={folder / 'ca.crt'}",
        f"--controllers={','.join(f'{name}-controller' for name in CONTROLLERS)}",
        "--kube-api-qps=100",
        "--kube-api-burst=200",
    )


def _healthz_missing(layout: Layout, name: str) -> str | None:
    url = f"https://{layout.address(name)}/healthz"
    return http_missing(url, authority=layout.config(NAME) / "ca.crt")


def _token_lines(layout: Layout) -> str:
    lines = []
    for user, groups in USERS.items():
        quoted = f',"{",".join(groups)}"' if groups else ""
        lines.append(f"{layout.secrets[f'kube-{user}']},{user},{user}{quoted}")
    return "\n".join(lines) + "\n"


def _write_kubeconfig(layout: Layout, keys: pki.Pki, user: str) -> None:
    server = f"https://{layout.address(APISERVER)}"
    cluster = {"server": server, "certificate-authority": str(keys.ca)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": layout.secrets[f"kube-{user}"]}}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": user}}],
        "current-context": "local",
    }
    write_private(keys.folder / f"{user}.kubeconfig", json.dumps(document, indent=2))
