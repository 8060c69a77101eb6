"""A CDN keeps an answer that was withdrawn."""

from hapenny.caching.edge import Edge
from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.1.4",
    title="The edge serves after a purge",
    happens="Published answers (routes with `cache_scope: shared`) are kept by a CDN. The policy on returns "
    "changes, and its answers are withdrawn here.",
    does="A withdrawn answer is gone at once here (404), its address is never used again by the new epoch, and "
    "the CDN may keep it `shared_s` and no longer. `Surrogate-Key` names the epoch for a purge there.",
    sees="`/v1/answers/…` answers 404; `s-maxage` on what is still published.",
    act="Purge the surrogate key of the old epoch at the CDN; set `edge: {shared_s: …}` to what may be stale.",
    check="hapenny cache stats",
    proof="The old address answers 404 here, and at the CDN once `s-maxage` is over.",
    naive="Nothing is withdrawn: what was published runs out by itself.",
)


async def run(scene: Scene) -> None:
    edge = Edge(scene.clock, shared=300, stale=60, ttl=1_000)
    key, other = b"k" * 32, b"n" * 32
    assert edge.publish(key, b'{"days": 14}', scope="shared", verified=True, epoch="spring")
    page = edge.get(key.hex())
    assert page.headers["surrogate-key"] == "epoch-spring"
    assert "s-maxage=300" in page.headers["cache-control"]
    if not scene.broken:
        assert edge.purge("spring") == 1
    assert edge.get(key.hex()).status == 404
    assert edge.publish(other, b'{"days": 30}', scope="shared", verified=True, epoch="summer")
    assert edge.get(other.hex()).status == 200
    await scene.clock.sleep(900)
    assert "s-maxage=100," in edge.get(other.hex()).headers["cache-control"]  # never longer than it lives here
