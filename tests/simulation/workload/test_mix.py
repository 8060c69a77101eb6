"""A mix file is read strictly, and what is wrong with one is said where it is wrong."""

from pathlib import Path

import pytest
import yaml

from hapenny.simulation.workload import mix as mixes

TEXT = mixes.DEFAULT.read_text(encoding="utf-8")


def changed(path: str, value: object) -> str:
    """The shipped mix with one field changed, or taken out where the value is None."""
    raw = yaml.safe_load(TEXT)
    *steps, last = path.split(".")
    place = raw
    for step in steps:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return yaml.safe_dump(raw, allow_unicode=True)


def test_every_figure_of_the_shipped_mix_has_a_source() -> None:
    mix = mixes.load()
    for intent in mix.intents.values():
        assert set(intent.sources) == {"share", "kind", "difficulty", "tokens", "repeat", "rephrase", "follow_up"}
    assert 0 < mix.assumed() < 1


def test_a_changed_mix_gets_a_new_date() -> None:
    mix = mixes.load()
    assert (mix.name, str(mix.date), mix.digest()) == ("manga-shop", "2026-11-30", "79356a0ff88a52a3")


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(changed("name", "mine"), encoding="utf-8")
    mine = mixes.load(path)
    assert mine.name == "mine"
    assert mine.digest() != mixes.load().digest()
    assert mixes.read(TEXT).digest() == mixes.load().digest()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("intents.price.share", 0.5, "the shares add up to"),
        ("intents.price.share", "many", "$.intents[...].share"),
        ("intents.price.repeat", 1.5, "intents.price.repeat: 1.5 is no share"),
        ("intents.price.rephrase", 0.9, "intents.price: repeat + rephrase is above 1"),
        ("intents.price.asks", "weather", "intents.price.asks: 'weather' is not known. Fix: one of order_status"),
        ("intents.price.kind", "magic", "Invalid enum value 'magic'"),
        ("intents.price.kind", "tools", "price needs no tool"),
        ("intents.stock.kind", "grounded", "stock is looked up by a tool"),
        ("intents.price.difficulty", 9, "intents.price.difficulty: 9.0 is out of range"),
        ("intents.price.sources.share", None, "intents.price.sources.share: missing. Fix: where the figure comes from"),
        ("intents.price.sources.colour", "x", "intents.price.sources.colour: there is no such field"),
        ("intents.price.colour", "x", "unknown field `colour`"),
        ("intents.price.tokens", None, "missing required field `tokens`"),
        ("intents.price.tokens.documents", 10**6, "intents.price.tokens.documents: 1000000 is out of range"),
        ("intents.price.tokens.answer", {"p50": 90, "p95": 50}, "needs 1 <= p50 <= p95"),
        ("traffic.languages", {"en": 0.5, "fr": 0.5}, "traffic.languages: fr is not spoken here"),
        ("traffic.languages", {"en": 0.5}, "must add up to 1"),
        ("traffic.day_profile", [1, 2], "traffic.day_profile: needs 24 values"),
        ("traffic.burstiness", 0.2, "traffic.burstiness: 0.2 is out of range"),
        ("traffic.sessions", {"more": 2, "gap_s": 5}, "traffic.sessions: needs more from 0 to 0.9"),
        ("traffic.sources.drift", "", "traffic.sources.drift: missing"),
        ("traffic.campaigns", [{"intent": "no", "day": 0, "hour": 1, "hours": 1, "factor": 2}], "no intent 'no'"),
        ("traffic.releases", [{"day": 0, "hour": 25, "minutes": 5, "factor": 2}], "traffic.releases[0]"),
        ("documents_scale", 0, "documents_scale: 0.0 is out of range"),
        ("intents", {}, "intents: there is none"),
        ("date", "soon", "Invalid"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(path: str, value: object, said: str) -> None:
    with pytest.raises(mixes.MixError) as error:
        mixes.read(changed(path, value), "mine.yaml")
    assert said in str(error.value)
    assert str(error.value).startswith("mine.yaml: ")


def test_a_file_that_is_not_there_or_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(mixes.MixError, match="Fix: give a mix file"):
        mixes.load(tmp_path / "none.yaml")
    with pytest.raises(mixes.MixError, match="no YAML"):
        mixes.read("a: [", "x")
    with pytest.raises(mixes.MixError, match="Expected `object`"):
        mixes.read("", "x")
