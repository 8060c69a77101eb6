"""A question is never answered by the answer to its opposite, in any inflection, in the languages that are claimed."""

import pytest

from hapenny.caching.semantic.opposites import inflected
from hapenny.caching.semantic.terms import Variety, contradiction, read


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Is the alarm enabled by default?", "Is the alarm disabled by default?"),
        ("enabling the alarm", "disables the alarm"),
        ("Is the door closed on Sunday?", "Is the door open on Sunday?"),
        ("Why was my limit raised?", "Why was my limit lowered?"),
        ("Who is included in the cover?", "Who is excluded from the cover?"),
        ("How do I log in to the terminal?", "How do I log out of the terminal?"),
        ("I signed in yesterday", "I signed out yesterday"),
        ("turn the heating on", "turn the heating off"),
        ("stopped trains", "started trains"),
        ("bought shares", "sold shares"),
        ("Is the invoice paid?", "Is the invoice unpaid?"),
        ("verified accounts", "unverified accounts"),
        ("cheapest plan", "most expensive plan"),
        ("Làm sao để bật thông báo?", "Làm sao để tắt thông báo?"),
        ("tôi muốn mở khóa thẻ", "tôi muốn khóa thẻ"),
        ("cách đăng nhập", "cách đăng xuất"),
        ("cách đăng ký gói cước", "cách hủy đăng ký gói cước"),
        ("通知を有効にする方法", "通知を無効にする方法"),
        ("窓を開けるには", "窓を閉めるには"),
        ("価格は上がりましたか", "価格は下がりましたか"),
        ("送料は含まれますか", "送料は含まれませんか"),
        ("登録するには", "登録を解除するには"),
        ("入金手数料", "出金手数料"),
        ("国内線", "国際線"),
        ("税込価格", "税抜価格"),
        ("本日は高いですか", "本日は低いですか"),
        ("本日は高いですか", "本日は安いですか"),
        ("返金可能", "返金不可能"),
        ("会員登録済", "会員未登録"),
        ("ロックする", "ロックを解除する"),
        ("theo dõi trang", "bỏ theo dõi trang"),
        ("còn hàng không", "hết hàng chưa"),
        ("Is the coat in stock?", "Is the coat out of stock?"),
        ("tickets for adults", "tickets for children"),
        ("Is the field optional?", "Is the field mandatory?"),
        ("price before tax", "price after tax"),
        ("scaling out the cluster", "scaling in the cluster"),
        ("getting on the bus", "getting off the bus"),
        ("Was the case reopened?", "Was the case closed?"),
        ("Does the permit renew?", "Does the permit expire?"),
        ("postponed matches", "advanced matches"),
        ("peak prices", "off-peak prices"),
        ("gia hạn vé", "hủy vé"),
        ("phóng to trang", "thu nhỏ trang"),
        ("送料込みの値段", "送料別の値段"),
        ("期間の延長", "期間の短縮"),
    ],
)
def test_opposites_block_each_other_both_ways(one, other):
    assert contradiction(read(one), read(other), Variety())
    assert contradiction(read(other), read(one), Variety())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("how do I open an account", "how can I open an account please"),
        ("is the shop opened on Sunday", "is the shop open on Sundays"),
        ("enable and disable the alarm", "disable or enable the alarm"),
        ("tôi muốn bật thông báo", "mình muốn bật thông báo"),
        ("通知を有効にするには", "通知を有効にしたい"),
        ("名前を変更する", "名前を変更して下さい"),
        ("登録の取り消し", "登録を解除したい"),
        ("bỏ theo dõi trang", "bỏ theo dõi trang này"),
    ],
)
def test_other_words_for_the_same_do_not(one, other):
    assert contradiction(read(one), read(other), Variety()) in ("", "order")


def test_an_answer_that_was_right_for_both_sides_is_given_to_both():
    seen = Variety()
    seen.add(read("can I enable the alarm"))
    seen.add(read("can I disable the alarm"))
    assert contradiction(read("can I enable the alarm now"), read("can I disable the alarm"), seen) == ""


@pytest.mark.parametrize(
    ("word", "forms"),
    [
        ("stop", {"stops", "stopped", "stopping"}),
        ("enable", {"enables", "enabled", "enabling"}),
        ("deny", {"denies", "denied"}),
    ],
)
def test_english_words_are_inflected(word, forms):
    assert forms <= set(inflected(word))
