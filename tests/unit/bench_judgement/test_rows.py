"""Rows, measures, shards and tables: what is told of what was measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.judgement import results, versus
from benchmarks.judgement.cells import Cell, cells
from benchmarks.judgement.claims import claims
from benchmarks.judgement.measures import MET, SHORT, UNSHOWN, Alarmed, Alarms, Delay, NoAlarm
from benchmarks.judgement.results import H3, Found
from benchmarks.judgement.rows import FAULTY, STRESS, rows
from benchmarks.judgement.rules import RULES
from benchmarks.judgement.table import document, line, rendered

NEVER = np.inf


def found(*times: float, onset: float = 0.0, cell: str | None = None) -> Found:
    one = next(iter(cells().values())) if cell is None else cells()[cell]
    if onset:
        one = Cell(one.what, one.interval, one.make, one.runs, one.mean, onset=onset)
    values = np.array(times)
    columns = [H3, results.HOLD, results.SAFE, results.SAFE_EVER, *RULES]
    return Found(one, dict.fromkeys(columns, values), np.ones(len(times)), np.zeros(len(times)))


def test_every_cell_is_told_and_nothing_else() -> None:
    told = {name for row in rows() for name in row.cells}
    assert told == set(cells())
    assert {claim.cell for claim in claims()} <= told
    assert {claim.rule for claim in claims()} <= set(RULES)
    assert {cell.what for cell in cells().values()} >= FAULTY


def test_every_goal_is_told_at_both_intervals() -> None:
    goals = {(row.number, row.interval) for row in rows()} - {(STRESS, 5.0), (STRESS, 15.0)}
    assert goals == {(str(number), at) for number in range(1, 9) for at in (5.0, 15.0)}


def test_a_rate_is_met_only_if_enough_runs_show_it() -> None:
    goal = Alarms(0.001)
    shown = goal.of([found(*[NEVER] * 4000)], H3)
    assert (shown.verdict, shown.text) == (MET, "0 of 4,000 (0 %; 95 %: ≤ 0.0749 %)")
    assert goal.of([found(*[NEVER] * 400)], H3).verdict == UNSHOWN
    assert goal.of([found(7.0, *[NEVER] * 400)], H3).verdict == SHORT
    assert Alarms().of([found(7.0, NEVER)], H3).verdict == ""


def test_of_several_cells_the_worst_is_told() -> None:
    good, bad = found(*[NEVER] * 4000), found(*[7.0] * 8, *[NEVER] * 3992)
    assert Alarms(0.001).of([good, bad], H3).text.startswith("8 of 4,000")
    assert Delay(10).of([found(7.0), found(12.0)], H3).value == 12
    assert Alarmed(0.9).of([found(7.0), found(7.0, NEVER)], H3).value == 0.5


def test_not_one_run_of_all_cells_may_alarm() -> None:
    assert NoAlarm().of([found(NEVER), found(NEVER, NEVER)], H3).text == "0 of 3"
    assert NoAlarm().of([found(NEVER), found(NEVER, 3.0)], H3).verdict == SHORT


def test_who_fires_before_the_fault_has_not_found_it() -> None:
    delays = found(*[607.0] * 19, 500.0, onset=600)
    assert Delay(10).of([delays], H3).text == "7.0 s (mean 7.0)"
    assert Alarmed().of([delays], H3).value == 0.95
    worse = found(*[607.0] * 18, 500.0, NEVER, onset=600)
    assert Delay(10).of([worse], H3).text == "90 % found, 5 % before it began"
    assert Delay(10).of([worse], H3).verdict == SHORT


def test_goal_ten_wants_all_three_to_be_better() -> None:
    names = {name for row in rows() if row.number in versus.NEEDS for name in row.cells}
    measured = {name: found(*[NEVER] * 10, cell=name) for name in names}
    late = {name for name in names if name.startswith("late")}
    for name in late:
        measured[name] = found(*[640.0] * 10, cell=name)
    assert {one.h3.verdict for one in versus.lines(measured)} == {SHORT}, "as good is not better"
    for name, one in measured.items():
        if name not in late:
            one.times["b6s"] = one.times["b6s, 2 min"] = np.array([7.0, *[NEVER] * 9])
    assert {one.h3.verdict for one in versus.lines(measured)} == {MET}
    for name in late:
        measured[name].times[H3] = np.array([NEVER, *[640.0] * 9])
    assert {one.h3.verdict for one in versus.lines(measured)} == {SHORT}


def test_a_table_has_a_line_for_each_row_and_the_document_the_same() -> None:
    chosen = [row for row in rows() if row.interval == 15.0]
    measured = {name: found(*[NEVER] * 10, cell=name) for row in chosen for name in row.cells}
    lines = [line(row, measured) for row in chosen]
    text = rendered(lines)
    assert len([one for one in text.splitlines() if one.startswith("| ")]) == len(chosen) + 4
    assert "FALLS SHORT" in text
    assert "One scrape never decides" in text
    kept = json.loads(document(lines, {"seed": 1}))
    assert kept["seed"] == 1
    assert [one["verdict"] for one in kept["rows"]] == [one.h3.verdict for one in lines]
    assert kept["rows"][0]["others"]["b6s"] == "0 of 10 (0 %; 95 %: ≤ 25.9 %)"


def test_a_campaign_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = cells()["100 % at 2 rps, 2 min, 15 s scrapes"]
    cell = Cell(known.what, known.interval, known.make, 60, known.mean, shard=20)
    monkeypatch.setattr(results, "cells", lambda: {cell.name: cell})
    said: list[str] = []
    results.measure([cell.name], tmp_path, 7, 20, 1, said.append)
    (first,) = tmp_path.rglob("*.npz")
    before = first.stat().st_mtime_ns
    results.measure([cell.name], tmp_path, 7, None, 1, said.append)
    assert first.stat().st_mtime_ns == before
    assert said == [f"1 of 1 shards: {cell.name}", f"2 of 2 shards: {cell.name}"]
    whole = results.found(cell.name, tmp_path, None)
    assert whole is not None
    assert whole.runs == 60
    np.testing.assert_array_equal(whole.times[H3][40:], results.simulated(cell, 2, 7)[H3])
    first.unlink()
    rest = results.found(cell.name, tmp_path, None, complete=False)
    assert rest is not None
    assert rest.runs == 40
    assert results.found(cell.name, tmp_path, 20, complete=False) is None
    with pytest.raises(FileNotFoundError):
        results.found(cell.name, tmp_path, None)


def test_words_do_not_make_what_was_measured_worthless(tmp_path: Path) -> None:
    def meaning(text: str) -> bytes:
        file = tmp_path / "module.py"
        file.write_text(text)
        return results._meaning(file)

    text = '"""Old."""\nimport os\n\ndef f() -> int:\n    """Old."""\n    return 1\n'
    other = 'import sys\ndef f() -> int:\n    """New."""\n    return 1  # one\n'
    says = 'def say() -> str:\n    return f"{1}"\n'
    assert meaning(text) == meaning('"""New."""\n' + other + says)
    assert meaning(text) != meaning(text.replace("return 1", "return 2"))
    assert meaning(text) != meaning(text.replace("def f", "def g"))
