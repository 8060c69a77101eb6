"""Instances and start-up profiles to begin a plan with: names that exist, sizes, and common mistakes about them.

Names are those of the service models of botocore: `ProductionVariantInstanceType` of SageMaker, `InstanceType` of EC2
(a test compares them). Sizes name their source, or `assumed`.
"""

from __future__ import annotations

from msgspec import Struct

from hapenny.capacity.inference_servers import ASSUMED

_BOTOCORE = "botocore, sagemaker 2017-07-24, ProductionVariant"
DOWNLOAD_TIMEOUT_S = 3_600
"""`ModelDataDownloadTimeoutInSeconds` for large models: the most SageMaker takes."""
HEALTH_TIMEOUT_S = 600
"""`ContainerStartupHealthCheckTimeoutInSeconds`: a usual value; SageMaker takes 60 to 3,600."""
TIMEOUTS = (60, 3_600)
"""Both settings' range; botocore's model says so."""
MOST_WEIGHTS_GB = 500
"""Weights that are loaded from S3 within those."""


class Instance(Struct, frozen=True, kw_only=True):
    """An instance type."""

    name: str
    """SageMaker's; without `ml.` EC2's."""
    use: str
    chips: int
    """Accelerators; 0: a CPU."""
    chip: str
    memory_gib: int
    """Of all accelerators together; of the machine where it has none."""
    source: str
    ultraserver: int = 0
    """Instances that are joined by a fast link; 0: none are."""
    ultraserver_source: str = ""


_NEURON = "https://awsdocs-neuron.readthedocs-hosted.com/en/latest/general/arch/neuron-hardware"
INSTANCES = (
    Instance(
        name="ml.p4d.24xlarge", use="large foundation models", chips=8, chip="NVIDIA A100 40 GB", memory_gib=320,
        source="https://aws.amazon.com/ec2/instance-types/p4/ (from memory)",
    ),
    Instance(
        name="ml.m5.4xlarge", use="named entities and other small models: a CPU does", chips=0, chip="CPU",
        memory_gib=64, source="https://aws.amazon.com/ec2/instance-types/m5/ (from memory)",
    ),
    Instance(
        name="ml.inf2.48xlarge", use="models that Neuron compiles, at a lower price", chips=12, chip="Inferentia2",
        memory_gib=384, source=f"{_NEURON}/inferentia2.html",
    ),
    Instance(
        name="ml.trn2.48xlarge", use="large models that Neuron compiles", chips=16, chip="Trainium2",
        memory_gib=1_536, source=f"{_NEURON}/trainium2.html (96 GiB a chip); 16 chips: {ASSUMED}",
        ultraserver=4, ultraserver_source=f"{ASSUMED}: 64 chips; EC2 has trn2u.48xlarge for it",
    ),
    Instance(
        name="ml.p6e-gb200.36xlarge", use="the largest models, across instances", chips=4, chip="NVIDIA GB200",
        memory_gib=740, source=ASSUMED, ultraserver=18, ultraserver_source=f"{ASSUMED}: 72 GPUs",
    ),
)  # fmt: skip


class Mistake(Struct, frozen=True, kw_only=True):
    """A name or figure that is passed around and does not hold."""

    wrong: str
    right: str
    why: str


MISTAKES = (
    Mistake(wrong="ml.m5.9xlarge", right="ml.m5.4xlarge", why="m5 has no 9xlarge (c5 has): 4xlarge or 12xlarge"),
    Mistake(wrong="TR2", right="ml.trn2.48xlarge", why="Trainium2's instances are called Trn2"),
    Mistake(wrong="P60 GB200", right="ml.p6e-gb200.36xlarge", why="the family is P6e, with GB200"),
    Mistake(
        wrong="Faster Transformer",
        right="TensorRT-LLM",
        why="its makers develop TensorRT-LLM in its place; Triton beside it is a server, not a way to split a model",
    ),
    Mistake(
        wrong="600 s as the longest health check",
        right="3,600 s",
        why="600 is a value to set; 3,600 is the most for both time limits",
    ),
)


class StartProfile(Struct, frozen=True, kw_only=True):
    """What a server does from start to ready, beside fetching the weights. Seconds, of the order of a 70B model."""

    engine: str
    load_s_per_gb: float
    """From disk to accelerators."""
    prepare_s: float
    """Compiling, capturing graphs, warming up."""
    source: str


PROFILES = (
    StartProfile(
        engine="vLLM", load_s_per_gb=0.14, prepare_s=205.0,
        source="https://github.com/vllm-project/vllm/issues/19824 (70 GB in 10 s, cached; 60 + 15 + 70 + 60 s)",
    ),
    StartProfile(engine="Triton", load_s_per_gb=0.5, prepare_s=295.0, source=ASSUMED),
    StartProfile(engine="DeepSpeed", load_s_per_gb=0.5, prepare_s=120.0, source=ASSUMED),
)  # fmt: skip
DOWNLOAD_GB_PER_S = 0.5
"""From S3 to the instance; assumed: measure yours."""


class Start(Struct, frozen=True, kw_only=True):
    """How long a start takes, and the time limits to set on a SageMaker variant."""

    engine: str
    download_s: float
    ready_s: float
    """After the download."""
    limits: dict[str, int]
    fits: bool
    """Whether both are within the limits that can be set."""
    source: str


def start(profile: StartProfile, weights_gb: float, download_gb_per_s: float = DOWNLOAD_GB_PER_S) -> Start:
    """A start with so many gigabytes of weights. The limits are the usual ones, or twice what is expected."""
    download = weights_gb / download_gb_per_s
    ready = weights_gb * profile.load_s_per_gb + profile.prepare_s
    least, most = TIMEOUTS
    health = max(least, min(most, max(HEALTH_TIMEOUT_S, round(2 * ready))))
    return Start(
        engine=profile.engine, download_s=download, ready_s=ready, source=profile.source,
        fits=download <= most and ready <= most and weights_gb <= MOST_WEIGHTS_GB,
        limits={
            "ModelDataDownloadTimeoutInSeconds": DOWNLOAD_TIMEOUT_S,
            "ContainerStartupHealthCheckTimeoutInSeconds": health,
        },
    )  # fmt: skip
