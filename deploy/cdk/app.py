"""hapenny on AWS: gateways on ECS Fargate that act as one, behind a load balancer, CloudFront and a WebSocket API.

`cdk synth`, `cdk deploy -c image=REPOSITORY:TAG`. What it makes: a VPC, a Fargate service that scales by the tokens it
carries, ElastiCache for Valkey and Aurora PostgreSQL with TLS and passwords from Secrets Manager, a guardrail of
Bedrock, tables for sessions, products and orders, a collection of OpenSearch Serverless for retrieval, an API Gateway
WebSocket API whose routes call the gateway, CloudFront in front of the load balancer, and a role that may do what
deploy/iam/policy.json says and no more. A second stack, `hapenny-models`, is for models of your own on SageMaker (see
`models.py`; `-c models=FILE` describes them).
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as ws
from aws_cdk import aws_bedrock as bedrock
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_ecs_patterns as patterns
from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_iam as iam
from aws_cdk import aws_opensearchserverless as search
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secrets
from constructs import Construct
from models import DESCRIBED, Models, described

PORT = 8790
TOKENS_A_SECOND = 20_000
"""What a task carries at half of its processor (measure yours: `hapenny bench`)."""
POLICY = Path(__file__).parents[1] / "iam" / "policy.json"
CONFIG = """\
server: {host: 0.0.0.0, port: 8790, drain_s: 60, metrics_from: [10.0.0.0/8]}
keys: [{key: "${HAPENNY_KEY}", tenant: app}]
backends: {bedrock: {kind: bedrock, region: "${AWS_REGION}"}}
tiers: {fast: us.anthropic.claude-haiku-4-5-20251001-v1:0, strong: us.anthropic.claude-sonnet-4-5-20250929-v1:0}
routes: {default: {preset: safe}}
fingerprint_key: "${HAPENNY_FINGERPRINT}"
shared: "rediss://:${VALKEY_PASSWORD}@${VALKEY_HOST}:6379/0"
ledger: {path: "postgresql://hapenny:${DB_PASSWORD}@${DB_HOST}/hapenny?sslmode=require"}
state: ""
"""


class Hapenny(cdk.Stack):
    """Everything."""

    def __init__(self, scope: Construct, id: str, *, image: str, **rest: Any) -> None:
        super().__init__(scope, id, **rest)
        vpc = ec2.Vpc(self, "Network", max_azs=2, nat_gateways=1)
        stores = ec2.SecurityGroup(self, "Stores", vpc=vpc, description="Valkey and PostgreSQL of hapenny")
        valkey, valkey_password = self._valkey(vpc, stores)
        database = self._postgres(vpc, stores)
        tables = self._tables()
        guardrail = self._guardrail()
        service = self._service(vpc, image, valkey, valkey_password, database, guardrail)
        for port in (6379, 5432):
            stores.add_ingress_rule(service.service.connections.security_groups[0], ec2.Port.tcp(port))
        role = service.task_definition.task_role
        for table in tables:
            table.grant_read_write_data(role)
        self._rights(role)
        self._collection(role)
        self._scale(service.service)
        cdn = self._edge(service)
        socket = self._websocket(cdn)
        cdk.CfnOutput(self, "Url", value=f"https://{cdn.distribution_domain_name}")
        cdk.CfnOutput(self, "WebSocket", value=socket)

    def _valkey(
        self, vpc: ec2.IVpc, group: ec2.ISecurityGroup
    ) -> tuple[elasticache.CfnReplicationGroup, secrets.ISecret]:
        password = secrets.Secret(
            self,
            "ValkeyPassword",
            generate_secret_string=secrets.SecretStringGenerator(exclude_punctuation=True, password_length=32),
        )
        subnets = elasticache.CfnSubnetGroup(
            self, "ValkeySubnets", description="hapenny", subnet_ids=[each.subnet_id for each in vpc.private_subnets]
        )
        # One shard: a cluster's client is not spoken. Nothing but answers, which have a lifetime, is thrown out.
        settings = elasticache.CfnParameterGroup(
            self,
            "ValkeySettings",
            cache_parameter_group_family="valkey8",
            description="hapenny",
            properties={"maxmemory-policy": "volatile-lru"},
        )
        group_ = elasticache.CfnReplicationGroup(
            self,
            "Valkey",
            replication_group_description="What gateways of hapenny share",
            engine="valkey",
            engine_version="8.0",
            cache_node_type="cache.t4g.medium",
            num_node_groups=1,
            replicas_per_node_group=1,
            automatic_failover_enabled=True,
            multi_az_enabled=True,
            transit_encryption_enabled=True,
            at_rest_encryption_enabled=True,
            auth_token=password.secret_value.unsafe_unwrap(),
            cache_parameter_group_name=settings.ref,
            cache_subnet_group_name=subnets.ref,
            security_group_ids=[group.security_group_id],
        )
        return group_, password

    def _postgres(self, vpc: ec2.IVpc, group: ec2.ISecurityGroup) -> rds.DatabaseCluster:
        return rds.DatabaseCluster(
            self,
            "Ledger",
            engine=rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.of("17.5", "17")),
            credentials=rds.Credentials.from_generated_secret(
                "hapenny", exclude_characters=" %+~`#$&*()|[]{}:;<>?!'/@\"\\"
            ),
            default_database_name="hapenny",
            serverless_v2_min_capacity=0.5,
            serverless_v2_max_capacity=4,
            writer=rds.ClusterInstance.serverless_v2("Writer"),
            readers=[rds.ClusterInstance.serverless_v2("Reader", scale_with_writer=True)],
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            security_groups=[group],
            storage_encrypted=True,
            backup=rds.BackupProps(retention=cdk.Duration.days(7)),
            deletion_protection=True,
        )

    def _tables(self) -> list[dynamodb.TableV2]:
        """Of the application: sessions end by themselves, products and orders do not."""
        return [
            dynamodb.TableV2(
                self,
                name,
                partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
                time_to_live_attribute="expires" if name == "Sessions" else None,
                point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                    point_in_time_recovery_enabled=True
                ),
                removal_policy=cdk.RemovalPolicy.RETAIN,
            )
            for name in ("Sessions", "Products", "Orders")
        ]

    def _guardrail(self) -> bedrock.CfnGuardrail:
        kinds = ("HATE", "INSULTS", "SEXUAL", "VIOLENCE", "MISCONDUCT")
        filters = [
            bedrock.CfnGuardrail.ContentFilterConfigProperty(type=kind, input_strength="HIGH", output_strength="HIGH")
            for kind in kinds
        ]
        filters.append(
            bedrock.CfnGuardrail.ContentFilterConfigProperty(
                type="PROMPT_ATTACK", input_strength="HIGH", output_strength="NONE"
            )
        )
        return bedrock.CfnGuardrail(
            self,
            "Guardrail",
            name="hapenny",
            blocked_input_messaging="This request cannot be answered.",
            blocked_outputs_messaging="This answer cannot be shown.",
            content_policy_config=bedrock.CfnGuardrail.ContentPolicyConfigProperty(filters_config=filters),
        )

    def _service(
        self,
        vpc: ec2.IVpc,
        image: str,
        valkey: elasticache.CfnReplicationGroup,
        password: secrets.ISecret,
        database: rds.DatabaseCluster,
        guardrail: bedrock.CfnGuardrail,
    ) -> patterns.ApplicationLoadBalancedFargateService:
        own = {
            name: secrets.Secret(
                self,
                name,
                generate_secret_string=secrets.SecretStringGenerator(exclude_punctuation=True, password_length=40),
            )
            for name in ("Key", "Fingerprint")
        }
        assert database.secret is not None
        service = patterns.ApplicationLoadBalancedFargateService(
            self,
            "Gateway",
            vpc=vpc,
            cpu=1024,
            memory_limit_mib=2048,
            desired_count=2,
            public_load_balancer=False,
            open_listener=False,
            circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
            min_healthy_percent=100,
            health_check_grace_period=cdk.Duration.seconds(30),
            task_image_options=patterns.ApplicationLoadBalancedTaskImageOptions(
                image=ecs.ContainerImage.from_registry(image),
                container_port=PORT,
                entry_point=["/bin/sh", "-c"],
                command=["echo $CONFIG | base64 -d > /tmp/hapenny.yaml && exec hapenny serve -c /tmp/hapenny.yaml"],
                environment={
                    # Encoded, since its ${…} are for the gateway to fill in.
                    "CONFIG": base64.b64encode(CONFIG.encode()).decode(),
                    "VALKEY_HOST": valkey.attr_primary_end_point_address,
                    "DB_HOST": database.cluster_endpoint.hostname,
                    "GUARDRAIL": guardrail.attr_guardrail_id,
                },
                secrets={
                    "HAPENNY_KEY": ecs.Secret.from_secrets_manager(own["Key"]),
                    "HAPENNY_FINGERPRINT": ecs.Secret.from_secrets_manager(own["Fingerprint"]),
                    "VALKEY_PASSWORD": ecs.Secret.from_secrets_manager(password),
                    "DB_PASSWORD": ecs.Secret.from_secrets_manager(database.secret, "password"),
                },
            ),
        )
        service.target_group.configure_health_check(path="/health/ready", interval=cdk.Duration.seconds(10))
        # Streams end by themselves: longer than server.drain_s, and silence of a model is no idle connection.
        service.target_group.set_attribute("deregistration_delay.timeout_seconds", "75")
        service.load_balancer.set_attribute("idle_timeout.timeout_seconds", "610")
        container = service.task_definition.default_container
        assert container is not None
        definition = service.task_definition.node.default_child
        assert isinstance(definition, ecs.CfnTaskDefinition)
        definition.add_property_override("ContainerDefinitions.0.StopTimeout", 90)
        definition.add_property_override("ContainerDefinitions.0.User", "10001")
        return service

    def _rights(self, role: iam.IRole) -> None:
        """What deploy/iam/policy.json says, for this account and a bucket of that name."""
        text = POLICY.read_text().replace("${ACCOUNT}", self.account).replace("${BUCKET}", f"hapenny-{self.account}")
        for statement in json.loads(text)["Statement"]:
            role.add_to_principal_policy(iam.PolicyStatement.from_json(statement))

    def _collection(self, role: iam.IRole) -> None:
        name = "hapenny"
        resource = [f"collection/{name}"]
        encryption = search.CfnSecurityPolicy(
            self,
            "SearchEncryption",
            name=f"{name}-key",
            type="encryption",
            policy=json.dumps({"Rules": [{"ResourceType": "collection", "Resource": resource}], "AWSOwnedKey": True}),
        )
        network = search.CfnSecurityPolicy(
            self,
            "SearchNetwork",
            name=f"{name}-net",
            type="network",
            policy=json.dumps(
                [
                    {
                        "Rules": [{"ResourceType": "collection", "Resource": resource}],
                        "AllowFromPublic": False,
                        "SourceServices": ["bedrock.amazonaws.com"],
                    }
                ]
            ),
        )
        collection = search.CfnCollection(self, "Search", name=name, type="VECTORSEARCH")
        collection.add_dependency(encryption)
        collection.add_dependency(network)
        search.CfnAccessPolicy(
            self,
            "SearchAccess",
            name=f"{name}-access",
            type="data",
            policy=self.to_json_string(
                [
                    {
                        "Rules": [
                            {
                                "ResourceType": "index",
                                "Resource": [f"index/{name}/*"],
                                "Permission": ["aoss:ReadDocument", "aoss:DescribeIndex"],
                            }
                        ],
                        "Principal": [role.role_arn],
                    }
                ]
            ),
        )

    def _scale(self, service: ecs.FargateService) -> None:
        """By tokens a second, which the agent writes to CloudWatch from /metrics: a request is no unit of work."""
        target = service.auto_scale_task_count(min_capacity=2, max_capacity=20)
        tokens = cloudwatch.Metric(
            namespace="hapenny", metric_name="TokensPerSecond", statistic="Average", period=cdk.Duration.minutes(1)
        )
        target.scale_to_track_custom_metric(
            "Tokens",
            metric=tokens,
            target_value=TOKENS_A_SECOND,
            scale_in_cooldown=cdk.Duration.minutes(5),
            scale_out_cooldown=cdk.Duration.minutes(1),
        )
        target.scale_on_cpu_utilization("Processor", target_utilization_percent=60)

    def _edge(self, service: patterns.ApplicationLoadBalancedFargateService) -> cloudfront.Distribution:
        # Nobody reaches the load balancer but CloudFront, inside the network.
        origin = origins.VpcOrigin.with_application_load_balancer(
            service.load_balancer,
            protocol_policy=cloudfront.OriginProtocolPolicy.HTTP_ONLY,
            read_timeout=cdk.Duration.seconds(60),
        )
        service.load_balancer.connections.allow_from(
            ec2.Peer.ipv4(service.cluster.vpc.vpc_cidr_block), ec2.Port.tcp(80), "CloudFront, by its VPC origin"
        )
        return cloudfront.Distribution(
            self,
            "Edge",
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
            default_behavior=cloudfront.BehaviorOptions(
                origin=origin,
                allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
                cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
                origin_request_policy=cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
                viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
            ),
        )

    def _websocket(self, cdn: cloudfront.Distribution) -> str:
        """The API of docs/chat.md: each route posts to the gateway, which answers over @connections."""
        api = ws.CfnApi(
            self, "Chat", name="hapenny", protocol_type="WEBSOCKET", route_selection_expression="$request.body.action"
        )
        integration = ws.CfnIntegration(
            self,
            "ChatIntegration",
            api_id=api.ref,
            integration_type="HTTP_PROXY",
            integration_method="POST",
            integration_uri=f"https://{cdn.distribution_domain_name}/v1/apigateway",
            timeout_in_millis=29_000,
        )
        for name in ("$connect", "$disconnect", "$default"):
            ws.CfnRoute(
                self,
                f"Chat{name.strip('$').title()}",
                api_id=api.ref,
                route_key=name,
                target=f"integrations/{integration.ref}",
            )
        ws.CfnStage(self, "ChatStage", api_id=api.ref, stage_name="live", auto_deploy=True)
        return f"{api.attr_api_endpoint}/live"


app = cdk.App()
Hapenny(app, "hapenny", image=app.node.try_get_context("image") or "hapenny:shared")
Models(app, "hapenny-models", models=described(Path(app.node.try_get_context("models") or DESCRIBED)))
app.synth()
