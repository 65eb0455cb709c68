"""Overlays: the addresses, names and people of one place, laid over a plan made for another.

Only what says *where* may change, and `time_scale`; never a limit, a wait, a gate or a check. What
was changed is kept in the plan (`overlay`), so that `status` and the report show it.
"""

from typing import Any

from slipway.errors import BadInput

ALLOWED: tuple[tuple[str, ...], ...] = (
    ("environment",),
    ("time_scale",),
    ("kubernetes", "namespace"),
    ("staging", "namespace"),
    ("staging", "database"),
    ("database", "name"),
    ("database", "url"),
    ("database", "admin_url"),
    ("database", "probe_url"),
    ("database", "owner"),
    ("database", "poolers"),
    ("database", "restore_server"),
    ("migrations", "folder"),
    ("backup", "bucket"),
    ("backup", "prefix"),
    ("services", "*", "url"),
    ("services", "*", "staging_url"),
    ("services", "*", "deployment"),
    ("metrics", "url"),
    ("metrics", "scrape_interval"),
    ("loki",),
    ("notices", "webhook"),
    ("contacts",),
    ("approvals", "roles"),
    ("approvals", "confirm"),
    ("window",),
)
"""Places an overlay may change, each with everything below it; `*` is any service."""


def lay_over(plan: dict[str, Any], overlay: dict[str, Any], file: str) -> dict[str, Any]:
    """Return the plan's data with the overlay merged in, and what changed under `overlay`.

    Mappings are merged, services by their names; anything else is replaced. `file` names the
    overlay in messages. Raises BadInput for a place that an overlay may not change.
    """
    changes: dict[str, Any] = {}
    merged = _merge(plan, overlay, (), changes, file)
    return {**merged, "overlay": changes}


def _merge(
    base: dict[str, Any],
    over: dict[str, Any],
    place: tuple[str, ...],
    changes: dict[str, Any],
    file: str,
) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        here = (*place, key)
        current = result.get(key)
        if here == ("services",):
            result[key] = _merge_services(current, value, changes, file)
        elif isinstance(value, dict) and value and _leads_somewhere(here):
            known = current if isinstance(current, dict) else {}
            result[key] = _merge(known, value, here, changes, file)
        else:
            _allow(here, file)
            result[key] = changes[".".join(here)] = value
    return result


def _merge_services(base: Any, over: Any, changes: dict[str, Any], file: str) -> list[Any]:
    entries = over if isinstance(over, list) else [over]
    services = list(base) if isinstance(base, list) else []
    names = [one.get("name") if isinstance(one, dict) else None for one in services]
    for entry in entries:
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name not in names:
            raise BadInput(
                f"{file}: services: {str(name)[:80]!r} is no service of the plan.",
                "Give every entry the `name` of a service that the plan has.",
            )
        rest = {key: value for key, value in entry.items() if key != "name"}
        at = names.index(name)
        services[at] = _merge(services[at], rest, ("services", name), changes, file)
    return services


def _leads_somewhere(place: tuple[str, ...]) -> bool:
    """Whether an allowed place lies at or below `place`, or above it."""
    return any(
        all(want in ("*", got) for want, got in zip(rule, place, strict=False)) for rule in ALLOWED
    )


def _allow(place: tuple[str, ...], file: str) -> None:
    for rule in ALLOWED:
        head = place[: len(rule)]
        if len(head) == len(rule) and all(
            want in ("*", got) for want, got in zip(rule, head, strict=True)
        ):
            return
    raise BadInput(
        f"{file}: {'.'.join(place)} may not be changed by an overlay: overlays hold addresses, "
        "names, people and time_scale only.",
        "Change it in the plan itself, where reviewers see it.",
    )
