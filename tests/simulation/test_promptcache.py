"""The provider's prompt cache: minimum, lifetime, look-back, what is read and written."""

from hapenny.catalog import Card, resolve
from hapenny.simulation.prompt import Part
from hapenny.simulation.promptcache import PrefixMatch, PromptCache


def card(name: str) -> Card:
    found = resolve(name)
    assert found is not None
    return found


SONNET = card("anthropic.claude-sonnet-4-6")  # minimum 1,024 tokens


def look(cache: PromptCache, parts: list[Part], now: float, *, scope: str = "a", of: Card = SONNET) -> PrefixMatch:
    found = cache.look(scope, of, parts, now)
    cache.keep(found, now)
    return found


LONG = Part(b"system", 2000, "5m")
TURN = Part(b"turn", 100)


def test_written_once_then_read() -> None:
    cache = PromptCache()
    first, second = look(cache, [LONG, TURN], 0), look(cache, [LONG, Part(b"other", 7)], 1)
    assert (first.read, first.write) == (0, 2000)
    assert (second.read, second.write) == (2000, 0)


def test_a_hit_renews_the_lifetime() -> None:
    cache = PromptCache()
    look(cache, [LONG], 0)
    assert look(cache, [LONG], 299).read == 2000
    assert look(cache, [LONG], 299 + 299).read == 2000
    assert look(cache, [LONG], 299 + 299 + 301).read == 0


def test_an_hour_is_written_apart_and_lasts() -> None:
    cache = PromptCache()
    first = look(cache, [Part(b"system", 2000, "1h"), Part(b"docs", 500, "5m")], 0)
    assert (first.write_1h, first.write) == (2000, 500)
    later = look(cache, [Part(b"system", 2000, "1h"), Part(b"docs", 500, "5m")], 1800)
    assert (later.read, later.write) == (2000, 500)


def test_under_the_minimum_nothing_happens_silently() -> None:
    cache = PromptCache()
    short = [Part(b"system", 1023, "5m")]
    assert look(cache, short, 0) == look(cache, short, 1) == PrefixMatch()
    assert look(cache, [Part(b"x", 5000, "5m")], 0, of=card("claude-3-sonnet")) == PrefixMatch()  # has no prompt cache


def test_a_growing_conversation_reads_what_came_before() -> None:
    cache = PromptCache()
    look(cache, [Part(b"system", 2000), Part(b"1", 50, "5m")], 0)
    found = look(cache, [Part(b"system", 2000), Part(b"1", 50), Part(b"2", 70), Part(b"3", 30, "5m")], 1)
    assert (found.read, found.write) == (2050, 100)


def test_look_back_ends_after_twenty_blocks() -> None:
    cache = PromptCache()
    look(cache, [Part(b"system", 2000, "5m")], 0)
    near = [Part(b"system", 2000), *(Part(b"%d" % n, 1) for n in range(19)), Part(b"end", 1, "5m")]
    far = [Part(b"system", 2000), *(Part(b"%d" % n, 1) for n in range(20)), Part(b"end", 1, "5m")]
    assert cache.look("a", SONNET, near, 1).read == 2000
    assert cache.look("a", SONNET, far, 1).read == 0


def test_scopes_and_other_text_do_not_meet() -> None:
    cache = PromptCache()
    look(cache, [LONG], 0)
    assert look(cache, [LONG], 1, scope="b").read == 0
    assert look(cache, [Part(b"System", 2000, "5m")], 1).read == 0


def test_a_prefix_is_readable_only_once_its_answer_began() -> None:
    cache = PromptCache()
    cache.look("a", SONNET, [LONG], 0)
    assert cache.look("a", SONNET, [LONG], 1).read == 0


def test_automatic_caching_needs_no_points_and_writes_free() -> None:
    cache, gpt = PromptCache(), card("gpt-4o")
    plain = [Part(b"system", 2000), Part(b"turn", 60)]
    assert look(cache, plain, 0, of=gpt).read == 0
    found = look(cache, [Part(b"system", 2000), Part(b"other", 9)], 1, of=gpt)
    assert (found.read, found.write) == (1920, 0)  # in steps of 128 tokens
