"""Whether a kept backup is the wanted one; what of a run's leftovers may go."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import BadInput
from slipway.judgements.backup import dump_key, roles_key, side_name
from slipway.judgements.shelf import (
    elsewhere,
    keeps,
    left_databases,
    left_objects,
    not_wanted,
    opening_of,
    recorded_backup,
    recorded_digests,
    refused_name,
    shelved,
)
from slipway.messages.backup import DatabaseIdentity
from slipway.messages.record import Entry, Place, RestoreDatabase
from slipway.messages.shelf import FindBackup
from slipway.plan import Database
from tests.unit.test_backup_manifest import ID, OTHER, PREFIX, STORED, manifest

DATABASE = Database(name="teei", url="env:A", admin_url="env:B", probe_url="env:C", owner="own")
PLACE = Place(bucket="b", prefix=PREFIX, environment="production", deployment=ID)


def _wanted(**changes: Any) -> FindBackup:
    return FindBackup(place=PLACE).model_copy(update=changes)


def _intent() -> Entry:
    undo = RestoreDatabase(backup=manifest().backup)
    return Entry(sequence=4, kind="intent", step="migrate", undo=undo)


def test_backup_of_this_run_and_database_is_the_wanted_one() -> None:
    one = manifest()
    recorded = {"recorded": one.backup, "digests": {one.backup.key: one.backup.sha256}}
    assert not_wanted(one, _wanted()) == []
    assert not_wanted(one, _wanted(database=DATABASE, **recorded)) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"place": PLACE.model_copy(update={"deployment": OTHER})}, "a backup of production-"),
        ({"database": DATABASE.model_copy(update={"name": "x"})}, "the plan names x"),
        ({"digests": {manifest().backup.key: "0" * 64}}, "names the dump 000000000000…"),
        ({"recorded": manifest().backup.model_copy(update={"tables": []})}, "tells otherwise"),
    ],
)
def test_another_backup_is_not(changes: dict[str, Any], fault: str) -> None:
    assert fault in not_wanted(manifest(), _wanted(**changes))[0]


def test_record_names_backups_by_undo_and_by_what_was_told() -> None:
    told = {"backup": {"key": "k", "sha256": "s"}}
    end = Entry(sequence=9, kind="end", step="stopped", data={"status": told})
    assert recorded_digests([_intent(), end]) == {manifest().backup.key: "a" * 64, "k": "s"}
    assert recorded_digests([Entry(sequence=1, kind="end", step="x", data={"status": "?"})]) == {}
    assert recorded_backup([_intent(), end]) == manifest().backup
    assert recorded_backup([end]) is None


def test_opening_is_none_without_a_record_and_refused_when_it_is_something_else() -> None:
    assert opening_of([]) is None
    with pytest.raises(BadInput, match="does not begin with its opening"):
        opening_of([Entry(sequence=0, kind="open", step="open", data={})])


def test_other_servers_and_databases_are_told_apart() -> None:
    one = manifest()
    assert elsewhere(one, DatabaseIdentity(system="7", oid=5)) == []
    assert elsewhere(one, None) == []
    assert "another database" in elsewhere(one, DatabaseIdentity(system="7", oid=6))[0]
    assert "another server" in elsewhere(one, DatabaseIdentity(system="8", oid=5))[0]


@pytest.mark.parametrize("name", ["teei", "postgres", "template1", "x_slipway_3fa9c1_1"])
def test_names_that_are_somebody_elses_are_refused(name: str) -> None:
    assert refused_name(name, DATABASE)


def test_shelved_backup_carries_its_faults() -> None:
    one = manifest()
    assert shelved(one, one.backup.manifest_key, PREFIX, STORED).faults == []
    assert shelved(one, "elsewhere.json", PREFIX, STORED).faults


@pytest.mark.parametrize(
    "name",
    [
        "teei",
        "postgres",
        "teei_there",
        "teei_slipway_77aa00_1",
        "teei_slipway_3fa9c1_kept",
        "teei_slipway_3fa9c1_kept2",
        "teei_slipway_3fa9c1",
        "teei_slipway_3fa9c1_",
        "teei_slipway_3fa9c12_1",
        "teei2_slipway_3fa9c1_1",
        "_slipway_3fa9c1_1",
        "teei_slipway_3fa9c1_1_slipway_77aa00_1",
        "teei_slipway_3fa9c1_a_b",
    ],
)
def test_no_database_but_this_runs_copies_is_ever_left_over(name: str) -> None:
    assert left_databases([name], "teei", ID) == []


def test_this_runs_copies_are_left_over() -> None:
    names = [side_name("teei", ID, tag) for tag in ("1", "2", "again", "to1a2b3c4d")]
    assert left_databases(["teei", *names], "teei", ID) == names
    long = "t" * 60
    assert left_databases([side_name(long, ID, "1")], long, ID) == [side_name(long, ID, "1")]


@given(st.text(alphabet="teei_slpwayk3fac1 0", max_size=63))
def test_whatever_is_left_over_bears_the_runs_name(name: str) -> None:
    for one in left_databases([name], "teei", ID):
        assert one.startswith("teei_slipway_3fa9c1_")
        assert "kept" not in one


def test_only_objects_in_the_runs_name_that_no_manifest_names_are_left_over() -> None:
    at = datetime(2026, 11, 23, 21, 0, tzinfo=UTC)
    orphan, foreign = dump_key(PREFIX, at, ID), dump_key(PREFIX, at, OTHER)
    good = manifest().backup.key
    keys = [orphan, roles_key(orphan), foreign, good, roles_key(good), f"{orphan}.txt", PREFIX]
    assert left_objects(keys, PREFIX, [manifest()], ID) == [orphan, roles_key(orphan)]


def test_run_that_may_have_changed_something_keeps_everything() -> None:
    assert keeps([Entry(sequence=0, kind="open", step="open")]) == ""
    assert "may have changed production" in keeps([_intent()])
