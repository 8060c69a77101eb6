"""A simulated provider is made worse over HTTP while it serves."""

import aiohttp

from hapenny.cli.simulate import provider

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"


async def test_a_change_is_made_listed_and_taken_back() -> None:
    app, _ = provider()
    await app.gateway.start()
    port = await app.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            async with session.post("/simulate/change", json={"model": "claude-3-haiku", "wrong": 1.0}) as answer:
                assert answer.status == 200
                shown = await answer.json()
            assert shown["changes"] == [{"model": MODEL, "wrong": 1.0, "reworded": False, "after": 0}]
            body = {"model": MODEL, "messages": [{"role": "user", "content": "Where is order 4711 of mine?"}]}
            async with session.post("/v1/chat/completions", json=body) as answer:
                text = (await answer.json())["choices"][0]["message"]["content"]
            assert "not handled here" in text
            async with session.post("/simulate/change", json={"wrong": 0.5, "after": 10}) as answer:
                assert (await answer.json())["changes"][1]["after"] == 11
            for wrong in ({"wrong": 3}, {"colour": "red"}, [1]):
                async with session.post("/simulate/change", json=wrong) as answer:
                    assert answer.status == 400
                    assert "Fix:" in (await answer.json())["error"]["message"]
            async with session.delete("/simulate/change") as answer:
                assert (await answer.json())["changes"] == []
            async with session.get("/simulate/change") as answer:
                assert await answer.json() == {"calls": 1, "changes": []}
    finally:
        await app.stop()
