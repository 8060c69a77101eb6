"""JSON schemas of strangers: what fits is found, and no schema or answer can make the check run away."""

import itertools

from hapenny.evidence import json_schema


def test_schema():
    shape = {
        "type": "object",
        "required": ["name", "age"],
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "age": {"type": "integer", "minimum": 0},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
        },
        "additionalProperties": False,
    }
    assert json_schema.schema('{"name": "Ann", "age": 3, "tags": ["a"]}', shape) == 1
    assert json_schema.schema('```json\n{"name": "Ann", "age": 3}\n```', shape) == 1
    for bad in (
        '{"name": "", "age": 3}',
        '{"name": "A", "age": -1}',
        '{"name": "A"}',
        '{"name": "A", "age": 1, "x": 0}',
        '{"name": "A", "age": 1, "tags": ["c"]}',
        '{"name": "A", "age": 1, "tags": ["a", "a", "a"]}',
        '{"name": "A", "age": true}',
        "not json",
        "[]",
    ):
        assert json_schema.schema(bad, shape) == 0
    assert json_schema.fits(2, {"anyOf": [{"type": "string"}, {"type": "number", "maximum": 3}]})


def test_integers_may_be_written_as_numbers_and_truth_is_no_number():
    assert json_schema.fits(3.0, {"type": "integer"})
    assert not json_schema.fits(True, {"type": "number"})


def test_references_within_the_schema_are_followed():
    tree = {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}}}  # fmt: skip
    assert json_schema.fits({"name": "a", "children": [{"name": "b"}]}, tree)
    assert not json_schema.fits({"name": "a", "children": [{"nam": "b"}]}, tree)


def test_a_schema_that_is_none_fits_nothing():
    for broken in (
        {"type": "objekt"},
        {"$ref": "#/$defs/gone"},
        {"$ref": "https://example.com/far.json"},
        {"required": 3},
    ):
        assert not json_schema.fits({}, broken), broken


def test_no_schema_makes_the_check_run_away():
    circle = {"$ref": "#"}
    doubling = {
        "$defs": {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(60)},
        "$ref": "#/$defs/0",
    }
    doubling["$defs"]["60"] = {"type": "string"}
    for hostile in (circle, doubling):
        assert not json_schema.fits("a", hostile)
    assert json_schema.fits("a" * 40_000 + "!", {"type": "string", "pattern": "^(a+)+$"})
    assert json_schema.fits(list(range(50_000)), {"uniqueItems": True})
    assert not json_schema.fits([*itertools.repeat({"a": [1]}, 2)], {"uniqueItems": True})
    assert json_schema.schema("[" * 100_000, {"type": "array"}) == 0
