"""`report`: what happened, for people to read, its artefacts verified again."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.messages.aftercare import AftercareState
from slipway.messages.requests import ReportRequest, ReportResult
from slipway.names import REPORT_TYPE
from slipway.report import Findings, report_data, report_html, report_markdown
from slipway.states import Outcome
from starter.arguments import Form
from starter.documents import Lost
from starter.guard import OK, REFUSED, UNREACHABLE, Stop
from starter.inquire import ask_worker, place_of, verified_status
from starter.lookup import Found, find_or_none
from starter.query import query
from starter.session import connect
from starter.stand import stand_of

if TYPE_CHECKING:
    from temporalio.client import Client


async def report(name: str, lost: Lost, *, form: Form, output: Path | None) -> int:
    """Print the report, or write it to a file."""
    _look_at(output)
    client = await connect()
    found = await find_or_none(client, name)
    if found is not None and not found.ended:
        findings = await _running(found)
    else:
        findings = await _ended(client, name, lost, found)
    seen = await _aftercare(client, findings.status.aftercare)
    _write(_formed(findings.model_copy(update={"aftercare": seen}), form), output)
    return OK


async def _running(found: Found) -> Findings:
    """How a deployment stands that goes on."""
    stand = await stand_of(found)
    if stand.source == "memo":
        raise Stop(
            UNREACHABLE,
            "No worker answered, and only a worker can tell what a report is made of. Start one "
            f"with: python -m worker. What is known without one: slipway status {found.id}",
        )
    because = "the deployment is still running; ask again when it has ended."
    return Findings(status=stand.status, because=because)


async def _ended(client: "Client", name: str, lost: Lost, found: Found | None) -> Findings:
    """How a deployment ended, or was cut off, by its record."""
    place = await place_of(client, name, lost)
    result = await ask_worker(client, REPORT_TYPE, ReportRequest(place=place), ReportResult)
    status = verified_status(result)
    cut_off = status.outcome is Outcome.RUNNING
    return Findings(
        status=status,
        verified_at=result.verified_at,
        artefacts=result.states,
        note=_cut_off(status.id, found) if cut_off else "",
        cut_off=cut_off,
    )


def _cut_off(deployment: str, found: Found | None) -> str:
    by = f"Temporal ended its workflow as {found.ended}" if found else "Temporal does not know it"
    return (
        f"The record of {deployment} has no end; {by}. What it changed stands. Take it back with: "
        f"slipway rollback {deployment}"
    )


async def _aftercare(client: "Client", workflow: str) -> AftercareState | None:
    """What aftercare has seen so far; None when there is none or nobody answers for it."""
    from temporalio.client import WorkflowQueryFailedError, WorkflowQueryRejectedError
    from temporalio.service import RPCError

    if not workflow:
        return None
    try:
        answer = await query(client.get_workflow_handle(workflow), "status")
    except (TimeoutError, RPCError, WorkflowQueryFailedError, WorkflowQueryRejectedError):
        return None  # a report can do without
    return AftercareState.model_validate(answer)


def _formed(findings: Findings, form: Form) -> str:
    if form is Form.HTML:
        return report_html(findings)
    if form is Form.MARKDOWN:
        return report_markdown(findings)
    return json.dumps(report_data(findings), indent=2)


def _look_at(output: Path | None) -> None:
    """Refuse a file that cannot be written before minutes are spent on what it would hold."""
    if output is not None and not output.absolute().parent.is_dir():
        raise _unwritable(output, "its folder does not exist")


def _write(text: str, output: Path | None) -> None:
    if output is None:
        print(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise _unwritable(output, error.strerror or "the system refused") from None
    print(f"Wrote {output}.")


def _unwritable(output: Path, because: str) -> Stop:
    return Stop(REFUSED, f"{output}: it cannot be written: {because}. Choose another --output.")
