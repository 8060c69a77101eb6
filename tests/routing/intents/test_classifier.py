"""The intent classifier."""

import msgspec
import numpy as np
import pytest

from hapenny.routing.intents.classifier import UNKNOWN, Classifier, IntentModel, train

KINDS = {
    "track": ["where is my order", "has my parcel shipped yet", "when will it arrive", "track delivery of order"],
    "refund": ["i want my money back", "refund this purchase", "how do i return it", "money back now"],
    "recommend": ["suggest a manga like naruto", "what should i read next", "recommend a series", "any good manga"],
}


def traffic(n, seed):
    rng = np.random.default_rng(seed)
    names = list(KINDS)
    labels = [names[i] for i in rng.integers(0, 3, n)]
    extra = ["today", "please", "number 4711", "thanks", "hello", ""]
    return [f"{rng.choice(extra)} {rng.choice(KINDS[label])} {rng.choice(extra)}" for label in labels], labels


def test_learns_labels_and_abstains_on_strangers():
    texts, labels = traffic(240, 0)
    classifier = Classifier(train(texts, labels))
    fresh, wanted = traffic(60, 1)
    found = [classifier.classify(text)[0] for text in fresh]
    assert np.mean([f == w for f, w in zip(found, wanted, strict=True)]) > 0.9
    assert classifier.classify("")[0] == UNKNOWN
    assert classifier.classify("zzz qqq")[0] == UNKNOWN


def test_held_out_precision_is_what_was_asked_for():
    rng = np.random.default_rng(2)
    texts, labels = traffic(300, 3)
    noisy = [label if rng.random() > 0.2 else str(rng.choice(list(KINDS))) for label in labels]
    sure = train(texts, noisy, precision=0.97)
    loose = train(texts, noisy, precision=0.5)
    assert sure.coverage < loose.coverage
    assert sure.coverage == 0 or sure.accuracy / sure.coverage >= 0.97


def test_survives_storage():
    texts, labels = traffic(60, 4)
    model = train(texts, labels)
    back = msgspec.msgpack.decode(msgspec.msgpack.encode(model), type=IntentModel)
    assert Classifier(back).classify("has my parcel shipped yet") == Classifier(model).classify(
        "has my parcel shipped yet"
    )


def test_one_label_is_no_choice():
    with pytest.raises(ValueError, match="two labels"):
        train(["a", "b"], ["x", "x"])
