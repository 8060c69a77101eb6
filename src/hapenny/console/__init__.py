"""The pages people look at: a process of its own that reads ledger and content store, and writes people's labels.

May import anything below except server and studies.
"""
