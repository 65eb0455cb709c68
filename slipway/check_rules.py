"""The rules of `slipway check`: one generator of findings each."""

import re
from collections.abc import Callable, Iterator
from typing import Literal

from slipway.addresses import addresses_of, host_of, not_loopback
from slipway.approvals import MUST_CONFIRM
from slipway.base import say_length
from slipway.checks import Flow
from slipway.messages.preflight import Finding
from slipway.plan import Plan, ServiceKind
from slipway.release import Release
from slipway.window import longest, zone

PLACEHOLDER = re.compile(
    r"^\W*$|\[.*\]|^<.*>$|\b(todo|tbd|tba|fixme|xxx+|change.?me|contact info|placeholder|n/a)\b",
    re.IGNORECASE,
)
_USES = re.compile(r"\{([a-z][a-z0-9_]{0,30})\}")
_HOUR, _DAY = 3600.0, 86400.0


class Found(Finding):
    """A finding with the place in the document it is about, such as `plan: contacts.cto`."""

    place: str


def confirmations(plan: Plan) -> dict[str, list[str]]:
    """Return item by item who may confirm what no program can know."""
    items = {*MUST_CONFIRM, *plan.approvals.confirm}
    return {item: plan.approvals.confirm.get(item, []) for item in sorted(items)}


def _found(
    place: str, what: str, remedy: str, severity: Literal["block", "note"] = "block"
) -> Found:
    return Found(severity=severity, place=place, what=what, remedy=remedy)


def _contacts(plan: Plan, release: Release) -> Iterator[Found]:
    for name, contact in plan.contacts:
        for key, text in contact:
            if PLACEHOLDER.search(text):
                yield _found(
                    f"plan: contacts.{name}.{key}",
                    f"{text!r} is a placeholder.",
                    "Write whom to reach and how, in the plan or by --overlay FILE.",
                )


def _people(plan: Plan, release: Release) -> Iterator[Found]:
    able = {person for people in plan.approvals.roles.values() for person in people}
    others = able - {release.requester}
    if len(others) < plan.approvals.required:
        yield _found(
            "plan: approvals.roles",
            f"{plan.approvals.required} approvals are required, but besides the requester "
            f"{release.requester} only {len(others)} people may approve.",
            "Name more approvers, or let another person request the release.",
        )
    for item, people in confirmations(plan).items():
        if not people:
            yield _found(
                f"plan: approvals.confirm.{item}",
                "Nobody may confirm it, so the run would wait in vain.",
                "Name at least one person.",
            )


def _images(plan: Plan, release: Release) -> Iterator[Found]:
    names = [service.name for service in plan.services]
    for name in names:
        if name not in release.images:
            yield _found(
                f"release: images.{name}",
                "The plan deploys this service, but the release names no image for it.",
                "Add its image by digest.",
            )
    for name in release.images:
        if name not in names:
            yield _found(
                f"release: images.{name}",
                "The plan has no such service.",
                "Remove it, or add the service to the plan.",
            )


def _window(plan: Plan, release: Release) -> Iterator[Found]:
    if plan.window is None:
        return
    try:
        zone(plan.window.timezone)
    except ValueError as error:
        yield _found("plan: window.timezone", f"{error}.", "Use a name of the IANA list.")
        return
    if longest(plan.window) < plan.floor:
        yield _found(
            "plan: window",
            f"It is open for {say_length(longest(plan.window))} on end, but the plan's waits "
            f"alone last {say_length(plan.floor)}.",
            "Widen the window, or shorten the waits where the playbook allows it.",
        )


def _lengths(plan: Plan, release: Release) -> Iterator[Found]:
    if plan.backup.retention < plan.rollback.undo_window:
        yield _found(
            "plan: backup.retention",
            f"The backup is locked for {say_length(plan.backup.retention)}, but may be needed for "
            f"{say_length(plan.rollback.undo_window)} (rollback.undo_window).",
            "Make the retention at least as long as the undo window.",
        )
    if plan.backup.max_age > _HOUR:
        yield _found(
            "plan: backup.max_age",
            f"{say_length(plan.backup.max_age)} is more than the hour the playbook allows.",
            "Set it to 1h or less.",
        )
    if plan.timings.slice > plan.timings.final_monitor:
        yield _found(
            "plan: timings.slice",
            "A slice of watching is longer than the last window.",
            "Make it shorter than timings.final_monitor.",
        )


def _softer(plan: Plan, release: Release) -> Iterator[Found]:
    """Notes where a plan asks for less than the playbook."""
    softer = (
        ("staging.soak", plan.staging.soak, _DAY, say_length),
        ("timings.settle", plan.timings.settle, 30.0, say_length),
        ("timings.monitor", plan.timings.monitor, 120.0, say_length),
        ("timings.final_monitor", plan.timings.final_monitor, 900.0, say_length),
        ("limits.error_rate", -plan.limits.error_rate, -0.001, _share),
        ("limits.error_rate_rollback", -plan.limits.error_rate_rollback, -0.01, _share),
        ("limits.latency_p95", -plan.limits.latency_p95, -0.5, say_length),
    )
    for place, value, playbook, say in softer:
        if value < playbook:
            yield _found(
                f"plan: {place}",
                f"{say(abs(value))} is softer than the playbook's {say(abs(playbook))}.",
                "Leave it only if that is meant.",
                "note",
            )


def _share(value: float) -> str:
    return f"{value:.2%}"


def _time_scale(plan: Plan, release: Release) -> Iterator[Found]:
    if plan.time_scale == 1:
        return
    addresses = addresses_of(plan)
    for place in not_loopback(addresses):
        yield _found(
            f"plan: {place}",
            f"time_scale is {plan.time_scale:g}, but {host_of(addresses[place])} is not this "
            "machine.",
            "Compressed time is for the local stack only: remove time_scale.",
        )


def _patterns(plan: Plan, release: Release) -> Iterator[Found]:
    patterns = [(f"logs[{one.name}].pattern", one.pattern) for one in plan.logs]
    patterns += [
        (f"services[{one.name}].heartbeat.pattern", one.heartbeat.pattern)
        for one in plan.services
        if one.heartbeat
    ]
    patterns.append(("metrics.error_code", plan.metrics.error_code))
    for place, pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            yield _found(f"plan: {place}", f"It is no regular expression: {error}.", "Correct it.")


def _flows(plan: Plan, release: Release) -> Iterator[Found]:
    for service in plan.services:
        for flow in service.critical:
            yield from _flow(f"services[{service.name}].critical[{flow.name}]", flow, plan)
        if service.kind is not ServiceKind.LOG and not service.critical:
            yield _found(
                f"plan: services[{service.name}].critical",
                "It has no critical function, so none can be tested after its rollout.",
                "Add one request whose answer shows that the service works.",
                "note",
            )
    for flow in plan.smoke:
        yield from _flow(f"smoke[{flow.name}]", flow, plan)


def _flow(place: str, flow: Flow, plan: Plan) -> Iterator[Found]:
    """Every `{name}` a step uses must be known by then, and every service must have an address."""
    known = {"unique", *flow.secrets}
    for step in flow.steps:
        where = f"plan: {place}.steps[{step.name}]"
        used = set(_USES.findall(f"{step.path} {step.headers} {_texts(step.body)}"))
        for name in sorted(used - known):
            yield _found(where, f"{{{name}}} was not captured by an earlier step.", "Capture it.")
        known |= set(step.capture)
        name = step.service or flow.service
        if name and plan.service(name).url is None:
            yield _found(where, f"{name} has no `url`.", "Ask a service that has one.")


def _texts(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(_texts(one) for one in value.values())
    if isinstance(value, list):
        return " ".join(_texts(one) for one in value)
    return value if isinstance(value, str) else ""


def _migrations(plan: Plan, release: Release) -> Iterator[Found]:
    tags = [one.tag for one in release.migrations.pending]
    for tag in sorted({tag for tag in tags if tags.count(tag) > 1}):
        yield _found("release: migrations.pending", f"{tag} is given twice.", "Keep one of them.")


_Rule = Callable[[Plan, Release], Iterator[Found]]
RULES: tuple[_Rule, ...] = (
    _contacts,
    _people,
    _images,
    _window,
    _lengths,
    _time_scale,
    _patterns,
    _flows,
    _migrations,
    _softer,
)
