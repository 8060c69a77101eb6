"""A question states a bound that no document meets."""

from scenarios.scene import Scenario, Scene, merged, searched

SCENARIO = Scenario(
    skill="4.2.2",
    real=True,
    title="A filter leaves nothing",
    happens="“Films about iron since 2100”: the bound is taken as a filter, and nothing is left to answer with.",
    does="Bounds that a question states filter only while something is left; otherwise the search is made "
    "without them. A filter that the application sets itself is kept: its answer says that nothing was "
    "found.",
    sees="Notes on the answer, and `explain` of `/v1/retrieve`.",
    act="Nothing; check the field's values where it happens often.",
    check='hapenny index search COLLECTION "accounts since 2100"',
    proof="Questions with such bounds are answered with citations.",
    naive="A bound that the question states is set as the application's own filter, and kept.",
)


async def run(scene: Scene) -> None:
    rows = [
        {"id": str(year), "title": f"Minutes {year}", "text": "The assembly approved the accounts.", "year": year}
        for year in range(2018, 2026)
    ]
    folder = await scene.indexed(rows)
    kept = {"stages": {"retrieval": {"filter": {"field": "year", "gte": 2100}}}} if scene.broken else {}
    async with scene.open(merged(searched(folder), kept), says=lambda request, target: "[1]"):
        _, bounded = await scene.ask("Which accounts did the assembly approve with year above 2022?")
        _, none = await scene.ask("Which accounts did the assembly approve since 2100?")
        assert none.answer.citations
        assert bounded.answer.citations
