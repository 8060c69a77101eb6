"""The loss budget of a route: who steps back, when, and in which order."""

from hapenny.evidence.switch import Switch


def test_the_technique_with_the_largest_loss_steps_back_then_the_next():
    switch, gone = Switch(), []
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
    switch = Switch()
    for turn in range(6_000):
        assert switch.observe("shop", ("semantic",), float(turn % 60 == 0), 0.02) is None
