"""OpenAI's paths, and what they look like on the wire."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

from aiohttp import web

from .answer_reader import CallPiece, Reading
from .answer_requests import AnswerRequest, parse_chat, parse_completion
from .failures import RequestFailure, internal
from .model import AnswerEvent, Begun, Finished, Model

log = logging.getLogger("openvino-server")

BODY_BYTES_MAX = 32 * 1024 * 1024
# A long prompt is silent for a while: a comment says that there is life.
HEARTBEAT_SECONDS = 10
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpApi:
    """Concurrency: all of it runs in the event loop. A client that leaves cancels its handler, and that its answer."""

    def __init__(self, models: Mapping[str, Model], load_first: list[str], key: str | None = None) -> None:
        """`key`: what every request must bring as `Authorization: Bearer …`; None: nothing."""
        self._models = models
        # Those without which this server isn't ready.
        self._load_first = load_first
        self._key = key
        self._started = int(time.time())

    def application(self) -> web.Application:
        application = web.Application(
            client_max_size=BODY_BYTES_MAX, middlewares=[_failures_as_openai_tells_them, self._check_key]
        )
        application.router.add_get("/health", self.health)
        application.router.add_get("/v1/health", self.health)
        application.router.add_get("/v1/models", self.list_models)
        # An id may hold slashes.
        application.router.add_get("/v1/models/{id:.+}", self.one_model)
        application.router.add_post("/v1/chat/completions", self.chat)
        application.router.add_post("/v1/completions", self.complete)
        return application

    @web.middleware
    async def _check_key(self, http: web.Request, handler: Handler) -> web.StreamResponse:
        told = http.headers.get("authorization", "").encode()
        if self._key is not None and not hmac.compare_digest(told, f"Bearer {self._key}".encode()):
            raise RequestFailure(401, "invalid_api_key", "This server wants a key, as `Authorization: Bearer …`.")
        return await handler(http)

    async def health(self, _request: web.Request) -> web.Response:
        """200 once every model that is loaded at the start is ready; 503 before, or when one of them failed."""
        states = [self._models[name].state for name in self._load_first]
        failed, ready = "failed" in states, all(state == "ready" for state in states)
        status = "failed" if failed else "ok" if ready else "loading"
        models = [
            {"id": model.id, "state": model.state, "detail": model.detail, "context": model.context}
            for model in self._models.values()
        ]
        return web.json_response({"status": status, "models": models}, status=200 if status == "ok" else 503)

    async def list_models(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [self._described(model) for model in self._models.values()]})

    async def one_model(self, request: web.Request) -> web.Response:
        return web.json_response(self._described(self._model(request.match_info["id"])))

    async def chat(self, http: web.Request) -> web.StreamResponse:
        request = parse_chat(await _json(http))
        return await self._answer(http, request, ChatWire(request))

    async def complete(self, http: web.Request) -> web.StreamResponse:
        request = parse_completion(await _json(http))
        return await self._answer(http, request, CompletionWire(request))

    async def _answer(self, http: web.Request, request: AnswerRequest, wire: Wire) -> web.StreamResponse:
        model = self._model(request.model)
        async with aclosing(model.answer(request)) as events:
            if not request.stream:
                return web.json_response(await wire.whole(events))
            async with aclosing(_with_heartbeats(wire.chunks(events))) as chunks:
                return await _stream(http, chunks)

    def _model(self, name: str) -> Model:
        model = self._models.get(name)
        if model is None:
            known = ", ".join(self._models)
            raise RequestFailure(404, "model_not_found", f'There is no model "{name}"; there is {known}.', param="model")
        return model

    def _described(self, model: Model) -> dict[str, Any]:
        described = {"id": model.id, "object": "model", "created": self._started, "owned_by": "openvino"}
        return {**described, "max_model_len": model.context} if model.context else described


class Wire:
    """How the events of an answer look in one of OpenAI's two shapes."""

    prefix = ""
    kind = ""
    chunk_kind = ""

    def __init__(self, request: AnswerRequest) -> None:
        self._request = request
        self._id = f"{self.prefix}{secrets.token_hex(12)}"
        self._created = int(time.time())

    async def whole(self, events: AsyncIterator[AnswerEvent]) -> dict[str, Any]:
        """A whole answer is a stream that was collected."""
        all_of_it, finished = Reading(), None
        async for event in events:
            if isinstance(event, Reading):
                all_of_it.text += event.text
                all_of_it.reasoning += event.reasoning
                all_of_it.calls.extend(event.calls)
            elif isinstance(event, Finished):
                finished = event
        if finished is None:
            raise internal()
        return {**self._head(self.kind), "choices": [self._choice(all_of_it, finished)], "usage": _usage(finished)}

    async def chunks(self, events: AsyncIterator[AnswerEvent]) -> AsyncIterator[dict[str, Any]]:
        async for event in events:
            if isinstance(event, Begun):
                for first in self._first():
                    yield self._chunk(first, None)
            elif isinstance(event, Reading):
                for piece in self._pieces(event):
                    yield self._chunk(piece, None)
            elif isinstance(event, Finished):
                yield self._chunk(self._nothing(), event.reason)
                if self._request.include_usage:
                    yield {**self._head(self.chunk_kind), "choices": [], "usage": _usage(event)}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._request.model}

    def _chunk(self, piece: dict[str, Any], reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, **piece, "logprobs": None, "finish_reason": reason}
        return {**self._head(self.chunk_kind), "choices": [choice]}

    def _choice(self, reading: Reading, finished: Finished) -> dict[str, Any]:
        raise NotImplementedError

    def _first(self) -> list[dict[str, Any]]:
        raise NotImplementedError

    def _pieces(self, reading: Reading) -> list[dict[str, Any]]:
        raise NotImplementedError

    def _nothing(self) -> dict[str, Any]:
        raise NotImplementedError


class ChatWire(Wire):
    prefix = "chatcmpl-"
    kind = "chat.completion"
    chunk_kind = "chat.completion.chunk"

    def _choice(self, reading: Reading, finished: Finished) -> dict[str, Any]:
        calls = _whole_calls(reading.calls)
        message: dict[str, Any] = {"role": "assistant", "content": None if calls and not reading.text else reading.text}
        if reading.reasoning:
            message["reasoning_content"] = reading.reasoning
        if calls:
            message["tool_calls"] = calls
        return {"index": 0, "message": {**message, "refusal": None}, "logprobs": None, "finish_reason": finished.reason}

    def _first(self) -> list[dict[str, Any]]:
        return [{"delta": {"role": "assistant", "content": ""}}]

    def _pieces(self, reading: Reading) -> list[dict[str, Any]]:
        deltas: list[dict[str, Any]] = []
        if reading.reasoning:
            deltas.append({"reasoning_content": reading.reasoning})
        if reading.text:
            deltas.append({"content": reading.text})
        deltas.extend({"tool_calls": [_call_delta(piece)]} for piece in reading.calls)
        return [{"delta": delta} for delta in deltas]

    def _nothing(self) -> dict[str, Any]:
        return {"delta": {}}


class CompletionWire(Wire):
    prefix = "cmpl-"
    kind = "text_completion"
    chunk_kind = "text_completion"

    def _choice(self, reading: Reading, finished: Finished) -> dict[str, Any]:
        return {"index": 0, "text": reading.text, "logprobs": None, "finish_reason": finished.reason}

    def _first(self) -> list[dict[str, Any]]:
        return []

    def _pieces(self, reading: Reading) -> list[dict[str, Any]]:
        return [{"text": reading.text}] if reading.text else []

    def _nothing(self) -> dict[str, Any]:
        return {"text": ""}


def _call_delta(piece: CallPiece) -> dict[str, Any]:
    if piece.name is None:
        return {"index": piece.index, "function": {"arguments": piece.arguments}}
    function = {"name": piece.name, "arguments": piece.arguments}
    return {"index": piece.index, "id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}


def _whole_calls(pieces: list[CallPiece]) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []
    for piece in pieces:
        if piece.name is not None:
            delta = _call_delta(piece)
            calls.append({name: delta[name] for name in ("id", "type", "function")})
        else:
            calls[piece.index]["function"]["arguments"] += piece.arguments
    return calls


def _usage(finished: Finished) -> dict[str, int]:
    prompt, completion = finished.prompt_tokens, finished.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


async def _stream(http: web.Request, chunks: AsyncIterator[dict[str, Any] | None]) -> web.StreamResponse:
    # The status is held back until something comes, so that a refusal is an ordinary error.
    first = await anext(chunks)
    response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"})
    await response.prepare(http)
    try:
        await response.write(_event(first))
        async for chunk in chunks:
            # Waits while the client reads slowly; what the model writes meanwhile waits in `Answer.events`.
            await response.write(_event(chunk))
        await response.write(b"data: [DONE]\n\n")
    except RequestFailure as failure:
        # No [DONE]: that it is missing tells a cut answer from a finished one.
        await response.write(_event(failure.body()))
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception:
        log.exception("An answer failed.")
        await response.write(_event(internal().body()))
    await response.write_eof()
    return response


def _event(value: dict[str, Any] | None) -> bytes:
    if value is None:
        return b": waiting\n\n"
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


async def _with_heartbeats(chunks: AsyncIterator[dict[str, Any]]) -> AsyncGenerator[dict[str, Any] | None, None]:
    """None whenever nothing came for a while."""
    following: asyncio.Future[dict[str, Any]] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(chunks))
            done, _ = await asyncio.wait([following], timeout=HEARTBEAT_SECONDS)
            if not done:
                yield None
                continue
            try:
                chunk = following.result()
            except StopAsyncIteration:
                return
            following = None
            yield chunk
    finally:
        if following is not None and not following.done():
            following.cancel()
            await asyncio.wait([following])


async def _json(http: web.Request) -> Any:
    try:
        body = await http.read()
        value = json.loads(body)
        if b"\\ud" in body.lower():
            # Half a character, which Python's JSON allows and no tokenizer does.
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError as error:
        raise RequestFailure(400, "invalid_request", "The body has characters that are no Unicode.") from error
    except (ValueError, RecursionError) as error:
        raise RequestFailure(400, "invalid_request", "The body is no JSON.") from error
    return value


@web.middleware
async def _failures_as_openai_tells_them(http: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(http)
    except RequestFailure as failure:
        return _refusal(failure)
    except web.HTTPException as refused:
        return _refusal(_failure_of_framework(refused))
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception:
        log.exception("A request to %s failed.", http.path)
        return _refusal(internal())


def _failure_of_framework(refused: web.HTTPException) -> RequestFailure:
    if refused.status == 404:
        return RequestFailure(404, "unknown_url", "Nothing is served at this path.")
    if refused.status == 405:
        return RequestFailure(405, "method_not_allowed", "This path exists, but not for this method.")
    if refused.status == 413:
        return RequestFailure(413, "request_too_large", f"The body has more than {BODY_BYTES_MAX:,} bytes.")
    return RequestFailure(refused.status, "invalid_request", refused.reason)


def _refusal(failure: RequestFailure) -> web.Response:
    wait = failure.retry_after_seconds
    headers = {} if wait is None else {"retry-after": str(wait)}
    return web.json_response(failure.body(), status=failure.status, headers=headers)
