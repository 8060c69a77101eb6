"""Words before a number that say what it is: they make a weak form an item, or take a strong one back.

All are looked for in the few characters before a number (`BEFORE`), in English, Japanese and Vietnamese.
"""

from __future__ import annotations

import re

BEFORE = 40
"""How many characters before an item are read for such words."""

_I = re.IGNORECASE

PHONE = re.compile(
    r"phone|\btel\b|tel[.:]|mobile|cell|fax|call|dial|ring|text|whatsapp|hotline|caller|contact|電話|携帯|連絡|ファックス"
    r"|điện thoại|\bsđt\b|\bsdt\b|\bđt\b|gọi|liên hệ|zalo|tổng đài|di động|nhắn|\bso may\b",
    _I,
)
MY_NUMBER = re.compile(r"マイナンバー|個人番号|my ?number|本人の番号|番号確認", _I)
CCCD = re.compile(r"cccd|căn cước|can cuoc|định danh|dinh danh|cmnd|\bcmt\b|chứng minh|giấy tờ|citizen id", _I)
CMND = re.compile(r"cmnd|\bcmt\b|chứng minh|chung minh", _I)
SSN = re.compile(r"\bssn\b|social[ -]security|\bss#|tax ?id", _I)
POSTAL_JA = re.compile(r"〒|郵便番号|住所|送付先|送り先|転送|返送")
POSTAL_VI = re.compile(r"mã (?:bưu|zip|postal)|ma buu|zip|postal|postcode", _I)
ZIP = re.compile(r"\bzip\b|\bzip[ _]?code|zip=|postal|post ?code|mail forwarding", _I)
VERSION = re.compile(
    r"version|\bver\b|\bver\.|\bv$|release|section|chapter|clause|§|firmware|build|driver|バージョン|版|第.{0,4}[章節条]|更新"
    r"|phiên bản|bản cập nhật|cập nhật|mục|điều|chương|manual",
    _I,
)
ADDRESS_ON_NET = re.compile(
    r"\bip\b|ipv[46]|host|server|address|remote|peer|client|\bdns\b|サーバ|アドレス|máy chủ", _I
)
OTHER_NUMBER = re.compile(
    r"order|invoice|tracking|parcel no|serial|\bs/n|\bsn\b|reference|\bref\b|\bref\.|isbn|issn"
    r"|\bean\b|\bupc\b|\bsku\b|\bjan\b"
    r"|part no|part number|model no|ticket|batch no|membership|gift|voucher|coupon|case no|policy no|\bvin\b|contract"
    r"|lot no|account balance|transaction|barcode|epoch|timestamp|_at:"
    r"|注文|伝票|追跡|製造番号|シリアル|型番|型式|品番|部品|商品コード|会員番号|社員番号|学籍|予約番号|管理番号|受付番号|整理番号"
    r"|お問い合わせ番号|問い合わせ伝票|ギフト|クーポン|コード|契約番号|口座番号"
    r"|đơn hàng|mã đơn|số đơn|đơn #|vận đơn|số seri|\bseri\b|tham chiếu|mã vạch|mã sản phẩm"
    r"|hợp đồng|biển số|mã số thuế|\bmst\b"
    r"|số tài khoản|mã khách|mã giảm|mã quà|thẻ thành viên|mã sinh viên|mã nhân viên|giao dịch|vé số|xổ số|bảo hành",
    _I,
)
"""What makes the number behind it something else, whatever its form."""
CARD = re.compile(
    r"card|visa|master|amex|american express|jcb|diners|discover|unionpay"
    r"|\bpan\b|カード|クレカ|ビザ|マスター|アメックス"
    r"|thẻ (?!thành viên)|\bthe\b|pay|refund|charge",
    _I,
)


def before(text: str, start: int) -> str:
    """The characters before an item, up to the last line break."""
    near = text[max(0, start - BEFORE) : start]
    return near[near.rfind("\n") + 1 :]


def last(pattern: re.Pattern[str], near: str) -> int:
    """Where the last match of `pattern` in `near` ends; -1: there is none."""
    end = -1
    for match in pattern.finditer(near):
        end = match.end()
    return end


def is_other_number(near: str, own: re.Pattern[str] | None = None) -> bool:
    """Whether the words before a number make it an order's, a parcel's, a product's. A word for its own kind that
    stands nearer takes that back."""
    other = last(OTHER_NUMBER, near)
    return other >= 0 and (own is None or last(own, near) < other)
