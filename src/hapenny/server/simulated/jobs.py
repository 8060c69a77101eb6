"""Bedrock's batch jobs and the S3 behind them, as a simulated provider serves them to unmodified clients.

`POST /model-invocation-job`, `GET /model-invocation-job/ID`, `GET /model-invocation-jobs`, `POST …/ID/stop` as in the
service's model; `/s3/BUCKET/KEY` is a folder that answers as much of S3 as job clients use (path style: put, get, head,
delete, list). Any bucket exists. Nothing is authenticated.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

import msgspec

from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.protocols.http1.request import Headers
from hapenny.server.call import Call
from hapenny.server.replies import as_json, whole_number
from hapenny.server.transport.messages import Response
from hapenny.simulation.batch_answers import answers
from hapenny.simulation.fleet_jobs import FolderJobs, Refused
from hapenny.simulation.folder_bucket import FolderBucket
from hapenny.simulation.provider import SimulatedProvider

_STATUS = {"ResourceNotFoundException": 404, "ConflictException": 400, "ValidationException": 400}
_NAMES = ("statusEquals", "nameContains", "maxResults", "nextToken")


class JobPages:
    """The pages of batch jobs over a folder.

    Args:
        folder: holds `s3` and `jobs`.
        provider: answers, and bills as batch.
        clock: the service's time.
        spawn: runs what goes on while nobody looks.
        options: as `FolderJobs` takes them.
    """

    def __init__(
        self,
        folder: Path,
        provider: SimulatedProvider,
        clock: Clock,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        **options: Any,
    ) -> None:
        self.bucket = FolderBucket(folder / "s3", "")
        self.jobs = FolderJobs(self.bucket, clock, answers(provider), state=folder / "jobs", **options)
        self._clock = clock
        self._spawn = spawn
        self._ticks = False

    async def _tick(self) -> None:
        """Jobs go on while nobody looks, until all have ended."""
        try:
            while self.jobs.open():
                await self._clock.sleep(0.0 if self.jobs.advance() else 0.1)
        finally:
            self._ticks = False

    # -- jobs ----------------------------------------------------------------------------------------------------

    async def list(self, call: Call) -> Response:
        """`GET /model-invocation-jobs`."""
        wanted = {name: value for name, value in call.request.query.items() if name in _NAMES}
        return _told(lambda: as_json(self.jobs.list_model_invocation_jobs(**wanted)))

    async def create(self, call: Call) -> Response:
        """`POST /model-invocation-job`."""
        made = _told(lambda: self._create(call.body))
        if made.status < 400 and not self._ticks:
            self._ticks = True
            self._spawn(self._tick())
        return made

    async def get(self, call: Call) -> Response:
        """`GET /model-invocation-job/{id}`."""
        return _told(lambda: as_json(self.jobs.get_model_invocation_job(jobIdentifier=call.params["id"])))

    async def stop(self, call: Call) -> Response:
        """`POST /model-invocation-job/{id}/stop`."""
        return _told(lambda: as_json(self.jobs.stop_model_invocation_job(jobIdentifier=call.params["id"])))

    def _create(self, body: bytes) -> Response:
        try:
            asked = msgspec.json.decode(body, type=dict[str, Any])
            return as_json(self.jobs.create_model_invocation_job(**asked))
        except (msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError) as error:
            raise Refused(f"the request is not understood: {type(error).__name__} {error}") from None

    # -- S3 ------------------------------------------------------------------------------------------------------

    async def object(self, call: Call) -> Response:
        """`/s3/BUCKET/KEY`: put, get, head, delete; `/s3/BUCKET`: list."""
        bucket, _, raw = call.params["place"].partition("/")
        key, method = unquote(raw), call.request.method
        if not key:
            if method == "GET":
                return self._list(bucket, dict(parse_qsl(call.request.target.query, keep_blank_values=True)))
            return Response(headers={"content-type": "application/xml"})  # any bucket exists
        place = f"{bucket}/{key}"
        try:
            if method == "PUT":
                self.bucket.put(place, _plain(call.body, call.request.headers))
                return Response(headers={"etag": '"simulated"'})
            if method == "DELETE":
                self.bucket.delete(place)
                return Response(status=204)
            headers = {"content-type": "application/octet-stream", "etag": '"simulated"'}
            return Response(self.bucket.get(place), headers=headers)
        except FileNotFoundError:
            if method in ("GET", "HEAD"):
                return _error("NoSuchKey", "The key does not exist.", 404)
        except (OSError, ValueError):
            pass
        return _error("InvalidArgument", "The key or the body cannot be used here.", 400)

    def _list(self, bucket: str, query: dict[str, str]) -> Response:
        try:
            start = whole_number(query.get("continuation-token") or "0", "continuation-token")
            most = whole_number(query.get("max-keys") or "1000", "max-keys")
        except Failure as failure:
            return _error("InvalidArgument", failure.message, 400)
        prefix = query.get("prefix", "")
        if ".." in prefix.split("/"):
            return _error("InvalidArgument", "The prefix cannot be used here.", 400)
        keys = [key.removeprefix(f"{bucket}/") for key in self.bucket.list(f"{bucket}/{prefix}")]
        page, more = keys[start : start + most], start + most < len(keys)
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.bucket.get(f'{bucket}/{key}'))}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;simulated&quot;</ETag></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{start + most}</NextContinuationToken>" if more else ""
        return _xml(
            f"<ListBucketResult><Name>{escape(bucket)}</Name><KeyCount>{len(page)}</KeyCount>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}</ListBucketResult>"
        )


def _told(answer: Callable[[], Response]) -> Response:
    """The answer, or the service's refusal."""
    try:
        return answer()
    except Refused as refused:
        return _refusal(refused)


def _plain(body: bytes, headers: Headers) -> bytes:
    """An upload without the chunk framing that AWS clients may put around it (`aws-chunked`)."""
    if "aws-chunked" not in (headers.get("Content-Encoding") or ""):
        return body
    pieces, at = [], 0
    while at < len(body):
        end = body.find(b"\r\n", at)
        size = int(body[at : max(at, end)].partition(b";")[0] or b"0", 16)
        if not size or end < 0:
            break
        pieces.append(body[end + 2 : end + 2 + size])
        at = end + 4 + size
    return b"".join(pieces)


def _refusal(refused: Refused) -> Response:
    answer = as_json({"message": str(refused)}, _STATUS[refused.code])
    answer.headers["x-amzn-errortype"] = refused.code
    return answer


def _error(code: str, message: str, status: int) -> Response:
    return _xml(f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>", status)


def _xml(text: str, status: int = 200) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()
    return Response(body, status=status, headers={"content-type": "application/xml"})
