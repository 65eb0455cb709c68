"""The record of a deployment: what is about to change, with its undo, written before each change.

It lives in the backup bucket under `<prefix>records/<environment>/<deployment>/`, one object an
entry (`0007-intent-rollout-analytics.json`), each written once (`If-None-Match: *`). It outlives
Temporal: `Rollback` starts from it alone.
"""

from typing import Any, Literal

from pydantic import Field

from slipway.base import Instant, Message, Reference, Sha256, added
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


SettingKind = Literal["ConfigMap", "Secret"]


class Setting(Message):
    """The version of a ConfigMap or Secret that a pod template names."""

    kind: SettingKind
    name: str
    uid: str = ""
    """Empty: there was none."""
    version: str = ""
    """Its resourceVersion."""
    data_sha256: str = ""
    """Of a ConfigMap's data. A Secret's content is never read."""
    unread: str = ""
    """Why it could not be read."""


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
    log_templates: list[str] | None = None
    """Kinds of error lines that its pods wrote in the time before. None: not read."""
    image_ids: list[str] = []
    """What the nodes reported for `image`."""
    settings: list[Setting] = []
    """ConfigMaps and Secrets that the template names, as they were."""


class TableFingerprint(Message):
    """A table's content at the snapshot: rows and hash, computed by the server."""

    table: str
    rows: int
    hash: str


class Fallback(Message):
    """How a backup's side database follows production from the snapshot on."""

    slot: str
    """The logical replication slot, made together with the snapshot."""
    publication: str
    position: str
    """LSN of the snapshot: the first change after it is the first to be applied."""
    tables: int
    """How many tables are followed."""
    not_carried: list[str] = []
    """Sentences: what does not follow, such as tables without a key."""


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
    # left out while there is none: documents written before there were any stay as they are
    fallback: Fallback | None = added(None)
    """None: the side database stays as it was at the snapshot."""
    no_fallback: str = added("")
    """One sentence: why it does, although the plan wants it to follow."""
    not_covered: list[str] = added([])
    """What the proof does not speak for, a phrase each, such as a foreign table's rows."""
    encrypted: bool = added(False)
    """Whether what is stored was encrypted after it was proved."""
    identity: Reference | None = added(None)
    """Where the worker finds what decrypts it; None: it cannot."""

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
    turn: int = Field(default=0, ge=0)
    """0: the deployment itself. A rollback's: when it began, in ms since 1970. Later turns take
    over from earlier ones; a turn that was given back is over (`slipway/judgements/lease.py`)."""


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
    """Give the Lease back. One that another deployment or a later turn holds stays theirs."""

    namespace: str
    environment: str
    deployment: str
    turn: int = Field(default=0, ge=0)
    """As when it was taken: this turn and those before it are over."""


RestoreService.model_rebuild()
RestoreDatabase.model_rebuild()
Entry.model_rebuild()
