"""What stages that only watch tell: what they would have saved, without touching the request."""

import pytest
from click.testing import CliRunner

from hapenny.cli.main import main
from hapenny.config import CARD_TIERS
from hapenny.core.messages import Context, Message, Parameters, Text
from hapenny.simulation import loop
from hapenny.telemetry.summary import summarise
from tests.crossing.house import CONFIG, asking, house
from tests.settling import settled

TIERS = CARD_TIERS["manga-2024"]
UNSET = Parameters()


def kept(tmp_path, route=""):
    text = CONFIG.replace("ledger: null", f"ledger: {{path: '{tmp_path}/ledger.db'}}")
    return text.replace("holdout: 0", f"holdout: 0{route}")


async def rows(there, *texts, model="auto", parameters=UNSET, **more):
    for text in texts:
        request = asking(text, model=model, parameters=parameters, **more)
        await there.gateway.complete(request, Context(feature="shop"))
        await settled(there.gateway)


async def summary_of(tmp_path, *texts, route="", **asked):
    async with house(lambda request, target: "At nine, every day.", kept(tmp_path, route)) as there:
        await rows(there, *texts, **asked)
    return summarise(str(tmp_path / "ledger.db")), there.shop


async def test_the_tier_choice_tells_what_it_would_save(tmp_path):
    told, shop = await summary_of(tmp_path, "When?", "Where?", "Who?")
    assert set(shop.models) == {TIERS["strong"]}
    assert 0 < told.would_save["tiers"] < told.actual
    (step,) = [step for step in told.advice if step.name == "tiers"]
    assert step.change["stages"] == {"tiers": "on"}
    assert step.requests == 3
    assert step.low <= step.saves <= step.high
    switched, shop = await summary_of(tmp_path / "on", "When?", "Where?", "Who?", route=", stages: {tiers: 'on'}")
    assert set(shop.models) == {TIERS["fast"]}
    assert told.would_save["tiers"] / told.actual == pytest.approx(switched.saved_share, abs=0.03)


async def test_clients_that_name_a_model_are_told_what_auto_would_save(tmp_path):
    told, _ = await summary_of(tmp_path, "When?", "Where?", model="strong")
    assert "tiers" not in told.would_save
    (step,) = [step for step in told.advice if step.name == "tiers:auto"]
    assert step.change["model"] == "auto"


async def test_equal_questions_without_a_temperature_are_told(tmp_path):
    told, shop = await summary_of(tmp_path, "When?", "When?", "When?", "Where?")
    assert len(shop.models) == 4
    assert told.would_save["consent"] == pytest.approx(told.actual / 2, rel=0.2)
    on, shop = await summary_of(
        tmp_path / "on", "When?", "When?", "When?", "Where?", route=", cache_any_temperature: true"
    )
    assert len(shop.models) == 2
    assert "consent" not in on.would_save


def test_paraphrases_are_told_once_their_answers_were_verified():
    asked = [f"when does the bridge open on {day} {part}?" for day in DAYS for part in PARTS]
    config = CONFIG.replace("holdout: 0", "holdout: 0, cache_any_temperature: true, stages: {exact: 'off'}")

    async def main(clock):
        spared = []
        async with house(lambda request, target: "At nine, every day.", config, clock=clock) as there:
            for text in asked * 6:
                await clock.sleep(30)
                _, exchange = await there.ask(text, model="auto", parameters=UNSET)
                decision = next(each for each in exchange.decisions if each.stage == "semantic")
                assert decision.mode == "shadow"
                spared.append(decision.decision.spared)
            stands = there.gateway.admin.stats()["watched"]["default"]
            assert len(there.shop.models) == len(asked) * 6  # it serves nothing
        return spared, stands

    spared, stands = loop.run(main)
    assert not any(spared[:40])
    assert any(spared[-len(asked) :])
    assert stands["labels"] > 60
    assert stands["audits_wrong"] == 0


def test_a_cache_that_is_closed_says_how_far_it_is():
    config = CONFIG.replace("holdout: 0", "holdout: 0, cache_any_temperature: true, stages: {exact: 'off'}")

    async def main(clock):
        async with house(lambda request, target: "At nine, every day.", config, clock=clock) as there:
            for number in range(40):
                await clock.sleep(600)
                await there.ask(f"when does the bridge open on {DAYS[number % 7]}?", model="auto", parameters=UNSET)
            return there.gateway.admin.stats()["watched"]["default"]

    stands = loop.run(main)
    assert not stands["open"]
    assert stands["more_requests"] > 0
    assert stands["more_days"] == pytest.approx(stands["more_requests"] * 600 / 86_400, rel=0.1)
    assert "more requests" in stands["outlook"]


DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
PARTS = ("morning", "evening", "at night")


async def test_what_a_cache_would_spare_is_not_saved_twice(tmp_path):
    told, _ = await summary_of(tmp_path, *["When?"] * 10)
    assert told.advised.saves <= told.actual
    assert sum(step.saves for step in told.advice) > told.advised.saves


async def test_the_report_opens_with_it_and_fits_eighty_columns(tmp_path):
    await summary_of(tmp_path, "When?", "Where?", "Who?")
    done = CliRunner().invoke(main, ["report", "--ledger", str(tmp_path / "ledger.db")])
    assert done.exit_code == 0
    lines = done.output.splitlines()
    head = next(line for line in lines if line.startswith("on now: saved"))
    assert "switch these on: + $" in head
    assert "±" in head
    assert all(len(line) <= 80 for line in lines), max(lines, key=len)
    assert "…" not in done.output


async def test_the_page_shows_the_steps_too(tmp_path):
    await summary_of(tmp_path, "When?", "Where?", "Who?")
    page = tmp_path / "report.html"
    CliRunner().invoke(main, ["report", "--ledger", str(tmp_path / "ledger.db"), "--html", str(page)])
    assert "What to switch on next" in page.read_text()
    assert "the cheapest tier a question allows" in page.read_text()


async def test_the_select_verb_says_who_really_answers(tmp_path):
    path = tmp_path / "h.yaml"
    path.write_text(CONFIG)
    said = CliRunner().invoke(main, ["select", "When?", "-c", str(path)]).output
    assert said.startswith("fast")
    assert f"in shadow: {TIERS['strong']} answers `auto` there" in said
    path.write_text(CONFIG.replace("holdout: 0", "holdout: 0, stages: {tiers: 'on'}"))
    assert "answers `auto` there" not in CliRunner().invoke(main, ["select", "When?", "-c", str(path)]).output


async def test_pictures_and_long_texts_are_watched_as_well(tmp_path):
    long = Message("user", (Text("When? " * 5_000),))
    told, _ = await summary_of(tmp_path, "x", messages=(long,))
    assert told.identity_violations == 0
