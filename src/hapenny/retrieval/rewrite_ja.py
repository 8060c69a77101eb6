"""References in Japanese questions, by rule: それ, その値段, この映画, 値段は？, and topics that are left out.

The focus is the topic of the latest question that named one: what stands in quotes, before とは, について or の値段, or
before は何. A bare noun that names a side of something gets the focus with の, a question that begins with its
question word gets it with は.
"""

from __future__ import annotations

import re

from hapenny.retrieval.turns import Standalone, State, instead

_SIDE = (
    "(?:お?値段|価格|料金|監督|著者|作者|作曲者|症状|原因|歴史|人口|首都|面積|意味|効果|効能|副作用|利点|欠点|メリット"
    "|デメリット|治療法|治療方法|予防法|使い方|材料|成分|サイズ|大きさ|高さ|重さ|長さ|色|素材|保証期間|保証|発売日|公開日"
    "|内容|あらすじ|登場人物|主人公|主役|主演|出演者|結末|身長|年齢|役割|起源|由来|種類|特徴|機能|場所|住所|所在地"
    "|営業時間|創業者|創設者|社長|本社|名前|例|目的|理由|生年月日|出身地|代表作|気候|言語|通貨|標高|製造元|メーカー)"
)
_KIND = (
    "(?:映画|作品|本|小説|曲|歌|会社|企業|都市|町|街|村|国|地域|人物|人|商品|製品|モデル|機種|病気|薬|大学|学校|ゲーム|料理"
    "|店|ホテル|事件|戦争|法律|計画|島|川|山|動物|植物|番組|アプリ|ソフト|チーム|俳優|作家|監督|選手|歌手|グループ|建物|寺|神社)"
)
_PERSON = "(?:彼女ら|彼女|彼ら|彼(?![岸方処所])|あの人|その人|この人)"
_THING = "(?:それら|これら|それ(?!ぞれ|から|で|では|でも|に|とも|なら|ほど)|これ(?!から|まで|ほど)|あれ(?!ば|から))"
_THIS = re.compile(f"(?:この|その|あの|同)(?P<kind>{_KIND})(?P<of>の)?")
_OF_IT = re.compile(f"(?:{_PERSON}|{_THING})の|その(?=[\u3400-\u9fff\u30a0-\u30ff])(?!他|後|間|時|上|中)")
_IT = re.compile(f"{_PERSON}|{_THING}|そこ(?=[でにはがへのをも])")
_BARE = re.compile(f"^(?P<side>{_SIDE})(?=[はがをも、？?]|って|$)")
_WHAT_OF = re.compile(
    "^(?:では|じゃあ|それでは)?[、\\s]*(?P<thing>(?!それぞれ|両方|違い|差)[^はがをにで、。]+?)(?:は|の場合は|の方は)(?:どうですか|どう|いかがですか)?[？?。]*$"
)
_LEFT_OUT = re.compile(
    "^(?:いつ|どこ|誰|だれ|なぜ|どうして|いくら|どのくらい|どれくらい|何年|何人|何で|何歳|どうやって|どんな)"
)
_QUOTED = re.compile("[「『](?P<thing>[^」』]+)[」』]")
_ABOUT = re.compile(
    "(?P<thing>[^、。？?\\s]+?)(?:とは|って(?=何|なに|誰|どんな|いつ)|について|に関して|のこと(?:を|に))"
)
_SIDE_OF = re.compile(f"(?P<thing>[^、。？?]+?)の{_SIDE}")
_TOPIC = re.compile("^(?P<thing>[^、。？?]+?)は(?!どう|いかが)")
_STARTS = re.compile("^(?:では|それから|そして|じゃあ|それでは|ところで|ちなみに|また)[、\\s]*")


def resolve(query: str, state: State) -> Standalone:
    """`query` against the focus."""
    if not state.focus:
        return Standalone(query, False, bool(_IT.search(query) or _OF_IT.search(query)))
    focus = state.focus
    text = _THIS.sub(lambda match: focus + ("の" if match["of"] else ""), query)
    text = _OF_IT.sub(lambda _: f"{focus}の", text)
    text = _IT.sub(lambda _: focus, text)
    if text != query:
        return Standalone(text, True)
    plain = _STARTS.sub("", query)
    if _BARE.match(plain):
        return Standalone(f"{focus}の{plain}", True)
    match = _WHAT_OF.match(query)
    if match:
        swapped = instead(state, match["thing"])
        return Standalone(swapped, True) if swapped else Standalone(query, False, True)
    if _LEFT_OUT.match(plain) and not _TOPIC.match(plain):
        return Standalone(f"{focus}は{plain}", True)
    return Standalone(query, False, unsure=not subject(query) and len(query) <= 15)


def subject(turn: str) -> str:
    """What a self-contained question is about; empty when it only refers to something."""
    text = _STARTS.sub("", turn.strip())
    if _IT.search(text) or _OF_IT.search(text) or _THIS.search(text) or _BARE.match(text):
        return ""
    for pattern in (_QUOTED, _ABOUT, _SIDE_OF, _TOPIC):
        match = pattern.search(text)
        if match and not _LEFT_OUT.match(match["thing"]):
            return re.sub(f"の{_SIDE}$", "", match["thing"])
    return ""
