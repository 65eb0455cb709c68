"""The Grafana dashboard: tied to no data source, nothing on top of each other, every panel asks."""

import json
from collections.abc import Iterator
from itertools import combinations
from typing import Any

from tests.unit.test_docs import ROOT

TEXT = (ROOT / "deploy" / "grafana" / "slipway.json").read_text()
DASHBOARD: dict[str, Any] = json.loads(TEXT)
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]


def inside(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a document."""
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value:
        if isinstance(one, (dict, list)):
            yield from inside(one)


def test_it_can_be_linked_to_and_is_tied_to_no_data_source() -> None:
    assert DASHBOARD["uid"] == "slipway-release"
    assert "id" not in DASHBOARD
    used = [one["datasource"] for one in inside(DASHBOARD) if "datasource" in one]
    assert used
    assert all(one == {"type": "prometheus", "uid": "${datasource}"} for one in used)


def test_a_person_chooses_source_namespace_and_environment() -> None:
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "namespace", "environment"]
    assert variables["datasource"]["type"] == "datasource"
    for name in ("namespace", "environment"):
        assert f"${name}" in TEXT.replace(json.dumps(variables[name]), "")


def test_the_playbook_s_figures_and_slipway_itself_are_there() -> None:
    rows = [one["title"] for one in PANELS if one["type"] == "row"]
    assert rows == ["The release now", "Database connections", "External calls", "slipway itself"]


def test_panels_do_not_overlap_and_each_asks_something() -> None:
    assert len({one["id"] for one in PANELS}) == len(PANELS)
    assert all(one["targets"] for one in PANELS if one["type"] != "row")

    def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        return {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}

    for one, other in combinations(PANELS, 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])
