"""The activities on a world in memory. The contract tests hold them to the real ones' rules."""

import hashlib
from typing import Any

from temporalio import activity

from activities.keeping import Keeping
from slipway.errors import Fenced as FencedError
from slipway.errors import ForeignChange, Held, RecordConflict
from slipway.messages.backup import TakeBackup
from slipway.messages.fallback import (
    EndFallback,
    FallbackEnded,
    FallbackRequest,
    Followed,
    FollowFallback,
)
from slipway.messages.migration import (
    AppliedMigration,
    ApplyMigrations,
    DatabaseCompared,
    DatabaseRolledBack,
    DatabaseState,
    Fenced,
    FenceDatabase,
    MigrationFinding,
    MigrationReview,
    MigrationsApplied,
    PendingMigration,
    ReviewMigrations,
    RollBackDatabase,
    TableDifference,
)
from slipway.messages.notice import SendNotice, Sent
from slipway.messages.preflight import (
    EnvironmentReport,
    GateResult,
    GateResults,
    Preflight,
    StagingReport,
)
from slipway.messages.record import (
    AcquireLease,
    Append,
    Appended,
    Artefact,
    ArtefactState,
    ArtefactStates,
    Attach,
    BackupTaken,
    Captured,
    FindRecords,
    LeaseHeld,
    ReadRecord,
    Record,
    RecordList,
    RecordSummary,
    ReleaseLease,
    TableFingerprint,
    VerifyArtefacts,
)
from slipway.messages.rehearsal import Rehearsal, RehearseMigrations
from slipway.messages.rollout import (
    Applied,
    Apply,
    AwaitRollout,
    Capture,
    FenceService,
    RolledOut,
)
from slipway.messages.shelf import Tidied, TidyRun
from slipway.messages.watch import (
    Before,
    Checked,
    CheckService,
    Extension,
    Mark,
    ReadBefore,
    Reading,
    RunFlows,
    RunProbes,
    SliceSeen,
    TrafficBefore,
    WatchSlice,
)
from slipway.states import FallbackState
from slipway.verdicts import Kind, Signal, Verdict, gravest
from tests.fakes.world import FakeDeployment, FakeWorld

GATES = (
    "tests staging trivy snyk performance documentation release_notes rollback_plan change_request"
)


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _well(signal: Signal, service: str | None = None) -> Verdict:
    return Verdict(kind=Kind.PROCEED, signal=signal, service=service, because="all well")


class _Fake:
    def __init__(self, world: FakeWorld) -> None:
        self.world = world


class FakeRecords(_Fake):
    """The record, in memory."""

    @activity.defn(name="record.append")
    async def append(self, request: Append) -> Appended:
        """Write an entry once."""
        await self.world.meet("record.append")
        await self.world.meet(f"record.append:{request.entry.kind}")
        entries = self.world.entries.setdefault(request.place.deployment, [])
        for entry in entries:
            if entry.sequence == request.entry.sequence and entry != request.entry:
                raise RecordConflict(f"Entry {entry.sequence} is another one.", "Look at it.")
        if request.entry not in entries:
            entries.append(request.entry)
            self.world.effects.append(f"record {request.entry.kind} {request.entry.step}")
        key = request.place.folder + request.entry.name
        text = request.entry.model_dump_json()
        return Appended(key=key, sha256=_sha(text), size=len(text), at=self.world.now())

    @activity.defn(name="record.read")
    async def read(self, request: ReadRecord) -> Record:
        """Return the record."""
        await self.world.meet("record.read")
        entries = self.world.entries.get(request.place.deployment, [])
        return Record(place=request.place, entries=sorted(entries, key=lambda one: one.sequence))

    @activity.defn(name="record.find")
    async def find(self, request: FindRecords) -> RecordList:
        """List records, newest first."""
        await self.world.meet("record.find")
        prefix = request.place.environment + "-"
        names = sorted((one for one in self.world.entries if one.startswith(prefix)), reverse=True)
        return RecordList(
            records=[
                RecordSummary(
                    deployment=name,
                    ended=any(entry.kind == "end" for entry in self.world.entries[name]),
                    outcome=next(
                        (
                            str(entry.data.get("outcome", ""))
                            for entry in reversed(self.world.entries[name])
                            if entry.kind == "end"
                        ),
                        "",
                    ),
                )
                for name in names[: request.limit]
            ]
        )

    @activity.defn(name="record.attach")
    async def attach(self, request: Attach) -> Artefact:
        """Keep an artefact."""
        await self.world.meet("record.attach")
        await self.world.meet(f"record.attach:{request.name}")
        key = f"{request.place.folder}artefacts/{request.name}"
        self.world.artefacts[key] = request.content
        artefact = Artefact(
            name=request.name,
            key=key,
            sha256=_sha(request.content),
            size=len(request.content),
            at=self.world.now(),
        )
        self.world.kept[key] = artefact
        return artefact

    @activity.defn(name="record.verify")
    async def verify(self, request: VerifyArtefacts) -> ArtefactStates:
        """Compare artefacts with what stands."""
        await self.world.meet("record.verify")
        states = []
        for one in request.artefacts:
            content = self.world.artefacts.get(one.key)
            intact = one.name == "backup" or (content is not None and _sha(content) == one.sha256)
            because = "intact" if intact else "gone" if content is None else "altered"
            states.append(ArtefactState(key=one.key, intact=intact, because=because))
        return ArtefactStates(states=states)


class FakeLeases(_Fake):
    """The Lease, in memory."""

    @activity.defn(name="lease.acquire")
    async def acquire(self, request: AcquireLease) -> LeaseHeld:
        """Take the environment."""
        await self.world.meet("lease.acquire")
        held, who = self.world.holder, request.deployment
        overtaken = held == who and request.turn < self.world.turn
        if request.turn <= self.world.ended.get(who, -1) or overtaken:
            raise FencedError(f"{who} has given {request.environment} back.", "Start anew.")
        if held and held != who:
            raise Held(f"{request.environment} is held by {held}.", f"See: slipway status {held}")
        if held != who or (request.fresh and self.world.once("epoch")):
            self.world.epoch += 1
        self.world.holder, self.world.turn = who, request.turn
        return LeaseHeld(deployment=request.deployment, epoch=self.world.epoch)

    @activity.defn(name="lease.release")
    async def release(self, request: ReleaseLease) -> None:
        """Give it back."""
        await self.world.meet("lease.release")
        who = request.deployment
        self.world.ended[who] = max(request.turn, self.world.ended.get(who, -1))
        if self.world.holder == who and self.world.turn <= request.turn:
            self.world.holder = ""


class FakeBackups(_Fake):
    """Backups that always restore, unless the test says otherwise."""

    @activity.defn(name="backup.take")
    async def take(self, request: TakeBackup) -> BackupTaken:
        """Take a backup."""
        activity.heartbeat("dumping")
        await self.world.meet("backup.take")
        if self.world.once("backup"):
            self.world.backups += 1
            self.world.effects.append("backup")
        return BackupTaken(
            key=f"{request.backup.prefix}prod-backup-{self.world.backups}.dump.zst",
            manifest_key=f"{request.backup.prefix}prod-backup-{self.world.backups}.json",
            sha256=_sha(str(self.world.backups)),
            size=1000,
            taken_at=activity.info().current_attempt_scheduled_time,
            database=request.database.name,
            side_database=f"{request.database.name}_side_{request.attempt_tag}",
            server_version="18.4",
            schema_sha256=_sha(self.world.schema),
            tables=[TableFingerprint(table="public.users", rows=10, hash="1")],
            restored_ok=True,
            seconds=0.1,
            fallback=self.world.fallback if request.follow else None,
        )


class FakeFallbacks(_Fake):
    """Side databases that follow, in memory."""

    @activity.defn(name="fallback.follow")
    async def follow(self, request: FollowFallback) -> Followed:
        """Follow until cancelled, or as the test planned."""
        if not self.world.again("fallback.follow"):
            self.world.followed.append(request.backup.side_database)
        planned = await self.world.meet("fallback.follow")
        return planned or Followed(state=FallbackState.SWAPPED)

    @activity.defn(name="fallback.end")
    async def end(self, request: EndFallback) -> FallbackEnded:
        """Drop what is kept."""
        await self.world.meet("fallback.end")
        if self.world.once("fallback.end"):
            self.world.dropped.append(request.backup.side_database)
        return FallbackEnded(dropped=["database"])


class FakeKeeping(_Fake):
    """Starts the real workflow, on the test's server."""

    @activity.defn(name="fallback.keep")
    async def keep(self, request: FallbackRequest) -> None:
        """Start it."""
        await self.world.meet("fallback.keep")
        await Keeping().keep(request)


class FakeJanitor(_Fake):
    """Clears up after runs that changed nothing."""

    @activity.defn(name="backup.tidy")
    async def tidy(self, request: TidyRun) -> Tidied:
        """Drop what a run left."""
        await self.world.meet("backup.tidy")
        if self.world.once("backup.tidy"):
            self.world.tidied.append(request.place.deployment)
        return Tidied(databases=[f"{request.database.name}_side_1"])


class FakeRehearsals(_Fake):
    """Rehearsals that find nothing, unless the test says otherwise."""

    @activity.defn(name="migrations.rehearse")
    async def rehearse(self, request: RehearseMigrations) -> Rehearsal:
        """Return what the rehearsal saw."""
        activity.heartbeat("rehearsing")
        planned: list[MigrationFinding] | None = await self.world.meet("migrations.rehearse")
        if self.world.once("migrations.rehearse"):
            self.world.rehearsed.append(request.side_database)
        return Rehearsal(
            backup_key=request.backup_key,
            taken_at=request.taken_at,
            error=next((one.what for one in planned or [] if one.rule == "rehearsal-failed"), ""),
            seconds=0.1,
            schema_before=request.schema_sha256,
            schema_after=_sha("new"),
            schema_again=_sha("new"),
            findings=planned or [],
        )


class FakeMigrations(_Fake):
    """A ledger and a schema, in memory."""

    @activity.defn(name="migrations.review")
    async def review(self, request: ReviewMigrations) -> MigrationReview:
        """Return what the release brings and the ledger does not hold."""
        planned = await self.world.meet("migrations.review")
        pending = [
            PendingMigration(tag=one.tag, hash=one.sha256, when=number, sql="…", in_staging=True)
            for number, one in enumerate(request.release.pending)
            if one.sha256 not in self.world.ledger
        ]
        return planned or MigrationReview(applied=[], pending=pending)

    @activity.defn(name="migrations.apply")
    async def apply(self, request: ApplyMigrations) -> MigrationsApplied:
        """Apply what is pending, under the fence."""
        activity.heartbeat("applying")
        _write_database_fence(self.world, request.fence, request.op_id)
        wanted = [one.hash for one in request.pending]
        mark = (request.deployment, *wanted)
        if wanted and set(wanted) <= set(self.world.ledger) and mark not in self.world.started:
            raise ForeignChange("The ledger holds them already.", "Find out who did it.")
        self.world.started.add(mark)
        try:
            await self.world.meet("migrations.apply")
        finally:
            if not set(wanted) & set(self.world.ledger):
                self.world.started.discard(mark)
        self.world.started.add(mark)
        applied = set(wanted) <= set(self.world.ledger)
        before = request.rehearsed.schema_before if request.rehearsed else ""
        if before and not applied and before != _sha(self.world.schema):
            raise ForeignChange("The schema is not the one rehearsed with.", "Look at it.")
        for one in request.pending:
            if one.hash not in self.world.ledger:
                self.world.ledger.append(one.hash)
                self.world.effects.append(f"migrate {one.tag}")
        self.world.schema = "new"
        return MigrationsApplied(
            state=self._state(), applied_at=self.world.now(), seconds=0.1, attempts=1
        )

    @activity.defn(name="migrations.fence")
    async def fence(self, request: FenceDatabase) -> Fenced:
        """Refuse later attempts."""
        await self.world.meet("migrations.fence")
        _write_database_fence(self.world, request.fence, request.op_id, undo=True)
        return Fenced(ended_backends=0, closed_roles=0)

    def _state(self) -> DatabaseState:
        ledger = [AppliedMigration(hash=one, created_at=0) for one in self.world.ledger]
        return DatabaseState(ledger=ledger, schema_sha256=_sha(self.world.schema))


def _write_database_fence(world: FakeWorld, fence: int, op_id: str, *, undo: bool = False) -> None:
    if undo and world.database_fence >= fence:
        return
    if world.database_fence > fence or (
        world.database_fence == fence and world.database_op != op_id
    ):
        raise FencedError("The database's fence is higher.", "A later decision stands.")
    world.database_fence, world.database_op = fence, op_id


class FakeDatabaseRollback(_Fake):
    """Back to the old schema, in memory."""

    @activity.defn(name="database.compare")
    async def compare(self, request: RollBackDatabase) -> DatabaseCompared:
        """Tell the writes since the backup."""
        await self.world.meet("database.compare")
        _write_database_fence(self.world, request.fence, request.op_id, undo=True)
        table = TableDifference(
            table="public.ingestion_events", missing=3, keys=["id=41 (new)", "id=42 (new)"]
        )
        return DatabaseCompared(
            tables=[table],
            side="teei_side",
            key=f"{request.folder}artefacts/since-backup.jsonl.zst",
            because="Since the backup: public.ingestion_events 3 new (id=41, id=42).",
        )

    @activity.defn(name="database.roll_back")
    async def roll_back(self, request: RollBackDatabase) -> DatabaseRolledBack:
        """Restore, or prove that nothing changed."""
        activity.heartbeat("restoring")
        if not self.world.again("database.roll_back"):
            self.world.accepted.append(request.accepted)
        await self.world.meet("database.roll_back")
        _write_database_fence(self.world, request.fence, request.op_id, undo=True)
        self.world.started.clear()
        changed = _sha(self.world.schema) != request.backup.schema_sha256
        if changed:
            self.world.schema, self.world.ledger = "old", []
            self.world.effects.append("restore database")
        return DatabaseRolledBack(
            changed=changed,
            schema_equal=True,
            rows_equal=True,
            kept_as="teei_bad" if changed else "",
            lost=[TableFingerprint(table="public.ingestion_events", rows=3, hash="")]
            if changed
            else [],
            because="swapped to the side database" if changed else "proved unchanged",
        )


class FakeRollouts(_Fake):
    """Deployments, in memory, with the fence's rules."""

    @activity.defn(name="rollout.capture")
    async def capture(self, request: Capture) -> Captured:
        """Return a Deployment as it is."""
        service = request.workload.service
        await self.world.meet(f"rollout.capture:{service}")
        one = self._of(service)
        return Captured(
            uid=f"uid-{service}",
            generation=one.generation,
            template=one.template,
            image=one.image,
            replicas=2,
            replica_set=f"{service}-{_sha(one.image)[:8]}",
            pod_hash=_sha(one.image)[:8],
        )

    @activity.defn(name="rollout.apply")
    async def apply(self, request: Apply) -> Applied:
        """Compare and set."""
        service = request.workload.service
        one = self._of(service)
        desired = request.image or request.captured.image
        if one.op_id == request.op_id and one.image == desired:
            return Applied(changed=False, generation=one.generation, template=one.template)
        if one.fence >= request.fence:
            raise FencedError(f"{service} has fence {one.fence}.", "A later decision stands.")
        own = one.op_id.startswith(f"{request.op_id.partition('/')[0]}/")
        known = (request.captured.image, desired, *([request.wrote] if request.wrote else []))
        if one.image not in known and not (own and request.image is None):
            raise ForeignChange(f"{service} was changed by somebody else.", "Look at it.")
        changed = one.image != desired
        one.fence, one.op_id = request.fence, request.op_id
        if changed:
            one.image, one.generation = desired, one.generation + 1
            one.writes.append(desired)
            kind = "apply" if request.image else "revert"
            self.world.effects.append(f"{kind} {service}")
        await self.world.meet(f"rollout.apply:{service}")
        return Applied(changed=changed, generation=one.generation, template=one.template)

    @activity.defn(name="rollout.fence")
    async def fence(self, request: FenceService) -> Applied:
        """Write only the fence."""
        service = request.workload.service
        await self.world.meet(f"rollout.fence:{service}")
        one = self._of(service)
        if one.fence < request.fence:
            one.fence, one.op_id = request.fence, request.op_id
        return Applied(changed=False, generation=one.generation, template=one.template)

    @activity.defn(name="rollout.wait")
    async def wait(self, request: AwaitRollout) -> RolledOut:
        """Return at once: pods in memory are quick."""
        service = request.workload.service
        result = await self.world.meet(f"rollout.wait:{service}")
        verdict = result or _well(Signal.ROLLOUT, service)
        return RolledOut(
            verdict=verdict, pod_hash=_sha(request.image)[:8], replicas=2, image_ids=[request.image]
        )

    def _of(self, service: str) -> FakeDeployment:
        return self.world.deployments[service]


class FakeWatch(_Fake):
    """A watch that sees what the test planned, at once."""

    @activity.defn(name="watch.slice")
    async def slice(self, request: WatchSlice) -> SliceSeen:
        """Return the planned verdict of this window, if any."""
        activity.heartbeat("watching")
        if not self.world.again("watch.slice"):
            self.world.slices.append(request)
        planned = [await self.world.meet(one) for one in ("watch.slice", request.window)]
        verdicts = [one for one in planned if isinstance(one, Verdict)]
        worst = gravest(verdicts)
        if worst and worst.kind is not Kind.ROLLBACK and not request.last:
            verdicts = []
        longer = [one for one in planned if isinstance(one, Extension)]
        return SliceSeen(
            mark=request.mark or Mark(began=self.world.now().timestamp()),
            verdicts=verdicts,
            readings=[Reading(service=one.service.name) for one in request.watched],
            more=longer[0] if longer and request.last else None,
        )

    @activity.defn(name="watch.before")
    async def before(self, request: ReadBefore) -> Before:
        """A quiet hour before, unless the test says otherwise."""
        await self.world.meet("watch.before")
        read = TrafficBefore(requests=72_000, failures=14, seconds=request.length)
        return Before(before={one.service.name: read for one in request.watched})


class FakeChecks(_Fake):
    """Checks that pass unless the test says otherwise."""

    @activity.defn(name="check.service")
    async def service(self, request: CheckService) -> Checked:
        """Check one service."""
        name = request.service.name
        planned = await self.world.meet(f"check.service:{name}")
        return Checked(verdicts=[planned or _well(Signal.HEALTH, name)])

    @activity.defn(name="check.flows")
    async def flows(self, request: RunFlows) -> Checked:
        """Run smoke flows."""
        planned = await self.world.meet("check.flows")
        return Checked(verdicts=[planned or _well(Signal.SMOKE)])

    @activity.defn(name="check.probes")
    async def probes(self, request: RunProbes) -> Checked:
        """Run corruption probes."""
        planned = await self.world.meet("check.probes")
        return Checked(verdicts=[planned or _well(Signal.CORRUPTION)])


class FakeEnvironmentChecks(_Fake):
    """An environment without fault, unless the test says otherwise."""

    @activity.defn(name="preflight.environment")
    async def environment(self, request: Preflight) -> EnvironmentReport:
        """Return findings."""
        planned = await self.world.meet("preflight.environment")
        return planned or EnvironmentReport(findings=[], server_version="18.4")

    @activity.defn(name="preflight.staging")
    async def staging(self, request: Preflight) -> StagingReport:
        """Return whether staging is stable."""
        planned = await self.world.meet("preflight.staging")
        return planned or StagingReport(stable=True, findings=[], because="stable for 24h")


class FakeGates(_Fake):
    """Gates that pass, unless the test says otherwise."""

    @activity.defn(name="gates.evaluate")
    async def evaluate(self, request: Preflight) -> GateResults:
        """Return all gates."""
        planned = await self.world.meet("gates.evaluate")
        passed = [
            GateResult(gate=gate, passed=True, because="passed", sha256=["0" * 64])
            for gate in GATES.split()
        ]
        return planned or GateResults(results=passed)


class FakeAnnouncements(_Fake):
    """Keeps every notice."""

    @activity.defn(name="notice.send")
    async def send(self, request: SendNotice) -> Sent:
        """Keep a notice."""
        await self.world.meet("notice.send")
        await self.world.meet(f"notice.send:{request.notice.kind}")
        if self.world.once("notice.send"):
            self.world.notices.append(request.notice)
        return Sent(status=200, receipt=request.notice.key)


UNPRIVILEGED = (FakeGates, FakeAnnouncements, FakeKeeping)
PRIVILEGED = (
    FakeRecords,
    FakeLeases,
    FakeBackups,
    FakeFallbacks,
    FakeJanitor,
    FakeMigrations,
    FakeRehearsals,
    FakeDatabaseRollback,
    FakeRollouts,
    FakeWatch,
    FakeChecks,
    FakeEnvironmentChecks,
)


def activities_of(world: FakeWorld, *, privileged: bool) -> list[Any]:
    """Return every fake activity of one queue."""
    found = []
    for kind in PRIVILEGED if privileged else UNPRIVILEGED:
        fake = kind(world)
        for name in dir(fake):
            method = getattr(fake, name)
            if callable(method) and hasattr(method, "__temporal_activity_definition"):
                found.append(method)
    return found
