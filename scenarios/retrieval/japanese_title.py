"""A shopper asks in Japanese for a volume by its title."""

import zlib

from scenarios.scene import Scenario, Scene, searched

SCENARIO = Scenario(
    skill="4.2.2",
    real=True,
    title="A Japanese title is searched",
    happens="Shoppers type Japanese titles without spaces, sometimes one kanji. English tokenisers find nothing.",
    does="The language of a collection is read off its documents; Japanese terms are pairs of characters beside "
    "Latin words, and single kanji are looked for where they stand alone.",
    sees="`POST /v1/retrieve` with `explain` shows the terms; the citations of the answer.",
    act="Nothing. `hapenny index tune` with questions of your own shows the rest.",
    check='hapenny index search COLLECTION "橋の番人"',
    proof="The volume with that title stands first.",
    naive="Words are what stands between blanks, as in English.",
)
TITLES = ["橋の番人", "渡し船の少女", "水車小屋の秘密", "鉄の巨人", "夜明けの図書館", "海辺のパン屋"]


async def run(scene: Scene) -> None:
    def read(text: str) -> str:
        """A text as the search gets it: by blanks alone a stretch without one says nothing of its parts."""
        return " ".join(f"w{zlib.crc32(word.encode())}" for word in text.split()) if scene.broken else text

    volumes = [
        (f"{title} 第{n + 1}巻", f"{title}の第{n + 1}巻です。値段は{480 + n}円です。") for n, title in enumerate(TITLES)
    ]
    rows = [{"id": str(n), "title": read(title), "text": read(text)} for n, (title, text) in enumerate(volumes)]
    folder = await scene.indexed(rows)
    async with scene.open(searched(folder), says=lambda request, target: "[1]"):
        for name, row in zip(TITLES, rows, strict=True):
            _, exchange = await scene.ask(read(f"{name}の値段はいくらですか"))
            assert [cited.title for cited in exchange.answer.citations][:1] == [row["title"]]
