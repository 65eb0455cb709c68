"""Prometheus: finds the world's targets at its discovery endpoint, slipway's workers in files.

History is written before its first start; the alerting rules are the ones that are shipped.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from devstack.errors import StackError
from devstack.layout import CHECKOUT, Layout, write_private
from devstack.process import Spec
from devstack.servers.server import Server, http_missing

NAME = "prometheus"
DISCOVERY_PATH = "/sd"
GAP_SECONDS = 120.0
RULES = CHECKOUT / "deploy" / "prometheus" / "slipway.rules.yaml"
WORKERS = "slipway-worker"
"""The job of slipway's workers; the rules and the dashboard go by this name."""
WORKERS_SECONDS = 2
"""Between scrapes of workers and evaluations of rules: a stack lives for minutes."""
HistoryWriter = Callable[[Path], None]


def server(
    layout: Layout,
    programs: dict[str, Path],
    write_history: HistoryWriter | None,
    *,
    interval_seconds: int,
) -> Server:
    """The metrics server; `write_history` fills an OpenMetrics file for a new data folder."""
    return Server(
        name=NAME,
        port=layout.ports[NAME],
        prepare=lambda: _prepare(layout, programs, write_history, interval_seconds),
        missing=lambda: http_missing(layout.url(NAME) + "/-/ready"),
        seconds=120,
    )


def config(layout: Layout, interval_seconds: int) -> dict[str, object]:
    """Its configuration: the world, discovered as often as it is scraped, and the workers."""
    interval = f"{interval_seconds}s"
    discovery = {
        "url": layout.url("world") + DISCOVERY_PATH,
        "refresh_interval": interval,
        "follow_redirects": False,
    }
    job = {
        "job_name": "teei",
        "honor_labels": True,  # namespace, pod and service are the exporter's to say
        "http_sd_configs": [discovery],
    }
    workers = {
        "job_name": WORKERS,
        "scrape_interval": f"{WORKERS_SECONDS}s",
        "scrape_timeout": f"{WORKERS_SECONDS}s",
        "file_sd_configs": [{"files": [str(_targets(layout.root) / "*.json")]}],
    }
    return {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "evaluation_interval": f"{WORKERS_SECONDS}s",
        },
        "rule_files": [str(RULES)],
        "scrape_configs": [job, workers],
    }


def scrape_worker(root: Path, name: str, address: str) -> None:
    """Have the stack's Prometheus scrape a worker at `host:port`; it notices at once."""
    target = [{"targets": [address], "labels": {"worker": name}}]
    write_private(_targets(root) / f"{name}.json", json.dumps(target))


def forget_worker(root: Path, name: str) -> None:
    """Let Prometheus forget a worker that has ended on purpose: it is not missed."""
    (_targets(root) / f"{name}.json").unlink(missing_ok=True)


def _targets(root: Path) -> Path:
    return root / "config" / NAME / "workers"


def _prepare(
    layout: Layout, programs: dict[str, Path], write_history: HistoryWriter | None, interval: int
) -> Spec:
    data = layout.root / "data" / NAME
    if write_history is not None and not _is_recent(data):
        backfill(programs["promtool"], data, write_history)
    data.mkdir(parents=True, exist_ok=True)
    _targets(layout.root).mkdir(
        parents=True, exist_ok=True
    )  # a folder that is not there is not watched
    file = layout.config(NAME) / "prometheus.yml"
    file.write_text(yaml.safe_dump(config(layout, interval), sort_keys=False))
    return Spec(
        NAME,
        (
            str(programs[NAME]),
            f"--config.file={file}",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=40d",
            f"--web.listen-address={layout.address(NAME)}",
            "--log.level=warn",
        ),
    )


def _is_recent(data: Path) -> bool:
    """Whether the samples there reach up to now, but for a short stop.

    Older ones would leave a gap just where baselines look: then history is written anew.
    """
    written = [file.stat().st_mtime for file in (data / "wal").glob("*") if file.is_file()]
    return time.time() - max(written, default=0) < GAP_SECONDS


def backfill(promtool: Path, data: Path, write_history: HistoryWriter) -> None:
    """Turn an OpenMetrics file into blocks; the data folder appears only when complete."""
    scratch = data.with_name(f"{data.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    source = scratch / "history.openmetrics"
    write_history(source)
    argv = [str(promtool), "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
    done = subprocess.run(
        [*argv, str(source), str(scratch)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise StackError(f"promtool cannot write the history back: {done.stderr.strip()[-800:]}")
    source.unlink()
    shutil.rmtree(data, ignore_errors=True)
    scratch.rename(data)
