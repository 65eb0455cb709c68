"""Releases for an environment: images, migrations, evidence, and the overlay of local addresses."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import yaml

from devstack.world import cluster, drizzle, evidence, layout
from devstack.world.catalog import BY_NAME, NAMES
from devstack.world.database import access, copies, templates
from devstack.world.environment import NEXT_VERSION, STAGING, Environment
from devstack.world.images import REGISTRY, digest, image
from devstack.world.kube import Kube

if TYPE_CHECKING:
    from devstack.stack import Stack

REQUESTER = "engineer@teei.com"
SMOKE_PASSWORD = "smoke-and-mirrors"
"""Password of the generated person smoke@teei.example; it opens nothing but generated data."""


def artifacts_root(stack: "Stack") -> Path:
    """Return the folder that `artifact:` references of all environments are below."""
    return layout.root(stack) / "artifacts"


def worker_environment(stack: "Stack") -> dict[str, str]:
    """Return what a worker needs in its environment beside the stack's own variables."""
    root = artifacts_root(stack)
    root.mkdir(parents=True, exist_ok=True)  # a worker refuses to start without it
    return {
        "SLIPWAY_ARTIFACTS": str(root),
        "TEEI_SMOKE_PASSWORD": SMOKE_PASSWORD,
    }


def make_release(
    stack: "Stack",
    made: Environment,
    *,
    version: str = NEXT_VERSION,
    pending: str = "one",
    faults: Mapping[str, str] | None = None,
    services: Sequence[str] = NAMES,
    gate: str | None = None,
    staging_fault: tuple[str, str] | None = None,
) -> Path:
    """Write a release with fresh evidence and bring staging to it; return the release's YAML.

    `pending` names a set of drizzle.PENDING, `faults` gives services a faulty version, `gate` names
    the gate whose evidence fails it (or `stale`), `staging_fault` a service and a fault that shows
    in staging. Staging runs the same digests and has the same migrations when this returns. Raises
    ValueError for an unknown set, service, fault or gate.
    """
    broken = dict(faults or {})
    images = {name: image(name, version, broken.pop(name, None)) for name in services}
    if broken:
        raise ValueError(f"no such service in the release: {', '.join(broken)}")
    _remember_faults(made, version, faults or {})
    folder = artifacts_root(stack) / made.name / version
    tags = drizzle.prepare(stack, folder / "workspace", pending)
    _bring_staging(stack, made, folder / "workspace", tags)
    staged = {name: _staged(name, version, images[name]) for name in faults or {}}
    if staging_fault is not None:
        name, fault = staging_fault
        staged[name] = _staged(name, f"{version}-{fault}", images[name])
    _stage_images(stack, made, images | staged)
    now = datetime.now(UTC).replace(microsecond=0)
    evidence.write(folder / "evidence", evidence.Subject(version, images, now), gate)
    document = _document(stack, folder, version, images, tags, now)
    if gate == "change_request":
        document["evidence"]["change_request"] = {"number": "TBD"}
    path = folder / "release.yaml"
    layout.write_text(path, yaml.safe_dump(document, sort_keys=False, width=120))
    return path


def write_overlay(
    stack: "Stack",
    made: Environment,
    *,
    services: Sequence[str] = NAMES,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Write the overlay that makes a TEEI plan this environment's; return its path.

    `changes` replaces parts of it.
    """
    path = made.path / "overlay.yaml"
    document = overlay(stack, made, services) | dict(changes or {})
    layout.write_json(path, document)  # YAML in quotes: a bare 00:00 would be a number
    return path


def overlay(stack: "Stack", made: Environment, services: Sequence[str]) -> dict[str, Any]:
    """Return the addresses, contacts and time scale of an environment for a plan."""
    people = ("on_call", "vp_engineering", "cto", "database_admin")
    return {
        "environment": made.name,
        "time_scale": made.time_scale,
        "kubernetes": {"namespace": made.namespace},
        "staging": {
            "namespace": made.staging_namespace,
            "database": _secret(made, access.STAGING, made.staging_database),
        },
        "database": {
            "name": made.database,
            "url": _secret(made, access.ADMIN, made.database),
            "admin_url": _secret(made, access.ADMIN, access.CONTROL),
            "probe_url": _secret(made, access.PROBE, made.database),
            "owner": access.OWNER,
        },
        "backup": {"bucket": made.bucket, "prefix": made.bucket_prefix},
        "services": [
            {"name": name, "url": made.url(name), "staging_url": made.url(name, STAGING)}
            for name in services
            if BY_NAME[name].has_http
        ],
        "metrics": {"url": stack.prometheus_url, "scrape_interval": "1s"},
        "contacts": {
            person: {
                "name": f"Demo {person.replace('_', ' ')}",
                "reach": f"{person}@demo.teei.test",
            }
            for person in people
        },
        "notices": {"webhook": f"{stack.webhook_url}/notices/{made.name}"},
    }


def _secret(made: Environment, role: str, database: str) -> str:
    return f"file:{made.path / 'secrets' / f'{role}@{database}.url'}"


def _document(
    stack: "Stack",
    folder: Path,
    version: str,
    images: Mapping[str, str],
    tags: list[str],
    now: datetime,
) -> dict[str, Any]:
    def at(relative: str) -> str:
        return f"artifact:{(folder / relative).relative_to(artifacts_root(stack))}"

    workspace = folder / "workspace"
    journal = hashlib.sha256((workspace / drizzle.JOURNAL).read_bytes()).hexdigest()
    hashes = drizzle.file_digests(workspace, tags)
    return {
        "version": version,
        "requester": REQUESTER,
        "summary": "Demonstration release of the local stack",
        "created_at": now.isoformat(),
        "images": dict(images),
        "migrations": {
            "workspace": at("workspace"),
            "journal_sha256": journal,
            "pending": [{"tag": tag, "sha256": hashes[tag]} for tag in tags],
        },
        "evidence": evidence.given(folder / "evidence", at("evidence"), images),
        "marks": ["demo"],
    }


def _remember_faults(made: Environment, version: str, faults: Mapping[str, str]) -> None:
    """Add the faulty digests to the table by which the world knows them without a tag."""
    table = layout.read_json(made.digest_table) if made.digest_table.exists() else {}
    table |= {digest(name, version, fault): fault for name, fault in faults.items()}
    layout.write_json(made.digest_table, table)


def _staged(service: str, tag: str, reference: str) -> str:
    """Return an image's digest under another tag. Production's faults show under its traffic and
    data alone, so staging's tags do not carry them, or the gates would stop every such release."""
    return f"{REGISTRY}/{service}:{tag}@{reference.partition('@')[2]}"


def _stage_images(stack: "Stack", made: Environment, images: Mapping[str, str]) -> None:
    """Let staging run the release's digests."""
    with Kube(stack) as kube:
        for name, reference in images.items():
            cluster.set_image(kube, made.staging_namespace, name, reference)
    cluster.wait_ready(stack, [made.staging_namespace])


def _bring_staging(stack: "Stack", made: Environment, workspace: Path, tags: list[str]) -> None:
    """Apply the pending migrations to staging, which begins anew when it holds others."""
    base = ["0000_platform", "0001_impact_metrics"]
    wanted = list(drizzle.file_digests(workspace, [*base, *tags]).values())
    known = _ledger(stack, made.staging_database)
    if known != wanted[: len(known)]:
        with access.taking_turns(stack) as connection:
            templates.drop(connection, made.staging_database)
        copies.ensure_staging(stack, made.staging_database, templates.megabytes())
        known = wanted[: len(base)]
    if known != wanted:
        drizzle.migrate(stack, workspace, made.staging_database)


def _ledger(stack: "Stack", database: str) -> list[str]:
    with psycopg.connect(access.url(stack, access.ADMIN, database)) as connection:
        rows = connection.execute("SELECT hash FROM drizzle.__drizzle_migrations ORDER BY id")
        return [hash_ for (hash_,) in rows.fetchall()]
