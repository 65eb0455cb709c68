"""The worker's settings, logs and registry; and its process, which waits for its server."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from temporalio import activity

from devstack import ports
from slipway.errors import BadInput
from worker.logs import OneLine
from worker.registry import activities_of, observing, observing_workflows, unprivileged
from worker.settings import Role, read_settings

ROOT = Path(__file__).parents[2]


def test_defaults_serve_everything_on_the_usual_queue(tmp_path: Path) -> None:
    settings = read_settings({"SLIPWAY_ARTIFACTS": str(tmp_path)})
    assert settings.role is Role.ALL
    assert settings.task_queue == "slipway"
    assert settings.metrics_address == settings.build_id == ""


def test_the_command_line_wins_over_the_environment(tmp_path: Path) -> None:
    environ = {"SLIPWAY_ARTIFACTS": str(tmp_path), "SLIPWAY_ROLE": "privileged"}
    assert read_settings(environ).role is Role.PRIVILEGED
    assert read_settings(environ, "workflow").role is Role.WORKFLOW


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLIPWAY_ARTIFACTS", ""),
        ("SLIPWAY_ARTIFACTS", "/no/such/folder"),
        ("SLIPWAY_ROLE", "root"),
        ("SLIPWAY_TASK_QUEUE", "two words"),
        ("SLIPWAY_METRICS", "everywhere"),
        ("SLIPWAY_BUILD_ID", "a b"),
        ("SLIPWAY_GRACE", "soon"),
        ("SLIPWAY_GRACE", "nan"),
    ],
)
def test_what_is_wrong_is_named_with_a_remedy(name: str, value: str, tmp_path: Path) -> None:
    environ = {"SLIPWAY_ARTIFACTS": str(tmp_path), name: value}
    with pytest.raises(BadInput) as raised:
        read_settings(environ)
    assert raised.value.remedy


def test_roles_split_rights() -> None:
    assert Role.WORKFLOW.serves_workflows
    assert not Role.WORKFLOW.is_privileged
    assert Role.PRIVILEGED.is_privileged
    assert not Role.PRIVILEGED.serves_workflows
    assert Role.ALL.serves_workflows
    assert Role.ALL.is_privileged
    assert Role.OBSERVE.observes
    assert not Role.OBSERVE.serves_workflows
    assert not Role.OBSERVE.is_privileged
    assert not any(one.observes for one in Role if one is not Role.OBSERVE)


def test_an_observer_needs_no_evidence() -> None:
    assert read_settings({}, "observe").role is Role.OBSERVE
    with pytest.raises(BadInput):
        read_settings({}, "workflow")


def test_an_observer_serves_nothing_that_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What each of them asks of the cluster is tried with the observer's own token in
    tests/integration/test_observe.py."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "KUBE", "PG", "PROD_")):
            monkeypatch.delenv(name)
    served = {one.__temporal_activity_definition.name for one in observing()}  # type: ignore[attr-defined] # the SDK's mark
    watching = {"watch.before", "watch.slice"}
    assert served == {"observe.notice", "rollout.wait", "check.service", *watching}
    assert [one.__name__ for one in observing_workflows()] == ["Observe"]


def test_a_log_record_is_one_line_whatever_it_holds() -> None:
    record = logging.LogRecord("worker", logging.INFO, "", 0, "a\nb\x1b[31m%s", ("\r\n",), None)
    line = OneLine().format(record)
    assert "\n" not in line
    assert "\x1b" not in line
    assert line.endswith("INFO worker: a | b [31m  | ")


def test_a_traceback_is_folded_into_its_line() -> None:
    try:
        raise ValueError("deep")
    except ValueError:
        record = logging.LogRecord("w", logging.ERROR, "", 0, "failed", (), sys.exc_info())
    line = OneLine().format(record)
    assert "\n" not in line
    assert "ValueError: deep" in line


class _Capability:
    @activity.defn(name="one.thing")
    async def thing(self) -> None:
        """Is an activity."""

    async def helper(self) -> None:
        """Is none."""


def test_only_activities_are_registered() -> None:
    found = activities_of(_Capability())
    assert [one.__name__ for one in found] == ["thing"]


def test_the_unprivileged_activities_need_no_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "KUBE", "PG")):
            monkeypatch.delenv(name)
    settings = read_settings({"SLIPWAY_ARTIFACTS": str(tmp_path)}, "workflow")
    assert {one.__name__ for one in unprivileged(settings)} == {"evaluate", "keep", "send"}


def _worker(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "worker", *arguments],
        cwd=ROOT,
        env={**keep, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_worker_without_its_settings_says_what_is_missing() -> None:
    with _worker() as process:
        _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "SLIPWAY_ARTIFACTS is not set." in said
    assert "Traceback" not in said


def test_a_worker_waits_for_its_server_and_ends_when_told(tmp_path: Path) -> None:
    # not of the range that outgoing connections of other processes take theirs from meanwhile
    free = ports.choose(("temporal", "probes"), {})
    address, probed = (f"127.0.0.1:{port}" for port in free.values())
    environment = {
        "SLIPWAY_ARTIFACTS": str(tmp_path),
        "SLIPWAY_HEALTH": probed,
        "TEMPORAL_ADDRESS": address,
    }
    with _worker("--role", "workflow", **environment) as process:
        assert process.stderr is not None
        # it may say first that it has cleared up after workers of other tests
        said = next(line for line in process.stderr if "Removed" not in line)
        assert f"Temporal at {address} does not answer" in said
        paths = ("healthz", "readyz")
        answers = [httpx.get(f"http://{probed}/{path}", timeout=60) for path in paths]
        assert [one.status_code for one in answers] == [200, 503]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == 0
