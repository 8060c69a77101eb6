"""`hapenny simulate`: a Bedrock that needs no account, with the OpenAI and Anthropic surfaces beside it."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from hapenny.backends.simulated import SimulatedBackend
from hapenny.config import STAGES, Config, QuotaOptions, RouteOptions, SimulatedOptions, check
from hapenny.core.stage_spec import Mode
from hapenny.gateway.gateway import Gateway
from hapenny.server.app import App
from hapenny.server.simulated.jobs import JobPages
from hapenny.server.simulated.routes import table
from hapenny.server.transport.limits import raise_descriptors
from hapenny.simulation.bill import record

OFF: dict[str, Mode] = {spec.name: "off" for spec in STAGES}


def provider(
    card: str = "manga-2024",
    seed: int = 7,
    quota: QuotaOptions | None = None,
    faults: dict[str, Any] | None = None,
    folder: Path | None = None,
    latents: int = 0,
    truth: Path | None = None,
    **jobs: Any,
) -> tuple[App, SimulatedBackend]:
    """A simulated provider as a server: every stage off, nothing kept.

    `latents`: which draw of the models' successes; `truth`: a file with the right answers (`workload.truth_file`);
    `folder`: keeps batch jobs and their S3, served where it is given; `jobs`: how they go (`FolderJobs`).
    """
    config = check(
        Config(
            backends={
                "simulated": SimulatedOptions(
                    card=card,
                    seed=seed,
                    latents=latents,
                    truth=str(truth) if truth is not None else None,
                    quota=quota,
                    faults=faults or {},
                )
            },
            routes={"default": RouteOptions(stages=dict(OFF), begin_s=600.0, holdout=0.0)},
            ledger=None,
        )
    )
    gateway = Gateway(config)
    backend = gateway.backends["simulated"]
    assert isinstance(backend, SimulatedBackend)
    backend.repairs = False  # this is the provider: what it refuses, the client must see
    bill = backend.provider.bill

    def invoice() -> dict[str, Any]:
        return {"calls": bill.calls, "nano": bill.nano, "usd": float(bill.total), "unpriced": bill.unpriced}

    def lineup() -> dict[str, Any]:
        return {
            "card": backend.provider.lineup.name,
            "digest": backend.provider.lineup.digest(),
            "lines": describe(backend),
        }

    def calls() -> dict[str, Any]:
        return {"calls": [record(line) for line in bill.lines], "dropped": bill.calls - len(bill.lines)}

    pages = {"/simulate/bill": invoice, "/simulate/calls": calls, "/simulate/card": lineup}
    batch = None
    if folder is not None:
        batch = JobPages(folder, backend.provider, gateway.clock, gateway.parts.tasks.spawn, **jobs)

    return App(gateway, table(backend.provider, pages, batch)), backend


def describe(backend: SimulatedBackend) -> list[str]:
    """What is simulated, whence it comes and what is assumed."""
    return backend.provider.lineup.describe()


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65_535), default=8791, show_default=True, help="0 takes a free one.")
@click.option("--card", default="manga-2024", show_default=True, help="Card of simulated models.")
@click.option("--seed", type=int, default=7, show_default=True)
@click.option("--latents", type=int, default=0, show_default=True, help="Which draw of the models' successes.")
@click.option(
    "--truth",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The right answers to the questions that will be asked (`workload.truth_file`).",
)
@click.option("--rpm", type=int, help="Requests a minute of each model.")
@click.option("--tpm", type=int, help="Tokens a minute of each model.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Keeps batch jobs and their S3.")
@click.option("--job-rate", type=float, default=50.0, show_default=True, help="Records a second of a batch job.")
@click.option("--job-delay", type=float, default=2.0, show_default=True, help="Seconds before a batch job starts.")
@click.option("--job-least", type=int, default=100, show_default=True, help="Records that a batch job needs.")
@click.option("--fault", "faults", multiple=True, metavar="KIND=SHARE", help="e.g. throttle=0.05; may be repeated.")
def simulate(
    host: str,
    port: int,
    card: str,
    seed: int,
    latents: int,
    truth: Path | None,
    rpm: int | None,
    tpm: int | None,
    folder: Path | None,
    job_rate: float,
    job_delay: float,
    job_least: int,
    faults: tuple[str, ...],
) -> None:
    """Serves simulated models on the surfaces of Bedrock, OpenAI and Anthropic; the bill is at /simulate/bill, the
    record of single calls at /simulate/calls.

    POST /simulate/change {"model": "claude-3-haiku", "wrong": 0.3} makes a model worse while it serves.

    Batch jobs: AWS_ENDPOINT_URL_BEDROCK=http://HOST:PORT and AWS_ENDPOINT_URL_S3=http://HOST:PORT/s3. The account's
    quotas: AWS_ENDPOINT_URL_SERVICE_QUOTAS=http://HOST:PORT.
    """
    wanted: dict[str, Any] = {}
    for fault in faults:
        kind, _, share = fault.partition("=")
        try:
            wanted[kind] = float(share or 1.0)
        except ValueError:
            raise click.BadParameter(f"{fault!r}: write KIND=SHARE, e.g. throttle=0.05", param_hint="--fault") from None
    quota = QuotaOptions(rpm=rpm, tpm=tpm) if rpm or tpm else None
    try:
        import uvloop

        jobs = {"records_per_s": job_rate, "delay_s": job_delay, "least": job_least, "stop_s": 0.2}
        with tempfile.TemporaryDirectory(prefix="hapenny-s3-") as scratch:
            made = provider(card, seed, quota, wanted, folder or Path(scratch), latents, truth, **jobs)
            uvloop.run(_simulate(host, port, *made))
    except ValueError as error:
        click.echo(str(error), err=True)
        sys.exit(2)


async def _simulate(host: str, port: int, app: App, backend: SimulatedBackend) -> None:
    raise_descriptors()
    await app.gateway.start()
    for line in describe(backend):
        click.echo(line, err=True)
    bound = await app.start(host, port)
    click.echo(f"simulated provider listens on http://{app.host}:{bound}")
    sys.stdout.flush()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await app.stop()
