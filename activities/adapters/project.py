"""The project's own commands (migrating, generating), run in a copy of its workspace."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from activities.adapters.processes import TAIL, Finished, run
from activities.scratch import scratch
from slipway.errors import SlipwayError

_VERSION_DEADLINE = 20.0


class Project:
    """Runs commands with a home of their own and nothing of the worker's secrets."""

    async def run(
        self,
        command: Sequence[str],
        workspace: Path,
        *,
        deadline: float,
        given: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
        keep: int = TAIL,
    ) -> Finished:
        """Run a command in a workspace and return what it left.

        `given`: variables beside the few that every command needs; `secrets` are never repeated;
        `keep`: bytes of output kept.
        Raises SlipwayError when the program is missing, DeadlinePassed after `deadline` seconds.
        """
        async with scratch("home") as home:
            env = {**_environment(str(home)), **(given or {})}
            return await run(
                command, env=env, cwd=workspace, secrets=secrets, deadline=deadline, keep=keep
            )

    def beside(self, program: str) -> str:
        """Return the path of a program that was installed with slipway, else its name alone."""
        return shutil.which(program, path=str(Path(sys.executable).parent)) or program

    async def version(self, program: str) -> str:
        """Return what a program says its version is; the empty text when it cannot be run."""
        if shutil.which(program) is None:
            return ""
        try:
            async with scratch("version") as folder:
                done = await self.run([program, "--version"], folder, deadline=_VERSION_DEADLINE)
        except SlipwayError:
            return ""
        words = done.stdout.split()
        return words[-1] if done.code == 0 and words else ""


def _environment(home: str) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": home,
        "TMPDIR": home,
        "LC_ALL": "C.UTF-8",
        "CI": "true",
        "NO_COLOR": "1",
        "npm_config_manage_package_manager_versions": "false",
        "npm_config_update_notifier": "false",
        "npm_config_verify_deps_before_run": "false",
    }
