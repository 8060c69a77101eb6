"""Remote embedders. Answers are constructed after wire.md's and the providers' documented shapes."""

import base64

import numpy as np
import pytest

from hapenny.vectors.remote import RemoteEmbedder, batches


class Server:
    """Answers each text with (length, 1), in the style asked for."""

    def __init__(self, style, *, floats=False, shuffle=False):
        self.style, self.floats, self.shuffle, self.bodies = style, floats, shuffle, []

    async def send(self, model, body):
        self.bodies.append(body)
        if self.style == "titan":
            return {"embedding": [float(len(body["inputText"])), 1.0], "inputTextTokenCount": 3}
        if self.style == "cohere":
            rows = [[float(len(text)), 1.0] for text in body["texts"]]
            return {"embeddings": rows if self.floats else {"float": rows}}
        rows = [np.array([len(text), 1.0], dtype="<f4") for text in body["input"]]
        data = [
            {"index": at, "embedding": row.tolist() if self.floats else base64.b64encode(row.tobytes()).decode()}
            for at, row in enumerate(rows)
        ]
        return {"object": "list", "data": data[::-1] if self.shuffle else data}


@pytest.mark.parametrize(("style", "calls"), [("titan", 120), ("cohere", 2), ("openai", 1)])
@pytest.mark.parametrize("floats", [False, True])
async def test_rows_come_in_order_and_in_few_calls(style, calls, floats):
    server = Server(style, floats=floats, shuffle=True)
    texts = ["x" * (at % 7 + 1) for at in range(120)]
    rows = await RemoteEmbedder("model", 2, style, server.send).embed(texts)
    assert len(server.bodies) == calls
    assert rows[:, 0] / rows[:, 1] == pytest.approx([len(text) for text in texts], rel=1e-4)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(120), abs=1e-5)


async def test_another_shape_is_refused():
    with pytest.raises(ValueError, match="shape"):
        await RemoteEmbedder("model", 3, "openai", Server("openai").send).embed(["a"])


async def test_empty_texts_and_none_at_all():
    server = Server("cohere")
    assert (await RemoteEmbedder("m", 2, "cohere", server.send).embed([])).shape == (0, 2)
    await RemoteEmbedder("m", 2, "cohere", server.send).embed(["", "a"])
    assert server.bodies[0]["texts"] == [" ", "a"]


def test_long_texts_get_calls_of_their_own():
    assert [len(part) for part in batches("openai", ["a" * 150_000, "b" * 150_000, "c"])] == [1, 2]


def test_names_keep_vectors_apart():
    names = {
        RemoteEmbedder("cohere.embed", 2, "cohere", Server("cohere").send, kind=kind).name
        for kind in ("search_query", "search_document")
    }
    assert len(names) == 2
