"""A configuration's text with all that a deployment has outside its process, for tests that none of it is touched."""

from pathlib import Path


def deployed(folder: Path) -> str:
    """Files are in `folder`; nobody listens at the addresses."""
    return f"""
fingerprint_key: 0123456789abcdef
shared: redis://127.0.0.1:9
alerts: {{webhook: "http://127.0.0.1:9/x"}}
emf: {{path: "{folder}/emf"}}
state: "{folder}/state.db"
batch: {{journal: "{folder}/journal"}}
admission: {{store: "{folder}/keys.db"}}
ledger: {{path: "{folder}/ledger.db"}}
"""
