import pytest

from hapenny.retrieval.filters import Between
from hapenny.retrieval.query.stated_filter import stated_filter

FIELDS = ["price", "year", "volume", "min_age", "rating"]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("headphones under 50 euro", Between("price", high=50)),
        ("books between $10 and $20", Between("price", 10, 20)),
        ("games from 10 to 20 euro", Between("price", 10, 20)),
        ("a sofa for at least 1,500 dollars", Between("price", low=1500)),
        ("films since 1999", Between("year", low=1999)),
        ("films before 2000", Between("year", high=2000)),
        ("what happens in volume 3 of Naruto?", Between("volume", 3, 3)),
        ("toys for 8 years old or older", Between("min_age", low=8)),
        ("4 stars and up", Between("rating", low=4)),
        ("tai nghe dưới 500.000 đồng", Between("price", high=500_000)),
        ("phim từ năm 2010", Between("year", low=2010)),
        ("truyện tập 3", Between("volume", 3, 3)),
        ("5000円以下のヘッドホン", Between("price", high=5000)),
        ("2000年以降の映画", Between("year", low=2000)),
        ("3巻のあらすじ", Between("volume", 3, 3)),
    ],
)
def test_bounds_that_are_said_become_a_filter(question, expected):
    assert stated_filter(question, FIELDS, ["year"]) == expected


@pytest.mark.parametrize(
    "question",
    ["what happened in 1999", "top 10 films", "part 4711", "is volume a noun?", "1.2.3 under what", "", "under 50"],
)
def test_numbers_without_a_bound_filter_nothing(question):
    assert stated_filter(question, FIELDS, ["year"]) is None


def test_only_fields_of_the_collection_are_bounded():
    assert stated_filter("headphones under 50 euro", ["votes"], []) is None
    assert stated_filter("headphones under 50 euro", ["maker.price"], []) == Between("maker.price", high=50)
