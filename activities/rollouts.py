"""Replacing one service: capture it, write a template by compare-and-set, wait until it runs."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from temporalio import activity

from activities.heartbeat import Progress, current_progress
from activities.log_history import Past, logs_before
from activities.log_source import LogSource
from activities.settings import Settings
from slipway.errors import Absent, ChangedMeanwhile, ForeignChange, SlipwayError, Unreachable
from slipway.judgements import capturing, images, writes
from slipway.judgements import workload as objects
from slipway.judgements.counters import pods_of_any_version
from slipway.judgements.logs import LogLine
from slipway.judgements.masking import shown
from slipway.judgements.pods import Trouble
from slipway.judgements.rollout import (
    BACK_OFF,
    STANDS,
    Judged,
    Policy,
    Sightings,
    Snapshot,
    judge_rollout,
)
from slipway.judgements.rollout import Progress as Standing
from slipway.judgements.workload import Raw
from slipway.messages.record import Captured
from slipway.messages.rollout import (
    Applied,
    Apply,
    AwaitRollout,
    Capture,
    FenceService,
    RolledOut,
    Workload,
)
from slipway.verdicts import Kind, Signal, Verdict

if TYPE_CHECKING:
    from activities.adapters.cluster import Cluster

_POLL = 1.0
_ATTEMPTS = 15
"""Of one compare-and-set: the controller writes statuses all the time, each is a conflict."""
_LEAST_WATCHED = 10.0
"""A retried wait still looks this long before it says that a rollout took too long."""
_PATIENT = {"crash-loop": BACK_OFF, "out-of-memory": BACK_OFF}
_TAIL = 20
_MISSES = 30
"""Polls in a row without an answer before the attempt gives up and is retried."""


class Rollouts:
    """Deployments of one cluster."""

    def __init__(
        self, cluster: "Cluster", logs: LogSource, *, stands: Mapping[str, float] = STANDS
    ) -> None:
        """`cluster` holds the Deployments; `stands`: how long each sign of doom must last."""
        self._cluster = cluster
        self._logs = logs
        self._settings = Settings(cluster)
        self._stands = stands

    @activity.defn(name="rollout.capture")
    async def capture(self, request: Capture) -> Captured:
        """Read a Deployment before any write. Raises NotReplaceable when it must not be replaced
        now: paused, in mid-rollout, unhealthy, or managed by another tool."""
        work = request.workload
        deployment = await self._at_rest(request)
        replica_sets = await self._cluster.list_replica_sets(deployment)
        captured = capturing.capture(deployment, replica_sets, work.container)
        pods = await self._cluster.list_pods_of(deployment)
        current = [
            one for one in pods if objects.label(one, objects.HASH_LABEL) == captured.pod_hash
        ]
        ids = sorted(set(images.told(current, work.container).values()))
        settings = await self._settings.of(work.namespace, captured.template)
        more: dict[str, Any] = {"image_ids": ids, "settings": settings}
        if request.logs:
            past = Past(
                work=work,
                pods=current,
                pattern=pods_of_any_version(work.deployment),
                logs=request.logs,
                baseline=request.baseline,
                born=objects.born(deployment),
            )
            before = await logs_before(self._logs, past, request.loki)
            more |= {"log_rates": before.per_second, "log_templates": before.kinds}
        return captured.model_copy(update=more)

    async def _at_rest(self, request: Capture) -> Raw:
        """Return the Deployment when it rests, or waiting for that is of no use any more."""
        work, begun, progress = request.workload, time.monotonic(), current_progress()
        while True:
            deployment = await self._cluster.get_deployment(work.namespace, work.deployment)
            patience = capturing.patience(deployment, work.container, request.patience)
            if time.monotonic() - begun >= patience:
                return deployment
            progress.say(f"{work.deployment}: {'; '.join(objects.unrest(deployment))}.")
            await asyncio.sleep(_POLL)

    @activity.defn(name="rollout.apply")
    async def apply(self, request: Apply) -> Applied:
        """Write the template by compare-and-set under the fence; what stands already is a success.

        Raises Fenced when a later decision stands, ForeignChange when somebody else's does.
        """
        work, captured = request.workload, request.captured.template
        wanted = (
            captured
            if request.image is None
            else objects.with_image(captured, work.container, request.image)
        )
        for _ in range(_ATTEMPTS):
            deployment = await self._standing(work)
            writes.same_object(deployment, request.captured.uid)
            writes.check_fence(deployment, request.fence, request.op_id)
            try:
                wish = writes.Wish(
                    op_id=request.op_id,
                    fence=request.fence,
                    cause=request.cause,
                    uid=request.captured.uid,
                    captured=captured,
                    desired=await self._defaulted(deployment, wanted),
                    undo=request.image is None,
                )
                if writes.of_unknown_hand(deployment, wish):
                    wish = replace(wish, wrote=await self._wrote(deployment, request))
                return await self._write(deployment, writes.decide(deployment, wish))
            except ChangedMeanwhile:
                await asyncio.sleep(0.1)
        raise _restless(work)

    @activity.defn(name="rollout.fence")
    async def fence(self, request: FenceService) -> Applied:
        """Write only the fence. A higher one, or an object that is gone, is a success: nothing
        that is still frozen somewhere can be written to it."""
        work = request.workload
        for _ in range(_ATTEMPTS):
            try:
                deployment = await self._cluster.get_deployment(work.namespace, work.deployment)
            except Absent:
                return Applied(changed=False, generation=0, template={})
            if objects.metadata(deployment).get("uid") != request.uid:
                return _applied(deployment, changed=False)
            try:
                write = writes.fence_only(deployment, request.fence, request.op_id)
                return await self._write(deployment, write)
            except ChangedMeanwhile:
                await asyncio.sleep(0.1)
        raise _restless(work)

    @activity.defn(name="rollout.wait")
    async def wait(self, request: AwaitRollout) -> RolledOut:
        """Poll until the template runs everywhere or cannot any more.

        Raises ForeignChange when the template is not the awaited one any more.
        """
        progress = current_progress()
        judged = await self._until_decided(request, self._policy(request), progress)
        if judged.progress is Standing.SUPERSEDED:
            raise ForeignChange(
                judged.because,
                "Look at it with kubectl; slipway does not fight over a template.",
            )
        said = ""
        if request.back and request.captured is not None:
            work, then = request.workload, request.captured.settings
            said = await self._settings.changed(work.namespace, request.template, then)
        return await self._outcome(request.workload, judged, said)

    def _policy(self, request: AwaitRollout) -> Policy:
        before = request.captured
        other = request.wrote or (before.image if before else "")
        return Policy(
            uid=request.uid,
            template=request.template,
            deadline=max(request.deadline, 1.0),
            container=request.workload.container,
            image=request.image,
            other=other,
            comparable=images.reports_digests(before.image, before.image_ids) if before else None,
            back=request.back,
            stands={**self._stands, **_PATIENT} if request.again else self._stands,
        )

    async def _until_decided(
        self, request: AwaitRollout, policy: Policy, progress: Progress
    ) -> Judged:
        begun = time.monotonic() - min(_waited(), max(0.0, policy.deadline - _LEAST_WATCHED))
        sightings: Sightings = {}
        misses = 0
        while True:
            try:
                snapshot = await self._snapshot(request.workload, time.monotonic() - begun)
                misses = 0
            except Unreachable as error:
                misses += 1
                progress.say(str(error))
                if misses >= _MISSES:
                    raise
            else:
                judged = judge_rollout(snapshot, sightings, policy)
                if judged.progress is not Standing.WAITING:
                    return judged
                sightings = judged.sightings
                progress.say(judged.because)
            await asyncio.sleep(_POLL)

    async def _snapshot(self, work: Workload, at: float) -> Snapshot:
        deployment = await self._standing(work)
        replica_sets, pods = await asyncio.gather(
            self._cluster.list_replica_sets(deployment), self._cluster.list_pods_of(deployment)
        )
        return Snapshot(deployment, replica_sets, pods, at)

    async def _standing(self, work: Workload) -> Raw:
        try:
            return await self._cluster.get_deployment(work.namespace, work.deployment)
        except Absent as error:
            raise ForeignChange(
                f"{work.deployment} in namespace {work.namespace} is gone.",
                "Find out who deleted it; slipway never creates a Deployment.",
            ) from error

    async def _defaulted(self, deployment: Raw, template: Raw) -> Raw:
        """Return the template as the server would store it, to compare like with like."""
        if objects.template_of(deployment) == template:
            return template
        operations = writes.dry_run(deployment, template)
        answer = await self._cluster.patch_deployment(deployment, operations, dry_run=True)
        return objects.template_of(answer)

    async def _wrote(self, deployment: Raw, request: Apply) -> Raw | None:
        """Return what an undo may find: the template that its run wrote. None where the server
        refuses it, as a policy may that was made against this very release."""
        if not request.wrote:
            return None
        captured, container = request.captured.template, request.workload.container
        bad = objects.with_image(captured, container, request.wrote)
        try:
            return await self._defaulted(deployment, bad)
        except SlipwayError as error:
            if not error.final:
                raise
            return None

    async def _write(self, deployment: Raw, write: writes.Write | None) -> Applied:
        if write is None:
            return _applied(deployment, changed=False)
        written = await self._cluster.patch_deployment(deployment, write.operations)
        return _applied(written, changed=write.changes_template)

    async def _outcome(self, work: Workload, judged: Judged, settings: str) -> RolledOut:
        tail: list[str] = []
        because = judged.because + settings
        if judged.progress is not Standing.DONE and judged.culprit is not None:
            tail = await self._tail(work, judged.culprit)
            last = f" Its log ends: {tail[-1][:200]}" if tail else ""
            because = f"{because}{last}"
        done = judged.progress is Standing.DONE
        verdict = Verdict(
            kind=Kind.PROCEED if done else Kind.ROLLBACK,
            signal=Signal.ROLLOUT,
            reason=judged.reason,
            service=work.service,
            because=because,
        )
        return RolledOut(
            verdict=verdict,
            replica_set=judged.replica_set,
            pod_hash=judged.pod_hash,
            replicas=len(judged.pods),
            pods=list(judged.pods),
            image_ids=list(judged.image_ids),
            log_tail=tail,
        )

    async def _tail(self, work: Workload, culprit: Trouble) -> list[str]:
        """Return the culprit's last log lines, of the container that ended where there is one."""
        container = culprit.container or work.container
        for previous in (False, True):
            try:
                lines: list[LogLine] = await self._cluster.pod_log(
                    work.namespace, culprit.pod, container, tail=_TAIL, previous=previous
                )
            except SlipwayError:
                continue  # a container that never started has no log; the verdict stands without
            if lines:
                return [shown(one.text) for one in lines]
        return []


def _applied(deployment: Raw, *, changed: bool) -> Applied:
    generation = int(objects.metadata(deployment).get("generation") or 0)
    template = objects.template_of(deployment)
    return Applied(changed=changed, generation=generation, template=template)


def _waited() -> float:
    """Seconds since the wait was first asked for: a retry does not begin its deadline anew."""
    info = activity.info()
    return max(0.0, (info.started_time - info.scheduled_time).total_seconds())


def _restless(work: Workload) -> Unreachable:
    return Unreachable(
        f"{work.deployment} changes all the time.", "Find out who writes it; slipway tries again."
    )
