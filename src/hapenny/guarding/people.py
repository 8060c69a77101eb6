"""Rules for names and postal addresses, as far as rules can: titles, forms of address, labels, places and house
numbers.

What no word announces is not found: that takes a model of language. The patterns are bounded in every repeat.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hapenny.guarding.finding import Finding
from hapenny.guarding.numbers import places, starts

LONGEST = 120
"""Characters of the longest name or address."""
REACH = 40
"""Characters before a name within which its title or label begins."""

_CAPITAL = r"[A-Z\u00c0-\u00de\u0110\u1ea0-\u1ef8]"
_LETTER = r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff'’\-]"
_NAME = rf"{_CAPITAL}{_LETTER}{{1,20}}"
_LATIN = re.compile(rf"{_NAME}(?: {_NAME}){{0,3}}")
_LABEL = re.compile(
    r"(?<![A-Za-z])(?:Mr|Mrs|Ms|Miss|Dr|Prof|Professor)\.? "
    r"|(?<![A-Za-z])(?:[Mm]y name is|(?:[Ff]ull |[Cc]ustomer |[Uu]ser )?[Nn]ame:|name on card"
    r"|Applicant|Signed,?|I'm) (?:(?:Mr|Mrs|Ms|Dr)\.? )?"
    r"|^(?:From|To|Contact|Contact person): "
    r"|(?:họ (?:và )?tên|tên khách hàng|người (?:đặt|nhận|gửi)|khách hàng|chủ thẻ|ký tên"
    r"|tôi tên là|tên tôi là|em là|tôi là):? "
    r"|(?<!\w)(?:ông|bà|anh|chị|cô|thầy|kính gửi ông|kính gửi bà) ",
    re.IGNORECASE | re.MULTILINE,
)
_STEMS = (
    "mr", "ms", "miss", "dr", "prof", "my name", "full name", "customer name", "user name", "name", "applicant",
    "signed", "i'm", "from:", "to:", "contact", "họ ", "tên ", "người ", "khách ", "chủ thẻ", "ký tên", "tôi ", "em là",
    "ông ",
    "bà ", "anh ", "chị ", "cô ", "thầy ", "kính ",
)  # fmt: skip
"""How the labels begin, in small letters."""
_KANJI = re.compile("[\u3041-\u9fff]")
_NOT_NAMES = frozenset(
    re.findall(
        r"\w+",
        "No Not The This That And But For From With Here There Your Our My His Her Its We You They It Is Are Was Who "
        "What When Where Why How Yes Please Thank Thanks Hello Hi Sorry Also Just Only Very So If In On At By To Of Or "
        "As Street Road",
    )
)
_VIETNAMESE = frozenset(
    re.findall(
        r"\w+",
        "Nguyễn Trần Lê Phạm Hoàng Huỳnh Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý Đinh Trịnh Đoàn Lương Mai Tô Trương "
        "Lâm Đào Hà Cao Tạ Châu Thái Quách Kiều La Nghiêm Phùng Tăng Triệu Vương",
    )
)
_SURNAMES = (
    "佐藤|鈴木|高橋|田中|伊藤|渡辺|山本|中村|小林|加藤|吉田|山田|佐々木|山口|松本|井上|木村|斎藤|斉藤|清水|山崎|森|池田|橋本|阿部|石川|山下|中島|石井|小川"
    "|前田|岡田|長谷川|藤田|後藤|近藤|村上|遠藤|青木|坂本|福田|太田|西村|藤井|岡本|金子|藤原|三浦|中野|原田|中川|松田|竹内|小野|田村|中山|和田|石田|森田"
    "|上田|原|内田|柴田|酒井|宮崎|横山|高木|安藤|宮本|大野|小島|谷口|工藤|今井|高田|増田|丸山|杉山|村田|大塚|新井|小山|平野|藤本|河野|上野|野口|武田|松井"
    "|千葉|岩崎|菅原|木下|久保|佐野|野村|松尾|菊地|市川|杉本|古川|大西|島田|水野|桜井|渡部|高野|吉川|山内|西田|飯田|菊池|西川|小松|北村|安田|五十嵐|川口"
    "|平田|関|中田|久保田|服部|東|岩田|土屋|川崎|福島|本田|辻|樋口|永井|秋山|田口|中西|吉村|川上|石原|大橋|松岡|馬場|浜田|森本|星野|矢野|浅野|大島|松下"
)
_GIVEN = r"[\u3400-\u9fff\u3041-\u3093\u30a1-\u30fa々ー]"
_JAPANESE = re.compile(rf"(?:{_SURNAMES})(?: ?{_GIVEN}{{1,4}}?)?(?= ?(?:様|さま|さん|氏|先生|殿|君|ちゃん))")
_LABELLED_JA = re.compile(
    r"(?:氏名|お名前|名前|契約者名?|申込者|宛名|差出人|担当者?|受取人|ご本人|フリガナ|ふりがな|名義)(?:は|:|、)? ?"
)
_VALUE_JA = re.compile(
    rf"(?:(?:{_SURNAMES}) ?{_GIVEN}{{0,4}}?|[ァ-ヺー]{{2,8}} [ァ-ヺー]{{2,8}})"
    r"(?=$|[\s、。,（(<「」]|です|様|さん|と申|に|が|は|を)",
    re.MULTILINE,
)
_SELF_JA = re.compile(rf"(?:私|わたし|僕)、 ?((?:{_SURNAMES}) ?{_GIVEN}{{0,4}}?)(?=と申|です)")

_PREFECTURES = (
    "北海道|青森県|岩手県|宮城県|秋田県|山形県|福島県|茨城県|栃木県|群馬県|埼玉県|千葉県|東京都|神奈川県|新潟県|富山県|石川県|福井県|山梨県|長野県"
    "|岐阜県|静岡県|愛知県|三重県|滋賀県|京都府|大阪府|兵庫県|奈良県|和歌山県|鳥取県|島根県|岡山県|広島県|山口県|徳島県|香川県|愛媛県|高知県|福岡県"
    "|佐賀県|長崎県|熊本県|大分県|宮崎県|鹿児島県|沖縄県|札幌市|仙台市|さいたま市|横浜市|川崎市|名古屋市|京都市|大阪市|神戸市|広島市|福岡市"
)
_ADDRESS_JA = re.compile(
    rf"(?:{_PREFECTURES})[\u3041-\u9fff々ヶケ]{{1,24}}?[市区町村郡][\u3041-\u9fff々ヶケ]{{0,20}}?"
    r"(?:[0-9一二三四五六七八九十]{1,4}(?:丁目|番地?|号|条[東西南北]?|[\-ー](?=[0-9]))){0,4}"
    r"(?:[0-9]{1,4}(?:[\-ー][0-9]{1,4}){1,3}|[0-9一二三四五六七八九十]{1,4}(?:丁目|番地?|号)|上る|下る|[東西]入る)"
)
_ADDRESS_EN = re.compile(
    r"[0-9](?<![0-9A-Za-z_.,#/\-][0-9])[0-9]{0,4}[A-Z]?(?: [A-Z][a-z]{1,16}){1,4}"
    r"(?:(?<=Street)|(?<= St)|(?<=Avenue)|(?<= Ave)|(?<=Road)|(?<= Rd)|(?<=Lane)|(?<= Ln)|(?<=Boulevard)|(?<=Blvd)"
    r"|(?<=Drive)|(?<=Court)|(?<=Square)|(?<= Way)|(?<= Place)|(?<=Terrace)|(?<=Crescent))(?![A-Za-z])\.?"
    r"(?:, (?:Suite|Apt|Unit|Flat) [0-9A-Z]{1,5})?(?:, [A-Z][a-z]{2,14}(?: [A-Z][a-z]{2,14}){0,2})?"
)
_PARTS_VI = ("phường", "quận", "huyện", "xã", "thị trấn", "đường", "phố", "ngõ")
_START_VI = r"(?:số|thôn|ấp|xóm|tổ|tầng|căn hộ|ngõ|hẻm|khu phố)"
_BEFORE_VI = rf"(?= {_CAPITAL}| (?:đường|phố|ngõ|hẻm))"
"""What stands behind a house number; `_OPEN_NUMBER` waits for the same."""
_ADDRESS_VI = re.compile(
    rf"(?<![\w])(?:{_START_VI} [\w/]{{1,12}}|[0-9]{{1,4}}[A-Z]?(?:/[0-9]{{1,4}}){{0,3}},?{_BEFORE_VI})[ ,]"
    rf"[^\n.;:!?()\[\]]{{0,80}}?(?:{'|'.join(_PARTS_VI)}) [^\n.;:!?()\[\]]{{1,60}}?"
    r"(?:Hà Nội|TP\.? ?Hồ Chí Minh|TP\.? ?HCM|Hồ Chí Minh|Đà Nẵng|Cần Thơ|Hải Phòng|Huế"
    r"|tỉnh [A-ZĐ]\w{1,8}(?: [A-ZĐ]\w{1,8})?|quận (?:[0-9]{1,2}|[A-ZĐ]\w{1,8}(?: [A-ZĐ]\w{1,8})?)(?=[.\n;]|$))",
    re.IGNORECASE,
)
_OPEN_PREFECTURE = re.compile(_PREFECTURES)
_OPEN_NUMBER = re.compile(
    rf"(?<![\w])(?:{_START_VI}\b|[0-9]{{1,5}}[A-Z]?(?:/[0-9A-Z]{{1,4}}){{0,3}},?"
    rf"(?= ?\Z| {_CAPITAL}| (?:đường|phố|ngõ|hẻm)))",
    re.IGNORECASE,
)
_STOPS_JA = re.compile(r"[\n。]")
_STOPS = re.compile(r"[\n;:!?()\[\]]")
_CAPITALISED_END = re.compile(rf"{_CAPITAL}{_LETTER}{{0,20}}\Z")
_NOT_JA = re.compile(r"[^\u3041-\u9fff々ー ]")
_WORDS = 5
"""Words of the longest name, and one that may still belong to it."""
_JAPANESE_NAME = 20
"""Characters of the longest Japanese name with its form of address."""


def names(text: str, start: int) -> Iterator[Finding]:
    """Names behind titles and labels, Japanese surnames before forms of address."""
    for at in starts(text, _STEMS, max(0, start - REACH)):
        cue = _LABEL.match(text, at)
        match = _LATIN.match(text, cue.end()) if cue is not None else None
        if cue is None or match is None or match.start() < start:
            continue
        words = match[0].split(" ")
        title = cue[0].strip().casefold()
        if words[0] in _NOT_NAMES or not match[0][0].isupper():
            continue
        if title in ("em là", "tôi là", "khách hàng") and words[0] not in _VIETNAMESE:
            continue
        yield Finding(match.start(), match.end(), "person")
    if _KANJI.search(text, max(0, start - REACH)) is None:
        return
    for match in places(_JAPANESE, text, start):
        yield Finding(match.start(), match.end(), "person")
    for cue in places(_LABELLED_JA, text, max(0, start - REACH)):
        value = _VALUE_JA.match(text, cue.end())
        if value is not None and value.start() >= start:
            yield Finding(value.start(), value.end(), "person")
    for match in places(_SELF_JA, text, max(0, start - REACH)):
        if match.start(1) >= start:
            yield Finding(match.start(1), match.end(1), "person")


def addresses(text: str, start: int) -> Iterator[Finding]:
    """Street addresses: a prefecture and a block, a house number and a street, a number and a ward."""
    patterns = [_ADDRESS_EN]
    if _KANJI.search(text, start) is not None:
        patterns.append(_ADDRESS_JA)
    small = text.lower()
    if any(small.find(word, start) >= 0 for word in _PARTS_VI):
        patterns.append(_ADDRESS_VI)
    for pattern in patterns:
        for match in places(pattern, text, start):
            yield Finding(match.start(), match.end(), "address")


def open_name(text: str, start: int) -> int:
    """From where on the end of a text may be a name that goes on; the text's length: nowhere."""
    least, at = len(text), len(text) - text.endswith(" ")
    for _ in range(_WORDS):
        blank = text.rfind(" ", max(start, at - 24), at)
        begin = max(blank + 1, start, at - 24)
        word = _CAPITALISED_END.search(text[begin:at])
        if word is None:
            break
        least = begin + word.start()
        if word.start() or blank < 0 or blank <= start:
            break
        at = blank
    return min(least, _open_japanese(text, start))


def open_address(text: str, start: int) -> int:
    """From where on the end of a text may be an address that goes on; the text's length: nowhere."""
    least = _open_japanese(text, start)
    for pattern, stops, longest in ((_OPEN_PREFECTURE, _STOPS_JA, LONGEST), (_OPEN_NUMBER, _STOPS, 2 * LONGEST)):
        left = max(start, len(text) - longest)
        for stop in stops.finditer(text, left):
            left = stop.end()
        match = pattern.search(text, left)
        if match is not None:
            least = min(least, match.start())
    return least


def _open_japanese(text: str, start: int) -> int:
    """From where on the end of a text may be a Japanese name or the name of a place."""
    left = max(start, len(text) - _JAPANESE_NAME)
    for other in _NOT_JA.finditer(text, left):
        left = other.end()
    return left
