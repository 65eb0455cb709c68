"""What each role serves. Adapters are built here, once, and only for the role that needs them."""

from collections.abc import Callable
from typing import Any

from worker.settings import Settings

Activity = Callable[..., Any]


def workflows() -> list[type]:
    """Return every workflow."""
    from workflows.registry import WORKFLOWS

    return WORKFLOWS


def unprivileged(settings: Settings) -> list[Activity]:
    """Return the activities that need no production credential."""
    from activities.adapters.artifacts import Artifacts
    from activities.adapters.webhook import Webhook
    from activities.gates import Gates
    from activities.keeping import Keeping
    from activities.notices import Announcements

    capabilities = (Gates(Artifacts(settings.artifacts)), Announcements(Webhook()), Keeping())
    return [method for one in capabilities for method in activities_of(one)]


def privileged(settings: Settings) -> list[Activity]:
    """Return the activities that hold production credentials."""
    from activities.adapters.artifacts import Artifacts
    from activities.adapters.browser import Browser
    from activities.adapters.cluster import Cluster
    from activities.adapters.http import Http
    from activities.adapters.loki import Loki
    from activities.adapters.object_store import ObjectStore
    from activities.adapters.postgres.adapter import Postgres
    from activities.adapters.probes import Probes
    from activities.adapters.project import Project
    from activities.adapters.prometheus import Prometheus
    from activities.backups import Backups
    from activities.checks import Checks
    from activities.database import DatabaseRollback
    from activities.fallbacks import Fallbacks
    from activities.leases import Leases
    from activities.log_source import LogSource
    from activities.migrations import DatabaseMigrations
    from activities.preflight import EnvironmentChecks
    from activities.reapply import Reapply
    from activities.record import Records
    from activities.rehearsals import Rehearsals
    from activities.rollouts import Rollouts
    from activities.shelf import Shelf
    from activities.tidying import Janitor
    from activities.watch import Watch

    cluster, store, postgres = Cluster(), ObjectStore(), Postgres()
    logs, browser = LogSource(cluster, Loki()), Browser()
    metrics, http, probes, project = Prometheus(), Http(), Probes(postgres), Project()
    capabilities: tuple[object, ...] = (
        Records(store),
        Leases(cluster),
        Backups(postgres, store),
        Shelf(postgres, store),
        Reapply(postgres, store),
        Janitor(postgres, store),
        DatabaseMigrations(postgres, Artifacts(settings.artifacts), project),
        Rehearsals(postgres, Artifacts(settings.artifacts)),
        DatabaseRollback(postgres, store),
        Fallbacks(postgres),
        Rollouts(cluster, logs),
        Watch(cluster, metrics, logs, http, probes),
        Checks(http, cluster, probes, browser),
        EnvironmentChecks(cluster, postgres, store, metrics, logs, http, project, browser),
    )
    return [method for one in capabilities for method in activities_of(one)]


def observing_workflows() -> list[type]:
    """Return the workflows of the worker that observes."""
    from workflows.registry import OBSERVING

    return OBSERVING


def observing() -> list[Activity]:
    """Return the activities of the worker that observes: each of them reads, none can write, and
    none needs a database or a bucket."""
    from activities.adapters.browser import Browser
    from activities.adapters.cluster import Cluster
    from activities.adapters.http import Http
    from activities.adapters.loki import Loki
    from activities.adapters.postgres.adapter import Postgres
    from activities.adapters.probes import Probes
    from activities.adapters.prometheus import Prometheus
    from activities.checks import Checks
    from activities.log_source import LogSource
    from activities.observing import Observing
    from activities.rollouts import Rollouts
    from activities.watch import Watch

    cluster, http, probes = Cluster(), Http(), Probes(Postgres())  # no probe is ever asked for
    logs = LogSource(cluster, Loki())
    watch = Watch(cluster, Prometheus(), logs, http, probes)
    return [
        Observing(cluster, logs).notice,
        Rollouts(cluster, logs).wait,
        Checks(http, cluster, probes, Browser()).service,
        watch.before,
        watch.slice,
    ]


def activities_of(capability: object) -> list[Activity]:
    """Return the methods of a capability that are activities, by name."""
    methods = (getattr(capability, name) for name in sorted(dir(type(capability))))
    return [one for one in methods if hasattr(one, "__temporal_activity_definition")]
