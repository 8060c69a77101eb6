"""Alerts: signed, tried again, bounded, and never in anybody's way."""

import asyncio

import pytest
from aiohttp import web

from hapenny.config import load
from hapenny.core import log
from hapenny.core.clock import RealClock
from hapenny.telemetry.alerts import TRIES, WAITING, AlertOptions, Alerts, signature
from hapenny.telemetry.figures import Scope
from tests.settling import eventually


class Clock(RealClock):
    """Pauses between tries take no time here."""

    def __init__(self):
        super().__init__(seed=1)
        self.slept = []

    async def sleep(self, seconds):
        self.slept.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
async def receiver():
    """(URL, what came, statuses to answer with: the last one for good)."""
    came, statuses = [], [204]

    async def take(request):
        came.append((await request.read(), dict(request.headers)))
        return web.Response(status=statuses.pop(0) if len(statuses) > 1 else statuses[0])

    there = web.Application()
    there.router.add_post("/hook", take)
    runner = web.AppRunner(there)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", came, statuses
    await runner.cleanup()


async def delivered(alerts, done):
    task = asyncio.get_running_loop().create_task(alerts.run())
    await eventually(done)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await alerts.aclose()


async def test_an_alert_is_signed_so_that_the_receiver_can_tell_it_is_ours(receiver):
    url, came, _ = receiver
    alerts = Alerts(AlertOptions(webhook=url, secret="s3cret"), Clock())
    alerts.send("budget", "tenant acme usd day", share=0.8)
    await delivered(alerts, lambda: alerts.sent == 1)
    ((body, headers),) = came
    stamp, _, value = headers["x-hapenny-signature"].partition(",v1=")
    assert value == signature("s3cret", stamp.removeprefix("t="), body)
    assert b'"share":0.8' in body


async def test_it_is_tried_again_with_growing_pauses_under_the_same_id(receiver):
    url, came, statuses = receiver
    statuses[:] = [500, 503, 204]
    clock = Clock()
    alerts = Alerts(AlertOptions(webhook=url), clock)
    alerts.send("budget", "x")
    await delivered(alerts, lambda: alerts.sent == 1)
    assert len({body for body, _ in came}) == 1
    assert len(came) == 3
    assert clock.slept == sorted(clock.slept)


async def test_a_receiver_that_is_gone_costs_nothing_but_the_alert(receiver):
    url, came, statuses = receiver
    statuses[:] = [500]
    alerts = Alerts(AlertOptions(webhook=url), Clock())
    alerts.send("budget", "x")
    await delivered(alerts, lambda: alerts.failed == 1)
    assert len(came) == TRIES


async def test_what_waits_is_bounded():
    alerts = Alerts(AlertOptions(webhook="http://127.0.0.1:9/hook"), Clock())
    for _ in range(WAITING + 5):
        alerts.send("budget", "x")
    assert alerts.failed == 5
    await alerts.aclose()


async def test_without_a_webhook_it_is_a_line_of_the_log(capsys):
    log.configure("info")
    alerts = Alerts(AlertOptions(), Clock())
    alerts.send("budget", "tenant acme usd day", limit=5)
    assert "tenant acme usd day" in capsys.readouterr().err
    await alerts.aclose()


def test_an_address_that_is_none_is_refused_at_start():
    with pytest.raises(ValueError, match="alerts"):
        load(text="alerts: {webhook: nowhere}")


async def test_each_is_written_down_for_the_console_without_a_webhook_too(tmp_path):
    from hapenny.telemetry import sampled
    from hapenny.telemetry.ledger import Ledger, LedgerOptions
    from hapenny.telemetry.schema import open_ledger

    clock = Clock()
    ledger = Ledger(LedgerOptions(path=str(tmp_path / "l.db")), clock)
    alerts = Alerts(AlertOptions(), clock, book=ledger.book)
    alerts.send("budget", "tenant-01 used 80 % of its day", limit=5.0, spent=4.0)
    await ledger.aclose()
    connection = open_ledger(str(tmp_path / "l.db"), read_only=True)
    (kept,) = sampled.entries(connection, "alert", Scope())
    connection.close()
    assert (kept["alert"], kept["subject"], kept["limit"]) == ("budget", "tenant-01 used 80 % of its day", 5.0)
    assert kept["actual"] == kept["saved"] == 0
    await alerts.aclose()
