"""What rules find, and what they leave alone; the published figures hold on both halves of the labelled set."""

import pytest
from benchmarks.guardrails.labelled import Count, Item, read, score

from hapenny.guarding.finding import STRUCTURED as STRUCTURED_KINDS
from tests.guarding.house import EVERYTHING, found


@pytest.mark.parametrize("half", ["development", "kept_apart"])
@pytest.mark.parametrize("language", ["en", "ja", "vi"])
def test_structured_items_are_found_and_nothing_else(half, language):
    lines = [line for line in read(half) if line.language == language]
    counts = score(lines, lambda text: [Item(each.kind, each.start, each.end) for each in EVERYTHING.find(text)])
    total = sum((count for (_, kind), count in counts.items() if kind in STRUCTURED_KINDS), Count())
    assert total.labelled > 45
    assert total.recall >= 0.9
    assert total.precision >= 0.95


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("番号は4111-1111-1111-1111です", [("card", "4111-1111-1111-1111")]),
        ("メールsato@example.jpまで", [("email", "sato@example.jp")]),
        ("電話０３－１２３４－５６７８へ", [("phone", "０３－１２３４－５６７８")]),
        (
            "ＩＢＡＮ：ＤＥ８９３７０４００４４０５３２０１３０００",
            [("iban", "ＤＥ８９３７０４００４４０５３２０１３０００")],
        ),
        ("số 0912 345 678 nhé", [("phone", "0912 345 678")]),
        ("từ 203.0.113.9:443", [("ip", "203.0.113.9")]),
    ],
)
def test_items_stand_out_where_words_have_no_edges(text, items):
    assert found(text) == items


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",  # the check digit is wrong
        "order number 4111 1111 1111 1111",
        "マイナンバーは123456789012です",
        "DE89 3704 0044 0532 0130 01",
        "version 10.0.1.2",
        "at 12:34:56 on 2024-03-15",
        "000-12-3456",
        "git@github.com:acme/tools.git",
        "password: ********",
    ],
)
def test_what_only_looks_like_an_item_stays(text):
    assert found(text) == []


def test_a_letter_written_apart_from_its_mark_and_invisible_characters_do_not_hide_an_item():
    text = "mật kha\u0302\u0309u: s3cretPw9, thẻ 4111\u200b1111\u200b1111\u200b1111"
    assert found(text) == [("secret", "s3cretPw9"), ("card", "4111\u200b1111\u200b1111\u200b1111")]


def test_a_private_key_is_covered_to_its_end():
    key = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA7bq1\n" * 20 + "-----END RSA PRIVATE KEY-----"
    assert found(f"here:\n{key}\nthanks") == [("secret", key)]


def test_a_password_in_an_address_is_found_and_its_host_is_no_mailbox():
    assert found("postgres://app:s3cr3tPw9@db.example.com/x") == [("secret", "s3cr3tPw9")]
