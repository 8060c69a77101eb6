"""The loss budget of a route: who steps back, when, and in which order."""

from hapenny.evidence.step_back import StepBack

LOSSY = ("templates", "semantic", "tiers", "cascade", "window", "prune")


def test_the_technique_with_the_largest_loss_steps_back_then_the_next():
    switch, gone = StepBack(LOSSY), []
    for turn in range(4_000):
        techniques = [name for name in ("prune", "tiers") if not switch.off("shop", name)]
        loss = 0.0
        if "tiers" in techniques:
            loss = float(turn % 5 == 0)
        elif "prune" in techniques:
            loss = float(turn % 8 == 0)
        stepped = switch.observe("shop", techniques[-1:], loss, 0.02)
        if stepped:
            gone.append(stepped)
    assert gone == ["tiers", "prune"]
    assert switch.stepped_back() == {"shop": ["tiers", "prune"]}
    assert not switch.off("help", "tiers")
    switch.restore("shop")
    assert not switch.off("shop", "tiers")


def test_a_kept_promise_never_steps_back():
    switch = StepBack(LOSSY)
    for turn in range(6_000):
        assert switch.observe("shop", ("semantic",), float(turn % 60 == 0), 0.02) is None


def refuted():
    switch = StepBack(LOSSY)
    switch.under({"shop": "one"})
    while switch.observe("shop", ("prune",), 1.0, 0.02) is None:
        pass
    return switch


def test_a_refuted_promise_outlives_a_restart_but_not_its_settings():
    kept = refuted().dumps()
    again = StepBack(LOSSY)
    again.under({"shop": "one"})
    again.loads(kept)
    assert again.off("shop", "prune")
    again.under({"shop": "one"})
    assert again.off("shop", "prune")
    again.under({"shop": "two"})
    assert not again.off("shop", "prune")
    changed = StepBack(LOSSY)
    changed.under({"shop": "two"})
    changed.loads(kept)
    assert not changed.off("shop", "prune")


def test_evidence_under_way_outlives_a_restart():
    whole, first = StepBack(LOSSY), StepBack(LOSSY)
    losses = [float(turn % 12 == 0) for turn in range(2_000)]
    stepped = [whole.observe("shop", ("tiers",), loss, 0.02) for loss in losses]
    at = stepped.index("tiers")
    for loss in losses[: at // 2]:
        first.observe("shop", ("tiers",), loss, 0.02)
    second = StepBack(LOSSY)
    second.under({"shop": ""})
    second.loads(first.dumps())
    later = [second.observe("shop", ("tiers",), loss, 0.02) for loss in losses[at // 2 :]]
    assert later.index("tiers") == at - at // 2
