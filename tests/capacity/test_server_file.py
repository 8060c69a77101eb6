"""A server of one's own as a file says it: measured, given, or a model on an instance."""

import pytest

from hapenny.capacity.server_file import read

MEASURED = """
measured:
  - {at_once: 1, prompt: 1000, first_s: 0.2, token_s: 0.018}
  - {at_once: 32, prompt: 1000, first_s: 0.26, token_s: 0.031}
card: {kv_tokens: 200000, start_s: 215}
"""
SPREAD = """
model: {parameters: 70.0e9, layers: 80, hidden: 8192, kv_bytes_a_token: 327680}
instance: ml.trn2.48xlarge
precision: int8
"""


def written(tmp_path, text):
    path = tmp_path / "server.yaml"
    path.write_text(text)
    return path


def test_measured_points_make_a_card_and_say_by_how_much_they_are_missed(tmp_path):
    own = read(written(tmp_path, MEASURED))
    assert own.card.step_s + own.card.sequence_s == pytest.approx(0.018, rel=0.01)
    assert (own.card.kv_tokens, own.card.start_s) == (200_000, 215)
    assert "calibrated from 2 measured points" in own.notes[0]


def test_a_model_on_an_instance_is_spread_and_its_quality_is_open(tmp_path):
    own = read(written(tmp_path, SPREAD))
    assert own.card.kv_tokens > 10_000
    assert any("not measured" in note for note in own.notes)
    assert any("assumed" in note for note in own.notes)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{}", "no figures"),
        ("card: {speed: 5}", "'speed' is no figure"),
        ("card: {kv_tokens: -5}", "kv_tokens is -5"),
        ("instance: nope\nmodel: {parameters: 1, layers: 1, hidden: 1, kv_bytes_a_token: 1}", "'nope' is not known"),
        ("measured: 5", "measured"),
        ("precision: int4", "precision"),
        (": :", "Fix:"),
    ],
)
def test_what_makes_no_server_is_named(tmp_path, text, named):
    with pytest.raises(ValueError, match="Fix:") as error:
        read(written(tmp_path, text))
    assert named in str(error.value)
