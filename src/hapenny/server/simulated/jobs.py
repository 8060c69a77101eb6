"""Bedrock's batch jobs and the S3 behind them, as a simulated provider serves them to unmodified clients.

`POST /model-invocation-job`, `GET /model-invocation-job/ID`, `GET /model-invocation-jobs`, `POST …/ID/stop` as in the
service's model; `/s3/BUCKET/KEY` is a folder that answers as much of S3 as job clients use (path style: put, get, head,
delete, list). Any bucket exists. Nothing is authenticated.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

import msgspec

from hapenny.core.clock import Clock
from hapenny.server.endpoints.models import shown
from hapenny.server.transport import messages as web
from hapenny.simulation.batch_answers import answers
from hapenny.simulation.fleet_jobs import FolderJobs, Refused
from hapenny.simulation.folder_bucket import FolderBucket
from hapenny.simulation.provider import SimulatedProvider

_JOB = "/model-invocation-job"
_JOBS = "/model-invocation-jobs"
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

    async def page(self, request: web.BaseRequest, path: str) -> web.StreamResponse | None:
        """The answer to a request for jobs or objects; None for any other."""
        try:
            if path == _JOBS and request.method == "GET":
                wanted = {name: value for name, value in request.query.items() if name in _NAMES}
                return shown(self.jobs.list_model_invocation_jobs(**wanted))
            if path == _JOB and request.method == "POST":
                made = self._create(await request.read())
                if not self._ticks:
                    self._ticks = True
                    self._spawn(self._tick())
                return made
            if path.startswith(_JOB + "/"):
                id, _, verb = path.removeprefix(_JOB + "/").partition("/")
                found = {"jobIdentifier": unquote(id)}
                if (request.method, verb) == ("GET", ""):
                    return shown(self.jobs.get_model_invocation_job(**found))
                if (request.method, verb) == ("POST", "stop"):
                    return shown(self.jobs.stop_model_invocation_job(**found))
        except Refused as refused:
            return _refusal(refused)
        if path.startswith("/s3/"):
            return await self._object(request, path.removeprefix("/s3/"))
        return None

    def _create(self, body: bytes) -> web.Response:
        try:
            asked = msgspec.json.decode(body, type=dict[str, Any])
            return shown(self.jobs.create_model_invocation_job(**asked))
        except (msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError) as error:
            raise Refused(f"the request is not understood: {type(error).__name__} {error}") from None

    # -- S3 ------------------------------------------------------------------------------------------------------

    async def _object(self, request: web.BaseRequest, path: str) -> web.Response:
        bucket, _, raw = path.partition("/")
        key = unquote(raw)
        if not key:
            if request.method == "GET":
                return self._list(bucket, dict(parse_qsl(request.raw_path.partition("?")[2], keep_blank_values=True)))
            return web.Response(headers={"Content-Type": "application/xml"})  # any bucket exists
        place = f"{bucket}/{key}"
        match request.method:
            case "PUT":
                self.bucket.put(place, _plain(await request.read(), request.headers))
                return web.Response(headers={"ETag": '"simulated"'})
            case "DELETE":
                self.bucket.delete(place)
                return web.Response(status=204)
        with contextlib.suppress(OSError):
            headers = {"Content-Type": "application/octet-stream", "ETag": '"simulated"'}
            return web.Response(body=self.bucket.get(place), headers=headers)
        return _xml("<Error><Code>NoSuchKey</Code><Message>The key does not exist.</Message></Error>", 404)

    def _list(self, bucket: str, query: dict[str, str]) -> web.Response:
        keys = [key.removeprefix(f"{bucket}/") for key in self.bucket.list(f"{bucket}/{query.get('prefix', '')}")]
        start, most = int(query.get("continuation-token", "0") or 0), int(query.get("max-keys", "1000") or 1000)
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


def _plain(body: bytes, headers: web.Headers) -> bytes:
    """An upload without the chunk framing that AWS clients may put around it (`aws-chunked`)."""
    if "aws-chunked" not in (headers.get("Content-Encoding") or ""):
        return body
    found = []
    while body:
        head, _, body = body.partition(b"\r\n")
        size = int(head.partition(b";")[0] or b"0", 16)
        if not size:
            break
        found.append(body[:size])
        body = body[size + 2 :]
    return b"".join(found)


def _refusal(refused: Refused) -> web.Response:
    answer = shown({"message": str(refused)}, _STATUS[refused.code])
    answer.headers = {**answer.headers, "x-amzn-errortype": refused.code}
    return answer


def _xml(text: str, status: int = 200) -> web.Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()
    return web.Response(status=status, body=body, headers={"Content-Type": "application/xml"})
