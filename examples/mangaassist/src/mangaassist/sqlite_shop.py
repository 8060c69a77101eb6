"""The shop in one SQLite file: products, orders, pages, sessions. The embedded store, filled when it is new.

SQLite answers in microseconds from its page cache, so calls are made in place; a shop whose store is elsewhere is
`dynamo_shop`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from mangaassist import data_files
from mangaassist.catalogue import Order, Series, Volume
from mangaassist.finding import Finding, fits
from mangaassist.recognise import Titles
from mangaassist.shop import Wish

_SCHEMA = """
CREATE TABLE series (id TEXT PRIMARY KEY, en TEXT, ja TEXT, vi TEXT, author TEXT, genre_en TEXT, genre_ja TEXT,
                     genre_vi TEXT, age INTEGER, about TEXT, volumes INTEGER);
CREATE TABLE volumes (series TEXT, number INTEGER, sku TEXT, pages INTEGER, price TEXT, stock INTEGER, released TEXT,
                      PRIMARY KEY (series, number)) WITHOUT ROWID;
CREATE INDEX volumes_sku ON volumes (sku);
CREATE TABLE orders (id TEXT PRIMARY KEY, state TEXT, expected TEXT, carrier TEXT, items INTEGER, placed TEXT,
                     customer TEXT);
CREATE TABLE sessions (id TEXT PRIMARY KEY, kept BLOB, at REAL);
CREATE TABLE tickets (number INTEGER PRIMARY KEY AUTOINCREMENT, session TEXT, summary TEXT, at REAL);
PRAGMA user_version = 1;
"""
_COLUMNS = "id, en, ja, vi, author, genre_en, genre_ja, genre_vi, age, about, volumes"
_KEPT = 10_000
"""Sessions that are kept at most."""


class SqliteShop:
    """A shop in a file.

    Args:
        path: of the file; `:memory:` keeps it in memory. A new one is filled with the shop's data.
        today: the shop's day.
    """

    def __init__(self, path: str | Path, today: date) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._today = today
        if self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
            self._fill(today)
        names = [(title, row[0]) for row in self._db.execute("SELECT id, en, ja, vi FROM series") for title in row[1:]]
        self.titles = Titles(names)
        self._finding = Finding(self)

    def _fill(self, today: date) -> None:
        db = self._db
        db.executescript(f"BEGIN; {_SCHEMA}")
        known: set[str] = set()
        for volume in data_files.volumes():
            series = volume.series
            if series.id not in known:
                known.add(series.id)
                db.execute(
                    f"INSERT INTO series ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                    (series.id, *(series.titles[each] for each in ("en", "ja", "vi")), series.author,
                     *(series.genres[each] for each in ("en", "ja", "vi")), series.age, series.about, series.volumes),
                )  # fmt: skip
            db.execute(
                "INSERT INTO volumes VALUES (?,?,?,?,?,?,?)",
                (series.id, volume.number, volume.sku, volume.pages, volume.price, volume.stock,
                 volume.released.isoformat()),
            )  # fmt: skip
        db.executemany(
            "INSERT OR IGNORE INTO orders VALUES (?,?,?,?,?,?,?)",
            [(each.id, each.state, each.expected.isoformat(), each.carrier, each.items, each.placed.isoformat(),
              each.customer) for each in data_files.orders(today)],
        )  # fmt: skip
        db.execute("COMMIT")

    # -- the contract --------------------------------------------------------------------------------------------

    async def today(self) -> date:
        """The shop's day."""
        return self._today

    async def series(self, id: str) -> Series | None:
        """A series."""
        row = self._db.execute(f"SELECT {_COLUMNS} FROM series WHERE id = ?", (id,)).fetchone()
        return _series(row) if row is not None else None

    async def volume(self, series: str, number: int) -> Volume | None:
        """A volume as it stands now."""
        rows = self._volumes("v.series = ? AND v.number = ?", (series, number), 1)
        return rows[0] if rows else None

    async def volumes(self, series: str) -> Sequence[Volume]:
        """All volumes of a series, in order."""
        return self._volumes("v.series = ? ORDER BY v.number", (series,), 200)

    async def of_sku(self, sku: str) -> Volume | None:
        """The volume of a number on its cover."""
        rows = self._volumes("v.sku = ?", (sku,), 1)
        return rows[0] if rows else None

    async def count(self) -> int:
        """How many volumes there are."""
        return int(self._db.execute("SELECT count(*) FROM volumes").fetchone()[0])

    async def order(self, id: str) -> Order | None:
        """An order."""
        row = self._db.execute("SELECT * FROM orders WHERE id = ?", (id,)).fetchone()
        if row is None:
            return None
        id, state, expected, carrier, items, placed, customer = row
        return Order(id, state, date.fromisoformat(expected), carrier, items, date.fromisoformat(placed), customer)

    async def orders(self, customer: str) -> Sequence[str]:
        """Numbers of a customer's orders."""
        return [row[0] for row in self._db.execute("SELECT id FROM orders WHERE customer = ?", (customer,))]

    async def search(self, wish: Wish, count: int = 5) -> Sequence[Volume]:
        """Volumes in stock that fit a wish, the best first, one of each series."""
        most = wish.most or 1e9
        young = self._volumes(
            "v.stock > 0 AND s.age <= ? AND CAST(v.price AS REAL) <= ? ORDER BY s.age DESC, v.stock DESC",
            (wish.age or 200, most), 5_000,
        )  # fmt: skip
        firsts: dict[str, Volume] = {}
        for volume in young:
            if volume.series.id not in firsts and fits(volume, wish):
                firsts[volume.series.id] = volume
                if len(firsts) >= count:
                    break
        return list(firsts.values())

    async def rule(self, id: str, language: str) -> str | None:
        """The sentence of one of the shop's rules."""
        return data_files.rule(id, language)

    async def passages(self, question: str, language: str, count: int = 8, age: int = 0) -> Sequence[str]:
        """What the shop's pages and records say about a question to a reader of that age, the best first."""
        return await self._finding.passages(question, language, count, age)

    # -- sessions and tickets ------------------------------------------------------------------------------------

    async def load(self, session: str) -> bytes | None:
        """A session as it was kept."""
        row = self._db.execute("SELECT kept FROM sessions WHERE id = ?", (session,)).fetchone()
        return bytes(row[0]) if row is not None else None

    async def save(self, session: str, kept: bytes, at: float) -> None:
        """Keeps a session; the oldest ones go."""
        self._db.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)", (session, kept, at))
        self._db.execute(
            "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions ORDER BY at DESC LIMIT -1 OFFSET ?)", (_KEPT,)
        )

    async def hand_over(self, session: str, summary: str, at: float) -> int:
        """Opens a ticket for a colleague; its number."""
        cursor = self._db.execute(
            "INSERT INTO tickets (session, summary, at) VALUES (?, ?, ?)", (session, summary[:2_000], at)
        )
        return int(cursor.lastrowid or 0)

    async def change(self, sku: str, *, price: str | None = None, stock: int | None = None) -> None:
        """Changes a volume's price or stock, as the shop's office does."""
        if price is not None:
            self._db.execute("UPDATE volumes SET price = ? WHERE sku = ?", (price, sku))
        if stock is not None:
            self._db.execute("UPDATE volumes SET stock = ? WHERE sku = ?", (stock, sku))

    async def aclose(self) -> None:
        """Closes the file."""
        self._db.close()

    def _volumes(self, where: str, values: Sequence[object], count: int) -> list[Volume]:
        columns = ", ".join(f"s.{name.strip()}" for name in _COLUMNS.split(","))
        rows = self._db.execute(
            f"SELECT v.sku, v.number, v.pages, v.price, v.stock, v.released, {columns} FROM volumes v "
            f"JOIN series s ON s.id = v.series WHERE {where} LIMIT {count}",
            list(values),
        )
        return [
            Volume(sku, _series(rest), number, pages, price, stock, date.fromisoformat(released))
            for sku, number, pages, price, stock, released, *rest in rows
        ]


def _series(row: Sequence[object]) -> Series:
    id, en, ja, vi, author, genre_en, genre_ja, genre_vi, age, about, volumes = row
    titles = {"en": str(en), "ja": str(ja), "vi": str(vi)}
    genres = {"en": str(genre_en), "ja": str(genre_ja), "vi": str(genre_vi)}
    return Series(str(id), titles, str(author), genres, int(str(age)), str(about), int(str(volumes)))
