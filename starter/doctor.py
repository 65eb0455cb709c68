"""`slipway doctor`: what is in the way of a deployment, one line a finding, with its remedy."""

import json
from typing import TYPE_CHECKING, Any

from slipway import names
from slipway.judgements.versions import judge_version
from slipway.messages.preflight import Finding
from slipway.messages.requests import DoctorRequest, DoctorResult
from starter.documents import Documents
from starter.guard import OK, REFUSED
from starter.inquire import ask_worker
from starter.render import printable
from starter.session import connect

if TYPE_CHECKING:
    from temporalio.client import Client

GROUPS = ("cluster", "database", "staging", "bucket", "metrics", "worker", "addresses")
"""In the order in which they are shown."""
_WIDTH = max(len(one) for one in GROUPS)


async def doctor(documents: Documents, *, as_json: bool) -> int:
    """Let the worker look as the preflight does, and print what is in the way."""
    plan, release = documents.load()
    client = await connect()
    request = DoctorRequest(plan=plan, release=release)
    result = await ask_worker(client, names.DOCTOR_TYPE, request, DoctorResult)
    findings = in_order([*_all(result), *judge_version("Temporal", await _version(client))])
    healthy = result.staging.stable and all(one.severity == "note" for one in findings)
    if as_json:
        print(json.dumps(_data(result, findings, healthy), indent=2))
    else:
        print("\n".join(printable(line) for line in lines_of(result, findings, healthy)))
    return OK if healthy else REFUSED


async def _version(client: "Client") -> str:
    from temporalio.api.workflowservice.v1 import GetSystemInfoRequest

    answer = await client.workflow_service.get_system_info(GetSystemInfoRequest())
    return str(answer.server_version)


def in_order(findings: list[Finding]) -> list[Finding]:
    """Return what blocks first, each half in the order of the groups."""
    places = {group: number for number, group in enumerate(GROUPS)}
    return sorted(
        findings,
        key=lambda one: (one.severity != "block", places.get(one.group, len(GROUPS))),
    )


def lines_of(result: DoctorResult, findings: list[Finding], healthy: bool) -> list[str]:
    """Return everything to print: findings, the groups without any, the verdict."""
    lines = [_line(one) for one in findings]
    quiet = [group for group in GROUPS if group not in {one.group for one in findings}]
    if quiet:
        lines.append(f"✔ nothing found: {', '.join(quiet)}")
    blocking = sum(one.severity == "block" for one in findings)
    if healthy:
        staging = result.staging.because
        return [*lines, f"Ready to deploy. {staging}".strip()]
    if not blocking:  # an older worker may give its reason in this sentence alone
        return [*lines, f"Not ready: {result.staging.because}"]
    count = f"{blocking} findings are" if blocking > 1 else "one finding is"
    return [*lines, f"Not ready: {count} in the way (✘). Do what follows each →, then look again."]


def _all(result: DoctorResult) -> list[Finding]:
    """Findings of both looks; those of the look at staging belong to it."""
    staging = [
        one if one.group else one.model_copy(update={"group": "staging"})
        for one in result.staging.findings
    ]
    return [*result.environment.findings, *staging]


def _line(one: Finding) -> str:
    sign = "✘" if one.severity == "block" else "·"
    remedy = f"  → {one.remedy}" if one.remedy else ""
    return f"{sign} {one.group or 'other':<{_WIDTH}}  {one.what}{remedy}"


def _data(result: DoctorResult, findings: list[Finding], healthy: bool) -> dict[str, Any]:
    return {
        **result.model_dump(mode="json"),
        "findings": [one.model_dump(mode="json") for one in findings],
        "healthy": healthy,
    }
