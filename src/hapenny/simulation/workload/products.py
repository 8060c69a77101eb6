"""Questions about volumes, series and orders: their texts, truths and passages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date

from hapenny.simulation.workload.catalogue import LANGUAGES, Series, Volume
from hapenny.simulation.workload.chance import Draws
from hapenny.simulation.workload.questions import Asked, Subject, Wanted, anchor, item, retrieved, worded
from hapenny.simulation.workload.shop import Shop, order_record, phrases, policies, spoken, title, values
from hapenny.simulation.workload.truth import Call, Fact


def _names(series: Series) -> tuple[str, ...]:
    """A title as an answer may spell it."""
    return tuple(dict.fromkeys(series.names.values()))


def _filled(forms: Sequence[str], **values_: object) -> tuple[str, ...]:
    return tuple(form.format(**values_) for form in forms)


def similar(shop: Shop, volume: Volume, wanted: Wanted, draws: Draws) -> str:
    """A passage that a retriever finds beside a volume's own: its series, its genre, now and then a rule."""
    place = draws.random()
    if place < 0.45:
        other = draws.choice(shop.catalogue.of_series[volume.series.id])
    elif place < 0.85:
        series = draws.choice(shop.catalogue.of_genre[volume.series.genres["en"]])
        other = draws.choice(shop.catalogue.of_series[series.id])
    else:
        return shop.page(draws.choice(list(phrases()["topics"]["en"])), wanted.language)
    return shop.record(other, wanted.language, wanted.day)


def _others(shop: Shop, volume: Volume) -> Iterator[Volume]:
    """Volumes a wrong answer may be about: the series' own, then others of the genre."""
    mine = shop.catalogue.of_series[volume.series.id]
    yield from (mine[(volume.number + step) % len(mine)] for step in range(min(3, len(mine) - 1)))
    for series in shop.catalogue.of_genre[volume.series.genres["en"]][:12]:
        yield shop.catalogue.of_series[series.id][0]
    for series in Draws("others", volume.series.id).sample(shop.catalogue.series, 12):
        yield shop.catalogue.of_series[series.id][0]


def _value(shop: Shop, volume: Volume, aspect: str, wanted: Wanted) -> tuple[str, str, tuple[str, ...]]:
    """A volume's aspect as the record writes it, as an answer says it, and as any right answer may."""
    series = volume.series
    if aspect == "price":
        price = shop.catalogue.state(volume, wanted.day).price
        return price, price, (price, price.replace(".", ","))
    if aspect == "release_date":
        return _date(volume.released, wanted.language)
    if aspect == "author":
        return series.author, series.author, (series.author,)
    if aspect == "genre":
        genre = series.genres[wanted.language]
        return genre, genre, (genre, series.genres["en"])
    plain = str(series.age if aspect == "age" else series.volumes)
    return plain, plain, (plain,)


def _date(day: date, language: str) -> tuple[str, str, tuple[str, ...]]:
    return day.isoformat(), spoken(day, language), (day.isoformat(), *(spoken(day, other) for other in LANGUAGES))


def make_aspect(shop: Shop, subject: Subject, wanted: Wanted) -> Asked:
    """Price, release date, age, length, author or genre: `(asks, aspect, sku place, follow-up)`."""
    _, aspect, place, follow = subject
    volume = shop.catalogue.volumes[place]
    wordings = phrases()["aspects"][aspect]
    lines = wordings[wanted.language]
    written, spoken_value, accepted = _value(shop, volume, aspect, wanted)
    name = title(volume.series, wanted.language)
    wrong = list(
        dict.fromkeys(
            other
            for each in _others(shop, volume)
            if (other := _value(shop, each, aspect, wanted)[1]) != spoken_value and not set(accepted) & {other}
        )
    )[:3]
    mark = wordings["mark"][wanted.language].format(v=written)
    truth = item(
        subject,
        wanted,
        facts=(Fact(mark, (*shop.about(volume, wanted.language), name)[: 3 if aspect in _OF_SERIES else 2]),),
        right=_filled(lines["right"], t=name, n=volume.number, v=spoken_value),
        wrong=tuple(lines["right"][0].format(t=name, n=volume.number, v=value) for value in wrong),
        must=(_names(volume.series), accepted),
    )
    documents = retrieved(
        [shop.record(volume, wanted.language, wanted.day)],
        lambda draws: similar(shop, volume, wanted, draws),
        wanted,
        subject,
    )
    if follow:
        text = worded(phrases()["follow_up"][follow][wanted.language], wanted, subject, m=volume.number)
    else:
        text = worded(lines["ask"], wanted, subject, t=name, n=volume.number)
    return Asked(text=text, item=truth, documents=documents)


_OF_SERIES = ("age", "count", "author", "genre")


def make_stock(shop: Shop, subject: Subject, wanted: Wanted) -> Asked:
    """How many copies of a volume there are, looked up by a tool: `(asks, place, follow-up)`."""
    _, place, follow = subject
    volume = shop.catalogue.volumes[place]
    lines = phrases()["stock"][wanted.language]
    name = title(volume.series, wanted.language)
    stock = shop.catalogue.state(volume, wanted.day).stock
    other = next((each for each in _others(shop, volume) if each.number != volume.number), volume)
    wrong = sorted({stock + 3, max(0, stock - 4), shop.catalogue.state(other, wanted.day).stock} - {stock})
    asked = {"title": name, "volume": volume.number}
    truth = item(
        subject,
        wanted,
        facts=(Fact(f"{stock} copies", (volume.sku,)),),
        right=_filled(lines["right"], t=name, n=volume.number, v=stock),
        wrong=tuple(lines["right"][0].format(t=name, n=volume.number, v=value) for value in wrong),
        must=(_names(volume.series), _counted(stock)),
        call=Call("stock_check", asked),
        wrong_call=Call("stock_check", {**asked, "volume": other.number})
        if other.number != volume.number
        else Call("search_products", {"query": name}),
    )
    if follow:
        text = worded(phrases()["follow_up"][follow][wanted.language], wanted, subject, m=volume.number)
    else:
        text = worded(lines["ask"], wanted, subject, t=name, n=volume.number)
    return Asked(text=text, item=truth)


def _counted(stock: int) -> tuple[str, ...]:
    """A number of copies as an answer may say it."""
    copies = (f"{stock} copies", f"{stock} copy", f"{stock}冊", f"{stock} bản", f"({stock})")
    none = ("out of stock", "sold out", "在庫切れ", "在庫がありません", "hết hàng")
    return copies + none if stock == 0 else copies


def make_order(shop: Shop, subject: Subject, wanted: Wanted) -> Asked:
    """Where an order is, looked up by a tool: `(asks, order)`."""
    order = subject[1]
    lines = phrases()["order_status"][wanted.language]
    record = order_record(order, wanted.day)
    due = date.fromisoformat(record["expected"])
    _, spoken_value, accepted = _date(due, wanted.language)
    filled = {"o": order, "s": lines["states"][record["state"]], "c": record["carrier"]}
    wrong = [spoken(due.replace(day=1 + (due.day + step) % 28), wanted.language) for step in (2, 5)]
    swapped = (
        order[:-2] + order[-1] + order[-2] if order[-1] != order[-2] else order[:-1] + str((int(order[-1]) + 1) % 10)
    )
    truth = item(
        subject,
        wanted,
        facts=(Fact(record["expected"], (order,)),),
        right=_filled(lines["right"], v=spoken_value, **filled),
        wrong=tuple(lines["right"][0].format(v=value, **filled) for value in wrong if value != spoken_value),
        must=((order,), accepted),
        call=Call("order_status", {"order_id": order}),
        wrong_call=Call("order_status", {"order_id": swapped}),
    )
    return Asked(text=worded(lines["ask"], wanted, subject, o=order), item=truth)


def make_recommendation(shop: Shop, subject: Subject, wanted: Wanted) -> Asked:
    """The one series among the passages that fits genre, age, price and stock: `(asks, place)`."""
    volume = shop.catalogue.volumes[subject[1]]
    series, state = volume.series, shop.catalogue.state(volume, wanted.day)
    draws = Draws("wish", subject)
    age, most = series.age + draws.below(3), float(state.price) + draws.choice([0.05, 0.25, 0.5])
    lines = phrases()["recommendation"][wanted.language]
    name = title(series, wanted.language)

    def fits(other: Volume) -> bool:
        now = shop.catalogue.state(other, wanted.day)
        fitting = other.series.genres["en"] == series.genres["en"] and other.series.age <= age
        return fitting and float(now.price) <= most and now.stock > 0

    def others(some: Draws) -> str:
        for _ in range(40):
            kin = some.choice(
                shop.catalogue.of_genre[series.genres["en"]] if some.random() < 0.8 else shop.catalogue.series
            )
            other = some.choice(shop.catalogue.of_series[kin.id])
            if kin.id != series.id and not fits(other):
                return shop.record(other, wanted.language, wanted.day)
        return shop.page(some.choice(list(phrases()["topics"]["en"])), wanted.language)

    lures = [each for each in shop.catalogue.of_genre[series.genres["en"]] if each.id != series.id]
    wrong = [title(each, wanted.language) for each in draws.sample(lures or shop.catalogue.series, 3)]
    about = shop.about(volume, wanted.language)
    filled = {"g": series.genres[wanted.language], "a": age, "p": f"{most:.2f}"}
    truth = item(
        subject,
        wanted,
        facts=(
            Fact(state.price, about),
            Fact(phrases()["aspects"]["age"]["mark"][wanted.language].format(v=series.age), about),
        ),
        right=_filled(lines["right"], t=name, g=filled["g"]),
        wrong=tuple(lines["right"][0].format(t=other, g=filled["g"]) for other in wrong if other != name),
        must=(_names(series),),
        never=tuple(other for other in wrong if other != name and name not in other and other not in name),
    )
    gold = [shop.record(volume, wanted.language, wanted.day)]
    return Asked(
        text=worded(lines["ask"], wanted, subject, **filled),
        item=truth,
        documents=retrieved(gold, others, wanted, subject),
    )


def make_reckoning(shop: Shop, subject: Subject, wanted: Wanted) -> Asked:
    """A sum to be worked out from prices and fees: `(asks, form, place, other place)`."""
    form, place = subject[1:3]
    lines = phrases()["reckoning"][form][wanted.language]
    first = shop.catalogue.volumes[place]
    cents = {each.sku: _cents(shop.catalogue.state(each, wanted.day).price) for each in _ladder(shop, first, 4)}
    name = title(first.series, wanted.language)
    gold = [shop.record(first, wanted.language, wanted.day)]
    facts = [_price_fact(shop, first, wanted)]
    if form == "cheaper":
        return _cheaper(shop, subject, wanted)
    fee = "shipping-express" if form == "total" else "shipping-standard"
    rule = policies()[fee]
    fee_value = values(rule, wanted.language)[0]
    facts.append(Fact(fee_value, (anchor(rule[wanted.language]["fact"]),)))
    gold.append(shop.page("shipping", wanted.language))
    price = cents[first.sku]
    if form == "total":
        mine = shop.catalogue.of_series[first.series.id]
        second = mine[first.number % len(mine)]
        other = _cents(shop.catalogue.state(second, wanted.day).price)
        total = price + other + _cents(fee_value)
        gold.append(shop.record(second, wanted.language, wanted.day))
        facts.append(_price_fact(shop, second, wanted))
        filled: dict[str, object] = {"t": name, "n": first.number, "m": second.number}
        value, wrong = (
            _euros(total),
            [_euros(total - _cents(fee_value)), _euros(total + 100), _euros(price + other - 50)],
        )
        accepted: tuple[str, ...] = (value, value.replace(".", ","))
    else:
        budget = 20 + Draws("budget", subject).below(9) * 10
        copies = (budget * 100 - _cents(fee_value)) // price
        filled = {"t": name, "n": first.number, "b": budget}
        value, wrong = str(copies), [str(copies + 1), str(max(0, copies - 1))]
        accepted = _counted(copies)
    truth = item(
        subject,
        wanted,
        facts=tuple(facts),
        right=_filled(lines["right"], v=value, **filled),
        wrong=tuple(lines["right"][0].format(v=other_, **filled) for other_ in wrong if other_ != value),
        must=(accepted,),
    )
    documents = retrieved(gold, lambda draws: similar(shop, first, wanted, draws), wanted, subject)
    return Asked(text=worded(lines["ask"], wanted, subject, **filled), item=truth, documents=documents)


def _cheaper(shop: Shop, subject: Subject, wanted: Wanted) -> Asked:
    one, two = (shop.catalogue.volumes[place].series for place in subject[2:4])
    lines = phrases()["reckoning"]["cheaper"][wanted.language]
    count = min(3, one.volumes, two.volumes)
    sets = [shop.catalogue.of_series[series.id][:count] for series in (one, two)]
    sums = [sum(_cents(shop.catalogue.state(each, wanted.day).price) for each in mine) for mine in sets]
    cheap, dear = (one, two) if sums[0] <= sums[1] else (two, one)
    gap = _euros(abs(sums[0] - sums[1]))
    gold = [shop.record(each, wanted.language, wanted.day) for mine in sets for each in mine]
    filled = {"t": title(one, wanted.language), "u": title(two, wanted.language), "k": count}
    right = {"x": title(cheap, wanted.language), "v": gap, "k": count}
    wrong = [
        {**right, "x": title(dear, wanted.language)},
        {**right, "v": _euros(abs(sums[0] - sums[1]) + 120)},
    ]
    truth = item(
        subject,
        wanted,
        facts=tuple(_price_fact(shop, each, wanted) for mine in sets for each in mine),
        right=_filled(lines["right"], **right),
        wrong=tuple(lines["right"][0].format(**each) for each in wrong),
        must=((gap, gap.replace(".", ",")),),
        never=tuple(form.format(**wrong[0]) for form in lines["right"]),
    )
    documents = retrieved(gold, lambda draws: similar(shop, sets[0][0], wanted, draws), wanted, subject)
    return Asked(text=worded(lines["ask"], wanted, subject, **filled), item=truth, documents=documents)


def make_export(shop: Shop, subject: Subject, wanted: Wanted) -> Asked:
    """Two volumes as JSON: `(asks, place)`."""
    first = shop.catalogue.volumes[subject[1]]
    mine = shop.catalogue.of_series[first.series.id]
    second = mine[first.number % len(mine)]
    lines = phrases()["export"][wanted.language]
    rows = [{"sku": each.sku, "price": shop.catalogue.state(each, wanted.day).price} for each in (first, second)]
    spoilt = [{**row, "price": _euros(_cents(row["price"]) + 70)} for row in rows]
    lost = [rows[0]]
    truth = item(
        subject,
        wanted,
        facts=(_price_fact(shop, first, wanted), _price_fact(shop, second, wanted)),
        right=(json.dumps(rows), json.dumps(rows, indent=1), json.dumps([dict(reversed(row.items())) for row in rows])),
        wrong=(json.dumps(spoilt), json.dumps(lost)),
        must=tuple((value,) for row in rows for value in row.values()),
    )
    gold = [shop.record(each, wanted.language, wanted.day) for each in (first, second)]
    documents = retrieved(gold, lambda draws: similar(shop, first, wanted, draws), wanted, subject)
    filled = {"t": title(first.series, wanted.language), "n": first.number, "m": second.number}
    return Asked(text=worded(lines["ask"], wanted, subject, **filled), item=truth, documents=documents)


def _ladder(shop: Shop, volume: Volume, count: int) -> list[Volume]:
    mine = shop.catalogue.of_series[volume.series.id]
    return [mine[(volume.number - 1 + step) % len(mine)] for step in range(min(count, len(mine)))]


def _price_fact(shop: Shop, volume: Volume, wanted: Wanted) -> Fact:
    return Fact(shop.catalogue.state(volume, wanted.day).price, shop.about(volume, wanted.language))


def _cents(text: str) -> int:
    whole, _, rest = text.partition(".")
    return int(whole) * 100 + int(rest or 0)


def _euros(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
