"""Shards that are leased by an SQS FIFO queue, with their records, claims and answers in S3.

A message is a shard; that it is invisible is its lease, and the queue keeps the time. Each shard is a message group of
its own, so that a shard announced twice is still worked on by one worker at a time; a message whose records are gone
from S3 is deleted by whoever receives it. What is certain about a record (claimed, answered) is so by conditional
writes in S3. It needs the extra `aws`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from hapenny.batch.shards import LEASE_S, Shard, Shards
from hapenny.core.clock import Clock
from hapenny.stores.aws_link import AwsLink
from hapenny.stores.s3_kv import S3KeyValue

T = TypeVar("T")

_GONE = ("InvalidParameterValue", "ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidMessageContents")
"""What SQS says of a receipt whose message is visible again, or somebody else's."""
_LOOKS = 10
"""Messages of other dialects that are passed over in one look."""


class _Announced(msgspec.Struct, frozen=True):
    shard: str
    form: str


class _Lease(msgspec.Struct, frozen=True):
    token: str
    receipt: str


class SqsShards(Shards):
    """See the module.

    Args:
        url: `sqs://QUEUE.fifo/BUCKET/PREFIX`.
        clock: makes ids, and runs the calls off the loop.
        lease_s: how long the leases taken here last without being renewed; whole seconds.

    Raises:
        ValueError: the URL names no FIFO queue, or no bucket.
    """

    def __init__(self, url: str, clock: Clock, space: str = "batch", lease_s: float = LEASE_S) -> None:
        queue, _, place = url.removeprefix("sqs://").partition("/")
        if not queue.endswith(".fifo") or not place:
            raise ValueError(f"{url!r} is no queue with a bucket; use sqs://QUEUE.fifo/BUCKET/PREFIX")
        super().__init__(S3KeyValue(f"s3://{place}", clock), clock, space, float(math.ceil(lease_s)))
        self._queue = queue
        self._url = ""
        self._link = AwsLink("sqs", clock)

    async def announce(self, id: str, form: str) -> None:
        """Tells workers of a shard that is there."""
        body = msgspec.json.encode(_Announced(id, form)).decode()
        nonce = self._clock.new_id()  # a shard may be announced again: the queue's own five minutes must not forbid it
        await self._run(
            lambda sqs, url: sqs.send_message(
                QueueUrl=url, MessageBody=body, MessageGroupId=id, MessageDeduplicationId=nonce
            )
        )

    async def lease(self, forms: Sequence[str]) -> Shard | None:
        """A shard that nobody works on, now ours; None: there is none."""
        passed: list[str] = []
        try:
            return await self._first(forms, passed)
        finally:
            for receipt in passed:
                await self._hide(receipt, 0.0)

    async def _first(self, forms: Sequence[str], passed: list[str]) -> Shard | None:
        """The first shard of these dialects; `passed` are those of others on the way."""
        for _ in range(_LOOKS):
            message = await self._run(self._receive)
            if message is None:
                return None
            receipt = message["ReceiptHandle"]
            announced = msgspec.json.decode(message["Body"], type=_Announced)
            if announced.form not in forms:
                passed.append(receipt)
                continue
            records = await self._input(announced.shard)
            if records is None:  # it is done, or was retracted
                await self._delete(receipt)
                continue
            # A receipt alone does not tell an old holder from a new one on every server that speaks SQS.
            token = self._clock.new_id("lease_")
            await self._store.set(self._name("lease", announced.shard), token.encode())
            lease = msgspec.json.encode(_Lease(token, receipt))
            return Shard(announced.shard, announced.form, records, lease)
        return None

    async def renew(self, shard: Shard) -> bool:
        """Whether a shard is still ours, and is from now on for as long as a lease lasts."""
        lease = msgspec.json.decode(shard.lease, type=_Lease)
        if await self._store.get(self._name("lease", shard.id)) != lease.token.encode():
            return False
        return await self._hide(lease.receipt, self.lease_s)

    async def leave(self, shard: Shard, seconds: float = 0.0) -> None:
        """Lets go of a shard that is not done; it is leased again after `seconds`."""
        if await self.renew(shard):
            await self._hide(msgspec.json.decode(shard.lease, type=_Lease).receipt, seconds)

    async def finish(self, shard: Shard) -> None:
        """All records of a shard have their answers."""
        await self.retract(shard.id)
        await self._delete(msgspec.json.decode(shard.lease, type=_Lease).receipt)

    async def aclose(self) -> None:
        """Lets go of the store and the queue."""
        await super().aclose()
        await self._link.aclose()

    # ----------------------------------------------------------------------------------------------------------------

    def _receive(self, sqs: Any, url: str) -> dict[str, Any] | None:
        reply = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1, VisibilityTimeout=int(self.lease_s))
        messages: list[dict[str, Any]] = reply.get("Messages", [])
        return messages[0] if messages else None

    async def _hide(self, receipt: str, seconds: float) -> bool:
        """Keeps a message from others for so long; False: it is no longer ours."""
        from botocore.exceptions import ClientError

        def work(sqs: Any, url: str) -> bool:
            try:
                sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=math.ceil(seconds))
            except ClientError as error:
                if error.response["Error"]["Code"].rpartition(".")[2] in _GONE:
                    return False
                raise
            return True

        return await self._run(work)

    async def _delete(self, receipt: str) -> None:
        await self._run(lambda sqs, url: sqs.delete_message(QueueUrl=url, ReceiptHandle=receipt))

    async def _run(self, work: Callable[[Any, str], T]) -> T:
        """What `work` makes of the client and the queue's URL."""

        def at_queue(sqs: Any) -> T:
            if not self._url:
                self._url = sqs.get_queue_url(QueueName=self._queue)["QueueUrl"]
            return work(sqs, self._url)

        return await self._link.run(at_queue)
