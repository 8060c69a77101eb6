"""`hapenny demo`: a manga shop's traffic crosses the bridge; a minute later you know what it saved."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hapenny.cli.report import show, waterfall
from hapenny.cli.simulate import describe, provider
from hapenny.config import load
from hapenny.console.html.report import page
from hapenny.core.clock import RealClock
from hapenny.gateway.gateway import Gateway
from hapenny.server.app import App
from hapenny.simulation.grading import would_be_right
from hapenny.simulation.workload.mix import Mix, MixError
from hapenny.simulation.workload.mix import load as load_mix
from hapenny.simulation.workload.shoppers import Message, Population
from hapenny.studies import faq_bot
from hapenny.studies.driver import Seen, drive
from hapenny.studies.paired import compare
from hapenny.telemetry.summary import Summary, summarise

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from hapenny.backends.simulated import SimulatedBackend

CONFIG = """
server: {{port: 0}}
backends:
  bedrock: {{kind: bedrock, region: us-east-1, base_url: "{provider}", api_key: simulated}}
tiers:
  fast: anthropic.claude-3-haiku-20240307-v1:0
  balanced: anthropic.claude-3-5-haiku-20241022-v1:0
  strong: anthropic.claude-3-sonnet-20240229-v1:0
  max: anthropic.claude-3-opus-20240229-v1:0
routes:
  default: {{baseline: strong, preset: demo, holdout: 0.01}}
ledger: {{path: "{ledger}", flush_s: 0.25}}
"""


_DAYS = 0.02
"""The stretch of the shop's day that is played, so that prices stand still."""
FAQ = 4_200
"""Questions to the FAQ bot: two weeks."""
MARGIN = 0.01
"""The loss of right answers that a saving may cost at most."""


@click.command()
@click.option("--requests", default=600, show_default=True, help="How many questions are asked.")
@click.option("--seconds", default=40.0, show_default=True, help="Over how many seconds they arrive.")
@click.option("--seed", default=7, show_default=True)
@click.option("--latents", default=0, show_default=True, help="Which draw of who is right; 0 is the card's own.")
@click.option("--mix", type=click.Path(dir_okay=False), help="A traffic mix of your own (docs/simulation.md).")
@click.option("--faq", default=FAQ, show_default=True, help="Questions to the FAQ bot, 300 a day; 0: leave it out.")
@click.option("--html", "html", type=click.Path(dir_okay=False), help="Where the report page goes.")
def demo(requests: int, seconds: float, seed: int, latents: int, mix: str | None, faq: int, html: str | None) -> None:
    """Simulated Bedrock, the gateway, and a manga shop's questions over real sockets; then the savings, explained, and
    a FAQ bot's weeks in virtual time."""
    import uvloop
    from rich.console import Console

    console = Console()
    try:
        asked = load_mix(mix)
        population = Population(asked, seed=seed)
    except MixError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    uvloop.run(_demo(console, population, requests, seconds, latents, html))
    if faq > 0:
        _semantic(console, asked, faq, seed, latents)
    if sys.stdout.isatty():
        console.print("\nLook at the report page in a browser. The demo is over; nothing keeps running.")


async def _demo(
    console: Console, population: Population, requests: int, seconds: float, latents: int, html: str | None
) -> None:
    clock = RealClock()
    folder = Path(tempfile.mkdtemp(prefix="hapenny-demo-"))
    ledger = folder / "ledger.db"
    bank, backend = provider(latents=latents)
    await bank.gateway.start()
    provider_port = await bank.start("127.0.0.1", 0)
    config = load(text=CONFIG.format(provider=f"http://127.0.0.1:{provider_port}", ledger=ledger))
    gateway = Gateway(config)
    await gateway.start()
    app = App(gateway)
    port = await app.start()
    console.print("[bold]hapenny[/bold]: every token that crosses must be worth its toll.\n")
    for line in describe(backend):
        console.print(line, style="dim", highlight=False, soft_wrap=True)
    console.print(
        f"\nA manga shop sends {requests} questions in {seconds:.0f} s, in bursts, to http://127.0.0.1:{port}; "
        f"behind it stands a simulated Bedrock on port {provider_port}.\n"
    )
    messages = population.messages(requests, days=_DAYS)
    for message in messages:
        backend.provider.truth.add(message.text, message.item, message.follows)
    progress = _Progress(console, clock, len(messages), str(ledger))
    watching = asyncio.ensure_future(progress.run())
    url = f"http://127.0.0.1:{port}"
    seen = await drive(url, messages, population.shop, clock, seconds=seconds, watch=progress.add)
    progress.done = True
    await watching
    assert gateway.ledger is not None
    await gateway.ledger.flush()
    summary = summarise(str(ledger))
    show(summary, console)
    _line(console, summary, seen, backend.provider.bill.nano)
    _quality(console, backend, seen, messages)
    where = Path(html) if html else folder / "report.html"
    where.write_text(page(summary), encoding="utf-8")
    console.print(f"The report page: {where.resolve().as_uri()}", soft_wrap=True)
    await app.stop()
    await bank.stop()


def _line(console: Console, summary: Summary, seen: list[Seen], bill: int) -> None:
    """What a sceptic asks first."""
    firsts = sorted(each.first for each in seen if each.first is not None)
    p95 = firsts[int(len(firsts) * 0.95)] if firsts else 0.0
    errors = sum(1 for each in seen if each.error)
    good = "under" if p95 < 1.5 else "OVER"
    console.print(
        f"\n[bold]{summary.saved_share:.0%}[/bold] of the bill saved; first words after "
        f"[bold]{p95 * 1000:.0f} ms[/bold] at p95, {good} the line of 1,500 ms; {errors} errors."
    )
    agree = "equal to" if bill == summary.actual else "NOT EQUAL to"
    console.print(
        f"The books say {summary.actual / 1e9:.9f} $ were paid, {agree} "
        f"the provider's own invoice of {bill / 1e9:.9f} $."
    )


def _quality(console: Console, backend: SimulatedBackend, seen: list[Seen], messages: list[Message]) -> None:
    """Whether the answers stayed right, paired with what the baseline would have said: the workload knows the truth,
    the gateway does not."""
    strong = backend.provider.lineup.baseline
    pairs = []
    for each, message in zip(seen, messages, strict=True):
        if each.asked is not None:
            right = not each.error and message.item.grade(each.text)
            pairs.append((message.item.id, right, would_be_right(backend.provider, strong, each.asked)))
    quality = compare(pairs)
    verdict = "shown" if quality.noninferior(MARGIN) else "not shown"
    lost = (
        f"{quality.difference * 100:+.1f} points, 95 % interval {quality.low * 100:+.1f} to {quality.high * 100:+.1f}"
    )
    console.print(
        f"Right answers: {quality.ours:.1%}; with everything on the strong model {quality.baseline:.1%}. The gap "
        f"is {lost}, over {quality.distinct} distinct questions: that at most {MARGIN * 100:g} point is lost is "
        f"{verdict}. (Models and who is right are simulated from published outcomes; --latents N is another draw.)"
    )


def _semantic(console: Console, mix: Mix, messages: int, seed: int, latents: int) -> None:
    """The semantic cache opens by verified labels alone, and needs more questions than the rush above has: a FAQ bot's
    weeks, in virtual time."""
    console.print(
        f"\n[bold]The semantic cache[/bold] opens by labels of its own, so it needs more: {messages:,} questions about "
        f"the shop's rules, {faq_bot.A_DAY} a day, in virtual time, with it and without."
    )
    bot = faq_bot.play(mix, messages, seed=seed, latents=latents)
    if bot is None:
        console.print("This mix has no questions about rules: nothing was played.")
        return
    if bot.before is None:
        console.print(f"It stayed closed after {bot.labels:,} labels ({bot.outlook}). It {_share(bot)}.")
        return
    console.print(
        f"It gave its first answer after {bot.before:,} questions, and took {bot.labels:,} labels in all. {bot.hits} "
        f"questions were answered from others in other words; {bot.wrong} of these answers are wrong by the workload's "
        f"truth, at most {bot.bound:.1%} by the exact bound (95 %); without it {bot.wrong_without} of them would be."
    )
    quality = bot.quality
    console.print(
        f"It {_share(bot)}: {bot.paid_without / 1e9:.3f} $ without it, {bot.paid / 1e9:.3f} $ with it, of which "
        f"{bot.evidence / 1e9:.3f} $ for verdicts and audits. Right answers: {quality.ours:.1%}; without it "
        f"{quality.baseline:.1%}. The gap is {quality.difference * 100:+.2f} points, 95 % interval "
        f"{quality.low * 100:+.1f} to {quality.high * 100:+.1f}, over {quality.distinct} distinct questions."
    )
    console.print(
        f"(Its route allows wrong answers to {faq_bot.MAX_ERROR:.0%} of requests and {faq_bot.MAX_WRONG_HITS:.0%} of "
        f"hits, twice the defaults. The judge is simulated, {bot.judge}: by its card it errs in {bot.judge_error:.0%} "
        "of its verdicts. `hapenny cache stats` says how far yours is from opening.)"
    )


def _share(bot: faq_bot.Outcome) -> str:
    return f"{'saved' if bot.saved >= 0 else 'cost'} {abs(bot.saved):.1%} of the bill"


class _Progress:
    """Shows how far the traffic is: a live bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, clock: RealClock, total: int, ledger: str) -> None:
        self._console = console
        self._clock = clock
        self._total = total
        self._ledger = ledger
        self._seen = 0
        self._hits = 0
        self._errors = 0
        self.done = False

    def add(self, seen: Seen) -> None:
        """One turn was answered."""
        self._seen += 1
        self._hits += seen.saved
        self._errors += seen.error is not None

    async def run(self) -> None:
        """Until `done`."""
        if self._console.is_terminal:
            from rich.live import Live

            with Live(self._picture(), console=self._console, refresh_per_second=4, transient=True) as live:
                while not self.done:
                    await self._clock.sleep(0.25)
                    live.update(self._picture())
            self._console.print(self._text(self._books()), highlight=False)
            return
        waited = 0
        while not self.done:
            await self._clock.sleep(0.5)
            waited += 1
            if waited % 20 == 0:
                self._console.print(self._text(self._books()), highlight=False)
        self._console.print(self._text(self._books()), highlight=False)

    def _picture(self) -> RenderableType:
        """The bar, and under it the bill that falls technique by technique."""
        from rich.console import Group

        books = self._books()
        return Group(self._text(books), *([waterfall(books, self._console.width)] if books is not None else []))

    def _books(self) -> Summary | None:
        try:
            return summarise(self._ledger)
        except (FileNotFoundError, ValueError):
            return None

    def _text(self, books: Summary | None) -> str:
        share = self._seen / self._total
        bar = "█" * int(share * 20) + "·" * (20 - int(share * 20))
        money = f"{books.actual / 1e9:.3f} $, not {books.baseline / 1e9:.3f} $" if books is not None else ""
        errors = f", {self._errors} errors" if self._errors else ""
        return f"{bar}  {self._seen} of {self._total}, {self._hits} from cache{errors}  {money}"
