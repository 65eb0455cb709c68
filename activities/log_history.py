"""What error lines are usual, which a window's lines are compared with."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipway.errors import Absent
from slipway.judgements import log_templates
from slipway.judgements import workload as objects
from slipway.judgements.logs import classify
from slipway.judgements.workload import Raw
from slipway.messages.rollout import Workload
from slipway.plan import LogClass

if TYPE_CHECKING:
    from activities.adapters.cluster import Cluster


@dataclass(frozen=True)
class LogsBefore:
    """What the logs of all pods together told in the time before."""

    per_second: dict[str, float]
    """Error lines a second, by class."""
    kinds: list[str]
    """Which kinds of error lines there were (`log_templates`)."""


async def logs_before(
    cluster: "Cluster", work: Workload, pods: list[Raw], logs: list[LogClass], baseline: float
) -> LogsBefore:
    """Read the `baseline` seconds before now, of a younger pod those since it was born."""
    now = time.time()
    total = dict.fromkeys(classify([], logs), 0.0)
    kinds: Counter[str] = Counter()
    for pod in pods:
        seconds = min(baseline, max(1.0, now - objects.born(pod)))
        try:
            lines = await cluster.pod_log(
                work.namespace, objects.name_of(pod), work.container, since_seconds=seconds
            )
        except Absent:
            continue  # went away since the pods were listed
        recent = [one for one in lines if one.at >= now - seconds]
        kinds += log_templates.templates(recent)
        for name, count in classify(recent, logs).items():
            total[name] += count / seconds
    return LogsBefore(total, log_templates.kept(kinds))
