"""Whatever is wrong: one clear sentence, a remedy, the exit code, no traceback."""

from pathlib import Path

import pytest
import yaml

from devstack.demo.cli import Answer, Cli
from devstack.stack import Stack
from devstack.world import release as releases
from tests.e2e.conftest import Make
from tests.e2e.small import PATIENCE, TIME_SCALE, small_wish

pytestmark = [pytest.mark.stack, pytest.mark.e2e]


def refused(answer: Answer, code: int, *words: str) -> None:
    """Assert that an answer refuses as people expect it."""
    said = answer.out + answer.err
    assert answer.code == code, said
    assert "Traceback" not in said
    for word in words:
        assert word in said, said


def test_a_second_start_is_told_who_holds_the_environment(
    stack: Stack, make: Make, queue: str, tmp_path: Path
) -> None:
    made = make(TIME_SCALE)
    wish = small_wish(stack, made, tmp_path)
    release = releases.make_release(stack, made, services=wish.services or ())
    cli = Cli(stack, queue)
    start = ("start", str(wish.plan), str(release), "--overlay", str(wish.overlay))
    first = cli.run(*start)
    assert first.code == 0, first.out + first.err
    second = cli.run(*start)
    status = cli.run("status", made.name, "--json").json()
    refused(second, 2, status["id"], "slipway status")

    own = cli.run("approve", made.name, "--role", "vp", "--person", "engineer@teei.com", "--yes")
    assert own.code in (2, 7), own.out + own.err
    aborted = cli.run("abort", made.name, "--person", "on-call@teei.com", "--reason", "a test")
    kept = aborted.code == 8 and "is kept" in aborted.err  # and heeded, as its end shows
    assert kept or aborted.code in (0, 6), aborted.out + aborted.err
    ended = cli.run("watch", made.name, timeout=PATIENCE)
    assert ended.code == 6, ended.out + ended.err
    why = cli.run("why", made.name)
    assert "a test" in why.out
    assert len(why.out.splitlines()) <= 24


def test_an_unknown_deployment(stack: Stack, queue: str) -> None:
    refused(Cli(stack, queue).run("status", "nowhere"), 2, "nowhere")


def test_a_wrong_plan_names_file_and_place(stack: Stack, queue: str, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("environment: production\nkubernetes: {namespace: small, surprise: 1}\n")
    release = tmp_path / "release.yaml"
    release.write_text("version: 1\n")
    refused(Cli(stack, queue).run("check", str(plan), str(release)), 2, "plan.yaml", "surprise")


def test_doctor_names_what_is_in_the_way_and_ends_well_when_nothing_is(
    stack: Stack, make: Make, queue: str, tmp_path: Path
) -> None:
    made = make(TIME_SCALE)
    wish = small_wish(stack, made, tmp_path)
    release = releases.make_release(stack, made, services=wish.services or (), pending="none")
    cli = Cli(stack, queue)

    ready = cli.run("doctor", str(wish.plan), str(release), "--overlay", str(wish.overlay))
    assert ready.code == 0, ready.out + ready.err
    assert ready.out.splitlines()[-1].startswith("Ready to deploy.")

    overlay = yaml.safe_load(Path(str(wish.overlay)).read_text())
    overlay["backup"]["bucket"] = "no-such-bucket"
    overlay["database"]["probe_url"] = "env:NOT_SET_ANYWHERE"
    overlay["metrics"]["url"] = "http://127.0.0.1:1"
    broken = tmp_path / "broken.yaml"
    broken.write_text(yaml.safe_dump(overlay))
    command = ("doctor", str(wish.plan), str(release), "--overlay", str(broken))
    refused(
        cli.run(*command),
        2,
        "✘ bucket     There is no bucket no-such-bucket.",
        "create-bucket --bucket no-such-bucket",
        "✘ database   env:NOT_SET_ANYWHERE is empty or not set.",
        "✘ metrics    Not looked at: Prometheus.",
        "Not ready:",
    )
    found = cli.run(*command, "--json")
    assert found.code == 2
    document = found.json()
    assert document["healthy"] is False
    assert {"block"} == {one["severity"] for one in document["findings"][:3]}
