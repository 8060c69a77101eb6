"""What every provider kind of the table has to keep."""

import pytest

from hapenny.backends.kind import HttpOptions
from hapenny.backends.kinds import KINDS
from hapenny.config import BatchApiOptions, ConfigError, load, manual
from hapenny.core.clock import RealClock
from hapenny.gateway.gateway import Gateway
from hapenny.protocols.registry import codec

EVERY = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def configured(kind, more=""):
    own = "" if not issubclass(kind.options, HttpOptions) else "api_key: k, base_url: 'http://127.0.0.1:9', "
    route = "routes: {default: {baseline: nova-lite}}"
    return load(text=f"backends: {{b: {{kind: {kind.name}, {own}{more}}}}}\n{route}\nledger: null")


@EVERY
async def test_a_gateway_is_built_with_it_from_the_configuration(kind):
    async with Gateway(configured(kind)) as gateway:
        assert gateway.config.backends["b"].kind == kind.name
        assert gateway.backends["b"].name == "b"


@EVERY
async def test_its_builder_makes_a_backend_that_closes(kind):
    backend = kind.build("b", configured(kind).backends["b"], RealClock(), None)
    assert backend.name == "b"
    await backend.aclose()


@EVERY
def test_what_it_refers_to_exists(kind):
    assert codec(kind.codec).name == kind.codec
    assert all(codec(each).name == each for each in kind.own_records)
    assert set(kind.batch_wants) <= set(BatchApiOptions.__struct_fields__)
    assert kind.telemetry


@EVERY
def test_its_options_stand_in_the_manual(kind):
    told = {option.path: option for option in manual.options()}
    assert f"backends.NAME (kind: {kind.name})" in told
    for name in kind.options.__struct_fields__:
        assert told[f"backends.NAME.{name}"].meaning or told[f"backends.NAME.{name}"].section, name


@EVERY
def test_an_option_it_does_not_have_is_refused_with_its_place(kind):
    with pytest.raises(ConfigError) as refused:
        configured(kind, "colour: red")
    assert "$.backends.b.colour: unknown key" in str(refused.value)


def test_a_word_that_is_no_kind_is_refused_with_those_there_are():
    with pytest.raises(ConfigError) as refused:
        load(text="backends: {b: {kind: bedrok}}")
    assert "$.backends.b" in str(refused.value)
    assert all(name in str(refused.value) for name in KINDS)


def test_a_batch_api_says_what_its_kind_cannot_do_without(tmp_path):
    with pytest.raises(ConfigError) as refused:
        batch = f"{{journal: '{tmp_path}', apis: [{{backend: b}}]}}"
        load(text="backends: {b: {kind: bedrock, api_key: k}}\nbatch: " + batch)
    assert "bucket: empty" in str(refused.value)
    assert "role: empty" in str(refused.value)
