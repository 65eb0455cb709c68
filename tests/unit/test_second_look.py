"""The second look at what failed in CI: what it looks at again, and what it leaves failed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import second_look

PASSES_AGAIN = """
from pathlib import Path

def test_of_the_clock():
    seen = Path(__file__).with_name("seen")
    if not seen.exists():
        seen.touch()
        raise AssertionError("the machine stood still")
"""
FAILS_AGAIN = "def test_of_the_code():\n    assert 1 == 2\n"
CONFTEST = f"""
def pytest_sessionfinish(session, exitstatus):
    session.config.cache.set({second_look.STATUS!r}, int(exitstatus))
"""


def a_run(root: Path, **files: str) -> Path:
    """Run tests of these files; return the run's cache."""
    (root / "conftest.py").write_text(CONFTEST)
    (root / "pytest.ini").write_text("[pytest]\n")
    (root / "tests").mkdir()
    for name, text in files.items():
        (root / "tests" / f"test_{name}.py").write_text(text)
    cache = root / "cache"
    command = [sys.executable, "-m", "pytest", "-q", "-o", f"cache_dir={cache}"]
    subprocess.run(command, cwd=root, check=False, capture_output=True)
    return cache


def test_what_passes_alone_passes_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = a_run(tmp_path, passes=PASSES_AGAIN, sound="def test_sound():\n    pass\n")
    assert second_look.main(cache, tmp_path) == 0
    told = capsys.readouterr().out
    assert "PASSED ONLY ALONE, each wants to be mended:\ntests/test_passes.py::test_of" in told
    assert "test_sound" not in told


def test_what_fails_again_has_failed(tmp_path: Path) -> None:
    cache = a_run(tmp_path, passes=PASSES_AGAIN, fails=FAILS_AGAIN)
    assert second_look.main(cache, tmp_path) == 1


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({f"passes{n}": PASSES_AGAIN.replace("seen", f"seen{n}") for n in range(4)}, "4 files"),
        ({"broken": "import nothing_of_this_name\n"}, "did not come to its end"),
        ({"sound": "def test_sound():\n    pass\n"}, "pytest ended with 0"),
    ],
    ids=["too many files", "a file that cannot be read", "nothing failed"],
)
def test_there_is_no_second_look(
    files: dict[str, str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert second_look.main(a_run(tmp_path, **files), tmp_path) == 1
    assert why in capsys.readouterr().out


def test_a_run_that_broke_off_gets_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = a_run(tmp_path, passes=PASSES_AGAIN)
    (cache / "v" / second_look.STATUS).write_text(json.dumps(3))
    assert second_look.main(cache, tmp_path) == 1
    assert "pytest ended with 3" in capsys.readouterr().out
