"""A Lambda function that keeps models of SageMaker loaded only while they are wanted.

An event is `{"action": …, "name": …}`; every action may be repeated. `register` writes down a model whose endpoint
configuration is there (deploy/cdk makes it). `load` creates its endpoint, which fetches the weights from S3. `warm`
says whether it serves, and sends a first request where it does. `drain` says that nothing new should be sent to it.
`unload` deletes the endpoint once nothing was sent for a while (`idle_minutes`, 10; `force` does not wait), and keeps
what is needed to load it again. `status` says how it stands; `sweep` unloads every registered model that is idle.

The registry is one object a model under `registry/` in the bucket `BUCKET`; conditional writes keep two callers apart.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.exceptions import ClientError

IDLE_MINUTES = 10
"""So long nothing may have been sent to a model that is unloaded."""
WARM = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
"""The first request, for those that generate; a registered model may have one of its own."""
CONFLICTS = ("PreconditionFailed", "ConditionalRequestConflict")
"""What S3 says of a conditional write that came too late."""


class Refused(Exception):
    """An action that cannot be done now; its text says why."""


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Carries out one event."""
    lifecycle = Lifecycle(os.environ["BUCKET"], os.environ.get("PREFIX", "hapenny-"))
    action, name = event.get("action"), event.get("name", "")
    idle = timedelta(minutes=float(event.get("idle_minutes", IDLE_MINUTES)))
    try:
        if action == "sweep":
            return {"unloaded": lifecycle.sweep(idle)}
        if not name or not name.replace("-", "").isalnum():
            raise Refused("name: letters, digits and dashes")
        if action == "register":
            return lifecycle.register(name, event.get("warm") or WARM)
        if action == "unload":
            return lifecycle.unload(name, idle, force=bool(event.get("force")))
        if action in ("load", "warm", "drain", "status"):
            result: dict[str, Any] = getattr(lifecycle, action)(name)
            return result
        raise Refused("action: register, load, warm, drain, unload, status or sweep")
    except Refused as refusal:
        return {"name": name, "refused": str(refusal)}


class Lifecycle:
    """See the module."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket, self._prefix = bucket, prefix
        self._s3 = boto3.client("s3")
        self._sagemaker = boto3.client("sagemaker")
        self._runtime = boto3.client("sagemaker-runtime")
        self._metrics = boto3.client("cloudwatch")

    def register(self, name: str, warm: dict[str, Any]) -> dict[str, Any]:
        """Writes a model down, once."""
        try:
            self._sagemaker.describe_endpoint_config(EndpointConfigName=self._prefix + name)
        except ClientError:
            raise Refused(f"there is no endpoint configuration {self._prefix}{name}") from None
        entry = json.dumps({"warm": warm, "state": "registered"}).encode()
        try:
            self._s3.put_object(Bucket=self._bucket, Key=self._key(name), Body=entry, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] not in CONFLICTS:
                raise
        return self.status(name)

    def load(self, name: str) -> dict[str, Any]:
        """Creates the endpoint, unless it is there or on its way."""
        entry, tag = self._entry(name)
        standing = self._standing(name)
        if standing in ("Failed", "OutOfService"):
            self._sagemaker.delete_endpoint(EndpointName=self._prefix + name)
            raise Refused("its last start failed and is cleared away; load it again")
        if standing is None:
            try:
                self._sagemaker.create_endpoint(
                    EndpointName=self._prefix + name, EndpointConfigName=self._prefix + name
                )
            except ClientError as error:
                if "already existing" not in str(error) and "Cannot create" not in str(error):
                    raise
        self._put(name, {**entry, "state": "wanted"}, tag)
        return self.status(name)

    def warm(self, name: str) -> dict[str, Any]:
        """Sends the first request, where it serves."""
        entry, _ = self._entry(name)
        if self._standing(name) != "InService":
            return {**self.status(name), "warm": False}
        self._runtime.invoke_endpoint(
            EndpointName=self._prefix + name, ContentType="application/json", Body=json.dumps(entry["warm"]).encode()
        )
        return {**self.status(name), "warm": True}

    def drain(self, name: str) -> dict[str, Any]:
        """Whoever looks at `status` sends nothing new."""
        entry, tag = self._entry(name)
        self._put(name, {**entry, "state": "draining"}, tag)
        return self.status(name)

    def unload(self, name: str, idle: timedelta, *, force: bool = False) -> dict[str, Any]:
        """Deletes the endpoint; the model and its configuration stay."""
        entry, tag = self._entry(name)
        standing = self._standing(name)
        if standing is not None:
            if standing == "Creating":
                raise Refused("it is being loaded: unload it when that has ended")
            if not force and (sent := self._sent(name, idle)):
                raise Refused(f"{sent:g} requests within {idle.total_seconds() / 60:g} minutes: drain it first")
            self._sagemaker.delete_endpoint(EndpointName=self._prefix + name)
        self._put(name, {**entry, "state": "registered"}, tag)
        return self.status(name)

    def status(self, name: str) -> dict[str, Any]:
        """How a model stands: `state` as it is wanted, `endpoint` as SageMaker says."""
        entry, _ = self._entry(name)
        return {"name": name, "state": entry["state"], "endpoint": self._standing(name)}

    def sweep(self, idle: timedelta) -> list[str]:
        """Unloads what is loaded and idle; a model that is not idle, or was just loaded, stays."""
        unloaded = []
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix="registry/")
        for page in pages:
            for each in page.get("Contents", ()):
                name = each["Key"].removeprefix("registry/").removesuffix(".json")
                if each["LastModified"] > _now() - idle or self._standing(name) != "InService":
                    continue
                try:
                    self.unload(name, idle)
                except Refused:
                    continue
                unloaded.append(name)
        return unloaded

    # ----------------------------------------------------------------------------------------------------------------

    def _key(self, name: str) -> str:
        return f"registry/{name}.json"

    def _entry(self, name: str) -> tuple[dict[str, Any], str]:
        try:
            reply = self._s3.get_object(Bucket=self._bucket, Key=self._key(name))
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                raise Refused("it is not registered") from None
            raise
        return json.loads(reply["Body"].read()), reply["ETag"]

    def _put(self, name: str, entry: dict[str, Any], tag: str) -> None:
        try:
            self._s3.put_object(Bucket=self._bucket, Key=self._key(name), Body=json.dumps(entry).encode(), IfMatch=tag)
        except ClientError as error:
            if error.response["Error"]["Code"] in CONFLICTS:
                raise Refused("somebody else changed it just now: look at its status") from None
            raise

    def _standing(self, name: str) -> str | None:
        """SageMaker's word for an endpoint; None: there is none."""
        try:
            return str(self._sagemaker.describe_endpoint(EndpointName=self._prefix + name)["EndpointStatus"])
        except ClientError as error:
            if "Could not find" in str(error):
                return None
            raise

    def _sent(self, name: str, idle: timedelta) -> float:
        """Requests of late."""
        if not idle:
            return 0.0
        now = _now()
        reply = self._metrics.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName="Invocations",
            Dimensions=[
                {"Name": "EndpointName", "Value": self._prefix + name},
                {"Name": "VariantName", "Value": "only"},
            ],
            StartTime=now - idle,
            EndTime=now,
            Period=60,
            Statistics=["Sum"],
        )
        return float(sum(point["Sum"] for point in reply["Datapoints"]))


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 (a function of its own, without hapenny)
