"""Child processes, ports, layout and certificates of the local stack."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from devstack.errors import StackError
from devstack.layout import CHECKOUT, PORTS, Layout
from devstack.locks import SharedLock, exclusive
from devstack.ports import FIRST, LAST, is_free
from devstack.process import Processes, Spec, start_time
from devstack.servers import pki, stages, temporal
from devstack.servers.prometheus import config
from devstack.stack import Stack


def ready(log: Path) -> str | None:
    return None if "ready" in log.read_text() else "it has not said ready"


def test_start_wait_and_stop(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    pid = processes.start(Spec("sleeper", ("sh", "-c", "echo ready; exec sleep 60")))
    processes.wait_ready("sleeper", lambda: ready(processes.log_path("sleeper")), 120)
    assert Processes(tmp_path).pid("sleeper") == pid
    assert processes.stop("sleeper") is True
    assert start_time(pid) is None
    assert processes.stop("sleeper") is False


def test_who_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    pid = processes.start(Spec("stubborn", ("sh", "-c", script), grace_seconds=0.2))
    processes.wait_ready("stubborn", lambda: ready(processes.log_path("stubborn")), 120)
    assert processes.stop("stubborn") is True
    assert start_time(pid) is None


def test_a_killed_program_is_gone_with_its_children(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    script = "trap '' TERM; sleep 60 & echo child $!; echo ready; wait"
    pid = processes.start(Spec("parent", ("sh", "-c", script)))
    log = processes.log_path("parent")
    processes.wait_ready("parent", lambda: ready(log), 120)
    found = re.search(r"child (\d+)", log.read_text())
    assert found is not None
    processes.send("parent", signal.SIGSTOP)
    processes.send("parent", signal.SIGKILL)  # a frozen one dies as well
    assert start_time(pid) is None
    assert processes.pid("parent") is None
    deadline = time.monotonic() + 120
    while start_time(int(found.group(1))) is not None:
        assert time.monotonic() < deadline, "the child lives on"
        time.sleep(0.05)
    processes.send("parent", signal.SIGKILL)  # nobody is there any more


def test_a_reused_process_id_is_never_signalled(tmp_path: Path) -> None:
    """The pid file of an earlier run names this very process with another start time."""
    processes = Processes(tmp_path)
    remains = {"pid": os.getpid(), "started": "1", "stop_signal": int(signal.SIGKILL)}
    (tmp_path / "run" / "old.pid").write_text(json.dumps({**remains, "grace_seconds": 1}))
    assert processes.pid("old") is None
    assert processes.stop("old") is False
    assert processes.names() == []


def test_a_server_that_dies_while_starting_shows_its_log(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    processes.start(Spec("broken", ("sh", "-c", "echo port is taken; exit 4")))
    with pytest.raises(StackError, match=r"broken ended while starting(.|\n)*port is taken"):
        processes.wait_ready("broken", lambda: "it does not listen", 120)


def test_a_server_that_never_serves_says_what_is_missing(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    processes.start(Spec("slow", ("sleep", "60")))
    with pytest.raises(StackError, match=r"slow is not ready after 0 s: it does not listen"):
        processes.wait_ready("slow", lambda: "it does not listen", 0.1)
    assert processes.stop("slow") is True


def test_children_do_not_inherit_the_callers_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "caller's")
    processes = Processes(tmp_path)
    processes.start(Spec("env", ("sh", "-c", "env; echo ready; exec sleep 60"), env={"OWN": "1"}))
    processes.wait_ready("env", lambda: ready(processes.log_path("env")), 120)
    processes.stop("env")
    text = processes.log_path("env").read_text()
    assert "OWN=1" in text
    assert "AWS_SECRET_ACCESS_KEY" not in text


def test_layout_is_stable_and_private(tmp_path: Path) -> None:
    first = Layout.open(tmp_path, running=False)
    assert Layout.open(tmp_path, running=False) == first
    assert set(first.ports) == set(PORTS)
    assert len(set(first.ports.values())) == len(PORTS)
    assert all(FIRST <= port <= LAST for port in first.ports.values())
    assert (tmp_path / "layout.json").stat().st_mode & 0o077 == 0


def test_a_taken_port_is_replaced_only_while_nothing_runs(tmp_path: Path) -> None:
    first = Layout.open(tmp_path, running=False)
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", first.ports["etcd"]))
        thief.listen()
        assert not is_free(first.ports["etcd"])
        assert Layout.open(tmp_path, running=True) == first
        second = Layout.open(tmp_path, running=False)
    changed = {name for name in PORTS if first.ports[name] != second.ports[name]}
    assert changed == {"etcd"}
    assert first.secrets == second.secrets


def test_locks_exclude_and_count(tmp_path: Path) -> None:
    waited: list[str] = []
    one, other = SharedLock(tmp_path / "users"), SharedLock(tmp_path / "users")
    one.share()
    other.share()
    assert one.alone() is False
    other.close()
    assert one.alone() is True
    one.close()
    with exclusive(tmp_path / "lock", waiting=lambda: waited.append("")):
        assert waited == []


def test_certificates_pass_the_strict_rules(tmp_path: Path) -> None:
    keys = pki.ensure(tmp_path)
    assert pki.ensure(tmp_path) == keys
    client = ssl.create_default_context(cafile=str(keys.ca))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(keys.certificate("server"), keys.key("server"))
    server.load_verify_locations(keys.ca)
    server.verify_mode = ssl.CERT_REQUIRED
    client.load_cert_chain(keys.certificate("kubelet-client"), keys.key("kubelet-client"))
    peer = handshake(client, server)
    assert "system:masters" in str(peer["subject"])


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> Mapping[str, object]:
    """Shake hands in memory for 127.0.0.1; returns the client's certificate."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (near, far):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return far.getpeercert() or {}


@pytest.mark.parametrize("fault", stages.FAULTS)
def test_the_stages_of_a_fault_and_the_ready_stage_exclude_each_other(fault: str) -> None:
    expression = f'{fault}"|sha256:[ab]'
    operators = {}
    for stage in stages.pod_stages({fault: expression}):
        for match in stage["spec"]["selector"]["matchExpressions"]:
            _, found, argument = match["key"].partition("image | test(")
            if found and json.loads(argument[:-1]) == expression:
                operators[stage["metadata"]["name"]] = match["operator"]
    assert operators.pop("pod-ready") == "NotIn"
    assert operators
    assert all(name.startswith(f"{fault}-") for name in operators)
    assert set(operators.values()) == {"In"}


def test_only_a_pod_that_ran_out_of_memory_says_so() -> None:
    texts = {one["metadata"]["name"]: json.dumps(one) for one in stages.pod_stages()}
    assert len(texts) == len(stages.pod_stages())
    assert {name for name, text in texts.items() if "OOMKilled" in text} == {
        "oom-die", "oom-wait", "oom-fail",
    }  # fmt: skip


def test_prometheus_discovers_as_often_as_it_scrapes(tmp_path: Path) -> None:
    layout = Layout.open(tmp_path, running=False)
    text = json.dumps(config(layout, 5))
    assert '"scrape_interval": "5s"' in text
    assert '"refresh_interval": "5s"' in text
    assert layout.url("world") + "/sd" in text


def test_no_stack_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="start it with `make stack`"):
        Stack.load(tmp_path)


def test_compose_registers_the_same_search_attributes() -> None:
    script = (CHECKOUT / "deploy" / "compose" / "temporal-namespace.sh").read_text()
    names = re.search(r"for name in (.*); do", script)
    assert names is not None
    listed = {f"Slipway{name}" for name in names[1].split()}
    assert listed == set(temporal.SEARCH_ATTRIBUTES)


@pytest.mark.parametrize("name", ["temporal-schema.sh", "temporal-namespace.sh"])
def test_compose_scripts_are_valid_shell(name: str) -> None:
    path = CHECKOUT / "deploy" / "compose" / name
    done = subprocess.run(["sh", "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
