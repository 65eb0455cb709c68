"""Whether a manifest is whole and stands where it belongs; what a proof speaks for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from slipway.digest import canonical
from slipway.judgements.backup import (
    behind,
    dump_key,
    faults_of,
    foreign_to,
    manifest_key,
    not_covered,
    roles_key,
    sealed,
)
from slipway.judgements.pace import how_far
from slipway.messages.backup import DatabaseIdentity, KeptObject, Manifest, SequenceNoted
from slipway.messages.record import BackupTaken, TableFingerprint

ID = "production-20261123T202134Z-3fa9c1"
OTHER = "production-20261124T202134Z-77aa00"
PREFIX = "production/"
AT = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
STORED = AT + timedelta(minutes=3)


def manifest(deployment: str = ID, tag: str = "1", at: datetime = AT) -> Manifest:
    key = dump_key(PREFIX, at, deployment)
    taken = BackupTaken(
        key=key,
        manifest_key=manifest_key(PREFIX, deployment, tag),
        sha256="a" * 64,
        size=5,
        taken_at=at,
        database="teei",
        side_database="teei_slipway_3fa9c1_1",
        server_version="18.4",
        schema_sha256="b" * 64,
        tables=[TableFingerprint(table="public.users", rows=3, hash="7")],
        restored_ok=True,
        seconds=9.0,
    )
    return sealed(
        Manifest(
            backup=taken,
            deployment=deployment,
            requester="dev@teei.example",
            attempt_tag=tag,
            plain_sha256="c" * 64,
            plain_size=9,
            version="v1",
            sequences=[SequenceNoted(sequence="public.s", last=4)],
            identity=DatabaseIdentity(system="7", oid=5),
            roles=KeptObject(key=roles_key(key), sha256="d" * 64, size=2),
        )
    )


def _faults(one: Manifest, key: str = "", stored: datetime = STORED) -> list[str]:
    return faults_of(one, key or one.backup.manifest_key, PREFIX, stored)


def test_whole_manifest_has_no_fault_also_after_travelling() -> None:
    one = manifest()
    assert _faults(one) == []
    assert _faults(Manifest.model_validate_json(canonical(one))) == []


def test_manifest_of_an_older_slipway_has_no_fault() -> None:
    data = manifest().model_dump(mode="json")
    for name in ("identity", "roles", "publications", "locked_until", "seal"):
        del data[name]
    assert _faults(Manifest.model_validate(data)) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"requester": "mallory"}, "altered"),
        ({"plain_sha256": "0" * 64}, "altered"),
        ({"database_size": 1}, "altered"),
        ({"seal": ""}, "seal was removed"),
        ({"seal": "0" * 64}, "altered"),
        ({"deployment": "nonsense-"}, "no usable ID"),
    ],
)
def test_altered_manifest_is_seen(change: dict[str, Any], fault: str) -> None:
    assert fault in "; ".join(_faults(manifest().model_copy(update=change)))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"taken_at": AT + timedelta(minutes=2)}, "its own would be"),
        ({"key": dump_key(PREFIX, AT, OTHER)}, "its own would be"),
        ({"manifest_key": manifest_key(PREFIX, OTHER, "1")}, "belongs at"),
        ({"restored_ok": False}, "not proved"),
    ],
)
def test_manifest_that_was_sealed_anew_still_must_be_consistent(
    change: dict[str, Any], fault: str
) -> None:
    one = manifest()
    forged = sealed(one.model_copy(update={"backup": one.backup.model_copy(update=change)}))
    assert fault in "; ".join(_faults(forged))


def test_manifest_in_anothers_place_is_seen() -> None:
    found = _faults(manifest(OTHER), manifest_key(PREFIX, ID, "1"))
    assert found == [f"the manifest belongs at {manifest_key(PREFIX, OTHER, '1')}"]


def test_roles_of_another_backup_are_seen() -> None:
    one = manifest()
    other = KeptObject(key=roles_key(dump_key(PREFIX, AT, OTHER)), sha256="d" * 64, size=2)
    assert "names the roles" in _faults(sealed(one.model_copy(update={"roles": other})))[0]


def test_stored_before_it_was_taken() -> None:
    assert "stored before" in _faults(manifest(), stored=AT - timedelta(hours=1))[0]


def test_foreign_manifests() -> None:
    assert foreign_to(manifest(), ID, "1", "teei") == ""
    assert foreign_to(manifest(), ID, "2", "teei") == f"it is attempt 1 of {ID}"
    assert foreign_to(manifest(OTHER), ID, "1", "teei") == f"it is attempt 1 of {OTHER}"
    assert foreign_to(manifest(), ID, "1", "other") == "it is of database teei"


def test_sequences_may_be_ahead_but_not_behind() -> None:
    noted = [("public.a", 10, 1), ("public.b", -4, -1), ("public.c", 1, 1)]
    assert behind(noted, [("public.a", 12), ("public.b", -4), ("public.c", 1)]) == []
    assert behind(noted, [("public.a", 9), ("public.b", -3)]) == [
        "sequence public.a stands at 9 instead of 10",
        "sequence public.b stands at -3 instead of -4",
        "sequence public.c was never used there, it should stand at 1",
    ]
    many = [(f"s{n}", 5, 1) for n in range(9)]
    assert behind(many, [], most=2)[-1] == "and 7 more"


def test_what_is_not_covered_is_named_by_kind_and_bounded() -> None:
    found = [("foreign table", f"public.f{n:02d}") for n in range(25)]
    said = not_covered([*found, ("subscription", "in")])
    assert said[0] == "foreign table public.f00: its rows lie elsewhere"
    assert said[20] == "foreign table: 5 more"
    assert said[21:] == ["subscription in: a copy subscribes to nothing"]


@pytest.mark.parametrize(
    ("done", "total", "seconds", "now", "said"),
    [
        (0, 100 << 20, 1.0, "", "0.0 of 100 MiB"),
        (50 << 20, 100 << 20, 30.0, "", "50 of 100 MiB, about 30s left"),
        (50 << 20, 100 << 20, 30.0, "now a", "50 of 100 MiB, now a, about 30s left"),
        (150 << 20, 100 << 20, 30.0, "", "150 of 150 MiB, nearly done"),
        (5, 0, 1.0, "", "0.0 of 0.0 MiB"),
    ],
)
def test_how_far(done: int, total: int, seconds: float, now: str, said: str) -> None:
    assert how_far(done, total, seconds, now) == said
