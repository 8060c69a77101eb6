"""The life of a certificate in a running gateway, in simulated time: it serves, is refuted, void, renewed."""

import asyncio

import pytest

from hapenny.config import load
from hapenny.core.events import Started, Stopped, TextDelta, Tokens, Usage
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.routing.pareto import Dominated
from hapenny.routing.training import Logged, TrainingOutcome, save_router, train_router
from hapenny.simulation.loop import clock, run
from tests.routing.test_scorer import traffic
from tests.server.house import SONNET, Scripted
from tests.settling import settled

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
RIGHT, WRONG = "The toll is half a penny.", "Cranes fly south over the misty lake."


class Minds(Scripted):
    """The strong model is always right; the weak one fails where algebra is asked, and everywhere once it is `ill`."""

    ill = False

    async def call(self, request, target, limits):
        await asyncio.sleep(0.5)
        hard = "equation" in request.question or "theorem" in request.question
        text = WRONG if target.model == HAIKU and (hard or self.ill) else RIGHT
        self.events = [
            Started("m", target.model),
            TextDelta(text, 0),
            Stopped("end_turn"),
            Usage(Tokens(input=12, output=9)),
        ]
        return await super().call(request, target, limits)


def router(path, **more):
    prompts, weak, strong, _ = traffic(1_500)
    rows = [
        Logged(prompt=p, models={HAIKU: TrainingOutcome(score=w), SONNET: TrainingOutcome(score=s)})
        for p, w, s in zip(prompts, weak, strong, strict=True)
    ]
    made = train_router(rows, weak=HAIKU, strong=SONNET, max_quality_loss=0.05, **{"wall": 0.0, **more})
    path.write_bytes(save_router(made))
    return made


def config(file, share=1.0, preset="demo", version="", more=""):
    return load(
        text=f"""
backends: {{simulated: {{kind: simulated}}}}
ledger: null
stages: {{tiers: {{trained: {file}}}, semantic: {{embedder: hashed}}}}
routes: {{default: {{preset: {preset}, holdout: 0, max_quality_loss: 0.05, audit_share: {share}, audit_budget_usd: 50,
  audit_judge: "", prompt_version: "{version}",
  stages: {{semantic: "off", exact: "off", flights: "off", templates: "off"}}{more}}}}}
"""
    )


async def ask(gateway, text, model="auto"):
    request = Request(
        protocol="openai",
        model=model,
        messages=(Message("user", (Text(text),)),),
        parameters=Parameters(max_tokens=50),
    )
    _, exchange = await gateway.complete(request, Context())
    await settled(gateway)
    return exchange.calls[-1].target.model, exchange.answer.certificate or None


async def day(gateway, count, seed):
    """Serves some traffic; the share that the weak model answered."""
    prompts, _, _, _ = traffic(count, seed=seed)
    served = [(await ask(gateway, text))[0] for text in prompts]
    return served.count(HAIKU) / count


EASY = "hello there how is the weather blue river cat"


def test_a_promise_is_kept_watched_and_refuted(tmp_path):
    router(tmp_path / "r")
    backend = Minds()

    async def main():
        async with Gateway(config(tmp_path / "r"), clock=clock(), backends={"simulated": backend}) as gateway:
            model, header = await ask(gateway, EASY)
            assert model == HAIKU
            assert "confidence=0.95" in header
            assert 0.4 < await day(gateway, 60, 5) < 0.75
            held = gateway.parts.router.promises.held()
            assert [(one.state, one.seen > 50) for one in held if one.certificate.threshold] == [("in force", True)]
            backend.ill = True
            await day(gateway, 60, 6)
            model, header = await ask(gateway, EASY)
            assert (model, header) == (SONNET, None)
            assert [one.state for one in gateway.parts.router.promises.held()] == ["refuted"]

    run(main())


def test_a_new_prompt_version_voids_the_certificate_until_pairs_renew_it(tmp_path):
    router(tmp_path / "r")
    backend = {"simulated": Minds()}

    async def main():
        now = clock()
        async with Gateway(config(tmp_path / "r"), clock=now, backends=backend) as old:
            assert (await ask(old, EASY))[0] == HAIKU
            async with Gateway(config(tmp_path / "r", version="2"), backends=backend, previous=old) as gateway:
                assert await ask(gateway, EASY) == (SONNET, None)
                promises = gateway.parts.router.promises
                assert await day(gateway, 150, 7) == 0.0
                assert promises.pairs("default") == gateway.parts.live_audit.probed > 140
                assert [one.state for one in promises.held()] == ["void"]
                await day(gateway, 300, 8)
                model, header = await ask(gateway, EASY)
                assert model == HAIKU
                assert "loss<=0.0" in header
                renewed = promises.held()[0]
                assert renewed.state == "in force"
                assert renewed.certificate.about.prompt_version == "2"
                assert renewed.certificate.dated > 1e9
                kept = gateway.parts.router.dumps()
        # after a restart the renewed certificate is still there
        async with Gateway(config(tmp_path / "r", version="2"), clock=clock(), backends=backend) as fresh:
            assert (await ask(fresh, EASY))[0] == SONNET
            fresh.parts.router.loads(kept)
            assert (await ask(fresh, EASY))[0] == HAIKU
        # of another training nothing is taken over
        router(tmp_path / "r", wall=1.0)
        async with Gateway(config(tmp_path / "r", version="2"), clock=clock(), backends=backend) as other:
            other.parts.router.loads(kept)
            assert (await ask(other, EASY))[0] == SONNET

    run(main())


def test_a_weak_model_that_fails_earns_no_certificate(tmp_path):
    router(tmp_path / "r", prompt_version="old")
    backend = Minds()
    backend.ill = True

    async def main():
        async with Gateway(config(tmp_path / "r"), clock=clock(), backends={"simulated": backend}) as gateway:
            # a promise of .05 can be kept by giving a model that is always wrong next to nothing
            assert await day(gateway, 420, 9) <= 0.05
            assert gateway.parts.router.promises.pairs("default") > 400

    run(main())


def test_in_shadow_the_weak_model_is_asked_off_the_path_and_the_monitor_watches(tmp_path):
    router(tmp_path / "r")
    backend = Minds()

    async def main():
        quiet = config(tmp_path / "r", preset="safe")
        async with Gateway(quiet, clock=clock(), backends={"simulated": backend}) as gateway:
            assert await day(gateway, 30, 5) == 0.0
            assert gateway.parts.live_audit.probed == 30
            assert gateway.parts.router.promises.held()[0].seen > 10
            backend.ill = True
            await day(gateway, 60, 6)
            assert gateway.parts.router.promises.held()[0].state == "refuted"
            assert gateway.shared.step_back.stepped_back() == {}

    run(main())


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_goes_to_a_dominated_tier(tmp_path, share):
    import msgspec

    made = router(tmp_path / "r")
    worse = Dominated(model=SONNET, by="anthropic.claude-3-5-haiku-20241022-v1:0", gap=0.1, p_value=0.0, cost_ratio=2.0)
    (tmp_path / "r").write_bytes(save_router(msgspec.structs.replace(made, dominated=(worse,) if share else ())))

    async def main():
        async with Gateway(config(tmp_path / "r"), clock=clock(), backends={"simulated": Minds()}) as gateway:
            model, header = await ask(gateway, "prove the theorem of the seven blue table river")
            assert model == (worse.by if share else SONNET)
            assert (header is None) == bool(share)

    run(main())
