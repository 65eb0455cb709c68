"""What the local stack is made of: each product, its programs, and how they are built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from devstack import versions


@dataclass(frozen=True)
class Program:
    """One executable. `package` is what Go builds, or its place in a Debian package; `built_as`
    the name that it has then."""

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
    `packages`: Debian packages to unpack instead of building, each with the SHA-256 of the files
    that are known; `beside`: the folder in them whose files the programs look for beside
    themselves. `seconds` is about how long a cold build takes on two cores.
    """

    name: str
    version: str
    variable: str
    programs: tuple[Program, ...]
    seconds: int
    module: str | None = None
    tags: str = ""
    ldflags: str = ""
    packages: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    beside: str = ""


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

PGBOUNCER = Product(
    "pgbouncer",
    versions.PGBOUNCER,
    "SLIPWAY_PGBOUNCER",
    (Program("pgbouncer", "usr/sbin/pgbouncer", "pgbouncer"),),
    5,
    packages={
        "pgbouncer": {
            "pgbouncer_1.18.0-1+deb12u1_amd64.deb": (
                "b8468c31f94596da0967b1a27980a0a036268eb8e53d3e647651bd7b82b6f65e"
            ),
        },
        "libc-ares2": {
            "libc-ares2_1.18.1-3_amd64.deb": (
                "087fd5c2ac883202e1786ab45617cdab7f77bc7f060d58cca177ddf6b6c3fa73"
            ),
        },
        "libevent-2.1-7": {
            "libevent-2.1-7_2.1.12-stable-8+deb12u1_amd64.deb": (
                "95a025ae2548aed9dbb0f0a0215b0483b7fa43db1d4f1f318f013f2ea84987c3"
            ),
        },
    },
)
"""Not part of the stack: tests start it in front of its database."""

LOKI = Product(
    "loki",
    versions.LOKI,
    "SLIPWAY_LOKI",
    (Program("loki", "github.com/grafana/loki/v3/cmd/loki", "loki", "-version"),),
    300,
    module="loki",
    ldflags="-X github.com/grafana/loki/v3/pkg/util/build.Version=" + versions.LOKI,
)
"""Not part of the stack: tests of plans that name a Loki start it."""

_OF_CHROMIUM = """
chromium-headless-shell chromium-common libasound2 libasyncns0 libatk1.0-0 libatspi2.0-0
libblkid1 libbrotli1 libbsd0 libcap2 libdav1d6 libdbus-1-3 libdouble-conversion3 libdrm2
libexpat1 libffi8 libflac12 libfontconfig1 libfreetype6 libgbm1 libgcrypt20 libglib2.0-0
libgpg-error0 libgraphite2-3 libharfbuzz-subset0 libharfbuzz0b libjpeg62-turbo liblcms2-2
liblz4-1 liblzma5 libmd0 libminizip1 libmount1 libmp3lame0 libmpg123-0 libnspr4 libnss3 libogg0
libopenh264-7 libopenjp2-7 libopus0 libpcre2-8-0 libpng16-16 libpulse0 libselinux1 libsndfile1
libsqlite3-0 libsystemd0 libudev1 libuuid1 libvorbis0a libvorbisenc2 libwayland-server0
libx11-6 libx11-xcb1 libxau6 libxcb1 libxcomposite1 libxdamage1 libxdmcp6 libxext6 libxfixes3
libxi6 libxkbcommon0 libxnvctrl0 libxrandr2 libxrender1 libzstd1 zlib1g
"""

CHROMIUM = Product(
    "chromium",
    versions.CHROMIUM,
    "SLIPWAY_CHROMIUM",
    (
        Program(
            "chromium-headless-shell",
            "usr/lib/chromium/chromium-headless-shell",
            "chromium-headless-shell",
        ),
    ),
    15,
    packages={name: {} for name in _OF_CHROMIUM.split()},
    beside="usr/lib/chromium",
)
"""Not part of the stack: tests of pages in a browser start it. Debian replaces a browser's files
with every security update, so none is pinned: apt proves them by its signed index."""

OF_TESTS = (PGBOUNCER, CHROMIUM, LOKI)
"""What only tests need, beside the stack's own."""
