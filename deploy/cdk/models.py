"""Models of your own on SageMaker: what serves them, on which instance, and a function that loads them when they are
wanted.

`models.json` describes them: a name, the engine (`djl`, `vllm`, `triton`, `tensorrt-llm`), where the weights lie in the
stack's bucket and how large they are. Each becomes a model and an endpoint configuration, with the two time limits that
large weights need; its instance follows from the size, and one that only names entities gets a CPU. An endpoint that is
`always` there belongs to the stack; the others are loaded, warmed, drained and unloaded by the function of
`deploy/lambda/models.py`, which an hourly sweep asks to unload what is idle.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as functions
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

FUNCTION = Path(__file__).parents[1] / "lambda"
DESCRIBED = Path(__file__).with_name("models.json")
DOWNLOAD_TIMEOUT_S = 3_600
HEALTH_TIMEOUT_S = 600
ROOM = 1.25
"""Memory for each byte of weights: what is left holds the requests under way. Assumed; measure yours."""
PREFIX = "hapenny-"

# The images of djl and vllm are those of AWS's own pages; for the others, whose repositories differ by region, a
# description names its image.
IMAGES = {
    "djl": "763104351884.dkr.ecr.${AWS::Region}.amazonaws.com/djl-inference:0.32.0-lmi14.0.0-cu126",
    "vllm": "763104351884.dkr.ecr.${AWS::Region}.amazonaws.com/vllm:server-sagemaker-cuda-v1",
}
ENVIRONMENT = {
    "djl": {"HF_MODEL_ID": "/opt/ml/model", "OPTION_ROLLING_BATCH": "vllm"},
    "vllm": {"SM_VLLM_MODEL": "/opt/ml/model"},
    "triton": {"SAGEMAKER_TRITON_DEFAULT_MODEL_NAME": "ensemble"},
    "tensorrt-llm": {"HF_MODEL_ID": "/opt/ml/model", "OPTION_ROLLING_BATCH": "trtllm"},
}


class Machine(NamedTuple):
    """An instance type: accelerators, and their memory together, in gibibytes."""

    name: str
    chips: int
    memory_gib: int


CPU = Machine("ml.m5.4xlarge", 0, 64)
MACHINES = (
    Machine("ml.g5.2xlarge", 1, 24),
    Machine("ml.g6e.2xlarge", 1, 48),
    Machine("ml.g5.12xlarge", 4, 96),
    Machine("ml.g6e.12xlarge", 4, 192),
    Machine("ml.p4d.24xlarge", 8, 320),
    Machine("ml.p5.48xlarge", 8, 640),
    Machine("ml.p5en.48xlarge", 8, 1_128),
)


class Described(NamedTuple):
    """One model of `models.json`."""

    name: str
    engine: str
    weights: str
    """Its prefix in the bucket, with a slash at the end."""
    weights_gb: float
    task: str = "generate"
    """`generate`, or `ner`: names of entities, for which a CPU does."""
    image: str = ""
    always: bool = False


def described(path: Path) -> list[Described]:
    """What a file describes. Raises `ValueError` for what no engine or machine can do."""
    models = [Described(**each) for each in json.loads(path.read_text())]
    for model in models:
        if model.engine not in ENVIRONMENT:
            raise ValueError(f"{model.name}: no engine {model.engine!r}; use {', '.join(ENVIRONMENT)}")
        if not model.image and model.engine not in IMAGES:
            raise ValueError(f"{model.name}: name the image of {model.engine} in your region")
        if not model.weights.endswith("/"):
            raise ValueError(f"{model.name}: weights {model.weights!r} is no prefix; end it with a slash")
        machine(model)
    return models


def machine(model: Described) -> Machine:
    """The smallest machine that holds a model. Raises `ValueError` where none does."""
    if model.task == "ner":
        return CPU
    wanted = model.weights_gb * 1e9 * ROOM / 2**30
    for each in MACHINES:
        if each.memory_gib >= wanted:
            return each
    raise ValueError(f"{model.name}: {model.weights_gb:g} GB do not fit on one instance; quantise, or split the model")


class Models(cdk.Stack):
    """Everything about the models."""

    def __init__(self, scope: Construct, id: str, *, models: list[Described], **rest: Any) -> None:
        super().__init__(scope, id, **rest)
        bucket = s3.Bucket(
            self,
            "Weights",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            versioned=True,
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        role = self._role(bucket)
        for model in models:
            self._model(model, bucket, role)
        function = self._function(bucket)
        cdk.CfnOutput(self, "WeightsBucket", value=bucket.bucket_name)
        cdk.CfnOutput(self, "LifecycleFunction", value=function.function_name)

    def _role(self, bucket: s3.IBucket) -> iam.Role:
        """What a container may do: read weights, write its log, be pulled."""
        role = iam.Role(self, "ModelRole", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
        bucket.grant_read(role)
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"],
                resources=[self.format_arn(service="ecr", account="*", resource="repository", resource_name="*")],
            )
        )
        role.add_to_policy(iam.PolicyStatement(actions=["ecr:GetAuthorizationToken"], resources=["*"]))
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[
                    self.format_arn(
                        service="logs",
                        resource="log-group",
                        resource_name="/aws/sagemaker/Endpoints/*",
                        arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
                    )
                ],
            )
        )
        return role

    def _model(self, model: Described, bucket: s3.IBucket, role: iam.Role) -> None:
        chosen = machine(model)
        environment = dict(ENVIRONMENT[model.engine])
        if chosen.chips > 1 and model.engine in ("djl", "tensorrt-llm"):
            environment["OPTION_TENSOR_PARALLEL_DEGREE"] = str(chosen.chips)
        if chosen.chips > 1 and model.engine == "vllm":
            environment["SM_VLLM_TENSOR_PARALLEL_SIZE"] = str(chosen.chips)
        made = sagemaker.CfnModel(
            self,
            f"Model{_id(model.name)}",
            execution_role_arn=role.role_arn,
            enable_network_isolation=True,
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(
                image=model.image or cdk.Fn.sub(IMAGES[model.engine]),
                environment=environment,
                model_data_source=sagemaker.CfnModel.ModelDataSourceProperty(
                    s3_data_source=sagemaker.CfnModel.S3DataSourceProperty(
                        compression_type="None",
                        s3_data_type="S3Prefix",
                        s3_uri=f"s3://{bucket.bucket_name}/{model.weights}",
                    )
                ),
            ),
        )
        made.node.add_dependency(role)
        config = sagemaker.CfnEndpointConfig(
            self,
            f"Config{_id(model.name)}",
            endpoint_config_name=f"{PREFIX}{model.name}",
            production_variants=[
                sagemaker.CfnEndpointConfig.ProductionVariantProperty(
                    variant_name="only",
                    model_name=made.attr_model_name,
                    instance_type=chosen.name,
                    initial_instance_count=1,
                    initial_variant_weight=1.0,
                    model_data_download_timeout_in_seconds=DOWNLOAD_TIMEOUT_S,
                    container_startup_health_check_timeout_in_seconds=HEALTH_TIMEOUT_S,
                )
            ],
        )
        if model.always:
            endpoint = sagemaker.CfnEndpoint(
                self,
                f"Endpoint{_id(model.name)}",
                endpoint_name=f"{PREFIX}{model.name}",
                endpoint_config_name=config.attr_endpoint_config_name,
            )
            endpoint.node.add_dependency(config)

    def _function(self, bucket: s3.IBucket) -> functions.Function:
        function = functions.Function(
            self,
            "Lifecycle",
            runtime=functions.Runtime.PYTHON_3_12,
            architecture=functions.Architecture.ARM_64,
            handler="models.handle",
            code=functions.Code.from_asset(str(FUNCTION), exclude=["handler.py", "__pycache__"]),
            timeout=cdk.Duration.minutes(2),
            memory_size=256,
            environment={"BUCKET": bucket.bucket_name, "PREFIX": PREFIX},
        )
        bucket.grant_read_write(function, "registry/*")
        for kind, actions in (
            ("endpoint", ("CreateEndpoint", "DeleteEndpoint", "DescribeEndpoint", "InvokeEndpoint", "AddTags")),
            ("endpoint-config", ("CreateEndpoint", "DescribeEndpointConfig")),
        ):
            function.add_to_role_policy(
                iam.PolicyStatement(
                    actions=[f"sagemaker:{name}" for name in actions],
                    resources=[self.format_arn(service="sagemaker", resource=kind, resource_name=f"{PREFIX}*")],
                )
            )
        function.add_to_role_policy(iam.PolicyStatement(actions=["cloudwatch:GetMetricStatistics"], resources=["*"]))
        events.Rule(
            self,
            "Sweep",
            schedule=events.Schedule.rate(cdk.Duration.hours(1)),
            targets=[targets.LambdaFunction(function, event=events.RuleTargetInput.from_object({"action": "sweep"}))],
        )
        return function


def _id(name: str) -> str:
    return "".join(part.title() for part in name.split("-"))
