"""Every workflow a worker serves."""

from workflows.aftercare import Aftercare
from workflows.inquiries import Doctor, FindDeployments, Report
from workflows.production_deployment import ProductionDeployment
from workflows.rollback import Rollback

WORKFLOWS: list[type] = [
    ProductionDeployment,
    Rollback,
    Aftercare,
    Report,
    Doctor,
    FindDeployments,
]
