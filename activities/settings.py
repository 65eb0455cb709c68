"""Reading the versions of the ConfigMaps and Secrets that pod templates name."""

import asyncio
from typing import TYPE_CHECKING

from slipway.errors import Forbidden
from slipway.judgements import settings
from slipway.judgements.workload import Raw
from slipway.messages.record import Setting, SettingKind

if TYPE_CHECKING:
    from activities.adapters.cluster import Cluster


class Settings:
    """Settings of one cluster. A right that is missing keeps nothing from going on: the setting is
    unread then, and says so."""

    def __init__(self, cluster: "Cluster") -> None:
        """`cluster` holds them."""
        self._cluster = cluster

    async def of(self, namespace: str, template: Raw) -> list[Setting]:
        """Return the version of each setting that a template names."""
        names = settings.named(template)
        return list(await asyncio.gather(*(self._one(namespace, *one) for one in names)))

    async def changed(self, namespace: str, template: Raw, then: list[Setting]) -> str:
        """Return in words what differs from then, and what nobody can tell; empty: nothing."""
        if not then:
            return ""
        now = await self.of(namespace, template)
        return settings.told(settings.changes(then, now)) + settings.uncompared(then)

    async def _one(self, namespace: str, kind: SettingKind, name: str) -> Setting:
        try:
            if kind == settings.SECRET:
                found = await self._cluster.secret_metadata(namespace, name)
                return settings.secret(name, found)
            return settings.config_map(name, await self._cluster.config_map(namespace, name))
        except Forbidden as error:
            return settings.unread(kind, name, error.what.rstrip("."))
