"""The throughput stage in the running gateway, in virtual time, before simulated providers with quotas and faults."""

import asyncio
import collections
import statistics

import pytest

from hapenny.backends.simulated import SimulatedBackend
from hapenny.config import ConfigError, load
from hapenny.core.errors import Failure, account_refused
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.simulation import loop
from hapenny.simulation.cards import CURRENT_2026
from hapenny.simulation.faults import Fault
from hapenny.simulation.provider import Limit, SimulatedProvider
from hapenny.throughput.view import view

HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "amazon.nova-2-lite-v1:0"

CONFIG = """
backends: {aws: {kind: simulated, card: current-2026}, other: {kind: simulated, card: current-2026}}
models:
  haiku: {id: %(haiku)s, backend: aws, region: us-east-1}
  nova: {id: %(nova)s, backend: aws, region: us-east-1}
tiers: {strong: haiku}
routes: {default: {holdout: 0, begin_s: %(begin)s, stages: {exact: "off", flights: "off"}}}
ledger: null
stages:
  throughput:
%(throughput)s
"""


def provider(clock, *, rpm=None, tpm=None, seed=7, faults=()):
    return SimulatedProvider(clock, CURRENT_2026, seed=seed, quotas={"*": Limit(rpm, tpm)}, faults=faults)


class Counting(SimulatedProvider):
    """Counts the calls it fails."""

    refused = 0

    async def call(self, *args, **rest):
        try:
            return await super().call(*args, **rest)
        except Failure:
            self.refused += 1
            raise


class House:
    """A gateway over one simulated provider, or two."""

    def __init__(self, clock, throughput, aws, other=None, *, begin=30):
        said = "\n".join("    " + line for line in throughput.strip("\n").splitlines())
        names = {"haiku": HAIKU, "nova": NOVA, "begin": begin}
        self.clock = clock
        self.providers = {"aws": aws, "other": other or aws}
        backends = {name: SimulatedBackend(name, each) for name, each in self.providers.items()}
        self.gateway = Gateway(load(text=CONFIG % (names | {"throughput": said})), clock=clock, backends=backends)
        self.done = []

    async def ask(self, text="Where is my order?", model="haiku", *, most=60, tier=None, **context):
        request = Request(
            protocol="openai",
            model=model,
            messages=(Message("user", (Text(text),)),),
            parameters=Parameters(max_tokens=most, service_tier=tier),
            stream=True,
        )
        started = self.clock.now()
        try:
            _, exchange = await self.gateway.complete(request, Context(**context))
        except Failure as failure:
            self.done.append((context, "failed", self.clock.now() - started))
            return failure
        self.done.append((context, "ok", self.clock.now() - started))
        return exchange

    def lines(self, field):
        return collections.Counter(getattr(line, field) for line in self.providers["aws"].bill.lines)


def run(main):
    async def closing(clock):
        made = []
        try:
            return await main(clock, lambda *args, **rest: made.append(House(clock, *args, **rest)) or made[-1])
        finally:
            for house in made:
                await house.gateway.aclose()

    return loop.run(closing)


REGIONS = """
gate: {patience_s: 0.2}
models:
  "%s":
    regions: {source: us-east-1, residency: %s%s}
    quota: {requests_per_minute: 10, tokens_per_minute: 10000000}
"""


def test_each_profile_is_a_pool_and_the_cheapest_is_used_up_first():
    async def main(clock, house):
        aws = provider(clock, rpm=10)
        here = house(REGIONS % (HAIKU, "anywhere", ""), aws)
        found = await asyncio.gather(*(here.ask(f"Question {n}?") for n in range(34)))
        used = here.lines("place")
        # Global and in-region cost the same, the geographic profile a tenth more: it is used when they are full.
        assert used == {"global": 10, "in_region:us-east-1": 10, "geo:us": 10}
        refused = [each for each in found if isinstance(each, Failure)]
        assert len(refused) == 4
        assert all(each.status == 429 and each.retry_after > 0 for each in refused)
        assert sum(quota.throttled for quota in aws._quotas.values()) == 0  # noqa: SLF001 - the simulated provider's own count

    run(main)


def test_residency_keeps_requests_where_they_may_be():
    async def main(clock, house):
        here = house(REGIONS % (HAIKU, "region", ""), provider(clock, rpm=10))
        await asyncio.gather(*(here.ask(f"Question {n}?") for n in range(20)))
        assert set(here.lines("place")) == {"in_region:us-east-1"}

    run(main)


def test_standard_spills_to_priority_and_what_can_wait_goes_to_flex():
    async def main(clock, house):
        tiers = ', tiers: ["standard", "priority", "flex"]'
        here = house(REGIONS % (NOVA, "geography", tiers), provider(clock, rpm=10))
        await asyncio.gather(*(here.ask(f"Later {n}?", "nova", priority=-1) for n in range(8)))
        assert here.lines("service_tier") == {"flex": 8}
        await asyncio.gather(*(here.ask(f"Now {n}?", "nova") for n in range(25)))
        used = here.lines("service_tier")
        # In region and by profile there are 20 of standard; the rest pays for priority rather than waits for flex.
        assert (used["standard"], used["priority"], used["flex"]) == (20, 5, 8)

    run(main)


def test_the_tier_a_client_asks_for_is_called_and_priced():
    async def main(clock, house):
        here = house("gate: {patience_s: 1}", provider(clock))
        exchange = await here.ask("Cheap, please.", f"us.{NOVA}", tier="flex")
        (call,) = exchange.calls
        assert call.target.service_tier == "flex"
        (line,) = here.providers["aws"].bill.lines
        assert (line.service_tier, line.nano) == ("flex", call.cost)
        savings = here.gateway.books.walk(exchange).savings
        assert {name for name, nano in savings.items() if nano} == {"service_tier"}
        assert savings["service_tier"] == pytest.approx(line.nano, rel=0.01)  # flex is half

    run(main)


DENY = (
    "User: arn:aws:sts::111122223333:assumed-role/app/x is not authorized to perform: bedrock:InvokeModel on resource: "
    "arn:aws:bedrock:::foundation-model/x with an explicit deny in a service control policy"
)


class Denying(SimulatedProvider):
    """A service control policy denies the global profile. The message is constructed after IAM's form."""

    denied = 0

    async def call(self, request, name=None, **rest):
        if name.startswith("global."):
            self.denied += 1
            raise account_refused("ask for access", DENY, upstream_status=403)
        return await super().call(request, name, **rest)


def test_a_profile_that_a_policy_denies_is_left_for_another():
    async def main(clock, house):
        aws = Denying(clock, CURRENT_2026, seed=7)
        here = house(
            REGIONS.replace("requests_per_minute: 10", "requests_per_minute: 1000") % (HAIKU, "anywhere", ""), aws
        )
        for n in range(100):
            assert not isinstance(await here.ask(f"Question {n}?"), Failure)
        assert 0 < aws.denied <= 30  # five, then a probe an interval
        assert "global" not in here.lines("place")

    run(main)


def test_a_denied_model_without_another_place_is_the_operators_to_mend():
    async def main(clock, house):
        aws = Denying(clock, CURRENT_2026, seed=7)
        here = house("gate: {patience_s: 1}", aws)
        failure = await here.ask("Hello?", f"global.{HAIKU}")
        assert (failure.kind, failure.status, aws.denied) == ("provider_account", 503, 1)
        assert "policy" not in failure.sentence()

    run(main)


PLACES = """
models:
  "%s":
    endpoints:
      - {name: east, region: us-east-1}
      - {name: west, region: us-west-2}
"""


def test_an_outage_of_a_region_costs_a_probe_an_interval():
    async def main(clock, house):
        outage = Fault(kind="unavailable", regions=("us-east-1",), begin=20.0, end=80.0)
        here = house(PLACES % HAIKU, provider(clock, faults=[outage]))
        calls = 0
        for number in range(240):
            exchange = await asyncio.wait_for(here.ask(f"Question {number}?"), 30)
            assert not isinstance(exchange, Failure)
            calls += len(exchange.calls)
            await clock.sleep(0.1)
        assert calls <= 240 * 1.1
        (route,) = view(here.gateway.parts.dispatchers)
        assert {endpoint["health"] for endpoint in route["endpoints"]} == {"closed"}

    run(main)


def test_a_full_outage_is_not_multiplied_by_retries():
    async def main(clock, house):
        outage = Fault(kind="unavailable", begin=10.0, end=70.0)
        aws = Counting(clock, CURRENT_2026, seed=7, faults=[outage])
        here = house("gate: {patience_s: 1}", aws)
        asked = calls = first = 0
        recovered = None
        while clock.now() < 100:
            before = clock.now()
            found = await here.ask(f"Question {asked}?", most=20)
            if 12 < before < 70:
                asked += 1
                calls = aws.refused - first
            elif before <= 12:
                first = aws.refused
            if before > 70 and not isinstance(found, Failure) and recovered is None:
                recovered = before - 70
            await clock.sleep(max(0.01, 0.25 - (clock.now() - before)))
        assert asked > 100
        assert recovered is not None
        assert recovered < 10
        assert calls <= asked * 1.1  # one probe an interval, never three tries a request

    run(main)


QUEUED = """
gate: {patience_s: %s}
%s
models:
  "%s": {quota: {requests_per_minute: 60, tokens_per_minute: 100000000}}
"""


def test_urgent_goes_before_background():
    async def main(clock, house):
        here = house(QUEUED % (8, "", HAIKU), provider(clock, rpm=60))
        await asyncio.gather(*(here.ask(f"Warm {n}?") for n in range(60)))  # what was saved up is gone
        here.done.clear()
        tasks = []
        for n in range(6):
            tasks.append(asyncio.ensure_future(here.ask(f"Later {n}?", priority=-1)))
        for n in range(4):
            tasks.append(asyncio.ensure_future(here.ask(f"Now {n}?", priority=5)))
        await asyncio.gather(*tasks)
        order = [context["priority"] for context, outcome, _ in here.done if outcome == "ok"]
        assert order.count(5) == 4
        assert max(i for i, p in enumerate(order) if p == 5) <= 5  # at most what had leave already came before

    run(main)


@pytest.mark.parametrize(("shares", "least", "most"), [("", 0.4, 0.6), ("shares: {small: 3.0}", 0.65, 0.85)])
def test_a_flood_of_one_tenant_leaves_the_other_its_share(shares, least, most):
    async def main(clock, house):
        here = house(QUEUED % (5, shares, HAIKU), provider(clock, rpm=60))
        await asyncio.gather(*(here.ask(f"Warm {n}?") for n in range(60)))
        here.done.clear()
        tasks = []
        for n in range(240):  # four times the quota from one, as much as the quota from the other
            tasks += [asyncio.ensure_future(here.ask(f"Flood {n} {i}?", tenant="big")) for i in range(4)]
            tasks.append(asyncio.ensure_future(here.ask(f"Mine {n}?", tenant="small")))
            await clock.sleep(0.5)
        await asyncio.gather(*tasks)
        served = collections.Counter(context["tenant"] for context, outcome, _ in here.done if outcome == "ok")
        share = served["small"] / (served["small"] + served["big"])
        assert least <= share <= most

    run(main)


def test_what_cannot_begin_in_time_is_turned_away_at_once():
    async def main(clock, house):
        aws = provider(clock, rpm=60)
        here = house(QUEUED % (2, "", HAIKU), aws)
        await asyncio.gather(*(here.ask(f"Warm {n}?") for n in range(60)))
        here.done.clear()
        found = await asyncio.gather(*(here.ask(f"Question {n}?") for n in range(30)))
        refused = [each for each in found if isinstance(each, Failure)]
        assert refused
        assert {each.status for each in refused} == {429}
        times = [took for _, outcome, took in here.done if outcome == "failed"]
        assert max(times) < 0.05
        assert aws.quota(HAIKU).throttled == 0

    run(main)


OWN = """
gate: {patience_s: 20}
models:
  "%s": {limit: {kind: fixed, initial: 1%s}%s}
"""


def test_a_long_background_call_yields_to_an_urgent_one_and_is_answered_later():
    async def main(clock, house):
        slow = Fault(kind="slow", factor=6.0, end=2.0)
        aws = provider(clock, faults=[slow])
        here = house(OWN % (HAIKU, "", ""), aws)
        long = asyncio.ensure_future(here.ask("A long story, please.", most=400, priority=-1))
        await clock.sleep(0.1)
        urgent = await here.ask("Now?", most=20, priority=9)
        urgent_at = clock.now()
        background = await long
        assert not isinstance(urgent, Failure)
        assert not isinstance(background, Failure)
        assert clock.now() > urgent_at
        (route,) = view(here.gateway.parts.dispatchers)
        assert route["totals"]["preempted"] == 1
        assert [call.outcome for call in background.calls] == ["abandoned", "complete"]

    run(main)


def test_a_limit_in_the_shadow_learns_and_is_shown():
    async def main(clock, house):
        here = house(OWN % (HAIKU, ", shadow: gradient", ""), provider(clock))
        for n in range(40):
            await here.ask(f"Question {n}?")
        (route,) = view(here.gateway.parts.dispatchers)
        (endpoint,) = route["endpoints"]
        assert endpoint["limit"] == 1
        assert endpoint["shadow_limit"] >= 1

    run(main)


def test_an_adaptive_limit_moves_with_what_the_server_shows():
    async def main(clock, house):
        aimd = (
            'gate: {patience_s: 5}\nmodels:\n  "%s": {limit: {kind: aimd, initial: 16, slo: {ttft_s: %s, tpot_s: 0.5}}}'
        )
        limits = []
        for slo in (0.05, 60.0):
            here = house(aimd % (HAIKU, slo), provider(clock))
            for _ in range(20):
                await asyncio.gather(*(here.ask(f"Q {n} {clock.now()}?") for n in range(16)))
            (route,) = view(here.gateway.parts.dispatchers)
            limits.append(route["endpoints"][0]["limit"])
        return limits

    strict, easy = run(main)
    assert strict < 16 <= easy


POOL = """
models:
  "%s":
    affinity: true
    endpoints: [{name: one, backend: aws}, {name: two, backend: other}]
"""


def test_equal_prefixes_go_to_the_same_server():
    async def main(clock, house):
        here = house(POOL % HAIKU, provider(clock), provider(clock))
        homes = collections.defaultdict(set)
        for turn in range(6):
            for shop in range(8):
                exchange = await here.ask(f"Shop {shop} " + "terms " * 50)
                homes[shop].add(exchange.calls[-1].target.backend)
            assert turn >= 0
        assert all(len(backends) == 1 for backends in homes.values())
        assert len(set.union(*homes.values())) == 2

    run(main)


HEDGED = """
hedge: {%s}
models:
  "%s":
    hedge: %s
    endpoints: [{name: one, backend: aws}, {name: two, backend: other}]
"""


def test_hedging_cuts_the_tail_and_books_its_cost():
    async def tail(clock, house, on):
        slow = Fault(kind="slow", share=0.03, factor=10.0)
        pool = provider(clock, faults=[slow]), provider(clock, seed=8, faults=[slow])
        here = house(HEDGED % ("", HAIKU, on), *pool)
        times, extra, whole = [], 0, 0
        for n in range(600):
            exchange = await here.ask(f"Question {n} of many?", most=20)
            times.append(exchange.first_out - exchange.arrived)
            paid = [call.cost or 0 for call in exchange.calls]
            whole += sum(paid)
            extra += sum(call.cost or 0 for call in exchange.calls if call is not exchange.adopted)
        return statistics.quantiles(times, n=100)[98], extra / whole

    async def main(clock, house):
        return await tail(clock, house, "false"), await tail(clock, house, "true")

    (plain, none), (hedged, extra) = run(main)
    assert none == 0
    assert hedged < 0.7 * plain
    assert 0 < extra <= 0.03


def test_an_unknown_quota_is_learnt_by_the_running_gateway():
    async def main(clock, house):
        aws = provider(clock, tpm=30_000)
        here = house("gate: {patience_s: 2}", aws)
        tasks, late = [], {"calls": 0, "throttled": 0}
        while clock.now() < 420:
            if clock.now() >= 120 and not late["calls"]:
                late = {"calls": aws.bill.calls, "throttled": aws.quota(HAIKU, "us-east-1").throttled}
            tasks.append(asyncio.ensure_future(here.ask(f"Question {len(tasks)}?", most=400)))
            await clock.sleep(0.25)
        throttled = aws.quota(HAIKU, "us-east-1").throttled - late["throttled"]
        served = aws.bill.calls - late["calls"]
        await asyncio.gather(*tasks)
        assert served > 100
        assert throttled / (throttled + served) <= 0.05
        (route,) = view(here.gateway.parts.dispatchers)
        assert route["endpoints"][0]["quota"]["learnt"]

    run(main)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("regions: {source: us-east-1, residency: geography, second_endpoint: nowhere}", "nowhere"),
        ("endpoints: [{name: a, backend: nobody}]", "nobody"),
    ],
)
def test_wrong_places_are_refused_at_start(wrong, said):
    with pytest.raises(ConfigError, match=said):
        load(text=f'stages: {{throughput: {{models: {{"{HAIKU}": {{{wrong}}}}}}}}}')


def test_a_profile_outside_the_residency_is_refused_at_start():
    with pytest.raises(ConfigError, match="residency"):
        load(
            text=f'stages: {{throughput: {{models: {{"global.{HAIKU}": '
            "{regions: {source: us-east-1, residency: region}}}}}"
        )
