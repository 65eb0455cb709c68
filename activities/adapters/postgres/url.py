"""Addresses of PostgreSQL databases, parsed here, because libpq prints passwords in its errors."""

from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from activities.adapters import references
from slipway.errors import BadInput
from slipway.pg_commands import Where
from slipway.verdicts import Reason

_TLS = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "channel_binding": "PGCHANNELBINDING",
}
_KNOWN = {*_TLS, "host"}
_LONGEST = 4096
_CONNECT_TIMEOUT = 5
"""Seconds, of connections to a database that say nothing else."""


@dataclass(frozen=True)
class Target:
    """A database, who logs in, and how. The password is never shown."""

    host: str
    port: int
    user: str
    database: str
    password: str = field(default="", repr=False)
    tls: tuple[tuple[str, str], ...] = ()

    @property
    def where(self) -> Where:
        """The same without the password."""
        return Where(self.host, self.port, self.user, self.database)

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"database {self.database} on {self.host}:{self.port}"

    def on(self, database: str) -> "Target":
        """Return the same server and role, another database."""
        return replace(self, database=database)

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for psycopg."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password or None,
            "dbname": self.database,
            "connect_timeout": _CONNECT_TIMEOUT,
            **dict(self.tls),
        }

    def environment(self) -> dict[str, str]:
        """Variables for libpq tools: encryption only, nothing secret."""
        return {_TLS[key]: value for key, value in self.tls}

    def url_by(self, host: str, port: int, user: str, password: str) -> str:
        """Return an address (it holds the password) of this database by another way and role."""
        who = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"postgresql://{who}@{host}:{port}/{quote(self.database, safe='')}?sslmode=disable"


def resolve_target(reference: str) -> Target:
    """Return what a reference to a database address leads to. Raises BadInput naming it."""
    return parse_target(references.resolve(reference), reference)


def parse_target(text: str, name: str) -> Target:
    """Parse `postgresql://user:password@host:port/database?sslmode=…`.

    `name` stands for the address in messages; no part of the address is ever repeated in one.
    """
    try:
        return _parse(text)
    except ValueError as error:
        # only sentences of our own are repeated: the standard library quotes what it cannot parse
        why = str(error) if isinstance(error, _Wrong) else "its host or port is malformed"
        raise BadInput(
            f"{name} is no address of a PostgreSQL database: {why}.",
            "Write postgresql://user:password@host:5432/database, special characters as %XX.",
            reason=Reason.ENVIRONMENT_NOT_READY,
        ) from None


class _Wrong(ValueError):
    """A sentence that repeats nothing of the address."""


def _parse(text: str) -> Target:
    if len(text) > _LONGEST or any(ord(letter) < 33 for letter in text):
        raise _Wrong("it is too long or holds blanks")
    parts = urlsplit(text)
    if parts.scheme not in ("postgresql", "postgres") or parts.fragment:
        raise _Wrong("it must begin with postgresql:// and have no fragment")
    login, at, _ = parts.netloc.rpartition("@")
    if not at or "@" in login or not parts.username:
        raise _Wrong("it must name a user, and an @ in the password must be written %40")
    database = unquote(parts.path.removeprefix("/"))
    if not database or "/" in database or "=" in database:
        raise _Wrong("it must name one database")
    options = _options(parts.query)
    host = options.pop("host", "") or unquote(parts.hostname or "")
    if not host or "," in host:
        raise _Wrong("it must name one host")
    return Target(
        host=host,
        port=parts.port or 5432,
        user=unquote(parts.username),
        database=database,
        password=unquote(parts.password or ""),
        tls=tuple(sorted(options.items())),
    )


def _options(query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=20)
    options = dict(pairs)
    if len(options) != len(pairs) or options.keys() - _KNOWN:
        raise _Wrong(f"of the options only {', '.join(sorted(_KNOWN))} are known, each once")
    return options
