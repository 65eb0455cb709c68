"""The plan's queries with their placeholders filled in."""

import math
import re

_PLACEHOLDER = re.compile(r"\$(namespace|pods|window|container)\b")


def fill(
    query: str, *, namespace: str, pods: str = ".+", window: float = 0.0, container: str = ""
) -> str:
    """Return a query of the plan with `$namespace`, `$pods`, `$window`, `$container` filled in.

    `pods` is a regular expression; backslashes in it are escaped as PromQL and LogQL want.
    """
    values = {
        "namespace": namespace,
        "pods": pods.replace("\\", "\\\\").replace('"', '\\"'),
        "window": f"{max(1, math.ceil(window * 1000))}ms",
        "container": container,
    }
    return _PLACEHOLDER.sub(lambda found: values[found.group(1)], query)
