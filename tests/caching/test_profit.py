"""What each layer earns; one that loses money is stopped."""

from hapenny.caching.profit import Layer


def test_a_losing_layer_stops_and_later_tries_again():
    layer = Layer("semantic", window=100)
    for _ in range(100):
        layer.add(hit=False, embedding=50, judging=100)
    assert layer.stopped
    assert layer.books().net == -100 * 150
    for _ in range(1_000):
        layer.add(hit=True, saved=10**6)
    assert not layer.stopped


def test_an_earning_layer_goes_on():
    layer = Layer("semantic", window=100)
    for at in range(500):
        layer.add(hit=at % 3 == 0, saved=1_000 if at % 3 == 0 else 0, embedding=50)
    layer.store(2**30, 1.0)
    books = layer.books()
    assert not layer.stopped
    assert books.requests == 100
    assert books.net == books.saved - 100 * 50 - books.storage
    assert books.storage == 5_000_000


def test_storage_alone_can_stop_a_layer():
    layer = Layer("exact", window=10)
    layer.store(2**30, 24.0)
    for _ in range(10):
        layer.add(hit=True, saved=10)
    assert layer.stopped
