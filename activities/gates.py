"""Gates: reads the evidence a release names and has it judged. Needs no production credential."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from temporalio import activity

from activities.heartbeat import current_progress
from slipway.errors import BadInput
from slipway.evidence import EvidenceFile, judge, references
from slipway.messages.preflight import GateResults, Preflight
from slipway.release import PinnedFile

if TYPE_CHECKING:
    from activities.adapters.artifacts import Artifacts

LARGEST = 16 * 1024 * 1024
"""Bytes of one file of evidence."""
_TOGETHER = 256 * 1024 * 1024


class Gates:
    """The playbook's pre-flight gates."""

    def __init__(self, artifacts: "Artifacts") -> None:
        self._artifacts = artifacts

    @activity.defn(name="gates.evaluate")
    async def evaluate(self, request: Preflight) -> GateResults:
        """Judge every gate by the evidence as it stands now. A failed gate is a result, no error;
        evidence that cannot be read is a failed gate."""
        progress = current_progress()
        files: dict[tuple[str, str], EvidenceFile] = {}
        room = _TOGETHER
        for file in references(request.release):
            progress.say(f"reading {file.at}")
            found = await asyncio.to_thread(self._read, file, min(room, LARGEST))
            files[file.at, file.sha256] = found
            room -= len(found.content)
        progress.say("judging")
        now = datetime.now(UTC)
        return await asyncio.to_thread(judge, request.plan, request.release, files, now)

    def _read(self, file: PinnedFile, limit: int) -> EvidenceFile:
        try:
            content = self._artifacts.read(file.at, file.sha256, limit)
        except BadInput as error:
            problem = error.what.removeprefix(f"{file.at} ").rstrip(".")
            return EvidenceFile(file.at, file.sha256, problem=problem)
        return EvidenceFile(file.at, file.sha256, content)
