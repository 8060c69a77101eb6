"""The semantic cache is asked the opposite of what it holds."""

from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.1.4",
    title="The semantic cache is asked a negated question",
    happens="“Can volumes be returned once they are opened?” is stored. Then somebody asks what cannot be returned. "
    "The two sentences share nearly all their words, and their vectors are close.",
    does="Negations and opposites, numbers and names block a hit, whatever the similarity says; a rewording is served.",
    sees="`Cache-Status` says why it was no hit; `hapenny cache explain KEY` and the console show the pair.",
    act="Nothing. Pairs that look wrong are judged in `hapenny labels`, which moves the border.",
    check="hapenny cache explain",
    proof="The negated question has an entry of its own.",
    naive="Similarity alone decides: a hit is what the nearest stored question got.",
)
CACHED = {"stages": {"semantic": {"similarity": 0.5}}, "routes": {"default": {"stages": {"semantic": "on"}}}}

STORED = "when can opened volumes be returned"


async def run(scene: Scene) -> None:
    async with scene.open(CACHED, says=lambda request, target: f"About: {request.messages[-1].text}"):
        await scene.ask(STORED)
        for negated in ("when can opened volumes not be returned", "when can closed volumes be returned"):
            text, exchange = await scene.ask(_nearest(negated) if scene.broken else negated)
            assert text == f"About: {negated}"
            assert exchange.cache is not None
            assert not exchange.cache.hit
        text, exchange = await scene.ask("so when can opened volumes be returned")
        assert exchange.cache is not None
        assert (exchange.cache.layer, exchange.cache.hit) == ("semantic", True)
        assert text == f"About: {STORED}"


def _nearest(question: str) -> str:
    """The stored question that shares most words with this one."""
    return max((STORED,), key=lambda each: len(set(each.split()) & set(question.split())))
