"""An environment: a name, two namespaces, two databases, a bucket prefix, ports. Several live side
by side on one stack; each is described by `environments/<name>/environment.json`."""

import re
import secrets
import shutil
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from devstack import ports
from devstack.errors import StackError
from devstack.locks import exclusive
from devstack.world import cluster, layout
from devstack.world.catalog import SERVICES
from devstack.world.database import access, copies, templates
from devstack.world.images import image

if TYPE_CHECKING:
    from devstack.stack import Stack

_NAME = re.compile(r"^[a-z][a-z0-9]{0,15}$")
PRODUCTION, STAGING = "production", "staging"
LIVE_VERSION, NEXT_VERSION = "1.0.0", "1.1.0"
FILE = "environment.json"
_REMOVING = "removing.json"
"""The description while its environment is being removed; a broken removal goes on from it."""


@dataclass(frozen=True)
class Environment:
    """Everything by which an environment is found."""

    name: str
    time_scale: float
    namespace: str
    staging_namespace: str
    database: str
    staging_database: str
    bucket: str
    bucket_prefix: str
    ports: dict[str, dict[str, int]]
    """`production` and `staging`: port of each service that has one."""
    folder: str

    @property
    def path(self) -> Path:
        """The environment's folder."""
        return Path(self.folder)

    @property
    def acked_log(self) -> Path:
        """The writer's log: one line per acknowledged row."""
        return self.path / "acked.log"

    @property
    def digest_table(self) -> Path:
        """Digest to fault, for images whose tag does not say it."""
        return self.path / "digests.json"

    def url(self, service: str, stage: str = PRODUCTION) -> str:
        """Return the address of a service."""
        return f"http://127.0.0.1:{self.ports[stage][service]}"

    def save(self) -> None:
        """Write the description and `addresses.json`; the world takes it up from there."""
        addresses = {
            stage: {name: self.url(name, stage) for name in self.ports[stage]}
            for stage in self.ports
        }
        layout.write_json(self.path / "addresses.json", addresses)
        layout.write_json(self.path / FILE, asdict(self))

    @classmethod
    def load(cls, folder: Path, file: str = FILE) -> "Environment":
        """Read a description. Raises StackError when there is none."""
        try:
            values = layout.read_json(folder / file)
            return cls(**{field.name: values[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError) as error:
            raise StackError(f"No environment in {folder}: create it first.") from error


def load(stack: "Stack", name: str) -> Environment:
    """Return an environment by name. Raises StackError when there is none."""
    return Environment.load(layout.environment_folder(stack, name))


def create(
    stack: "Stack", name: str, *, time_scale: float = 15.0, wait: bool = True
) -> Environment:
    """Create an environment, or complete what there is of it; return it when it serves.

    Production runs 1.0.0 and staging 1.1.0. `wait=False` returns before the pods and listeners
    are up (the world process may not run yet).
    """
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is no name for an environment: up to 16 of a-z and 0-9")
    folder = layout.environment_folder(stack, name)
    with exclusive(layout.root(stack) / "environments.lock"):
        made = _load_or_new(stack, folder, name, time_scale)
    size = templates.megabytes()
    copies.ensure_production(stack, made.database, size)
    copies.ensure_staging(stack, made.staging_database, size)
    _write_addresses_of_databases(stack, made)
    staged = {service.name: image(service.name, NEXT_VERSION) for service in SERVICES}
    cluster.ensure(stack, made.namespace, made.staging_namespace, LIVE_VERSION, staged)
    if wait:
        wait_until_served(stack, made)
        wait_until_measured(stack, made)
    return made


def destroy(stack: "Stack", name: str) -> None:
    """Remove an environment: its namespaces, databases and folder. Its backups stay locked."""
    folder = layout.environment_folder(stack, name)
    if (folder / FILE).exists():
        (folder / FILE).replace(folder / _REMOVING)  # the world lets go of it at once
    made = Environment.load(folder, _REMOVING)
    cluster.remove(stack, [made.namespace, made.staging_namespace])
    copies.drop_all(stack, made.database)
    for namespace in (made.namespace, made.staging_namespace):
        shutil.rmtree(layout.pod_log(stack, namespace, "any").parent, ignore_errors=True)
    shutil.rmtree(folder)
    shutil.rmtree(layout.root(stack) / "artifacts" / name, ignore_errors=True)


def reset(stack: "Stack", name: str) -> Environment:
    """Destroy an environment and create it anew with the same name and time scale."""
    time_scale = load(stack, name).time_scale
    destroy(stack, name)
    return create(stack, name, time_scale=time_scale)


def wait_until_served(stack: "Stack", made: Environment, *, deadline: float = 300.0) -> None:
    """Wait until every pod is ready and every listener answers healthy.

    Raises StackError that names what does not.
    """
    cluster.wait_ready(stack, [made.namespace, made.staging_namespace], deadline=deadline)
    until = time.monotonic() + deadline
    with httpx.Client(timeout=3.0, trust_env=False) as client:
        for stage, listeners in made.ports.items():
            for service in listeners:
                address = made.url(service, stage)
                while not _healthy(client, address, service):
                    if time.monotonic() > until:
                        raise StackError(
                            f"{service} ({stage}) does not answer at {address}: "
                            "look at the world's log in the stack's folder."
                        )
                    time.sleep(0.1)


def wait_until_measured(stack: "Stack", made: Environment, *, deadline: float = 300.0) -> None:
    """Wait until Prometheus has scraped both namespaces. Raises StackError when it does not."""
    until = time.monotonic() + deadline
    with httpx.Client(base_url=stack.prometheus_url, timeout=5.0, trust_env=False) as client:
        for namespace in (made.namespace, made.staging_namespace):
            query = f'count(count_over_time(http_requests_total{{namespace="{namespace}"}}[10s]))'
            while not _any(client, query):
                if time.monotonic() > until:
                    raise StackError(
                        f"Prometheus has no series of {namespace}: look at {stack.prometheus_url}."
                    )
                time.sleep(0.2)


def _any(client: httpx.Client, query: str) -> bool:
    try:
        answer = client.get("/api/v1/query", params={"query": query})
        return bool(answer.json()["data"]["result"])
    except (httpx.HTTPError, ValueError, KeyError):
        return False


def _healthy(client: httpx.Client, address: str, service: str) -> bool:
    path = "/" if service == "corp-cockpit" else "/health"
    try:
        return client.get(address + path).status_code == 200
    except httpx.HTTPError:
        return False


def _load_or_new(stack: "Stack", folder: Path, name: str, time_scale: float) -> Environment:
    if (folder / FILE).exists():
        return Environment.load(folder)
    plain = name == "demo"
    made = Environment(
        name=name,
        time_scale=time_scale,
        namespace=PRODUCTION if plain else f"{name}-{PRODUCTION}",
        staging_namespace=STAGING if plain else f"{name}-{STAGING}",
        database=f"teei_{name}",
        staging_database=f"teei_{name}_staging",
        bucket=stack.bucket,
        bucket_prefix="production/" if plain else f"{name}-{secrets.token_hex(3)}/",
        ports=_choose_ports(stack),
        folder=str(folder),
    )
    made.save()
    return made


def _choose_ports(stack: "Stack") -> dict[str, dict[str, int]]:
    taken = {
        f"taken-{port}": port
        for file in layout.environments(stack).glob(f"*/{FILE}")
        for listeners in layout.read_json(file)["ports"].values()
        for port in listeners.values()
    }
    http = [service.name for service in SERVICES if service.has_http]
    wanted = [f"{stage}/{name}" for stage in (PRODUCTION, STAGING) for name in http]
    chosen = ports.choose([*taken, *wanted], taken)
    return {
        stage: {name: chosen[f"{stage}/{name}"] for name in http} for stage in (PRODUCTION, STAGING)
    }


def _write_addresses_of_databases(stack: "Stack", made: Environment) -> None:
    """Write the connection addresses, password included, into private files."""
    folder = made.path / "secrets"
    wanted = (
        (access.ADMIN, made.database),
        (access.ADMIN, access.CONTROL),
        (access.PROBE, made.database),
        (access.STAGING, made.staging_database),
    )
    for role, database in wanted:
        access.url_file(stack, folder, role, database)
