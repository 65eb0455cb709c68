"""The bucket: protection, each action of slipway's key, and whether backups are quick enough."""

import pytest

from slipway.judgements import bucket
from slipway.plan import Backup

BACKUP = Backup(bucket="teei-backups", prefix="production/")
HOUR = 3600.0
GIB = 1 << 30


@pytest.mark.parametrize("action", bucket.ACTIONS)
def test_a_refused_action_is_named_with_the_statement_that_allows_it(action: str) -> None:
    (finding,) = bucket.judge_actions(BACKUP, {action: "AccessDenied"})
    assert (finding.severity, finding.group) == ("block", "bucket")
    within = "" if action in bucket.OF_BUCKET else "/production/*"
    assert f'"Action": "{action}"' in finding.remedy
    assert f'"arn:aws:s3:::teei-backups{within}"' in finding.remedy


def test_a_bucket_without_versions_or_locks_blocks_with_the_command() -> None:
    assert bucket.judge_protection("b", versioned=True, locks=True) == []
    versions, locks = bucket.judge_protection("b", versioned=False, locks=False)
    assert "put-bucket-versioning --bucket b" in versions.remedy
    assert "put-object-lock-configuration --bucket b" in locks.remedy
    assert "create-bucket --bucket b --object-lock" in bucket.no_bucket("b")[0].remedy
    assert bucket.lock_ignored("b")[0].severity == "block"


@pytest.mark.parametrize(
    ("size", "earlier", "severity"),
    [
        (GIB, None, None),
        (100 * GIB, None, "note"),
        (100 * GIB, (600.0, 50 * GIB), None),
        (100 * GIB, (1441.0, 50 * GIB), "block"),
        (GIB, (60.0, 0), None),
        (100 * GIB, (60.0, 0), "note"),
    ],
)
def test_dump_and_proof_must_fit_into_four_fifths_of_the_age_limit(
    size: int, earlier: tuple[float, int] | None, severity: str | None
) -> None:
    found = bucket.judge_pace(size, earlier, HOUR, "production/prod-backup-1")
    assert [one.severity for one in found] == ([severity] if severity else [])
    assert all("48m" in one.what for one in found)
