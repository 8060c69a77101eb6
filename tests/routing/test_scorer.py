"""The trained scorer, certificates and dominated models."""

import msgspec
import numpy as np
import pytest

from hapenny.routing.certificates import Fingerprint, candidates, certify
from hapenny.routing.intents.features import extract
from hapenny.routing.pareto import dominated
from hapenny.routing.scorer import Options, Reader, Scorer, fit

ABOUT = Fingerprint(route="chat", intent="", weak="small", strong="large")


def traffic(n, seed=0):
    """Algebra defeats the weak model, greetings do not; the strong one is nearly always right."""
    rng = np.random.default_rng(seed)
    easy, hard = ("hello there how is the weather", "thanks a lot"), ("solve the equation x", "prove the theorem of")
    prompts, weak, strong, tasks = [], [], [], []
    for _ in range(n):
        difficult = rng.random() < 0.4
        words = " ".join(rng.choice(["blue", "seven", "river", "table", "cat"], 6))
        prompts.append(f"{rng.choice(hard if difficult else easy)} {words}")
        weak.append(float(rng.random() > (0.6 if difficult else 0.03)))
        strong.append(float(rng.random() > 0.02))
        tasks.append("math" if difficult else "chat")
    return prompts, np.array(weak), np.array(strong), tasks


def test_learns_which_prompts_need_the_strong_model():
    prompts, weak, strong, _ = traffic(400)
    reader = Reader(fit(prompts, weak, strong))
    hard = reader.gain(extract("prove the theorem of the green river"))
    easy = reader.gain(extract("hello there how is the weather on the river"))
    assert easy < 0.2 < hard
    assert hard - easy > 0.12


def test_task_labels_help_and_unknown_ones_do_no_harm():
    prompts, weak, strong, tasks = traffic(400)
    reader = Reader(fit(prompts, weak, strong, tasks))
    same = extract("the table is blue")
    assert reader.gain(same, "math") > reader.gain(same, "chat")
    assert reader.gain(same, "never seen") == reader.gain(same, None)


def test_scorer_survives_storage():
    prompts, weak, strong, tasks = traffic(60)
    scorer = fit(prompts, weak, strong, tasks, version="7")
    back = msgspec.msgpack.decode(msgspec.msgpack.encode(scorer), type=Scorer)
    question = extract(prompts[3])
    assert Reader(back).gain(question, "math") == Reader(scorer).gain(question, "math")
    assert back.version == "7"


def test_abstains_on_foreign_prompts_only():
    prompts, weak, strong, _ = traffic(500)
    reader = Reader(fit(prompts, weak, strong))
    fresh, *_ = traffic(300, seed=9)
    assert np.mean([reader.foreign(extract(p)) for p in fresh]) < 0.05
    assert reader.foreign(extract("def f(xs):\n    return [y ** 2 for y in xs if y % 3 == 0]\nassert f([3]) == [9]"))
    back = Reader(msgspec.msgpack.decode(msgspec.msgpack.encode(reader.scorer), type=Scorer))
    assert back.distance(extract(fresh[0])) == reader.distance(extract(fresh[0]))
    assert reader.foreign(extract("Quel est le plus grand fleuve d'Europe orientale ?"))


@pytest.mark.parametrize(
    "prompt",
    [
        "Write a poem about the blue river and the cat.",
        "Could you please translate the weather to the table?",
        "Viết một bài thơ về dòng sông",
        "この文章を三行に要約してください。",
    ],
)
def test_abstains_from_instructions_that_it_never_saw(prompt):
    prompts, weak, strong, _ = traffic(500)
    plain = [f"what is the {p}" for p in prompts]
    wide = [f"{p} 川の色は何ですか" for p in plain[:60]] + [f"{p} dòng sông màu gì" for p in plain[:60]]
    scores = np.concatenate([weak, weak[:120]]), np.concatenate([strong, strong[:120]])
    asked = Reader(fit(plain + wide, *scores))
    assert asked.distance(extract(prompt)) > 1.0
    assert not asked.foreign(extract(plain[0]))
    told = Reader(fit(plain + wide + [prompt] * 20, *(np.concatenate([each, np.ones(20)]) for each in scores)))
    assert told.distance(extract(prompt)) <= 1.0


def test_a_scorer_of_before_has_no_kinds_and_goes_on():
    prompts, weak, strong, _ = traffic(500)
    scorer = fit(prompts, weak, strong)
    assert len(scorer.prototypes) == 32
    without = Reader(msgspec.structs.replace(scorer, prototypes=[], foreign_kind=0.0, instructions=None))
    assert not without.foreign(extract(prompts[0]))
    assert without.gain(extract(prompts[0])) == Reader(scorer).gain(extract(prompts[0]))


def test_too_little_data_is_refused():
    with pytest.raises(ValueError, match="at least 10"):
        fit(["a"], [1], [0])


def test_more_steps_change_nothing_once_converged():
    prompts, weak, strong, _ = traffic(80)
    a = Reader(fit(prompts, weak, strong, options=Options(steps=60)))
    b = Reader(fit(prompts, weak, strong, options=Options(steps=120)))
    assert a.gain(extract(prompts[0])) == pytest.approx(b.gain(extract(prompts[0])), abs=1e-4)


def test_certificate_keeps_its_promise_on_fresh_traffic():
    rng = np.random.default_rng(5)
    broken = served = 0
    for _ in range(200):
        score = rng.random(700)
        loss = (rng.random(700) < 0.3 * score**2).astype(float)
        found = certify(ABOUT, score, loss, max_quality_loss=0.03, dated=0.0)
        if found.threshold is not None:
            served += 1
            # True loss up to t: the integral of .3 s^2.
            broken += 0.1 * found.threshold**3 > 0.03
    assert served == 200
    assert broken / 200 <= 0.05 + 2 * 0.0155


def test_certificate_needs_enough_pairs():
    found = certify(ABOUT, np.linspace(0, 1, 100), np.zeros(100), max_quality_loss=0.02, dated=1.0)
    assert found.threshold is None
    assert found.wanted_pairs > 100
    assert not found.allows(0.0)
    assert "wanted" in found.header()


def test_certificate_is_void_when_its_subject_changes():
    found = certify(ABOUT, np.linspace(0, 1, 600), np.zeros(600), max_quality_loss=0.02, dated=1.0)
    assert found.allows(0.99)
    assert found.describes(ABOUT)
    assert not found.describes(msgspec.structs.replace(ABOUT, prompt_version="2"))


def test_monitor_of_a_certificate_alarms_when_the_loss_rises():
    found = certify(ABOUT, np.linspace(0, 1, 600), np.zeros(600), max_quality_loss=0.02, dated=1.0)
    monitor = found.monitor()
    rng = np.random.default_rng(1)
    assert any(monitor.update(float(x)) for x in rng.random(400) < 0.12)


def test_thresholds_come_from_scores_alone():
    assert (np.diff(candidates([0.1, 0.1, 0.5, 0.9])) > 0).all()


def test_dominated_models_are_found_with_their_better():
    rng = np.random.default_rng(2)
    level = rng.random(500)
    scores = {
        "good-and-cheap": (rng.random(500) < 0.8).astype(float),
        "bad-and-dear": (rng.random(500) < 0.6).astype(float),
        "best-and-dearest": (rng.random(500) < 0.9).astype(float),
        "twin": level,
    }
    costs = {"good-and-cheap": 1.0, "bad-and-dear": 2.0, "best-and-dearest": 9.0}
    found = dominated(scores, costs)
    assert [(d.model, d.by) for d in found] == [("bad-and-dear", "good-and-cheap")]
    assert found[0].cost_ratio == 2


@pytest.mark.parametrize("alike", [0.0, 1.0])
def test_outcomes_that_are_all_alike_tell_prompts_apart_by_nothing(alike):
    prompts = [f"Where is shelf {number}, {word}?" for number in range(40) for word in ("please", "and why")]
    same = np.full(len(prompts), alike)
    reader = Reader(fit(prompts, same, same))
    gains = [reader.gain(extract(prompt)) for prompt in prompts]
    assert max(gains) - min(gains) < 1e-9
