"""Parts of the backup that need no server: sequences seen twice, folders found by name."""

import os
from pathlib import Path

import pytest

from activities.adapters.postgres.catalog import Sequence, earlier
from activities.adapters.work_folders import drop_folders, fresh_folder, left_folders


def _sequence(name: str, last: int, step: int = 1, cycles: bool = False) -> Sequence:
    return Sequence("public", name, last, step, cycles)


def test_sequence_counts_as_far_as_it_had_come_at_the_earlier_look() -> None:
    before = [_sequence("a", 5), _sequence("down", -5, -1), _sequence("reset", 90)]
    after = [_sequence("a", 9), _sequence("down", -9, -1), _sequence("reset", 1)]
    assert [one.last for one in earlier(before, after)] == [5, -5, 1]


def test_sequence_that_cycles_or_is_gone_is_left_out() -> None:
    before = [_sequence("round", 3, cycles=True), _sequence("gone", 3)]
    assert earlier(before, [_sequence("round", 1, cycles=True)]) == []


def test_each_attempt_has_a_folder_of_its_own_and_older_ones_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first = fresh_folder("teei_slipway_3fa9c1_1")
    (first / "plain.dump").write_text("rows")
    other = fresh_folder("teei_slipway_3fa9c1_10")
    second = fresh_folder("teei_slipway_3fa9c1_1")
    assert first != second
    assert [one.exists() for one in (first, second, other)] == [False, True, True]
    assert second.stat().st_mode & 0o077 == 0
    assert left_folders() == ["teei_slipway_3fa9c1_1", "teei_slipway_3fa9c1_10"]


def test_link_in_the_place_of_a_folder_is_removed_and_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("precious")
    link = tmp_path / "tmp" / f"slipway-{os.getuid()}-x.00000000"
    link.symlink_to(tmp_path / "mine")
    drop_folders("x")
    assert not link.is_symlink()
    assert (tmp_path / "mine" / "file").read_text() == "precious"
