"""YAML that people write: configuration, experiments, templates, settings of an index."""

from __future__ import annotations

from functools import cache
from typing import Any


def read_yaml(text: str) -> Any:
    """What a YAML text says. A key that stands twice in a mapping is refused: the first would be dropped in silence.

    Raises:
        yaml.YAMLError: no YAML, or a key twice.
        RecursionError: nested too deeply.
    """
    import yaml

    return yaml.load(text, _loader())


@cache
def _loader() -> Any:
    import yaml

    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys: set[tuple[str, str]] = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                    if (key.tag, key.value) in keys:
                        raise yaml.constructor.ConstructorError(
                            None, None, f"{key.value!r} stands twice", key.start_mark
                        )
                    keys.add((key.tag, key.value))
            return super().construct_mapping(node, deep)

    return Strict
