"""The pages people look at: a process of its own that reads the ledger.

May import anything below except the server. Waits for its issue.
"""
