"""Keeps every notice that slipway sends: `POST` and `GET /notices/<environment>`."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from devstack.world.services.http import HttpError, Request, Response

_PATH = re.compile(r"^/notices/([a-z][a-z0-9]{0,15})$")


class Notices:
    """One file of JSON lines per environment, in the environment's folder."""

    def __init__(self, environments: Path) -> None:
        self._environments = environments

    async def handle(self, request: Request) -> Response:
        """Store or list notices. Raises HttpError for anything else."""
        found = _PATH.match(request.path)
        if found is None or not (self._environments / found.group(1)).is_dir():
            raise HttpError(404, "notices belong to an environment: /notices/<environment>")
        path = self._environments / found.group(1) / "notices.jsonl"
        if request.method == "GET":
            lines = path.read_text().splitlines() if path.exists() else []
            return Response.of([json.loads(line) for line in lines])
        if request.method != "POST":
            raise HttpError(405, "notices are posted or listed")
        entry = {
            "at": datetime.now(UTC).isoformat(),
            "headers": request.headers,
            "body": request.json(),
        }
        with path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        return Response.of({"kept": True}, 202)
