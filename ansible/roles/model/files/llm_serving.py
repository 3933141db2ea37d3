"""Serve one LLM with vLLM on Ray Serve, OpenAI-compatible: the same module on every platform.

Each replica runs vLLM's engine and vLLM's own OpenAI application (`/v1/models`,
`/v1/chat/completions`, `/health`, ...) inside a Ray Serve replica, so what is measured is the real
serving path: proxy -> replica -> engine. Replicas are spread one per Ray node.

Usage: python llm_serving.py CONFIG.json     deploys and waits until every replica answers
CONFIG.json: {"app", "replicas", "nodes": [addresses], "nodes_timeout_s", "http": {...},
              "ray_actor_options": {...}, "max_ongoing_requests", "engine": {vLLM engine arguments}}

On Kubernetes, KubeRay deploys `llm_serving:build` with the same keys as arguments; a replica of
several GPUs has "placement_group_bundles" and "placement_group_strategy" besides.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import ray
from opentelemetry import propagate, trace
from ray import serve
from ray.serve import Application
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class JoinTrace:
    """ASGI middleware: make the engine's span a child of Serve's, and name the replica in answers.

    vLLM takes its parent span from the request's `traceparent` header, which still names the span
    above Serve; the header is replaced by the context of Serve's replica span.
    """

    def __init__(self, app: ASGIApp, replica: str) -> None:
        self.app = app
        self.replica = replica.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one request; only HTTP requests are touched."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        if trace.get_current_span().get_span_context().is_valid:
            context: dict[str, str] = {}
            propagate.inject(context)
            others = [(k, v) for k, v in scope["headers"] if k.decode() not in context]
            joined = [(k.encode(), v.encode()) for k, v in context.items()]
            scope = {**scope, "headers": others + joined}

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), (b"x-replica", self.replica)]
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, send_named)


@serve.deployment(name="vllm", max_replicas_per_node=1)
@serve.ingress()
class VLLMReplica:
    """One vLLM engine behind vLLM's OpenAI application."""

    async def __init__(self, engine: dict[str, Any]) -> None:  # type: ignore[misc]  # Serve awaits it
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.entrypoints.launchers.cli_args import make_arg_parser
        from vllm.utils.argparse_utils import FlexibleArgumentParser
        from vllm.v1.engine.async_llm import AsyncLLM
        from vllm.v1.metrics.ray_wrappers import RayPrometheusStatLogger

        self.args = make_arg_parser(FlexibleArgumentParser()).parse_args([])
        for name, value in engine.items():
            setattr(self.args, name, value)
        self.engine = AsyncLLM.from_engine_args(
            AsyncEngineArgs(**engine), stat_loggers=[RayPrometheusStatLogger]
        )

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        from vllm.entrypoints.launchers.api_server.app_state import init_app_state
        from vllm.entrypoints.launchers.app import build_app

        tasks = await self.engine.get_supported_tasks()
        app = build_app(self.args, tasks, self.engine.model_config)
        await init_app_state(self.engine, app.state, self.args, tasks)
        replica = os.environ.get("OTEL_SERVICE_NAME") or ray.util.get_node_ip_address()
        return JoinTrace(app, replica)

    async def check_health(self) -> None:
        """Raise when the engine is dead, so that Serve replaces this replica."""
        await self.engine.check_health()


def wait_for_nodes(addresses: list[str], timeout_s: float) -> None:
    """Wait until a Ray node lives at each address.

    Raises:
        SystemExit: one does not come in time; Serve would wait for it without a word.
    """
    deadline = time.monotonic() + timeout_s
    while missing := set(addresses) - {
        node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]
    }:
        if time.monotonic() > deadline:
            sys.exit(f"no Ray node at {', '.join(sorted(missing))} within {timeout_s:g} s")
        time.sleep(0.5)


def build(config: dict[str, Any]) -> Application:
    """Return the application as it is described.

    A replica with a placement group has its GPUs where the group puts them; Serve takes no limit of
    replicas per node beside one.
    """
    options: dict[str, Any] = {}
    if config.get("placement_group_bundles"):
        options = {
            "placement_group_bundles": config["placement_group_bundles"],
            "placement_group_strategy": config["placement_group_strategy"],
            "max_replicas_per_node": None,
        }
    return VLLMReplica.options(  # type: ignore[attr-defined]  # the decorator adds it
        num_replicas=config["replicas"],
        max_ongoing_requests=config["max_ongoing_requests"],
        ray_actor_options=config["ray_actor_options"],
        health_check_period_s=5,
        health_check_timeout_s=30,
        logging_config={"encoding": "JSON", "log_level": "INFO"},
        **options,
    ).bind(config["engine"])


def deploy(config: dict[str, Any]) -> None:
    """Start Serve's proxy on the head node only, deploy the application, wait until it is ready."""
    ray.init(address="auto", logging_level="warning")
    wait_for_nodes(config["nodes"], config["nodes_timeout_s"])
    serve.start(proxy_location="HeadOnly", http_options=config["http"])
    serve.run(build(config), name=config["app"], route_prefix="/")
    print(f"{config['app']}: {config['replicas']} replicas answer", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    deploy(json.loads(Path(sys.argv[1]).read_text()))
