"""Prometheus: finds its targets at the world's discovery endpoint; history is written before."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from devstack.errors import StackError
from devstack.layout import Layout
from devstack.process import Spec
from devstack.servers.server import Server, http_missing

NAME = "prometheus"
DISCOVERY_PATH = "/sd"
GAP_SECONDS = 120.0
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
    """Its configuration: one job, discovered as often as it is scraped."""
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
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "scrape_configs": [job],
    }


def _prepare(
    layout: Layout, programs: dict[str, Path], write_history: HistoryWriter | None, interval: int
) -> Spec:
    data = layout.root / "data" / NAME
    if write_history is not None and not _is_recent(data):
        backfill(programs["promtool"], data, write_history)
    data.mkdir(parents=True, exist_ok=True)
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
