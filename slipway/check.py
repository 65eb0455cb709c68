"""`slipway check`: what is known of a plan and a release before any server is asked."""

from slipway.base import Message, say_length
from slipway.check_rules import RULES, Found, confirmations
from slipway.plan import Plan, Service, ServiceKind
from slipway.release import Release


class CheckReport(Message):
    """What `check` prints. A plan with a blocking finding is not started."""

    findings: list[Found]
    sequence: list[str]
    """The steps in order, one sentence each, as this plan and release run them."""
    floor: float
    """Seconds of waiting that the plan prescribes, from the first change to the last."""
    approvers: list[str]
    """`person (role)`; the requester is left out."""
    required: int
    """How many of them."""
    confirmations: dict[str, list[str]]
    """Item by item, who may confirm what no program can know."""
    rollback: list[str]
    """What a rollback would do, in sentences."""

    @property
    def blocking(self) -> list[Found]:
        """Findings that keep this release from being started with this plan."""
        return [one for one in self.findings if one.severity == "block"]


def review(plan: Plan, release: Release) -> CheckReport:
    """Return findings, sequence, floor, who must approve and confirm, and what a rollback does."""
    findings = [found for rule in RULES for found in rule(plan, release)]
    return CheckReport(
        findings=sorted(findings, key=lambda one: one.severity),
        sequence=sequence(plan, release),
        floor=plan.floor,
        approvers=_approvers(plan, release),
        required=plan.approvals.required,
        confirmations=confirmations(plan),
        rollback=rollback_text(plan, release),
    )


def sequence(plan: Plan, release: Release) -> list[str]:
    """Return the steps of a run in order, with their waits."""
    lengths, pending = plan.lengths, release.migrations.pending
    settle, monitor = say_length(lengths.settle), say_length(lengths.monitor)
    steps = [
        "Preflight: gates from evidence, staging, environment, pending migrations.",
        f"Backup to s3://{plan.backup.bucket}/{plan.backup.prefix}, restored and compared"
        + ("; the pending migrations are rehearsed on a copy of it." if pending else "."),
        f"Approval by {plan.approvals.required} of {', '.join(sorted(plan.approvals.roles))}, "
        f"and {len(confirmations(plan))} confirmations.",
        "Go: window, then gates, staging and backup again.",
    ]
    if pending:
        tags = ", ".join(one.tag for one in pending)
        watch = say_length(plan.scale(plan.migrations.watch))
        steps.append(f"Migrate {tags}; watch services on old code for {watch}.")
    for service in plan.services:
        steps.append(
            f"Deploy {service.name}, wait {settle}, verify {_verified(service)}, watch {monitor}."
        )
    steps.append(
        f"Verify all: health, {len(plan.smoke)} smoke flows, metrics, logs; watch "
        f"{say_length(lengths.final_monitor)}."
    )
    steps.append(
        f"Hand over; aftercare for {say_length(lengths.aftercare_week)}, the first "
        f"{say_length(lengths.aftercare_day)} closely."
    )
    return steps


def rollback_text(plan: Plan, release: Release) -> list[str]:
    """Return what a rollback would do, in sentences."""
    order = "all at once" if plan.rollback.order == "parallel" else "newest first"
    lines = [
        "Stop deploying; keep the other services running.",
        f"Put back only the services that were replaced, {order}, to their captured templates.",
    ]
    if not release.migrations.pending:
        lines.append("Prove that the database's schema is the backup's; restore nothing.")
    else:
        how = _DATABASE[plan.rollback.database]
        lines.append(how.format(what=_HOW[plan.rollback.fallback]))
    lines.append("Verify versions, schema, rows, health, critical functions and smoke flows.")
    window = say_length(plan.scale(plan.rollback.undo_window))
    lines.append(f"Services and data go back for {window} after the run, by `slipway rollback ID`.")
    return lines


_DATABASE = {
    "always": "{what}.",
    "when-implicated": "Only when a migration or its data is to blame: {what}.",
    "ask": "Ask a person whether to do this to the database: {what}.",
}
_HOW = {
    "warm": "Swap in the restored copy, which has followed production since the backup on the old "
    "schema, so that no later write is lost; where it could not follow, a person decides",
    "replay": "Let the restored copy catch up with production on the old schema, then swap it in, "
    "so that no later write is lost; where it could not, a person decides",
    "off": "Swap in the restored backup; writes made after it are lost and counted",
}


def _verified(service: Service) -> str:
    what = {ServiceKind.HTTP: "health", ServiceKind.HTML: "page", ServiceKind.LOG: "logs"}
    count = len(service.critical)
    functions = f" and {count} critical function{'s' if count > 1 else ''}" if count else ""
    return what[service.kind] + functions


def _approvers(plan: Plan, release: Release) -> list[str]:
    return [
        f"{person} ({role})"
        for role, people in sorted(plan.approvals.roles.items())
        for person in people
        if person != release.requester
    ]
