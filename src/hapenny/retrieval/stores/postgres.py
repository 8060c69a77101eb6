"""The store on PostgreSQL with pgvector: the same legs, scores and ties as the embedded one.

PostgreSQL's own text ranking is not BM25 (7 to 11 points of nDCG lost on judged search), so terms are kept as postings
and BM25 is computed in SQL, with the lossy lengths of Lucene and tantivy so that both stores agree to rounding.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from hapenny.retrieval.analysis import VERSION, Analyser, Language, analyser
from hapenny.retrieval.documents import EMPTY_LEG, Document, Leg, Matrix, Rows, Scores
from hapenny.retrieval.filters import Filter, visible_facets
from hapenny.retrieval.stores.embedded import mean_cosine
from hapenny.retrieval.stores.lexical import Boosts, Terms, idf, index_fields
from hapenny.retrieval.stores.postgres_connection import PostgresConnection
from hapenny.retrieval.stores.sql_filter import tag, where_sql

K1, B = 1.2, 0.75
FIELDS = ("all", "title", "exact")
_SCAN_UP_TO = 20_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS {n}_meta (name text PRIMARY KEY, value text NOT NULL);
CREATE TABLE IF NOT EXISTS {n}_docs (
  "row" bigserial PRIMARY KEY, id text NOT NULL UNIQUE, body bytea NOT NULL, tags text[] NOT NULL,
  numbers jsonb NOT NULL, lengths int[] NOT NULL, vector vector({dim}) NOT NULL);
CREATE INDEX IF NOT EXISTS {n}_tags ON {n}_docs USING gin (tags);
CREATE TABLE IF NOT EXISTS {n}_postings (
  field smallint NOT NULL, term text NOT NULL, "row" bigint NOT NULL REFERENCES {n}_docs ON DELETE CASCADE,
  tf real NOT NULL, length real NOT NULL);
CREATE INDEX IF NOT EXISTS {n}_terms ON {n}_postings (field, term);
CREATE INDEX IF NOT EXISTS {n}_rows ON {n}_postings ("row");
"""


def _lossy() -> list[int]:
    """The lengths that one byte can tell apart: exact to 39, then three bits of mantissa."""
    values = list(range(24))
    for code in range(232):
        bits, shift = code & 7, (code >> 3) - 1
        values.append(24 + (bits if shift < 0 else (bits | 8) << shift))
    return values


_LENGTHS = _lossy()


class PostgresStore:
    """Tables `NAME_*` in the connection's schema. One connection, replaced when it breaks; calls are serialised."""

    far = True

    def __init__(self, dsn: str, dim: int, language: Language = "en", name: str = "hapenny_retrieval") -> None:
        if not name.isidentifier() or not name.islower():
            raise ValueError(f"name: {name!r}; use lower-case letters, digits and underscores")
        self._name = name
        self._dim = dim
        self._turn = PostgresConnection(dsn)
        self._run("CREATE EXTENSION IF NOT EXISTS vector")
        for statement in _SCHEMA.format(n=name, dim=int(dim)).split(";"):
            if statement.strip():
                self._run(statement)
        known = dict(self._all("SELECT name, value FROM {n}_meta"))
        self.language: Language = msgspec.convert(known.get("language", language), Language)
        if int(known.get("dim", dim)) != dim:
            raise ValueError(f"{name}: holds vectors of length {known['dim']}, not {dim}")
        self._version = int(known.get("analysis", 1 if known else VERSION))
        for key, value in (("language", self.language), ("dim", str(dim)), ("analysis", str(self._version))):
            self._run("INSERT INTO {n}_meta VALUES (%s, %s) ON CONFLICT DO NOTHING", (key, value))
        self._turn.db.commit()
        self._graph = self._one("SELECT to_regclass(%s) IS NOT NULL", (f"{name}_graph",))
        self._statistics: tuple[int, tuple[float, ...]] | None = None
        self._alike: tuple[int, float] = (0, 0.0)
        self._quantiles: dict[str, NDArray[np.float64]] = {}
        self._fields_known: list[str] | None = None
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Document).decode

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._dim

    @property
    def analyser(self) -> Analyser:
        """How text becomes terms."""
        return analyser(self.language, self._version)

    def upsert(self, documents: Sequence[Document], vectors: Matrix) -> None:
        """Stores or replaces by id; the last of repeated ids counts."""
        last = {document.id: i for i, document in enumerate(documents)}
        keep = sorted(last.values())
        with self._turn:
            self._drop([documents[i].id for i in keep])
            postings: list[tuple[int, str, int, int, int]] = []
            for i in keep:
                document = documents[i]
                fields = self._fields(document)
                row = self._one(
                    "INSERT INTO {n}_docs (id, body, tags, numbers, lengths, vector)"
                    ' VALUES (%s, %s, %s, %s::jsonb, %s, %s::vector) RETURNING "row"',
                    (
                        document.id,
                        self._encode(document),
                        [tag(field, value) for field, values in visible_facets(document).items() for value in values],
                        msgspec.json.encode(document.numbers).decode(),
                        [len(terms) for terms in fields],
                        _literal(vectors[i]),
                    ),
                )
                for number, terms in enumerate(fields):
                    length = _LENGTHS[bisect.bisect_right(_LENGTHS, len(terms)) - 1]
                    postings += [(number, term, row, count, length) for term, count in Counter(terms).items()]
            with self._turn.db.cursor() as cursor, cursor.copy(self._sql("COPY {n}_postings FROM STDIN")) as copy:
                for posting in postings:
                    copy.write_row(posting)

    def delete(self, ids: Sequence[str]) -> int:
        """Forgets documents."""
        with self._turn:
            return self._drop(list(ids))

    def commit(self) -> None:
        """Makes changes durable and visible to other connections."""
        with self._turn:
            self._turn.db.commit()
            self._statistics = None
            self._quantiles.clear()
            self._fields_known = None

    def refresh(self) -> None:
        """Rows are always the server's; forgets what was computed from them."""
        with self._turn:
            self._statistics = None
            self._quantiles.clear()
            self._fields_known = None

    def lexical(self, terms: Terms, k: int, boosts: Boosts, where: Filter | None = None) -> Leg:
        """The best `k` by BM25, in SQL."""
        with self._turn:
            weights = self._weights(terms, boosts)
            if not weights or k <= 0:
                return EMPTY_LEG
            _, averages = self._collection()
            condition, values = where_sql(where)
            fields, names, factors = zip(*((f, t, w) for (f, t), w in weights.items()), strict=True)
            result = self._all(
                "WITH q AS (SELECT * FROM unnest(%s::smallint[], %s::text[], %s::float8[]) AS q (field, term, weight)),"
                ' scored AS (SELECT p."row", sum(q.weight * p.tf / (p.tf + %s * (%s + %s * p.length'
                " / (%s::float8[])[p.field + 1]))) AS score"
                ' FROM q JOIN {n}_postings p ON p.field = q.field AND p.term = q.term GROUP BY p."row")'
                ' SELECT s."row", s.score FROM scored s JOIN {n}_docs d ON d."row" = s."row"'
                f' WHERE {condition} ORDER BY s.score DESC, s."row" LIMIT %s',
                (list(fields), list(names), list(factors), K1, 1 - B, B, list(averages), *values, k),
            )
        return _leg(result)

    def vector(self, vector: Scores, k: int, where: Filter | None = None) -> Leg:
        """The nearest `k`: exact, or by the graph with an iterative scan once `build_graph` has run."""
        with self._turn:
            condition, values = where_sql(where)
            graph = self._graph and (where is None or self.count(where) > _SCAN_UP_TO)
            self._run("SELECT set_config('enable_indexscan', %s, true)", ("on" if graph else "off",))
            if graph:
                self._run("SELECT set_config('hnsw.ef_search', %s, true)", (str(min(1000, max(2 * k, 128))),))
                self._run("SELECT set_config('hnsw.iterative_scan', 'strict_order', true)")
            point = _literal(vector)
            # The row in the order would keep the planner from the graph; ties are settled afterwards.
            ties = "" if graph else ', d."row"'
            result = self._all(
                'SELECT d."row", -(d.vector <#> %s::vector) FROM {n}_docs d'
                f" WHERE {condition} ORDER BY d.vector <#> %s::vector{ties} LIMIT %s",
                (point, *values, point, k),
            )
            self._run("SELECT set_config('enable_indexscan', 'on', true)")
        return _leg(result)

    def vectors(self, rows: Rows) -> Matrix:
        """Vectors of rows."""
        with self._turn:
            result = dict(self._all('SELECT "row", vector::text FROM {n}_docs WHERE "row" = ANY(%s)', (rows.tolist(),)))
        return np.array([msgspec.json.decode(result[int(row)]) for row in rows], np.float32).reshape(-1, self._dim)

    def alike(self) -> float:
        """Mean cosine of two of up to 2,000 documents."""
        with self._turn:
            count, _ = self._collection()
            if count and (not self._alike[0] or abs(count - self._alike[0]) > 0.1 * self._alike[0]):
                rows = np.array([row for (row,) in self._all('SELECT "row" FROM {n}_docs ORDER BY "row"')])
                self._alike = (count, mean_cosine(self.vectors(rows[:: max(1, len(rows) // 2000)])))
            return self._alike[1]

    def frequency(self, stem: str) -> int:
        """Documents that hold an index term."""
        with self._turn:
            return int(self._one("SELECT count(*) FROM {n}_postings WHERE field = 0 AND term = %s", (stem,)))

    def holds(self, stems: Sequence[str], rows: Rows) -> NDArray[np.bool_]:
        """Which rows hold which index terms."""
        with self._turn:
            result = self._all(
                'SELECT "row", term FROM {n}_postings WHERE field = 0 AND "row" = ANY(%s) AND term = ANY(%s)',
                (rows.tolist(), list(stems)),
            )
        place = {int(row): i for i, row in enumerate(rows)}
        column = {stem: i for i, stem in enumerate(stems)}
        out = np.zeros((len(rows), len(stems)), np.bool_)
        for row, term in result:
            out[place[row], column[term]] = True
        return out

    def ideal(self, terms: Terms, boosts: Boosts) -> float:
        """The score of a perfect lexical match."""
        with self._turn:
            return sum(self._weights(terms, boosts).values()) / (1 + K1)

    def numbers(self, field: str, rows: Rows) -> NDArray[np.float64]:
        """A numeric field of rows."""
        with self._turn:
            result = dict(
                self._all(
                    'SELECT "row", (numbers->>%s)::float8 FROM {n}_docs WHERE "row" = ANY(%s) AND numbers ? %s',
                    (field, rows.tolist(), field),
                )
            )
        return np.array([result.get(int(row), np.nan) for row in rows], np.float64)

    def number_fields(self) -> list[str]:
        """Names of the numeric fields."""
        with self._turn:
            if self._fields_known is None:
                rows = self._all("SELECT DISTINCT jsonb_object_keys(numbers) FROM {n}_docs")
                self._fields_known = sorted(name for (name,) in rows)
            return self._fields_known

    def quantiles(self, field: str) -> NDArray[np.float64]:
        """201 evenly spaced quantiles of a number."""
        with self._turn:
            if field not in self._quantiles:
                marks = np.linspace(0, 1, 201).tolist()
                result = self._one(
                    "SELECT percentile_cont(%s::float8[]) WITHIN GROUP (ORDER BY (numbers->>%s)::float8)"
                    " FROM {n}_docs WHERE numbers ? %s",
                    (marks, field, field),
                )
                self._quantiles[field] = np.array(result or (), np.float64)
            return self._quantiles[field]

    def fetch(self, rows: Sequence[int]) -> list[Document]:
        """Documents of rows."""
        with self._turn:
            wanted = [int(row) for row in rows]
            result = dict(self._all('SELECT "row", body FROM {n}_docs WHERE "row" = ANY(%s)', (wanted,)))
        return [self._decode(result[row]) for row in wanted if row in result]

    def sample(self, most: int) -> list[int]:
        """Rows spread over the collection."""
        with self._turn:
            step = max(1, -(-self._collection()[0] // most))
            numbered = 'SELECT "row", row_number() OVER (ORDER BY "row") AS at FROM {n}_docs'
            rows = self._all(f'SELECT "row" FROM ({numbered}) AS numbered WHERE mod(at - 1, %s) = 0', (step,))
            return [int(row) for (row,) in rows]

    def rows_of(self, ids: Sequence[str]) -> list[int | None]:
        """Rows of ids."""
        with self._turn:
            result = dict(self._all('SELECT id, "row" FROM {n}_docs WHERE id = ANY(%s)', (list(ids),)))
        return [result.get(each) for each in ids]

    def count(self, where: Filter | None = None) -> int:
        """How many match."""
        with self._turn:
            if where is None:
                return self._collection()[0]
            condition, values = where_sql(where)
            return int(self._one(f"SELECT count(*) FROM {{n}}_docs d WHERE {condition}", values))

    def build_graph(self, m: int = 16, build: int = 100) -> None:
        """Builds pgvector's HNSW index; searches use it from then on."""
        with self._turn:
            self._run(
                f"CREATE INDEX IF NOT EXISTS {{n}}_graph ON {{n}}_docs USING hnsw (vector vector_ip_ops)"
                f" WITH (m = {int(m)}, ef_construction = {int(build)})"
            )
            self._turn.db.commit()
            self._graph = True

    def compact(self) -> None:
        """Gives the space of removed rows back."""
        with self._turn:
            self._turn.db.commit()
            self._turn.db.autocommit = True
            self._run("VACUUM ANALYZE {n}_docs")
            self._run("VACUUM ANALYZE {n}_postings")
            self._turn.db.autocommit = False

    def close(self) -> None:
        """Commits and closes the connection."""
        with self._turn:
            self._turn.db.commit()
            self._turn.db.close()

    def _fields(self, document: Document) -> tuple[list[str], list[str], list[str]]:
        fields = index_fields(document, self.analyser)
        return fields["all"], fields["title"], fields["exact"]

    def _drop(self, ids: list[str]) -> int:
        return len(self._all('DELETE FROM {n}_docs WHERE id = ANY(%s) RETURNING "row"', (ids,)))

    def _collection(self) -> tuple[int, tuple[float, ...]]:
        """Number of documents, and mean length of each field."""
        if self._statistics is None:
            result = self._all(
                "SELECT count(*), avg(lengths[1])::float8, avg(lengths[2])::float8, avg(lengths[3])::float8"
                " FROM {n}_docs"
            )[0]
            self._statistics = (int(result[0]), tuple(float(value or 1.0) or 1.0 for value in result[1:]))
        return self._statistics

    def _weights(self, terms: Terms, boosts: Boosts) -> dict[tuple[int, str], float]:
        wanted = [
            (number, term)
            for number, field in enumerate(FIELDS)
            if getattr(boosts, field)
            for term in (terms.words if field == "exact" else terms.stems)
        ]
        if not wanted:
            return {}
        numbers, names = zip(*wanted, strict=True)
        frequencies = {
            (field, term): count
            for field, term, count in self._all(
                "SELECT p.field, p.term, count(*) FROM unnest(%s::smallint[], %s::text[]) AS q (field, term)"
                " JOIN {n}_postings p ON p.field = q.field AND p.term = q.term GROUP BY 1, 2",
                (list(numbers), list(names)),
            )
        }
        count, _ = self._collection()
        return {
            (field, term): getattr(boosts, FIELDS[field])
            * (1 + K1)
            * idf(frequencies.get((field, term), 0), max(1, count))
            for field, term in wanted
        }

    def _sql(self, statement: str) -> str:
        # The only parts put into statements are the checked table prefix and conditions made of placeholders.
        return statement.replace("{n}", self._name)

    def _run(self, statement: str, values: Sequence[Any] | None = None) -> Any:
        return self._turn.db.execute(self._sql(statement), values)

    def _all(self, statement: str, values: Sequence[Any] | None = None) -> list[Any]:
        return list(self._run(statement, values).fetchall())

    def _one(self, statement: str, values: Sequence[Any] | None = None) -> Any:
        result = self._run(statement, values).fetchone()
        return result[0] if result else None


def _literal(vector: Scores) -> str:
    return "[" + ",".join(map(repr, np.asarray(vector, np.float32).tolist())) + "]"


def _leg(result: list[Any]) -> Leg:
    rows = np.array([row for row, _ in result], np.int64)
    scores = np.array([score for _, score in result], np.float32)
    order = np.lexsort((rows, -scores))
    return Leg(rows[order], scores[order])
