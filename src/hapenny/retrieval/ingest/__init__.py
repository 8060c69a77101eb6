"""Documents into a store: which id each file gets, what is stored once, what is indexed."""

from hapenny.retrieval.ingest.run import Ingest, Progress, batches

__all__ = ["Ingest", "Progress", "batches"]
