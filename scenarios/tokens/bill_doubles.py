"""A longer system prompt went live at midnight."""

from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.1.1",
    title="The token bill doubles overnight after a prompt change",
    happens="Nobody asks more than yesterday, and the bill is twice as high. A new system prompt is four pages long.",
    does="Every request is counted by part (system, tools, history, context, user), and tagged with the route's "
    "`prompt_version`: the books show which part grew, and since which version.",
    sees="`hapenny report` (prompt by part), `hapenny_prompt_tokens_total{part=…}`, an alert on the share of the "
    "budget.",
    act="Shorten the prompt (`hapenny tokens explain`), compare both versions (`hapenny tokens count A B`), put "
    "its static part first so that the provider's cache carries it.",
    check="hapenny report -c hapenny.yaml --since 24h",
    proof="Prompt tokens of the part that grew are back where they were the day before.",
    naive="All tokens of a prompt are one figure.",
)


async def run(scene: Scene) -> None:
    spent = {}
    for version, pages in (("p7", 1), ("p8", 8)):
        prompt = "You are the assistant of a manga shop. Answer in the customer's language, and briefly. " * 12 * pages
        config = {"routes": {"default": {"prompt_version": version, "stages": {"exact": "off"}}}}
        async with scene.open(config, says=lambda request, target: "At nine."):
            rows = []
            for number in range(10):
                _, exchange = await scene.ask(f"When do you open on day {number}?", system=prompt)
                rows.append(await scene.row(exchange))
            spent[version] = [sum(row.actual or 0 for row in rows)]
            for part in ("system", "user"):
                spent[version].append(sum(sum(row.parts.values()) if scene.broken else row.parts[part] for row in rows))
            assert scene.metric("hapenny_prompt_tokens_total", part="system") == spent[version][1]
    money, system, user = (after / before for before, after in zip(spent["p7"], spent["p8"], strict=True))
    assert money > 2
    assert system > 6
    assert user == 1
