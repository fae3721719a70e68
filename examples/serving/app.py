"""Serve a SavedModel with Ray Serve: `serve run app:build model=path/to/sentiment/1`.

Needs tensorflow and ray[serve], and neither Keras nor keras_attn. The engine has the replicas,
their scaling, batches, queue, health checks and metrics; `served_model.py` has the requests.
"""

import asyncio
from typing import Annotated

import fastapi
import pydantic
import tensorflow as tf
from fastapi.responses import JSONResponse, Response
from ray import serve
from ray.serve.config import AutoscalingConfig, BackpressureConfig
from starlette.requests import ClientDisconnect

from served_model import (
    IMAGES,
    WAVS,
    Limits,
    Outputs,
    Predict,
    Request,
    RequestError,
    ServedModel,
    find_version,
)

JSON_TYPES = ("application/json", "application/x-www-form-urlencoded")  # `curl -d` sends the other
FILE_TYPES = {"image/jpeg": IMAGES, "image/png": IMAGES, "audio/wav": WAVS}  # and their input
Positive = Annotated[int, pydantic.Field(ge=1)]


class Options(Limits):
    """Options of the application: `serve run app:build NAME=VALUE ...`, or `args` in serve.yaml.

    Attributes:
        model: Folder of the SavedModel, which every node must see.
        name: Name in the addresses. (default: the name of the folder)
        replicas: Processes that answer.
        max_replicas: If larger than `replicas`, the number of replicas follows the load.
        threads: TensorFlow's threads in each replica, and the CPUs that it reserves.
        max_batch_size: Examples that are executed together; 1 turns batching off.
        batch_wait_seconds: How long a request waits for others to share its batch.
        body_seconds: Time in which a body must arrive.
        predict_seconds: Time in which a request must be answered.
        max_ongoing_requests: Requests in a replica, executed or waiting for a batch.
        max_queued_requests: Requests that wait for a replica; further ones get status 503.
    """

    model: str
    name: Annotated[str, pydantic.Field(pattern=r"^[\w.-]+$")] | None = None
    replicas: Positive = 2
    max_replicas: Positive = 1
    threads: Positive = 1
    max_batch_size: Positive = 32
    batch_wait_seconds: Annotated[float, pydantic.Field(ge=0, le=10)] = 0.005
    body_seconds: Annotated[float, pydantic.Field(gt=0)] = 10.0
    predict_seconds: Annotated[float, pydantic.Field(gt=0)] = 30.0
    max_ongoing_requests: Positive = 64
    max_queued_requests: Positive = 256


api = fastapi.FastAPI(title="SavedModel", docs_url=None, redoc_url=None)
BODY = {"content": {"application/json": {"schema": Predict.model_json_schema()}}}


@api.exception_handler(RequestError)
async def refuse(_: fastapi.Request, error: RequestError) -> JSONResponse:
    """Return the error as TensorFlow Serving writes it."""
    return JSONResponse({"error": str(error)}, error.status)


@api.exception_handler(fastapi.exceptions.StarletteHTTPException)
async def refuse_route(
    _: fastapi.Request, error: fastapi.exceptions.StarletteHTTPException
) -> JSONResponse:
    """Return unknown addresses and methods in the same form."""
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


@serve.deployment(
    health_check_period_s=10,
    health_check_timeout_s=30,
    graceful_shutdown_timeout_s=30,
    backpressure_config=BackpressureConfig(retry_after_s=1),
)
@serve.ingress(api)
class Server:
    """A replica: one process with the model."""

    def __init__(self, options: Options) -> None:
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        tf.config.threading.set_inter_op_parallelism_threads(options.threads)
        self.options = options
        limits = Limits(**options.model_dump(include=set(Limits.model_fields)))
        self.model = model = ServedModel(options.model, limits)
        self.name = options.name or model.name
        largest = options.max_batch_size

        @serve.batch(
            max_batch_size=largest,
            batch_wait_timeout_s=options.batch_wait_seconds if largest > 1 else 0.0,
            # A request of more examples than a batch is executed alone.
            batch_size_fn=lambda batch: sum(min(each.examples, largest) for each in batch),
        )
        async def run(batch: list[Request]) -> list[Outputs | Exception]:
            return await asyncio.to_thread(model.run, batch)

        self.run = run

    async def check_health(self) -> None:
        """Execute the smallest request. Ray replaces a replica where this fails three times."""
        await asyncio.to_thread(self.model.check)

    @api.get("/")
    async def metadata(self) -> dict:
        """Return what is served: labels, signatures, limits."""
        return {**self.model.describe(), "name": self.name}

    @api.get("/v1/models/{name}")
    async def status(self, name: str) -> dict:
        """Return the status of the model, as TensorFlow Serving writes it."""
        if name.endswith(":predict"):
            raise RequestError("Send predictions by POST.", 405)
        self.check_name(name)
        status = {"error_code": "OK", "error_message": ""}
        version = {"version": self.model.version, "state": "AVAILABLE", "status": status}
        return {"model_version_status": [version]}

    @api.post("/v1/models/{name}:predict", openapi_extra={"requestBody": BODY})
    async def predict(self, name: str, http: fastapi.Request) -> Response:
        """Answer a request in JSON, one file of an image or sound, or one text."""
        self.check_name(name)
        kind = http.headers.get("content-type", JSON_TYPES[0]).partition(";")[0].strip().lower()
        if kind not in (accepted := (*JSON_TYPES, *FILE_TYPES, "text/plain")):
            raise RequestError(f"Content-Type must be one of {accepted}. Received: {kind!r}.", 415)
        if http.headers.get("content-encoding", "identity").lower() != "identity":
            raise RequestError("Send the body without Content-Encoding.", 415)
        body = await self.read_body(http)
        # In a thread: other requests and the health check go on meanwhile.
        request = await asyncio.to_thread(self.parse, kind, body)
        try:
            async with asyncio.timeout(self.options.predict_seconds):
                answer = await self.run(request)
        except TimeoutError:
            raise RequestError(
                f"No answer within {self.options.predict_seconds} seconds. Send fewer or shorter "
                "examples, or try again later.",
                504,
            ) from None
        if isinstance(answer, Exception):
            raise answer
        content = await asyncio.to_thread(self.model.reply, request, answer)
        return Response(content, media_type="application/json")

    def parse(self, kind: str, body: bytes) -> Request:
        """Return the request of a body by its Content-Type."""
        if kind in FILE_TYPES:
            return self.model.parse_file(body, FILE_TYPES[kind])
        if kind == "text/plain":
            return self.model.parse_text(body)
        return self.model.parse(body)

    def check_name(self, name: str) -> None:
        """Raise a RequestError unless the model has this name."""
        if name != self.name:
            raise RequestError(f"The name must be {self.name!r}. Received: {name[:80]!r}.", 404)

    async def read_body(self, http: fastapi.Request) -> bytes:
        """Return the body, and stop reading where it becomes too large or takes too long."""
        limit = self.options.max_body_bytes
        too_large = RequestError(f"A body must have {limit} bytes at most. Split it.", 413)
        if int(http.headers.get("content-length", 0)) > limit:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self.options.body_seconds):
                async for chunk in http.stream():
                    body += chunk
                    if len(body) > limit:
                        raise too_large
        except TimeoutError:
            raise RequestError(
                f"The body did not arrive within {self.options.body_seconds} seconds.", 408
            ) from None
        except ClientDisconnect:
            raise RequestError("The client left before the body was complete.") from None
        return bytes(body)


def build(options: Options) -> serve.Application:
    """Return the application, for `serve run app:build` and for `import_path` in serve.yaml."""
    # All replicas load the same version, by a path that does not depend on their folder.
    options = options.model_copy(update={"model": str(find_version(options.model))})
    scaling = None
    if options.max_replicas > options.replicas:
        scaling = AutoscalingConfig(
            min_replicas=options.replicas,
            max_replicas=options.max_replicas,
            target_ongoing_requests=options.max_ongoing_requests / 2,
        )
    return Server.options(
        num_replicas=None if scaling else options.replicas,
        autoscaling_config=scaling,
        max_ongoing_requests=options.max_ongoing_requests,
        max_queued_requests=options.max_queued_requests,
        ray_actor_options={"num_cpus": options.threads},
    ).bind(options)
