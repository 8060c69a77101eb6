"""Who may see a document: the columns `tenant` and `groups` of rows and front matter, read so that a slip hides.

A document without either is for everyone. What is there but cannot be understood is an error, never "for everyone".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

TENANT_FIELD = "tenant"
GROUPS_FIELD = "groups"
_SEPARATORS = str.maketrans(dict.fromkeys(",;|\n", ","))
_LOOKALIKES = frozenset(
    {"group", "tenants", "tenant_id", "tenantid", "acl", "role", "roles", "allowed_groups", "access", "permissions"}
)


class AccessError(ValueError):
    """A `tenant` or `groups` that cannot be understood; says which and what would be right."""


class Access(msgspec.Struct, frozen=True):
    """`tenant` "" and no `groups`: everyone."""

    tenant: str = ""
    groups: tuple[str, ...] = ()

    def beside(self, default: Access) -> Access:
        """This access, with what it leaves open taken from `default`."""
        return Access(self.tenant or default.tenant, self.groups or default.groups)


EVERYONE = Access()


def read_access(fields: Mapping[str, Any], *, blank: bool = True) -> Access:
    """The access of a row or of a file's front matter; names in any case.

    Args:
        fields: all fields of the row.
        blank: whether a field that is there without a value counts as left out (an empty cell of a table).

    Raises:
        AccessError: for a value of another shape, an empty list, or one field under two spellings.
    """
    given: dict[str, Any] = {}
    for name, value in fields.items():
        low = name.strip().lower()
        if low in (TENANT_FIELD, GROUPS_FIELD):
            if low in given:
                raise AccessError(f"`{low}` is there twice")
            given[low] = value
    return Access(_tenant(given, blank), _groups(given, blank))


def is_access(name: str) -> bool:
    """Whether a field bounds access, so that it is neither text nor facet."""
    return name.strip().lower() in (TENANT_FIELD, GROUPS_FIELD)


def lookalikes(names: Iterable[str]) -> list[str]:
    """Field names that look as if they bounded access and do not."""
    return sorted({name for name in names if name.strip().lower().replace("-", "_") in _LOOKALIKES})


def _tenant(given: Mapping[str, Any], blank: bool) -> str:
    if TENANT_FIELD not in given:
        return ""
    value = given[TENANT_FIELD]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise AccessError(f"tenant: expected one name, got {type(value).__name__}; several may see it by `groups`")
    if not value.strip() and not blank:
        raise AccessError("tenant: is empty; leave it out for everyone")
    return value.strip()


def _groups(given: Mapping[str, Any], blank: bool) -> tuple[str, ...]:
    if GROUPS_FIELD not in given:
        return ()
    value = given[GROUPS_FIELD]
    if value is None or (isinstance(value, str) and not value.strip()):
        if not blank:
            raise AccessError("groups: is empty; leave it out for everyone")
        return ()
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            raise AccessError("groups: begins like a JSON list and is none") from None
    if isinstance(value, str):
        value = [part for part in value.translate(_SEPARATORS).split(",") if part.strip()]
    if isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise AccessError(f"groups: expected names, got {type(value).__name__}")
    names = []
    for each in value:
        if isinstance(each, bool) or not isinstance(each, (str, int)) or not str(each).strip():
            raise AccessError(f"groups: expected names, got {each!r} among them")
        names.append(str(each).strip())
    if not names:
        raise AccessError("groups: is an empty list, so nobody could see it; leave it out for everyone")
    return tuple(dict.fromkeys(names))
