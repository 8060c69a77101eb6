"""Routing spends faster than the month allows."""

from scenarios.scene import Scenario, Scene, modes

SCENARIO = Scenario(
    skill="4.1.2",
    title="The budget is spent by the 20th",
    happens="The month's budget for routed requests would be gone by the 20th.",
    does="While spending runs ahead of the month tiers are lowered, easy questions first; hard ones keep theirs "
    "longest. A key or tenant with a hard budget is refused in its own dialect when it is spent.",
    sees="Soft-limit alerts by webhook and log, the report by tenant, the budget's gauge in `/metrics`.",
    act="Raise the budget, or live with the lower tier till the first.",
    check="hapenny report -c hapenny.yaml --since 30d",
    proof="Spending a day times the days that are left stays within the budget.",
    without={"stages": {"tiers": {"monthly_budget_usd": None}}},
)

QUESTIONS = (
    "When do you open on day {number}?",
    "Is volume {number} in stock?",
    "Prove theorem {number}: derive the asymptotic rate with all constants, compare both proofs step by step, and "
    "explain why the usual argument with Euler products needs care, and where it fails for related series.",
)


async def run(scene: Scene) -> None:
    routed = modes(tiers="on", exact="off")
    async with scene.open({**routed, "stages": {"tiers": {"monthly_budget_usd": 0.075}}}):
        days: list[float] = []
        for day in range(30):
            spent = 0
            for number in range(12):
                text = QUESTIONS[number % 3].format(number=f"{day}-{number}")
                _, exchange = await scene.ask(text, model="auto")
                spent += (await scene.row(exchange)).actual or 0
            days.append(spent / 1e9)
            await scene.clock.sleep((day + 1) * 86_400 - scene.clock.now())
        assert sum(days) <= 0.075 * 1.1
        assert days[-1] > 0
