"""Key-value in an S3 bucket: compare-and-set by conditional writes (`If-None-Match: *`, `If-Match: ETAG`).

For what many machines agree upon now and then (shards of batches), not for the hot path: a call is a request. A
value's end of life stands in the object's metadata and is looked at when it is read; a lifecycle rule of the bucket
removes what nobody reads. Lifetimes follow the clock of S3, to about two seconds: the `Date` of its answers says how
far this machine's is from it. It needs the extra `aws`.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

from hapenny.core.clock import Clock
from hapenny.stores.aws_link import AwsLink
from hapenny.stores.kv import MAX_SCAN

NEAR_S = 2.0
"""A clock that is off by less is taken to be right: dates of answers are whole seconds, and some time old."""
_DIES = "dies"


class S3KeyValue:
    """See the module.

    Args:
        url: `s3://BUCKET/PREFIX`.
        clock: the deployment's.

    Raises (all methods):
        ConnectionError: S3 cannot be reached, or refuses.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise ValueError(f"{url!r} names no bucket; use s3://BUCKET/PREFIX")
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._clock = clock
        self._link = AwsLink("s3", clock)
        self._off = 0.0

    async def get(self, key: str) -> bytes | None:
        """The live value."""
        known = await self._link.run(lambda s3: self._read(s3, key))
        return None if known is None else known[0]

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Puts a value."""
        await self._link.run(lambda s3: self._write(s3, key, value, ttl))

    async def compare_and_set(self, key: str, expected: bytes | None, value: bytes, ttl: float | None = None) -> bool:
        """Puts a value if the present one is as expected."""

        def work(s3: Any) -> bool:
            raw = self._head(s3, key)
            known = None if raw is None or self._over(raw[2]) else raw
            if (known[0] if known is not None else None) != expected:
                return False
            condition = {"IfNoneMatch": "*"} if raw is None else {"IfMatch": raw[1]}
            return self._write(s3, key, value, ttl, condition)

        return await self._link.run(work)

    async def delete(self, key: str) -> bool:
        """Removes a value."""

        def work(s3: Any) -> bool:
            known = self._read(s3, key) is not None
            s3.delete_object(Bucket=self._bucket, Key=self._name(key))
            return known

        return await self._link.run(work)

    async def scan(self, prefix: str = "", *, after: str = "", limit: int = MAX_SCAN) -> list[tuple[str, bytes]]:
        """Pairs by prefix, sorted."""

        def work(s3: Any) -> list[tuple[str, bytes]]:
            pairs: list[tuple[str, bytes]] = []
            start = self._name(after) if after else ""
            while True:
                page = s3.list_objects_v2(
                    Bucket=self._bucket, Prefix=self._name(prefix), StartAfter=start, MaxKeys=min(1_000, limit)
                )
                contents = page.get("Contents", [])
                for each in contents:
                    key = bytes.fromhex(each["Key"].removeprefix(self._prefix)).decode("utf-8", "surrogatepass")
                    known = self._read(s3, key)
                    if known is not None:
                        pairs.append((key, known[0]))
                        if len(pairs) >= limit:
                            return pairs
                if not page.get("IsTruncated") or not contents:
                    return pairs
                start = contents[-1]["Key"]

        return await self._link.run(work)

    async def aclose(self) -> None:
        """Closes the connections. Idempotent."""
        await self._link.aclose()

    # ----------------------------------------------------------------------------------------------------------------

    def _name(self, key: str) -> str:
        # Hexadecimal: any text is a name, and names sort as the texts do.
        return self._prefix + key.encode("utf-8", "surrogatepass").hex()

    def _head(self, s3: Any, key: str) -> tuple[bytes, str, str] | None:
        from botocore.exceptions import ClientError

        try:
            reply = s3.get_object(Bucket=self._bucket, Key=self._name(key))
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                self._dated(error.response)
                return None
            raise
        self._dated(reply)
        return reply["Body"].read(), reply["ETag"], reply["Metadata"].get(_DIES, "")

    def _read(self, s3: Any, key: str) -> tuple[bytes, str] | None:
        raw = self._head(s3, key)
        return None if raw is None or self._over(raw[2]) else raw[:2]

    def _dated(self, reply: Any) -> None:
        """Learns from an answer how far this machine's clock is from that of S3."""
        stated = reply["ResponseMetadata"].get("HTTPHeaders", {}).get("date", "")
        try:
            off = parsedate_to_datetime(stated).timestamp() + 0.5 - self._clock.wall()
        except (TypeError, ValueError):
            return
        self._off = off if abs(off) > NEAR_S else 0.0

    def _now(self) -> float:
        return self._clock.wall() + self._off

    def _over(self, dies: str) -> bool:
        return bool(dies) and self._now() >= float(dies)

    def _write(
        self, s3: Any, key: str, value: bytes, ttl: float | None, condition: dict[str, str] | None = None
    ) -> bool:
        from botocore.exceptions import ClientError

        metadata = {} if ttl is None else {_DIES: repr(self._now() + ttl)}
        try:
            s3.put_object(Bucket=self._bucket, Key=self._name(key), Body=value, Metadata=metadata, **(condition or {}))
        except ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
                return False
            if condition and "IfMatch" in condition and error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return False  # it was removed meanwhile
            raise
        return True
