"""What a server can't be asked to show in good time: many grammars, and such as take long."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("openvino_genai") is None:
    pytest.skip("openvino-genai is not installed: no model was tried", allow_module_level=True)

from . import model as model_module
from .answer_reader import Reading
from .answer_requests import parse_chat
from .failures import RequestFailure
from .grammar_probe import GRAMMAR_SECONDS_MAX, GrammarProbe
from .model import Model, ModelOptions

DEMO = Path(__file__).resolve().parents[3] / "models" / "millrace-demo.gguf"


def demo() -> Model:
    return Model(
        ModelOptions(
            id="demo",
            path=DEMO,
            device="CPU",
            context=1024,
            sequences_max=4,
            queue_max=64,
            cache_tokens=None,
            threads=None,
        )
    )


async def text_of(model: Model, **more: Any) -> str:
    body = {"model": "demo", "messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}
    events = model.answer(parse_chat({**body, **more}))
    return "".join([event.text async for event in events if isinstance(event, Reading)])


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


def schema_of(key: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {key: {"enum": ["a", "b"]}}, "required": [key], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def test_a_model_that_has_made_many_grammars_is_loaded_anew_and_loses_no_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(model_module, "GRAMMARS_MAX", 3)
    caplog.set_level(logging.INFO)

    async def run() -> None:
        model = demo()
        plain = [text_of(model) for _ in range(8)]
        bound = [text_of(model, response_format=schema_of(f"k{n}")) for n in range(8)]
        answers = await asyncio.gather(*plain, *bound)
        assert answers[:8] == ["The capital of France is Paris."] * 8
        assert [list(json.loads(answer)) for answer in answers[8:]] == [[f"k{n}"] for n in range(8)]
        await model.close()

    asyncio.run(run())
    assert "is loaded anew to be rid of them" in caplog.text


def test_a_schema_that_takes_long_is_given_up_and_nobody_else_waits_for_it() -> None:
    schema: dict[str, Any] = {"type": "string", "pattern": "^(a{1,400}b{1,400}c{1,400}){1,400}$"}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}

    async def run() -> None:
        model = demo()
        await text_of(model)
        asked = asyncio.ensure_future(text_of(model, response_format=form))
        answered = 0
        while not asked.done():
            assert await text_of(model) == "The capital of France is Paris."
            answered += 1
        assert answered > 3
        with pytest.raises(RequestFailure) as refused:
            await asked
        assert (refused.value.status, refused.value.param) == (400, "response_format.json_schema.schema")
        assert str(GRAMMAR_SECONDS_MAX) in refused.value.message
        # The next one finds another process.
        assert json.loads(await text_of(model, response_format=schema_of("k"))).keys() == {"k"}
        await model.close()

    asyncio.run(run())


def test_a_sequence_holds_no_more_than_memory_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "affordable_tokens", lambda _path, wanted, **_of: wanted // 16)

    async def run() -> None:
        model = demo()
        assert await text_of(model) == "The capital of France is Paris."
        assert model.context == 1024 * 4 // 16
        await model.close()

    asyncio.run(run())


def test_those_who_wait_and_leave_are_forgotten_before_there_is_a_place() -> None:
    async def run() -> None:
        model = demo()
        running = [asyncio.ensure_future(text_of(model, ignore_eos=True, max_tokens=900)) for _ in range(4)]
        await until(lambda: len(model._running) == 4)
        for _ in range(10):
            waiting = asyncio.ensure_future(text_of(model))
            await until(lambda: len(model._waiting) == 1)
            waiting.cancel()
            await asyncio.wait([waiting])
            await until(lambda: not model._waiting)
        assert len(model._running) == 4
        for one in running:
            one.cancel()
        await asyncio.wait(running)
        await model.close()

    asyncio.run(run())


def test_a_probe_that_dies_is_replaced() -> None:
    probe = GrammarProbe(DEMO)
    good = {"kind": "json_schema", "text": '{"type": "object"}'}
    assert probe.complaint_about(good) is None
    assert probe._process is not None
    probe._process.kill()
    probe._process.wait()
    before = time.monotonic()
    assert "breaks the library" in str(probe.complaint_about(good))
    assert time.monotonic() - before < GRAMMAR_SECONDS_MAX
    assert probe.complaint_about(good) is None
    probe.close()
