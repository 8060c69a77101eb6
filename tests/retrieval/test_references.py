"""References in Vietnamese and Japanese conversations."""

import pytest

from hapenny.retrieval.query import prepare
from hapenny.retrieval.query.references import standalone

VIETNAMESE = [
    (["Bộ phim Titanic nói về điều gì?"], "Đạo diễn của nó là ai?", "Đạo diễn của Titanic là ai?"),
    (["Titanic là phim gì?"], "Ai là đạo diễn?", "Ai là đạo diễn của Titanic?"),
    (["Giá của iPhone 15 là bao nhiêu?"], "Còn Galaxy S24 thì sao?", "Giá của Galaxy S24 là bao nhiêu?"),
    (["Giá của iPhone 15 là bao nhiêu?"], "Còn bảo hành thì sao?", "bảo hành của iPhone 15?"),
    (["Bệnh tiểu đường là gì?"], "Triệu chứng là gì?", "Triệu chứng của Bệnh tiểu đường là gì?"),
    (["Hãy kể cho tôi về Hồ Chí Minh"], "Ông ấy sinh năm nào?", "Hồ Chí Minh sinh năm nào?"),
    (["Đà Nẵng ở đâu?"], "Thành phố này có bao nhiêu người?", "Thành phố Đà Nẵng có bao nhiêu người?"),
    (["Doraemon là gì?", "Tác giả là ai?"], "Có bao nhiêu tập?", "Doraemon có bao nhiêu tập?"),
]
JAPANESE = [
    (["鬼滅の刃とは何ですか？"], "作者は誰ですか？", "鬼滅の刃の作者は誰ですか？"),
    (["鬼滅の刃について教えて"], "それはいつ公開されましたか？", "鬼滅の刃はいつ公開されましたか？"),
    (["「千と千尋の神隠し」の監督は誰？"], "この映画の主人公は？", "千と千尋の神隠しの主人公は？"),
    (["iPhone 15の値段は？"], "Galaxy S24は？", "Galaxy S24の値段は？"),
    (["富士山はどこにありますか"], "いつ噴火しましたか", "富士山はいつ噴火しましたか"),
    (["富士山はどこにありますか"], "そこに行く方法を教えて", "富士山に行く方法を教えて"),
    (["夏目漱石は誰ですか"], "彼の代表作は何ですか", "夏目漱石の代表作は何ですか"),
    (["糖尿病とは何ですか"], "それから、症状は？", "糖尿病の症状は？"),
]


@pytest.mark.parametrize(("history", "question", "expected"), VIETNAMESE + JAPANESE)
def test_a_follow_up_names_what_it_is_about(history, question, expected):
    made = standalone(question, history)
    assert made.text == expected
    assert made.changed
    assert not made.unsure


@pytest.mark.parametrize(
    ("history", "question"),
    [
        (["Đà Nẵng ở đâu?"], "Thủ đô của Nhật Bản là gì?"),
        (["Đà Nẵng ở đâu?"], "Thời tiết Hà Nội hôm nay thế nào?"),
        (["夏目漱石は誰ですか"], "芥川龍之介の代表作は何ですか"),
        (["糖尿病とは何ですか"], "それぞれの違いは？"),
    ],
)
def test_a_question_that_stands_alone_stays(history, question):
    assert standalone(question, history).text == question


@pytest.mark.parametrize("question", ["Nó là gì?", "それはいくら？", "How much does it cost?"])
def test_a_reference_without_anything_to_refer_to_is_unsure(question):
    made = standalone(question, [])
    assert made.text == question
    assert made.unsure


def test_the_last_answer_gives_the_focus():
    assert prepare("Nó ở đâu?", ["chào"], "Hồ Gươm là một hồ nước. Hồ rất đẹp.").text == "Hồ Gươm ở đâu?"
    assert prepare("それはどこ？", ["やあ"], "東京タワーは電波塔です。高いです。").text == "東京タワーはどこ？"


@pytest.mark.parametrize(
    ("history", "question", "expected"),
    [
        (["Tell me about the bridge"], "What does it cost?", "What does the bridge cost?"),
        (["Tell me about the bridge", "What is a ferry?"], "What does it cost?", "What does ferry cost?"),
        (["Hello there!"], "What does it cost?", "What does it cost?"),
        (["What is throat cancer?", "Thanks!"], "Is it treatable?", "Is throat cancer treatable?"),
    ],
)
def test_known_things_stand_in_and_greetings_are_about_nothing(history, question, expected):
    assert standalone(question, history).text == expected
