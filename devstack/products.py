"""What the local stack is made of: each product, its programs, and how Go builds them."""

from __future__ import annotations

from dataclasses import dataclass

from devstack import versions


@dataclass(frozen=True)
class Program:
    """One executable. `package` is what Go builds; `built_as` the name Go gives it."""

    name: str
    package: str
    built_as: str
    version_argument: str = "--version"


@dataclass(frozen=True)
class Product:
    """Programs that are built together.

    `variable` names the environment variable with a ready program, or a folder of them.
    `module` is a committed consumer module under devstack/tools (needed where the upstream
    module has replace directives, which `go install` refuses); without it `go install` does.
    `seconds` is about how long a cold build takes on two cores.
    """

    name: str
    version: str
    variable: str
    programs: tuple[Program, ...]
    seconds: int
    module: str | None = None
    tags: str = ""
    ldflags: str = ""


def _kubernetes_version_flags() -> str:
    major, minor, _ = versions.KUBERNETES.split(".")
    values = {
        "gitVersion": f"v{versions.KUBERNETES}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(f"-X {p}.{key}={value}" for p in packages for key, value in values.items())


def _kubernetes(name: str) -> Program:
    argument = "version --client" if name == "kubectl" else "--version"
    return Program(name, f"k8s.io/kubernetes/cmd/{name}", name, argument)


# Cheap ones first: a newcomer sees progress within seconds, and the longest builds come last.
PRODUCTS = (
    Product(
        "temporal-ui",
        versions.TEMPORAL_UI,
        "SLIPWAY_TEMPORAL_UI",
        (Program("temporal-ui-server", "github.com/temporalio/ui-server/v2/cmd/server", "server"),),
        20,
    ),
    Product(
        "etcd",
        versions.ETCD,
        "SLIPWAY_ETCD",
        (Program("etcd", "go.etcd.io/etcd/server/v3", "server"),),
        30,
        module="etcd",
    ),
    Product(
        "versitygw",
        versions.VERSITYGW,
        "SLIPWAY_VERSITYGW",
        (Program("versitygw", "github.com/versity/versitygw/cmd/versitygw", "versitygw"),),
        70,
    ),
    Product(
        "kwok",
        versions.KWOK,
        "SLIPWAY_KWOK",
        (Program("kwok", "sigs.k8s.io/kwok/cmd/kwok", "kwok"),),
        120,
    ),
    Product(
        "prometheus",
        versions.PROMETHEUS,
        "SLIPWAY_PROMETHEUS",
        tuple(
            Program(name, f"github.com/prometheus/prometheus/cmd/{name}", name)
            for name in ("prometheus", "promtool")
        ),
        160,
        module="prometheus",
        tags="netgo,remove_all_sd",
        ldflags="-X github.com/prometheus/common/version.Version=" + versions.PROMETHEUS,
    ),
    Product(
        "temporal-server",
        versions.TEMPORAL,
        "SLIPWAY_TEMPORAL_SERVER",
        (Program("temporal-server", "go.temporal.io/server/cmd/server", "server"),),
        300,
    ),
    Product(
        "kubernetes",
        versions.KUBERNETES,
        "SLIPWAY_KUBERNETES",
        tuple(
            _kubernetes(name)
            for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
        ),
        350,
        module="kubernetes",
        ldflags=_kubernetes_version_flags(),
    ),
)
