"""Every benchmark on data runs, on a tiny database; nothing is said of its figures."""

from pathlib import Path

import pytest

from benchmarks.__main__ import ROWS
from benchmarks.figures import Result
from benchmarks.rows import blocked_alter, fallback, rollback
from benchmarks.table import rendered
from benchmarks.world import Bench
from devstack.stack import Stack
from devstack.world.database import access

pytestmark = pytest.mark.stack


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in (
        (rollback, "WRITES", 200),
        (rollback, "SETTLED", 0.5),
        (blocked_alter, "RATE", 40.0),  # a slow machine answers half of them, as it must
        (blocked_alter, "BLOCKED", 6.0),  # and begins to alter long before half of it is over
        (blocked_alter, "AFTER", 0.3),
        (fallback, "SECONDS", 2.0),
        (fallback, "SAMPLES", 10),
        (fallback, "BACKLOG", 200),
    ):
        monkeypatch.setattr(module, name, value)


@pytest.mark.parametrize("name", list(ROWS))
@pytest.mark.usefixtures("short")
async def test_a_row_measures_and_leaves_nothing(name: str, stack: Stack, tmp_path: Path) -> None:
    bench = Bench(stack, tmp_path, "tiny", 1, lambda _: None)
    figures, raw = await ROWS[name].measure(bench)
    assert len(raw) == 1
    assert all(one.measured.lowest >= 0 for one in figures)
    with access.superuser(stack) as connection:
        query = "SELECT datname FROM pg_database WHERE datname ~ '^b[0-9a-f]{10}'"
        assert connection.execute(query).fetchall() == []
    assert rendered([Result(name, "tiny", figures)]).count("tiny") == len(figures)
