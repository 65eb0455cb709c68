"""Short workflows: what the command line asks of the worker, which alone holds credentials."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.preflight import EnvironmentChecks
    from activities.record import Records
    from slipway import names
    from slipway.errors import BadInput
    from slipway.messages.preflight import DOCTOR, EnvironmentReport, Preflight, StagingReport
    from slipway.messages.record import (
        Artefact,
        ArtefactStates,
        FindRecords,
        ReadRecord,
        Record,
        RecordList,
        VerifyArtefacts,
    )
    from slipway.messages.requests import (
        DoctorRequest,
        DoctorResult,
        FindRequest,
        FindResult,
        ReportRequest,
        ReportResult,
    )
    from slipway.status import StatusDocument
    from slipway.undo import status_from_record

from workflows.calls import Call, start_activity
from workflows.options import LONG, READ


@workflow.defn(name=names.REPORT_TYPE, failure_exception_types=[BadInput])
class Report:
    """Read a record and verify every artefact of its checklist again."""

    @workflow.run
    async def run(self, request: ReportRequest) -> ReportResult:
        """Return the last status document and what verification found."""
        record: Record = await start_activity(
            Call(Records.read, ReadRecord(place=request.place), READ, "read the record")
        )
        status = status_from_record(record, now=workflow.now())
        states: ArtefactStates = await start_activity(
            Call(
                Records.verify,
                VerifyArtefacts(place=request.place, artefacts=_artefacts(status)),
                LONG,
                "verify every artefact",
            )
        )
        return ReportResult(
            status=status.model_dump(mode="json"),
            states=states.states,
            verified_at=workflow.now(),
        )


@workflow.defn(name=names.DOCTOR_TYPE)
class Doctor:
    """The environment checks of the preflight, on their own."""

    @workflow.run
    async def run(self, request: DoctorRequest) -> DoctorResult:
        """Return what was found, in production's environment and in staging."""
        preflight = Preflight(plan=request.plan, release=request.release, deployment=DOCTOR)
        call = Call(EnvironmentChecks.environment, preflight, READ.lasting(120), "environment")
        environment: EnvironmentReport = await start_activity(call)
        call = Call(EnvironmentChecks.staging, preflight, READ.lasting(120), "staging")
        staging: StagingReport = await start_activity(call)
        return DoctorResult(environment=environment, staging=staging)


@workflow.defn(name=names.FIND_TYPE)
class FindDeployments:
    """Which deployments of an environment have a record."""

    @workflow.run
    async def run(self, request: FindRequest) -> FindResult:
        """Return records, newest first."""
        found: RecordList = await start_activity(
            Call(Records.find, FindRecords(place=request.place), READ, "list records")
        )
        return FindResult(records=found.records)


def _artefacts(status: StatusDocument) -> list[Artefact]:
    return [one for line in status.checklist for one in line.evidence]
