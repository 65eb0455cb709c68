"""Temporal's Web UI."""

from __future__ import annotations

from pathlib import Path

import yaml

from devstack.layout import HOST, Layout
from devstack.process import Spec
from devstack.servers import temporal
from devstack.servers.server import Server, http_missing

NAME = "temporal-ui"


def server(layout: Layout, program: Path) -> Server:
    """The Web UI of the stack's Temporal server."""
    return Server(
        name=NAME,
        port=layout.ports[NAME],
        prepare=lambda: _prepare(layout, program),
        missing=lambda: http_missing(layout.url(NAME) + "/healthz"),
    )


def _prepare(layout: Layout, program: Path) -> Spec:
    root = layout.config(NAME)
    config = {
        "temporalGrpcAddress": layout.address("temporal"),
        "host": HOST,
        "port": layout.ports[NAME],
        "enableUi": True,
        "defaultNamespace": temporal.NAMESPACE,
        "cors": {"allowOrigins": [layout.url(NAME)]},
    }
    (root / "config").mkdir(exist_ok=True)
    (root / "config" / "development.yaml").write_text(yaml.safe_dump(config))
    return Spec(NAME, (str(program), "--root", str(root), "--env", "development", "start"))
