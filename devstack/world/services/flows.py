"""What the services do: the endpoints of critical functions and smoke flows."""

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from devstack.world.services.http import HttpError, Request, Response
from devstack.world.services.pool import Pool

_BAD_WORDS = ("hate", "threat", "password")
_PAGE = """<!doctype html>
<html lang="en"><head><title>TEEI Corp Cockpit</title></head>
<body><div id="app" data-version="cockpit">TEEI Corp Cockpit</div></body></html>
"""


@dataclass(frozen=True)
class Call:
    """One request to one endpoint."""

    request: Request
    db: Pool
    parts: dict[str, str]
    """What the path's `{names}` stand for."""
    stores: bool
    """False in a version that accepts and forgets."""

    def number(self, name: str, default: int) -> int:
        """Return a number of the query. Raises HttpError 400."""
        text = self.request.query.get(name, str(default))
        return _number(text, name)


Endpoint = Callable[[Call], Awaitable[Response]]


async def login(call: Call) -> Response:
    """Email and password to a session token."""
    body = call.request.json()
    rows = await call.db.run(
        "SELECT id FROM users WHERE email = %s AND password_hash ="
        " sha256(convert_to(password_salt || %s, 'UTF8'))",
        [str(body.get("email", "")), str(body.get("password", ""))],
    )
    if not rows:
        raise HttpError(401, "email or password is wrong")
    token = secrets.token_urlsafe(24)
    await call.db.run(
        "INSERT INTO login_sessions (user_id, token_hash, expires_at)"
        " VALUES (%s, %s, now() + interval '1 hour')",
        [rows[0]["id"], hashlib.sha256(token.encode()).digest()],
    )
    return Response.of({"token": token, "user": rows[0]["id"]})


async def me(call: Call) -> Response:
    """Who the bearer of a token is."""
    return Response.of(await _bearer(call))


async def organisations(call: Call) -> Response:
    """The first organisations."""
    rows = await call.db.run("SELECT id, name, country FROM organisations ORDER BY id LIMIT 20")
    return Response.of({"count": len(rows), "items": rows})


async def profile(call: Call) -> Response:
    """One person's profile."""
    query = "SELECT id, display_name, role::text, profile FROM users WHERE id = %s"
    return await _one(call, query, _number(call.parts["id"], "id"))


async def profiles(call: Call) -> Response:
    """Some profiles."""
    return await _some(call, "SELECT id, display_name FROM users ORDER BY id LIMIT 20")


async def matches(call: Call) -> Response:
    """A participant's buddies."""
    rows = await call.db.run(
        "SELECT id, buddy_id, state::text, score::float8 FROM buddy_matches"
        " WHERE participant_id = %s",
        [call.number("participant", 1)],
    )
    return Response.of({"count": len(rows), "items": rows})


async def match(call: Call) -> Response:
    """One match."""
    query = "SELECT id, state::text, tags FROM buddy_matches WHERE id = %s"
    return await _one(call, query, _number(call.parts["id"], "id"))


async def ask(call: Call) -> Response:
    """Answers a question and keeps it."""
    question = str(call.request.json().get("question", ""))[:500]
    if not question:
        raise HttpError(400, "a question is missing")
    answer = f"Here is what helped others with: {question}"
    rows = await call.db.run(
        "INSERT INTO q2q_messages (user_id, question, answer, confidence)"
        " VALUES (1, %s, %s, 0.912) RETURNING id",
        [question, answer],
    )
    return Response.of({"id": rows[0]["id"], "answer": answer, "confidence": 0.912})


async def answers(call: Call) -> Response:
    """The latest answers."""
    return await _some(call, "SELECT id, question FROM q2q_messages ORDER BY id DESC LIMIT 20")


async def moderate(call: Call) -> Response:
    """Says whether a text may be shown."""
    text = str(call.request.json().get("text", "")).lower()
    found = [word for word in _BAD_WORDS if word in text]
    return Response.of({"verdict": "blocked" if found else "allowed", "categories": found})


async def flags(call: Call) -> Response:
    """Open safety flags."""
    query = (
        "SELECT id, category, severity FROM safety_flags WHERE NOT resolved ORDER BY id LIMIT 20"
    )
    return await _some(call, query)


async def dashboard(call: Call) -> Response:
    """An organisation's dashboard; needs a token."""
    await _bearer(call)
    number = call.number("organisation", 1)
    found = await call.db.run(
        "SELECT o.name, (SELECT count(*) FROM users u WHERE u.organisation_id = o.id)"
        " AS participants FROM organisations o WHERE o.id = %s",
        [number],
    )
    if not found:
        raise HttpError(404, "no such organisation")
    return Response.of(
        {
            "organisation": found[0]["name"],
            "participants": found[0]["participants"],
            "impact": await _impact(call, number),
        }
    )


async def metrics_summary(call: Call) -> Response:
    """Impact over all organisations; no token needed."""
    return Response.of({"impact": await _impact(call, call.number("organisation", 1))})


async def journey(call: Call) -> Response:
    """A person's journey."""
    query = "SELECT user_id, stage, milestones FROM journeys WHERE user_id = %s"
    return await _one(call, query, _number(call.parts["user"], "user"))


async def notifications(call: Call) -> Response:
    """People whose journey has something to tell."""
    return await _some(call, "SELECT user_id, stage FROM journeys ORDER BY id LIMIT 20")


async def ingest(call: Call) -> Response:
    """Stores one event; the same key again changes nothing."""
    body = call.request.json()
    key = str(body.get("key", ""))[:200]
    if not key:
        raise HttpError(400, "a key is missing")
    if call.stores:
        await call.db.run(
            "INSERT INTO ingestion_events (key, source, payload) VALUES (%s, %s, %s)"
            " ON CONFLICT (key) DO NOTHING",
            [key, str(body.get("source", "api"))[:50], Jsonb(body.get("payload", {}))],
        )
    return Response.of({"accepted": key}, 202)


async def event(call: Call) -> Response:
    """One stored event."""
    rows = await call.db.run(
        "SELECT key, source, payload FROM ingestion_events WHERE key = %s", [call.parts["key"]]
    )
    if not rows:
        raise HttpError(404, "no such event")
    return Response.of(rows[0])


async def make_report(call: Call) -> Response:
    """Makes a report from an organisation's impact and stores it."""
    body = call.request.json()
    number = _number(str(body.get("organisation", "")), "organisation")
    impact = await _impact(call, number)
    if not call.stores:
        return Response.of({"id": 0, "sections": len(impact)}, 201)
    content = {"impact": impact, "sections": len(impact)}
    rows = await call.db.run(
        "INSERT INTO reports (organisation_id, title, content, document, cost)"
        " VALUES (%s, %s, %s, %s, 0) RETURNING id",
        [
            number,
            str(body.get("title", "Impact report"))[:200],
            Jsonb(content),
            repr(impact).encode(),
        ],
    )
    return Response.of({"id": rows[0]["id"], "sections": len(impact)}, 201)


async def report(call: Call) -> Response:
    """One stored report."""
    query = "SELECT id, title, content, octet_length(document) AS bytes FROM reports WHERE id = %s"
    return await _one(call, query, _number(call.parts["id"], "id"))


async def page(call: Call) -> Response:
    """The cockpit's page."""
    return Response(200, _PAGE.encode(), "text/html; charset=utf-8")


async def assets(call: Call) -> Response:
    """The cockpit's script."""
    return Response(200, b"export {};\n", "text/javascript")


_GET, _POST = "GET", "POST"
ENDPOINTS: dict[str, dict[tuple[str, str], Endpoint]] = {
    "api-gateway": {
        (_POST, "/auth/login"): login,
        (_GET, "/auth/me"): me,
        (_GET, "/api/organisations"): organisations,
    },
    "unified-profile": {(_GET, "/profiles/{id}"): profile, (_GET, "/profiles"): profiles},
    "buddy": {(_GET, "/matches"): matches, (_GET, "/matches/{id}"): match},
    "q2q-ai": {(_POST, "/ask"): ask, (_GET, "/answers"): answers},
    "safety-moderation": {(_POST, "/moderate"): moderate, (_GET, "/flags"): flags},
    "analytics": {(_GET, "/dashboard"): dashboard, (_GET, "/metrics-summary"): metrics_summary},
    "journey": {(_GET, "/journeys/{user}"): journey, (_GET, "/notifications"): notifications},
    "impact-in": {(_POST, "/ingest"): ingest, (_GET, "/events/{key}"): event},
    "reporting": {(_POST, "/reports"): make_report, (_GET, "/reports/{id}"): report},
    "corp-cockpit": {(_GET, "/"): page, (_GET, "/assets"): assets},
}
"""Method and path of each endpoint, service by service. Every service but the cockpit also has
`GET /health`."""


def find(service: str, method: str, path: str) -> tuple[str, Endpoint, dict[str, str]] | None:
    """Return the route, the endpoint and the path's parts, or None when there is none."""
    wanted = path.strip("/").split("/")
    for (verb, route), endpoint in ENDPOINTS.get(service, {}).items():
        pattern = route.strip("/").split("/")
        if verb != method or len(pattern) != len(wanted):
            continue
        pairs = list(zip(pattern, wanted, strict=True))
        if all(one.startswith("{") or one == other for one, other in pairs):
            parts = {one[1:-1]: other for one, other in pairs if one.startswith("{")}
            return route, endpoint, parts
    return None


async def _bearer(call: Call) -> dict[str, Any]:
    scheme, _, token = call.request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise HttpError(401, "a token is missing")
    rows = await call.db.run(
        "SELECT u.id, u.email FROM login_sessions s JOIN users u ON u.id = s.user_id"
        " WHERE s.token_hash = %s AND s.expires_at > now()",
        [hashlib.sha256(token.encode()).digest()],
    )
    if not rows:
        raise HttpError(401, "the token is unknown or old")
    return rows[0]


async def _impact(call: Call, organisation: int) -> dict[str, float]:
    rows = await call.db.run(
        "SELECT dimension, total::float8 FROM organisation_impact WHERE organisation_id = %s"
        " ORDER BY dimension",
        [organisation],
    )
    return {row["dimension"]: row["total"] for row in rows}


async def _one(call: Call, query: Any, number: int) -> Response:
    rows = await call.db.run(query, [number])
    if not rows:
        raise HttpError(404, "not found")
    return Response.of(rows[0])


async def _some(call: Call, query: Any) -> Response:
    rows = await call.db.run(query)
    return Response.of({"count": len(rows), "items": rows})


def _number(text: str, name: str) -> int:
    if not text.isdigit() or len(text) > 9:
        raise HttpError(400, f"{name} is not a number")
    return int(text)
