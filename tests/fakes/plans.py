"""A small plan and its release, for tests."""

from datetime import UTC, datetime
from typing import Any

from slipway.plan import Plan
from slipway.release import Release

SERVICES = ("api-gateway", "analytics")
_PINNED = {"at": "artifact:evidence/file.json", "sha256": "a" * 64}


def image(service: str, version: str = "2.0.0") -> str:
    """Return an image by digest."""
    return f"registry.teei.example/{service}:{version}@sha256:{'b' * 64}"


def small_plan(**changes: Any) -> Plan:
    """Return a valid plan of two services."""
    contact = {"name": "Ada Example", "reach": "+47 00 00 00 00"}
    plan = {
        "environment": "small",
        "kubernetes": {"namespace": "small-production"},
        "staging": {"namespace": "small-staging", "database": "env:STAGING_DATABASE_URL"},
        "database": {
            "name": "teei_small",
            "url": "env:PROD_DATABASE_URL",
            "admin_url": "env:PROD_ADMIN_URL",
            "probe_url": "env:PROD_PROBE_URL",
            "owner": "teei_owner",
        },
        "backup": {"bucket": "teei-backups", "prefix": "small/"},
        "services": [_service(name, 3017 + number) for number, name in enumerate(SERVICES)],
        "smoke": [
            {
                "name": "login",
                "service": "api-gateway",
                "steps": [{"name": "log in", "method": "POST", "path": "/auth/login"}],
            }
        ],
        "metrics": {"url": "http://127.0.0.1:9090"},
        "logs": [{"name": "database", "pattern": "SQLSTATE"}],
        "approvals": {
            "roles": {"vp": ["vp@teei.example"], "cto": ["cto@teei.example"]},
            "confirm": {
                "stakeholders-notified": ["pm@teei.example"],
                "incident-team-on-standby": ["oncall@teei.example"],
            },
        },
        "contacts": {
            "on_call": contact,
            "vp_engineering": contact,
            "cto": contact,
            "database_admin": contact,
        },
        "timings": {"slice": "5m"},  # fewer slices: every one is a skip of the clock
        "notices": {"webhook": "http://127.0.0.1:9999/notices/small"},
    }
    return Plan.model_validate({**plan, **changes})


def small_release(pending: int = 1, **changes: Any) -> Release:
    """Return a release of the small plan with so many pending migrations."""
    release = {
        "version": "2.0.0",
        "requester": "dev@teei.example",
        "summary": "Faster reports.",
        "created_at": datetime(2026, 11, 23, tzinfo=UTC).isoformat(),
        "images": {name: image(name) for name in SERVICES},
        "migrations": {
            "workspace": "artifact:workspace",
            "journal_sha256": "c" * 64,
            "pending": [
                {"tag": f"{number:04d}_change", "sha256": f"{number:064d}"}
                for number in range(pending)
            ],
        },
        "evidence": {
            "tests": [_PINNED],
            "staging": _PINNED,
            "trivy": [_PINNED],
            "snyk": [_PINNED],
            "performance": [_PINNED],
            "documentation": _PINNED,
            "release_notes": _PINNED,
            "rollback_plan": {"document": _PINNED, "test_record": _PINNED},
            "change_request": {"number": "CR-1"},
        },
    }
    return Release.model_validate({**release, **changes})


def _service(name: str, port: int) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "port": port,
        "url": f"http://127.0.0.1:{port}",
        "health": {},
    }
