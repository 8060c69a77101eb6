"""Batch jobs: half price for what can wait.

`records` says what a record and a result are, `journal` remembers, `providers` run jobs, `engine` drives them to their
deadline, `api` is the OpenAI-compatible surface, `documents` the pipeline for many documents.
"""
