"""Whether the database servers offer what backup, migration and rollback need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from slipway.judgements.database_obstacles import Obstacle
from slipway.judgements.database_rights import DatabaseRight, Login
from slipway.messages.preflight import Finding, Group
from slipway.plan import Plan

_SHOWN = 5
_DENIED = "42501"
_NOT_YET = ("42P01", "42703", "3F000")
"""No such table, column, schema."""


@dataclass(frozen=True)
class Met:
    """An obstacle that stands in the way: its cases, each with what removes it."""

    obstacle: Obstacle
    cases: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Standing:
    """A database as one of slipway's logins sees it."""

    login: Login
    database: str
    role: str
    server: str
    """When the server started: the same for two logins of one server."""
    server_version: str
    server_major: int
    size: int
    """Bytes."""
    local_setting: str
    pooled: bool
    """Whether something between slipway and the server answers in the server's name."""
    lacking: tuple[DatabaseRight, ...] = ()
    met: tuple[Met, ...] = ()


@dataclass(frozen=True)
class Room:
    """Free disk somewhere and what a backup needs there. Bytes; None: it cannot be asked."""

    group: Group
    where: str
    free: int | None
    needed: int
    remedy: str = ""
    """Where freeing something there would not help."""


def names_of(plan: Plan, standing: Standing) -> dict[str, str]:
    """Return what rights and obstacles are written with. Names come quoted from the server."""
    ledger = plan.migrations.ledger
    return {
        "role": standing.role,
        "owner": plan.database.owner,
        "database": standing.database,
        "ledger": ledger,
        "ledger_schema": ledger.partition(".")[0],
    }


def logins_of(plan: Plan) -> list[Login]:
    """Return the logins that a plan has."""
    return [one for one in Login if one is not Login.RESTORE or plan.database.restore_server]


def judge_rights(standing: Standing, plan: Plan) -> list[Finding]:
    """Return every missing right of a login, with the statement that grants it."""
    names = names_of(plan, standing)
    return [
        Finding(
            severity="block" if one.blocks else "note",
            group=group_of(one.login),
            what=f"Role {one.whose} may not {one.what}: {one.why}.".format(**names),
            remedy=as_administrator(
                one.statement(standing.server_major).format(**names), _place_of(standing)
            ),
        )
        for one in standing.lacking
    ]


def _place_of(standing: Standing) -> str:
    there = f" of {standing.login.value}" if standing.login is Login.RESTORE else ""
    return f"{standing.database}{there}"


def as_administrator(statement: str, database: str) -> str:
    """Return the remedy for a missing right."""
    return f"Run as administrator in database {database}: {statement}"


def judge_obstacles(standing: Standing, plan: Plan) -> list[Finding]:
    """Return everything that stands in the way, with what removes it."""
    names = names_of(plan, standing)
    found = []
    for one in standing.met:
        cases = [case for case, _ in one.cases]
        more = f" and {len(cases) - _SHOWN} more" if len(cases) > _SHOWN else ""
        said = {**names, "names": ", ".join(cases[:_SHOWN]) + more}
        remedies = dict.fromkeys(_filled(remedy, names) for _, remedy in one.cases[:_SHOWN])
        found.append(
            Finding(
                severity="block" if one.obstacle.blocks else "note",
                group=group_of(one.obstacle.login),
                what=f"{_filled(one.obstacle.what, said)} Why: {one.obstacle.why}.",
                remedy=" ".join(remedies),
            )
        )
    return found


def _filled(text: str, names: Mapping[str, str]) -> str:
    """Fill in names; braces of anything else (an object's name) are left alone."""
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def judge_logins(standings: Mapping[Login, Standing], plan: Plan) -> list[Finding]:
    """Return where the logins lead that is not where the plan says."""
    production, name = standings.get(Login.PRODUCTION), plan.database.name
    found = [_pooled(one) for one in standings.values() if one.pooled]
    if production is None:
        return found
    if production.database != name:
        found.append(
            _address(
                f"database.url opens {production.database}, the plan names {name}.",
                "Correct the reference or the name.",
            )
        )
    control = standings.get(Login.CONTROL)
    if control is not None:
        found += _control(production, control, name)
    probe = standings.get(Login.PROBE)
    if probe and (probe.server, probe.database) != (production.server, production.database):
        found.append(
            _address(
                "database.probe_url opens another database than database.url.",
                "Correct the reference: the probes would look at other data.",
            )
        )
    return found


def _control(production: Standing, control: Standing, name: str) -> list[Finding]:
    found = []
    if control.server != production.server or control.database == name:
        found.append(
            _address(
                f"database.admin_url opens {control.database}.",
                "Let it open another database of the same server: it must stay open while "
                f"{name} is closed and renamed.",
            )
        )
    if control.role != production.role:
        found.append(
            _address(
                f"database.admin_url logs in as {control.role}, database.url as {production.role}.",
                "Let both log in as the same role: its rights are what is checked here.",
            )
        )
    return found


def _pooled(standing: Standing) -> Finding:
    return _address(
        f"{standing.login} leads through a connection pooler, such as PgBouncer.",
        "Let it lead to the server itself: locks, snapshots and a role's settings belong to a "
        "session, which a pooler gives to others.",
    )


def judge_tools(server_major: int, tools: Mapping[str, int]) -> list[Finding]:
    """Return the client tools of another major version: their dumps may not restore there."""
    return [
        Finding(
            severity="block",
            group="worker",
            what=f"{name} is version {major}, the server is version {server_major}.",
            remedy=f"Install the PostgreSQL {server_major} client tools and set SLIPWAY_PG_BIN to "
            "their folder.",
        )
        for name, major in tools.items()
        if major != server_major
    ]


def judge_probes(refused: Sequence[tuple[str, str]], standing: Standing) -> list[Finding]:
    """Return the corruption probes that could not be run, by what the server says of them."""
    found = []
    for name, error in refused:
        what = f"The corruption probe `{name}` cannot be run: {error}."
        severity: Literal["block", "note"] = "block"
        remedy = "Correct its SQL in the plan: one statement that returns one boolean."
        if _DENIED in error:
            grant = f"GRANT pg_read_all_data TO {standing.role};"
            remedy = as_administrator(grant, standing.database)
        elif any(code in error for code in _NOT_YET):
            severity = "note"
            remedy = "Correct its SQL in the plan, unless a pending migration brings what it names."
        found.append(Finding(severity=severity, group="database", what=what, remedy=remedy))
    return found


def judge_room(rooms: Sequence[Room]) -> list[Finding]:
    """Return where a backup and its proof have no room, or where that cannot be asked."""
    found = []
    for one in rooms:
        needed = f"{_mib(one.needed)} are needed for a backup and its proof"
        if one.free is None:
            what = f"Free disk cannot be asked {one.where}: {needed}."
            remedy = "Look there: SHOW data_directory names the folder."
            found.append(Finding(severity="note", group=one.group, what=what, remedy=remedy))
        elif one.free < one.needed:
            what = f"{_mib(one.free)} are free {one.where}, {needed}."
            elsewhere = ", or point TMPDIR elsewhere" if one.group == "worker" else ""
            remedy = one.remedy or f"Free {_mib(one.needed - one.free)} there{elsewhere}."
            found.append(Finding(severity="block", group=one.group, what=what, remedy=remedy))
    return found


@dataclass(frozen=True)
class Wal:
    """What the server keeps of its write-ahead log. Bytes."""

    at_most: int
    """`max_wal_size`: about so much stays where nothing holds it."""
    held: bool
    """Whether an archive or a replication slot holds it until it was read."""

    def of(self, size: int) -> int:
        """Return how much a restore of `size` bytes adds."""
        return size if self.held else min(size, self.at_most)


def slot_room(slot: str, left: int, needed: int) -> Room:
    """Return the room until the server gives up a replication slot: a restore writes as much."""
    where = f"until the server gives up replication slot {slot}"
    remedy = "Raise max_slot_wal_keep_size, or let the slot's reader catch up first."
    return Room("database", where, left, needed, remedy)


def _mib(size: int) -> str:
    return f"{size >> 20} MiB"


def group_of(login: Login) -> Group:
    """Return where findings about a login belong."""
    return "staging" if login is Login.STAGING else "database"


def _address(what: str, remedy: str) -> Finding:
    return Finding(severity="block", group="addresses", what=what, remedy=remedy)
