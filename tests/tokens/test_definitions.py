"""Tool definitions lose layout and nothing else: names, types, enums and required stay, in their order."""

import json

from hapenny.core.messages import Tool
from hapenny.tokens.definitions import Definitions, meaning, shortened, text_of, tidy

SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "lookup_order",
    "type": "object",
    "properties": {
        "order_id": {"title": "Order Id", "type": "string", "description": "Like A-123.  Never a name. "},
        "title": {"title": "Title", "type": "string", "enum": ["Dr.", "Ms"]},
        "page": {"title": "Which page", "type": "integer", "default": 1},
        "sort": {"anyOf": [{"type": "string", "title": "Sort"}, {"type": "null"}]},
    },
    "required": ["order_id"],
}
DOCSTRING = """Find an order.

        Args:
            order_id: the id,
                as printed.


        Returns: the order.
        """


def test_what_says_nothing_goes_and_the_rest_stays_in_order():
    found = shortened(Tool("lookup_order", DOCSTRING, SCHEMA)).schema
    assert found == {
        "type": "object",
        "properties": {
            "order_id": {"type": "string", "description": "Like A-123. Never a name."},
            "title": {"type": "string", "enum": ["Dr.", "Ms"]},
            "page": {"title": "Which page", "type": "integer", "default": 1},
            "sort": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["order_id"],
    }
    assert list(found["properties"]) == list(SCHEMA["properties"])
    assert json.dumps(meaning(SCHEMA, "lookup_order")) == json.dumps(meaning(found, "lookup_order"))
    changed = {**SCHEMA, "required": ["page"]}
    assert meaning(changed, "lookup_order") != meaning(SCHEMA, "lookup_order")


def test_descriptions_keep_words_and_relative_indentation():
    text = tidy(DOCSTRING)
    assert text.split() == DOCSTRING.split()
    assert "\nArgs:\n    order_id: the id,\n        as printed.\n\nReturns:" in text
    assert tidy("a  b") == "a  b"  # a gap inside a sentence may be a column


def test_values_of_examples_enums_and_defaults_are_never_touched():
    values = {"title": "note", "required": [], "description": " wide.  gap "}
    schema = {"type": "object", "properties": {"x": {"default": values, "enum": [values], "examples": [values]}}}
    assert shortened(Tool("t", None, schema)).schema == schema


def test_strict_tools_and_server_tools_keep_their_schema():
    assert shortened(Tool("lookup_order", " Find. ", SCHEMA, strict=True)).schema["required"] == ["order_id"]
    strict = shortened(Tool("t", None, {"type": "object", "properties": {}, "required": []}, strict=True))
    assert strict.schema["required"] == []
    server = Tool("web_search", None, {"title": "web_search"}, kind="web_search_20250305")
    assert Definitions()((server,))[0] is server


def test_the_same_tool_has_the_same_bytes_in_every_request():
    define = Definitions()
    first = define((Tool("lookup_order", DOCSTRING, SCHEMA),))
    again = define((Tool("lookup_order", DOCSTRING, json.loads(json.dumps(SCHEMA)), checkpoint="5m"),))
    assert text_of(first[0]) == text_of(again[0])
    assert again[0].checkpoint == "5m"
    assert first[0].checkpoint == ""
    plain = (Tool("t", "Short.", {"type": "object"}),)
    assert define(plain) is plain
