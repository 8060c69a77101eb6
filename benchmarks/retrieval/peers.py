# mypy: ignore-errors
"""Runs in the rivals' environment: one peer's own hybrid search over given documents and vectors.

    python peers.py NAME DATA.npz TEXTS.json

No embedding happens: every peer gets the same document and query vectors. Prints "ready", then for every line "A B"
on standard input searches queries A to B and prints one JSON line: the latencies of top-5 searches in milliseconds, and
the top 10 of each. So the caller can take turns with it. This file imports nothing of hapenny.
"""

import gc
import json
import logging
import sys
import time
import warnings

import numpy as np

logging.disable(logging.WARNING)
warnings.filterwarnings("ignore")


def txtai(texts, vectors, lookup):
    from txtai import Embeddings

    def transform(batch):
        return np.stack([lookup[each] for each in batch]).astype(np.float32)

    index = Embeddings(method="external", transform=transform, hybrid=True, content=False)
    index.index((i, text, None) for i, text in enumerate(texts))
    return lambda query, k: [int(found) for found, _ in index.search(query, k)]


def lancedb(texts, vectors, lookup):
    import tempfile

    import lancedb as lance
    import pyarrow as pa

    folder = tempfile.mkdtemp()
    table = lance.connect(folder).create_table(
        "documents",
        pa.table(
            {
                "row": pa.array(range(len(texts))),
                "text": pa.array(texts),
                "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1]),
            }
        ),
    )
    table.create_fts_index("text")

    def search(query, k):
        # Its full-text syntax gives marks a meaning; a plain query has none.
        words = "".join(c if c.isalnum() else " " for c in query)
        found = table.search(query_type="hybrid").vector(lookup[query]).text(words).limit(k).select(["row"])
        return found.to_arrow()["row"].to_pylist()

    return search


def llamaindex(texts, vectors, lookup):
    from llama_index.core import VectorStoreIndex
    from llama_index.core.embeddings import BaseEmbedding
    from llama_index.core.llms import MockLLM
    from llama_index.core.retrievers import QueryFusionRetriever
    from llama_index.core.schema import TextNode
    from llama_index.retrievers.bm25 import BM25Retriever

    class Given(BaseEmbedding):
        def _get_query_embedding(self, query):
            return lookup[query].tolist()

        def _get_text_embedding(self, text):
            return lookup[text].tolist()

        async def _aget_query_embedding(self, query):
            return lookup[query].tolist()

    nodes = [TextNode(id_=str(i), text=text, embedding=vectors[i].tolist()) for i, text in enumerate(texts)]
    index = VectorStoreIndex(nodes, embed_model=Given())
    made = {}

    def search(query, k):
        if k not in made:
            legs = [
                index.as_retriever(similarity_top_k=k),
                BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=k),
            ]
            made[k] = QueryFusionRetriever(
                legs, llm=MockLLM(), similarity_top_k=k, num_queries=1, mode="reciprocal_rerank", use_async=False
            )
        return [int(found.node.node_id) for found in made[k].retrieve(query)]

    return search


def haystack(texts, vectors, lookup):
    from haystack import Document
    from haystack.components.joiners import DocumentJoiner
    from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    store.write_documents(
        [Document(id=str(i), content=text, embedding=vectors[i].tolist()) for i, text in enumerate(texts)]
    )
    lexical, dense = InMemoryBM25Retriever(store), InMemoryEmbeddingRetriever(store)
    joiner = DocumentJoiner(join_mode="reciprocal_rank_fusion")

    def search(query, k):
        words = lexical.run(query=query, top_k=k)["documents"]
        near = dense.run(query_embedding=lookup[query].tolist(), top_k=k)["documents"]
        return [int(found.id) for found in joiner.run(documents=[words, near], top_k=k)["documents"]]

    return search


PEERS = {"txtai": txtai, "lancedb": lancedb, "llamaindex": llamaindex, "haystack": haystack}


def main():
    name, arrays, strings = sys.argv[1:4]
    with np.load(arrays) as data:
        vectors, queries = data["vectors"], data["queries"]
    with open(strings, encoding="utf-8") as file:
        held = json.load(file)
    lookup = dict(zip(held["queries"], queries, strict=True))
    lookup.update((text, vector) for text, vector in zip(held["texts"], vectors, strict=True))
    search = PEERS[name](held["texts"], vectors, lookup)
    for query in held["queries"][:3]:
        search(query, 5)
        search(query, 10)
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        first, last = map(int, line.split())
        spent, busy, tops = [], [], []
        for query in held["queries"][first:last]:
            started, working = time.perf_counter(), time.process_time()
            search(query, 5)
            spent.append((time.perf_counter() - started) * 1e3)
            busy.append((time.process_time() - working) * 1e3)
        for query in held["queries"][first:last]:
            tops.append([int(found) for found in search(query, 10)])
        print(json.dumps({"ms": spent, "cpu_ms": busy, "tops": tops}), flush=True)


if __name__ == "__main__":
    main()
