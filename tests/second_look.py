"""What failed in a whole run of the tests, once more, one after the other, with nothing beside it:
`python -m tests.second_look CACHE` (CACHE: the `cache_dir` of that run).

Thousands of tests on real servers share two cores for most of an hour, and some of them read a
real clock: a machine that stands still for seconds fails what no commit broke (decision 0019).
What fails again, or in many places, fails the run.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

STATUS = "slipway/status"
"""Where tests/conftest.py keeps with which status a run ended (pytest's cache)."""
FILES = 3
"""As many files may be looked at again: what breaks more than that is no accident."""
SECONDS = 900
_SOME_FAILED = 1  # pytest.ExitCode.TESTS_FAILED; every other status says that tests did not run


def main(cache: Path, root: Path) -> int:
    """Run again what failed; return 0 if all of it passes now, else 1."""
    failed = sorted(_kept(cache, "cache/lastfailed") or ())
    refused = _refused(failed, _kept(cache, STATUS))
    if refused:
        print(f"No second look: {refused}")
        return 1
    print("\n".join(["Failed beside other tests, run again alone:", *failed]), flush=True)
    command = [sys.executable, "-m", "pytest", "-q", "-o", f"cache_dir={cache / 'again'}", *failed]
    try:
        ended = subprocess.run(command, cwd=root, timeout=SECONDS, check=False).returncode
    except subprocess.TimeoutExpired:
        print(f"The second look took longer than {SECONDS} s.")
        return 1
    if ended:
        return 1
    print("\n".join(["PASSED ONLY ALONE, each wants to be mended:", *failed]), flush=True)
    return 0


def _refused(failed: list[str], status: object) -> str | None:
    files = {one.split("::")[0] for one in failed}
    if status != _SOME_FAILED:
        return f"the run did not come to its end (pytest ended with {status})."
    if not failed:
        return "no failed test is on record."
    if any("::" not in one for one in failed):
        return f"a file could not be read: {', '.join(sorted(files))}."
    if len(files) > FILES:
        return f"{len(files)} files failed, more than {FILES}: {', '.join(sorted(files))}."
    return None


def _kept(cache: Path, name: str) -> Any:
    """What pytest kept under a name (its cache is a folder of JSON files)."""
    path = cache / "v" / name
    return json.loads(path.read_text()) if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(__file__).parent.parent))
