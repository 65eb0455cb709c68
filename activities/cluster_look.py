"""A look at the cluster: rights, version, Deployments, and what its services answer now."""

import asyncio
from typing import TYPE_CHECKING

from activities.looks import block
from activities.probing import Prober
from slipway.errors import Absent
from slipway.judgements import capturing, settings
from slipway.judgements import environment as wanted
from slipway.judgements import workload as objects
from slipway.judgements.versions import judge_version
from slipway.messages.preflight import Finding, Group
from slipway.plan import Plan, Service

if TYPE_CHECKING:
    from activities.adapters.cluster import Cluster
    from activities.adapters.http import Http

_TRIES = 3
_PAUSE = 1.0


class ClusterLook:
    """Reads; the API server is asked for rights by reviews, which leave nothing."""

    def __init__(self, cluster: "Cluster", http: "Http", plan: Plan) -> None:
        self._cluster = cluster
        self._prober = Prober(http, cluster)
        self._plan = plan

    async def production_rights(self) -> list[Finding]:
        """Return the rights missing in production's namespace."""
        namespace = self._plan.kubernetes.namespace
        return await self._rights(namespace, wanted.PRODUCTION_RIGHTS, "cluster")

    async def staging_rights(self) -> list[Finding]:
        """Return the rights missing in staging's namespace."""
        return await self._rights(self._plan.staging.namespace, wanted.STAGING_RIGHTS, "staging")

    async def _rights(
        self, namespace: str, rights: tuple[wanted.Right, ...], group: Group
    ) -> list[Finding]:
        given = await asyncio.gather(*(self._cluster.may(namespace, one) for one in rights))
        lacking = [one for one, may in zip(rights, given, strict=True) if not may]
        return wanted.missing_rights(namespace, lacking, group)

    async def version(self) -> list[Finding]:
        """Return a note when Kubernetes is another version than the one that was tried."""
        return judge_version("Kubernetes", await self._cluster.version())

    async def deployments(self) -> list[Finding]:
        """Return what keeps a Deployment from being replaced safely."""
        found = await asyncio.gather(*(self._deployment(one) for one in self._plan.services))
        return [one for part in found for one in part]

    async def _deployment(self, service: Service) -> list[Finding]:
        """Look up to three times: a Deployment may be restless for a moment."""
        wrong: list[str] = []
        for number in range(_TRIES):
            if number:
                await asyncio.sleep(_PAUSE)
            try:
                found = await self._cluster.get_deployment(
                    self._plan.kubernetes.namespace, service.workload
                )
            except Absent as error:
                return [block("cluster", error.what, error.remedy)]
            wrong = capturing.refusals(found, service.container)
            if not wrong:
                break
        return [block("cluster", one, "") for one in wrong]

    async def settings(self) -> list[Finding]:
        """Note the ConfigMaps and Secrets of the services whose versions slipway may not read."""
        namespace = self._plan.kubernetes.namespace
        found = await self._cluster.list_deployments(namespace)
        ours = {one.workload for one in self._plan.services}
        templates = [objects.template_of(one) for one in found if objects.name_of(one) in ours]
        notes = []
        for kind, right in (
            (settings.CONFIG_MAP, wanted.CONFIG_MAPS),
            (settings.SECRET, wanted.SECRETS),
        ):
            names = settings.names_of(kind, templates)
            given = await asyncio.gather(
                *(self._cluster.may(namespace, right, name) for name in names)
            )
            lacking = [name for name, may in zip(names, given, strict=True) if not may]
            if lacking:
                notes.append(wanted.unread_settings(namespace, right, lacking))
        return notes

    async def addresses(self) -> list[Finding]:
        """Note services that do not answer at their address as they should. It stops nothing: the
        release may be what repairs them."""
        asked = [one for one in self._plan.services if one.url]
        problems = await asyncio.gather(*(self._prober.over_http(one, one.url) for one in asked))
        return [
            Finding(
                severity="note",
                group="addresses",
                what=f"{one.name} does not answer as it should at {one.url}: {problem}.",
                remedy="Correct its `url` in the plan, unless this release is to repair it.",
            )
            for one, problem in zip(asked, problems, strict=True)
            if problem
        ]
