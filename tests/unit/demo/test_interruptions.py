"""Interruptions follow from their seed alone, and leave nothing out."""

import pytest

from devstack.demo.interruptions import COUNT, ROLES, SERVERS, schedule

_SEEDS = range(50)


def test_a_seed_gives_the_same_interruptions_again() -> None:
    assert [schedule(seed) for seed in _SEEDS] == [schedule(seed) for seed in _SEEDS]
    assert len({schedule(seed) for seed in _SEEDS}) == len(_SEEDS)


@pytest.mark.parametrize("seed", _SEEDS)
def test_every_server_and_every_fate_of_a_worker_is_met(seed: int) -> None:
    planned = schedule(seed)
    assert len(planned) == COUNT
    assert {one.whom for one in planned if not one.worker} == set(SERVERS)
    assert {one.kind for one in planned if one.worker} == {"killed", "frozen", "replaced"}
    assert {one.kind for one in planned if not one.worker} == {"killed"}
    assert sum(one.kind == "frozen" for one in planned) <= 2
    assert all(one.pause > 0 for one in planned)


def test_both_workers_are_struck_by_some_seed() -> None:
    struck = {(one.kind, one.whom) for seed in _SEEDS for one in schedule(seed) if one.worker}
    assert struck == {(kind, role) for kind in ("killed", "frozen", "replaced") for role in ROLES}
