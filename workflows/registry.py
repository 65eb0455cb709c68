"""Every workflow that the workers serve."""

from workflows.aftercare import Aftercare
from workflows.fallback import Fallback
from workflows.inquiries import Doctor, FindDeployments, Report
from workflows.kept_backups import (
    ListKeptBackups,
    ReapplyRows,
    RestoreKeptBackup,
    TidyBackups,
    VerifyKeptBackup,
)
from workflows.observe import Observe
from workflows.production_deployment import ProductionDeployment
from workflows.rollback import Rollback

WORKFLOWS: list[type] = [
    ProductionDeployment,
    Rollback,
    Aftercare,
    Fallback,
    Report,
    Doctor,
    FindDeployments,
    ListKeptBackups,
    VerifyKeptBackup,
    RestoreKeptBackup,
    TidyBackups,
    ReapplyRows,
]

OBSERVING: list[type] = [Observe]
"""What the worker serves that observes, and no other one."""
