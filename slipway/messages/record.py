"""The record of a deployment: what is about to change, with its undo, written before each change.

It lives in the backup bucket under `<prefix>records/<environment>/<deployment>/`, one object an
entry (`0007-intent-rollout-analytics.json`), each written once (`If-None-Match: *`). It outlives
Temporal: `Rollback` starts from it alone.
"""

from typing import Any, Literal

from pydantic import Field

from slipway.base import Instant, Message, Sha256
from slipway.plan import Plan
from slipway.release import Release


class Place(Message):
    """Where a deployment's record is kept."""

    bucket: str
    prefix: str
    """The plan's backup prefix, ending in a slash."""
    environment: str
    deployment: str

    @property
    def folder(self) -> str:
        """Key prefix of everything this deployment keeps."""
        return f"{self.prefix}records/{self.environment}/{self.deployment}/"


class RestoreService(Message):
    """Undo: put a Deployment's captured template back."""

    kind: Literal["restore-service"] = "restore-service"
    service: str
    namespace: str
    deployment: str
    captured: "Captured"


class RestoreDatabase(Message):
    """Undo: put the database back to its backup."""

    kind: Literal["restore-database"] = "restore-database"
    backup: "BackupTaken"


class Captured(Message):
    """A Deployment as it was before this run touched it."""

    uid: str
    generation: int
    template: dict[str, Any]
    """Raw JSON of `spec.template`; never a typed model, which would drop unknown fields."""
    image: str
    replicas: int
    replica_set: str
    """Name of the ReplicaSet that was current."""
    pod_hash: str
    """Its pod-template-hash."""
    log_rates: dict[str, float] | None = None
    """Error lines per second, by class, of its pods before the release; the pods, and with them
    their logs, are gone after the rollout. None: not read."""


class TableFingerprint(Message):
    """A table's content at the snapshot: rows and hash, computed by the server."""

    table: str
    rows: int
    hash: str


class BackupTaken(Message):
    """A backup that was proved to restore."""

    key: str
    manifest_key: str
    sha256: Sha256
    size: int
    """Bytes stored."""
    taken_at: Instant
    """When the snapshot was taken; the backup's age counts from here."""
    database: str
    side_database: str
    """The restored copy, kept until the undo window ends."""
    server_version: str
    schema_sha256: str
    tables: list[TableFingerprint]
    restored_ok: bool
    seconds: float

    @property
    def rows(self) -> int:
        """Rows in all tables together."""
        return sum(table.rows for table in self.tables)


Undo = RestoreService | RestoreDatabase


class Entry(Message):
    """One entry of the record. `intent` precedes every change and carries its undo."""

    sequence: int = Field(ge=0)
    kind: Literal["open", "intent", "done", "artefact", "undone", "end"]
    step: str
    """Such as `rollout:analytics`."""
    because: str = ""
    undo: Undo | None = Field(default=None, discriminator="kind")
    data: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The object's file name, which sorts by sequence."""
        return f"{self.sequence:04d}-{self.kind}-{self.step.replace(':', '-')}.json"


class Append(Message):
    """Write one entry; writing the same again is a success, another one there a conflict."""

    place: Place
    entry: Entry


class Appended(Message):
    """Where an entry or artefact stands."""

    key: str
    sha256: Sha256
    size: int
    at: Instant


class Opening(Message):
    """What the first entry (sequence 0, kind `open`) holds in `data`: all that `Rollback` needs."""

    deployment: str
    workflow_id: str
    plan: Plan
    release: Release
    plan_sha256: Sha256
    release_sha256: Sha256
    requester: str
    epoch: int = 0
    """Of the Lease; a later entry that names one counts instead."""


class ReadRecord(Message):
    """Read a whole record."""

    place: Place


class Record(Message):
    """A whole record, in order of sequence."""

    place: Place
    entries: list[Entry]


class FindRecords(Message):
    """List the newest records of an environment (`deployment` in `place` is ignored)."""

    place: Place
    limit: int = 20


class RecordSummary(Message):
    """One record: whose, how far, how it ended."""

    deployment: str
    ended: bool
    outcome: str = ""


class RecordList(Message):
    """Records, newest first."""

    records: list[RecordSummary]


class Attach(Message):
    """Keep an artefact beside the record (`artefacts/<name>`); same content again is a success."""

    place: Place
    name: str
    """Such as `approval.json`."""
    content: str
    media_type: str = "application/json"


class Artefact(Message):
    """A kept artefact. `report` verifies it again by key and digest."""

    name: str
    key: str
    sha256: Sha256
    size: int
    at: Instant


class VerifyArtefacts(Message):
    """Ask whether these artefacts and this backup still stand as they were written."""

    place: Place
    artefacts: list[Artefact]


class ArtefactState(Message):
    """What verification found of one artefact."""

    key: str
    intact: bool
    because: str
    """One sentence: intact, gone, or altered."""


class ArtefactStates(Message):
    """What verification found, in the order asked."""

    states: list[ArtefactState]


class AcquireLease(Message):
    """Take the environment's Lease (`slipway-<environment>` in the namespace) for a deployment."""

    namespace: str
    environment: str
    deployment: str
    fresh: bool = False
    """Begin a new epoch although the holder stays the same (resuming after an abort)."""


class LeaseHeld(Message):
    """The Lease, held. `epoch` rises with every new holder; fences are made from it."""

    deployment: str
    epoch: int

    @property
    def do_fence(self) -> int:
        """Fence number of forward writes."""
        return 4 * self.epoch

    @property
    def stop_fence(self) -> int:
        """Fence number of an acknowledged abort: above the forward writes it ends."""
        return 4 * self.epoch + 1

    @property
    def undo_fence(self) -> int:
        """Fence number of undo: above both, below the next epoch's forward writes."""
        return 4 * self.epoch + 2


class ReleaseLease(Message):
    """Give the Lease back; a Lease held by another deployment is left alone."""

    namespace: str
    environment: str
    deployment: str


RestoreService.model_rebuild()
RestoreDatabase.model_rebuild()
Entry.model_rebuild()
