"""Templates before the caches: what a template answers is stored nowhere, and no stored answer is a template's."""

from hapenny.core.messages import Message, Text
from hapenny.telemetry.headers import served_model
from tests.crossing.house import CONFIG, house

CLOSING = (
    Message("user", (Text("Where is my order?"),)),
    Message("assistant", (Text("It arrives on Monday. Anything else?"),)),
    Message("user", (Text("No, thank you!"),)),
)


def modes(templates):
    return CONFIG.replace("p7}", f"p7, stages: {{semantic: on, templates: {templates}}}}}")


def entries(there):
    stats = there.gateway.admin.stats()
    return stats["exact"]["entries"] + stats["semantic"]["entries"]


async def test_a_templates_answer_is_stored_nowhere():
    async with house(config=modes("on")) as there:
        for _ in range(2):
            _, answered = await there.ask(messages=CLOSING)
            assert served_model(answered) == "hapenny-template"
            assert answered.cache is None
        assert there.shop.asked == []
        assert entries(there) == 0


async def test_where_templates_only_watch_the_models_answer_is_stored_as_the_models():
    async with house(config=modes("shadow")) as there:
        _, first = await there.ask(messages=CLOSING)
        _, again = await there.ask(messages=CLOSING)
        assert len(there.shop.asked) == 1
        assert again.cache.hit
        assert served_model(again) == served_model(first) != "hapenny-template"


async def test_a_template_that_steps_in_leaves_stored_answers_alone():
    async with house(config=modes("shadow")) as there:
        await there.ask(messages=CLOSING)
        there.reload(modes("on"))
        assert served_model((await there.ask(messages=CLOSING))[1]) == "hapenny-template"
        there.reload(modes("shadow"))
        _, back = await there.ask(messages=CLOSING)
        assert back.cache.hit
        assert len(there.shop.asked) == 1
