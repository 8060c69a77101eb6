"""Whose the objects are that a provider keeps for us (responses, files, batches, conversations, fine-tunes).

They belong to the key that made them. That is kept in the store of the keys, so that it outlives a restart and holds in
all processes that share the store; what nobody is known to own, nobody gets.
"""

from __future__ import annotations

from collections.abc import Callable

from hapenny.admission.registry import STORE_ERRORS, Registry
from hapenny.core.clock import Clock
from hapenny.core.log import get_logger
from hapenny.stores.kv import KeyValue
from hapenny.stores.memory import MemoryKeyValue

KEPT_S = 400 * 86_400.0
"""How long an owner is remembered: longer than providers keep what they were not asked to keep."""
RECENT = 10_000
_SPACE = "owner/"

_log = get_logger("hapenny.server")


class ObjectOwners:
    """Owners by backend and id.

    Args:
        registry: of the moment, with its store.
        clock: the deployment's clock.
    """

    def __init__(self, registry: Callable[[], Registry], clock: Clock) -> None:
        self._registry = registry
        self._memory = MemoryKeyValue(clock, RECENT)
        self._recent: dict[str, str] = {}

    async def owns(self, backend: str, id: str, key_id: str) -> bool:
        """Whether the object was made with this key."""
        return await self.owner(backend, id) == key_id

    async def owner(self, backend: str, id: str) -> str | None:
        """The key that made the object; None: nobody knows."""
        name = f"{backend}\0{id}"
        known = self._recent.get(name)
        if known is None:
            try:
                value = await self._store().get(_SPACE + name)
            except STORE_ERRORS as error:
                _log.error("owners of objects cannot be read", error=error)
                return ""
            known = value.decode() if value is not None else None
        return known

    def note(self, backend: str, id: str, key_id: str) -> None:
        """An object was made. What is known of an id does not change."""
        self._recent.setdefault(f"{backend}\0{id}", key_id)
        while len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]

    async def keep(self, backend: str, id: str, key_id: str) -> None:
        """Writes an owner down. Never raises for the store's sake."""
        try:
            await self._store().compare_and_set(f"{_SPACE}{backend}\0{id}", None, key_id.encode(), KEPT_S)
        except STORE_ERRORS as error:
            _log.error("the owner of an object could not be kept", error=error)

    def _store(self) -> KeyValue:
        registry = self._registry()
        return registry.store if registry.lasting else self._memory
