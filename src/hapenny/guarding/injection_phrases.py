"""Phrasings of prompt injection that are known, as words that stand near one another.

A phrasing begins with one of `acts`; one of `what` follows within a few characters of the same sentence, and one of
`which`, where there are any, stands there too. Small letters, normal form.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Phrasing(NamedTuple):
    """Words of one way to say it."""

    acts: tuple[str, ...]
    what: tuple[str, ...]
    which: tuple[str, ...] = ()


_RULES = (
    "instruction",
    "direction",
    "rule",
    "guideline",
    "prompt",
    "directive",
    "command",
    "programming",
    "training",
    "policy",
    "restrictions",
    "filters",
)
_BEFORE = (
    "previous",
    "prior",
    "above",
    "earlier",
    "preceding",
    "all ",
    "any ",
    "your",
    "the system",
    "the safety",
    "hidden",
    "initial",
    "the developer",
    "of the user",
    "everything",
    "system",
)

PHRASINGS: Final = (
    Phrasing(
        (
            "ignore",
            "disregard",
            "forget",
            "override",
            "bypass",
            "do not follow",
            "don't follow",
            "stop following",
            "discard",
        ),
        _RULES,
        _BEFORE,
    ),
    Phrasing(
        ("forget", "ignore", "disregard"),
        ("everything you", "what you were told", "all of the above", "what the developer"),
    ),
    Phrasing(
        ("reveal", "repeat", "print", "show", "output", "display", "leak", "what is", "tell me"),
        (
            "system prompt",
            "hidden prompt",
            "initial instructions",
            "initial prompt",
            "your instructions",
            "your prompt",
            "text above starting",
            "your guidelines",
            "secret prompt",
            "hidden instructions",
        ),
    ),
    Phrasing(
        (
            "you are now",
            "from now on you",
            "act as if you",
            "pretend",
            "act without",
            "your new role",
            "you must now",
            "behave as",
        ),
        (
            "without any restriction",
            "without restriction",
            "unrestricted",
            "no guidelines",
            "no limits",
            "developer mode",
            "dan,",
            "dan.",
            "admin",
            "no rules",
            "ethics",
            "approve",
            "jailbroken",
            "an ai that answers",
        ),
    ),
    Phrasing(
        ("enable", "activate", "disable", "turn off", "switch off", "bypass", "without"),
        (
            "developer mode",
            "all filters",
            "content filters",
            "your filters",
            "safety filters",
            "all safety",
            "your safety",
            "content policy",
        ),
    ),
    Phrasing(
        (
            "do anything now",
            "new instructions:",
            "### new instructions",
            "<|im_start|>system",
            "[inst]",
            "<<sys>>",
            "no longer apply to you",
            "you have no limits",
        ),
        (),
    ),
    Phrasing(("system:", "assistant:"), ("override", "ignore", "no longer apply", "new instructions")),
    Phrasing(
        (
            "do not tell the user",
            "don't tell the user",
            "without telling the user",
            "do not inform the user",
            "do not mention this",
        ),
        (),
    ),
    Phrasing(("follow these",), ("rules instead", "instructions instead")),
    # Japanese
    Phrasing(
        (
            "これまでの",
            "以前の",
            "上記の",
            "前の",
            "すべての",
            "先ほどの",
            "今までの",
            "ここまでの",
            "全ての",
            "内部の",
        ),
        ("無視", "忘れ", "従わず", "従うな", "撤回", "破棄", "解除"),
        ("指示", "命令", "ルール", "設定", "制約", "規則"),
    ),
    Phrasing(
        (
            "システムプロンプト",
            "初期設定の指示",
            "隠されたプロンプト",
            "内部の指示",
            "初期の指示",
            "システムメッセージ",
        ),
        ("表示", "出力", "教え", "書き出", "公開", "見せ"),
    ),
    Phrasing(("今から", "これから", "あなたは"), ("制限のない", "制約のない", "無制限の", "管理者として")),
    Phrasing(
        ("開発者モード", "安全フィルター", "デバッグモード", "コンテンツフィルター"), ("有効に", "無効に", "解除")
    ),
    Phrasing(("ユーザーには内緒", "ユーザーに知らせず", "ユーザーには知らせ", "ユーザーに言わず"), ()),
    # Vietnamese
    Phrasing(
        ("bỏ qua", "quên", "phớt lờ", "đừng tuân theo", "không tuân theo", "bỏ hết", "gỡ bỏ", "đừng làm theo"),
        ("hướng dẫn", "chỉ dẫn", "quy tắc", "chỉ thị", "mệnh lệnh", "hạn chế", "giới hạn", "những gì nhà phát triển"),
        ("trước", "ở trên", "mọi", "tất cả", "hết", "cũ", "nhà phát triển"),
    ),
    Phrasing(
        ("tiết lộ", "hiển thị", "in ra", "lặp lại", "cho tôi xem"),
        ("system prompt", "lời nhắc hệ thống", "chỉ dẫn ban đầu", "hướng dẫn ban đầu", "câu lệnh ẩn", "lời nhắc ẩn"),
    ),
    Phrasing(
        ("bạn là", "bạn phải đóng vai", "hãy đóng vai"),
        ("không có giới hạn", "không giới hạn", "quản trị viên", "không bị hạn chế"),
    ),
    Phrasing(("tắt", "bật"), ("bộ lọc an toàn", "bộ lọc nội dung", "chế độ nhà phát triển")),
    Phrasing(("không nói cho người dùng", "đừng nói cho người dùng", "không cho người dùng biết"), ()),
    Phrasing(("các luật ở trên", "các quy tắc ở trên", "mọi quy tắc"), ("không còn hiệu lực", "bị hủy")),
)
