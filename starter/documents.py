"""The files a command is given: plan, release, overlay."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slipway.messages.record import Place
    from slipway.plan import Plan
    from slipway.release import Release


@dataclass(frozen=True)
class Documents:
    """The files that `check`, `doctor` and `start` read."""

    plan: Path
    release: Path
    overlay: Path | None = None

    def load(self) -> "tuple[Plan, Release]":
        """Return plan (with its overlay) and release. Raises BadInput."""
        from starter.loading import load_plan, load_release

        return load_plan(self.plan, self.overlay), load_release(self.release)


@dataclass(frozen=True)
class Lost:
    """Where the record of a deployment is found when Temporal has lost it."""

    plan: Path | None = None
    overlay: Path | None = None

    def place(self, deployment: str) -> "Place | None":
        """Return the place that the plan gives, or None without a plan. Raises BadInput."""
        if self.plan is None:
            return None
        from slipway.messages.record import Place
        from starter.loading import load_plan

        plan = load_plan(self.plan, self.overlay)
        return Place(
            bucket=plan.backup.bucket,
            prefix=plan.backup.prefix,
            environment=plan.environment,
            deployment=deployment,
        )
