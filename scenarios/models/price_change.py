"""The strong model gets 20 % cheaper on the first."""

from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.1.2",
    title="A provider changes its prices",
    happens="A contract, or a new price list, changes what a model costs from a date on.",
    does="Prices are data: a file of negotiated prices replaces the catalog's. Baseline, savings and "
    "certificates follow; certificates about the old prices are void.",
    sees="`hapenny report` before and after; `hapenny doctor` compares with the provider's invoice.",
    act="Write the file, name it under `prices`, reload.",
    check="hapenny report -c hapenny.yaml --since 24h",
    proof="A request costs what the new list says; no row is unpriced.",
    without={"prices": None},
)
PRICES = """
prices:
  - {model: anthropic.claude-3-sonnet-20240229-v1:0, discount: 0.5}
"""


async def run(scene: Scene) -> None:
    paid = []
    file = scene.folder / "prices.yaml"
    file.write_text(PRICES, encoding="utf-8")
    for config in ({}, {"prices": str(file)}):
        async with scene.open(config, says=lambda request, target: "It is about a bridge. " * 20):
            _, exchange = await scene.ask("What is volume 3 about?")
            row = await scene.row(exchange)
            assert not row.unpriced
            paid.append(row.actual or 0)
    assert paid[1] < 0.6 * paid[0]
