"""Whether the bucket keeps what slipway writes there, and whether its key may do what it must."""

import json
from collections.abc import Mapping

from slipway.base import say_length
from slipway.messages.preflight import Finding
from slipway.plan import Backup

ACTIONS: dict[str, str] = {
    "s3:ListBucket": "records and backups are found by it",
    "s3:GetBucketVersioning": "whether what is overwritten is kept is looked at",
    "s3:GetBucketObjectLockConfiguration": "whether objects can be locked is looked at",
    "s3:PutObject": "dumps and the record are written",
    "s3:GetObject": "what was written is read back",
    "s3:GetObjectVersion": "the very version that was written is read back",
    "s3:PutObjectRetention": "a backup is locked against deletion",
    "s3:GetObjectRetention": "whether the lock holds is looked at",
    "s3:DeleteObjectVersion": "a dump that was not proved is removed",
    "s3:AbortMultipartUpload": "an upload that was cut off is removed",
}
"""Every action that slipway's key needs, and what for."""
OF_BUCKET = {one for one in ACTIONS if "Bucket" in one}
"""Actions on the bucket itself; the others are on its objects."""

SHARE = 0.8
"""Share of a backup's age limit that dump and proof may take: the rest is for people."""
ASSUMED = 10 * 1024 * 1024
"""Bytes of database a second, where no earlier backup tells: assumed, and low on purpose."""


def judge_protection(bucket: str, *, versioned: bool, locks: bool) -> list[Finding]:
    """Return what keeps a bucket from keeping backups safe."""
    found = []
    if not versioned:
        command = (
            f"aws s3api put-bucket-versioning --bucket {bucket} "
            "--versioning-configuration Status=Enabled"
        )
        found.append(_block(f"Bucket {bucket} keeps no versions.", f"Run: {command}"))
    if not locks:
        command = (
            f"aws s3api put-object-lock-configuration --bucket {bucket} "
            "--object-lock-configuration ObjectLockEnabled=Enabled"
        )
        remedy = f"Run: {command} (some stores lock only buckets that were created with a lock)"
        found.append(_block(f"Bucket {bucket} cannot lock objects.", remedy))
    return found


def judge_actions(backup: Backup, refused: Mapping[str, str]) -> list[Finding]:
    """Return the actions that were refused, each with the statement that allows it."""
    return [
        _block(
            f"slipway's key may not {action} in bucket {backup.bucket}: {ACTIONS[action]}. {said}",
            f"Add to the policy of slipway's key: {statement(backup, action)}",
        )
        for action, said in refused.items()
    ]


def statement(backup: Backup, action: str) -> str:
    """Return the statement of a policy that allows an action."""
    within = "" if action in OF_BUCKET else f"/{backup.prefix}*"
    resource = f"arn:aws:s3:::{backup.bucket}{within}"
    return json.dumps({"Effect": "Allow", "Action": action, "Resource": resource})


def no_bucket(bucket: str) -> list[Finding]:
    """Return the finding for a bucket that is not there."""
    command = f"aws s3api create-bucket --bucket {bucket} --object-lock-enabled-for-bucket"
    return [_block(f"There is no bucket {bucket}.", f"Run: {command}")]


def lock_ignored(bucket: str) -> list[Finding]:
    """Return the finding for a store that deletes what is locked."""
    return [
        _block(
            f"Bucket {bucket} took a lock and let the locked object be deleted.",
            "Use a store that keeps object locks (COMPLIANCE mode).",
        )
    ]


def judge_pace(
    size: int, earlier: tuple[float, int] | None, max_age: float, key: str = ""
) -> list[Finding]:
    """Return whether dump and proof of `size` bytes fit into the backup's age limit.

    `earlier`: seconds and bytes of the newest backup, whose key is `key`. All lengths as they
    apply, in seconds. Only what was measured blocks: the assumption is worth a word.
    """
    pace = earlier[1] / earlier[0] if earlier and min(earlier) > 0 else 0.0
    seconds = size / (pace or ASSUMED)
    if seconds <= SHARE * max_age:
        return []
    limit = f"{SHARE:.0%} of `backup.max_age` are {say_length(float(round(SHARE * max_age)))}"
    takes = say_length(float(round(seconds)))
    remedy = (
        "Raise backup.max_age in the plan, or make it quicker: less data, faster disks. It would "
        "be too old before anybody could approve, and taken again, and again."
    )
    if pace:
        what = f"Dump and proof take {takes}, as fast as {key} was; {limit}."
        return [_block(what, remedy, group="database")]
    what = (
        f"Dump and proof may take {takes} at the {ASSUMED >> 20} MiB/s that are assumed until a "
        f"backup has been taken; {limit}."
    )
    return [Finding(severity="note", group="database", what=what, remedy=remedy)]


def _block(what: str, remedy: str, *, group: str = "bucket") -> Finding:
    return Finding.model_validate(
        {"severity": "block", "group": group, "what": what.strip(), "remedy": remedy}
    )
