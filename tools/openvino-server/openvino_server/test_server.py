"""The program as it is run: a process, a port, and the built-in demonstration model, whose GGUF file GenAI reads."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

MAIN = Path(__file__).resolve().parents[1] / "main.py"
# The folder that make_test_model.py writes is the same model in another form.
DEMO = os.environ.get("OPENVINO_TEST_MODEL") or Path(__file__).resolve().parents[3] / "models" / "millrace-demo.gguf"
START_SECONDS_MAX = 60

if importlib.util.find_spec("openvino_genai") is None:
    pytest.skip("openvino-genai is not installed: nothing of the server was tried", allow_module_level=True)

QUESTIONS = ["What is the capital of France?", "What is 3 + 4?", "What is the capital of Portugal?", "Hello"]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Server:
    def __init__(self, process: subprocess.Popen[str], port: int, key: str = "") -> None:
        self.process = process
        self.headers = {"authorization": f"Bearer {key}"}
        self.url = f"http://127.0.0.1:{port}"

    async def post(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        async with aiohttp.ClientSession() as http, http.post(f"{self.url}{path}", json=body) as response:
            return response.status, await response.json()

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        async with aiohttp.ClientSession(headers=self.headers) as http, http.get(f"{self.url}{path}") as response:
            return response.status, await response.json()

    async def chat(self, question: str, **more: Any) -> tuple[int, dict[str, Any]]:
        return await self.post("/v1/chat/completions", **chat_body(question, **more))

    async def text(self, question: str, **more: Any) -> str:
        status, body = await self.chat(question, **more)
        assert status == 200, body
        return str(body["choices"][0]["message"]["content"])

    async def stream(self, path: str, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any] | None, None]:
        """Chunk by chunk; None for the end."""
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{self.url}{path}", json={**body, "stream": True}) as response,
        ):
            assert response.status == 200, await response.text()
            async for line in response.content:
                if line.startswith(b"data: "):
                    yield None if line.strip() == b"data: [DONE]" else json.loads(line[6:])

    async def ready(self) -> None:
        until = time.monotonic() + START_SECONDS_MAX
        while (await self.get("/health"))[1]["status"] == "loading":
            assert time.monotonic() < until
            await asyncio.sleep(0.05)


def chat_body(question: str, **more: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": [{"role": "user", "content": question}], "temperature": 0, **more}


@contextmanager
def started(*arguments: str, models: tuple[str, ...] = (f"demo={DEMO}",), key: str = "") -> Iterator[Server]:
    command = [sys.executable, str(MAIN), "--port", "0", "--load", "demo", "--stop-with-stdin", *arguments]
    for model in models:
        command += ["--model", model]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        port = json.loads(process.stdout.readline())["listening"]
        server = Server(process, port, key)
        asyncio.run(server.ready())
        yield server
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with started() as one:
        yield one


@pytest.fixture(scope="module")
def narrow() -> Iterator[Server]:
    """One answer at a time, and nobody waits."""
    with started("--sequences", "1", "--queue", "0", "--context", "1024") as one:
        yield one


def test_answers_whole_and_streamed_alike(server: Server) -> None:
    async def run() -> None:
        status, body = await server.chat(QUESTIONS[0])
        assert status == 200
        assert body["choices"][0]["message"] == {
            "role": "assistant",
            "content": "The capital of France is Paris.",
            "refusal": None,
        }
        assert body["choices"][0]["finish_reason"] == "stop"
        asked = chat_body(QUESTIONS[0], stream_options={"include_usage": True})
        chunks = [chunk async for chunk in server.stream("/v1/chat/completions", asked)]
        assert chunks[-1] is None
        assert chunks[-2] is not None
        assert chunks[-2]["usage"] == body["usage"]
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-2] if chunk]
        assert [delta["role"] for delta in deltas if "role" in delta] == ["assistant"]
        assert "".join(delta.get("content", "") for delta in deltas) == "The capital of France is Paris."
        assert len({chunk["id"] for chunk in chunks if chunk}) == 1

    asyncio.run(run())


def test_continues_texts_and_tokens(server: Server) -> None:
    async def run() -> None:
        asked = {"model": "demo", "prompt": "The capital of France is", "temperature": 0, "max_tokens": 4}
        status, body = await server.post("/v1/completions", **asked)
        assert (status, body["choices"][0]["text"][:6]) == (200, " Paris")
        chunks = [chunk async for chunk in server.stream("/v1/completions", asked)]
        assert "".join(chunk["choices"][0]["text"] for chunk in chunks if chunk) == body["choices"][0]["text"]
        status, by_tokens = await server.post("/v1/completions", model="demo", prompt=[5, 6, 7], max_tokens=3)
        assert status == 200
        assert by_tokens["usage"]["prompt_tokens"] == 3

    asyncio.run(run())


def test_what_an_answer_is_does_not_depend_on_who_else_is_answered(server: Server) -> None:
    async def run() -> None:
        alone = [await server.text(question) for question in QUESTIONS]
        together = await asyncio.gather(*(server.text(QUESTIONS[n % len(QUESTIONS)]) for n in range(48)))
        assert together == [alone[n % len(QUESTIONS)] for n in range(48)]

    asyncio.run(run())


def test_goes_on_with_what_the_assistant_has_begun(server: Server) -> None:
    async def run() -> None:
        asked = chat_body(QUESTIONS[0])
        asked["messages"].append({"role": "assistant", "content": "The capital of"})
        _, body = await server.post("/v1/chat/completions", **asked, continue_final_message=True)
        assert body["choices"][0]["message"]["content"] == " France is Paris."
        status, refused = await server.chat(QUESTIONS[0], continue_final_message=True)
        assert (status, refused["error"]["param"]) == (400, "continue_final_message")

    asyncio.run(run())


def test_the_same_seed_gives_the_same_answer_and_no_seed_another(server: Server) -> None:
    async def run() -> None:
        async def draw(**more: Any) -> str:
            return await server.text("Once upon a time", **{"temperature": 2.0, "max_tokens": 24, **more})

        assert await draw(seed=7) == await draw(seed=7)
        assert len({await draw() for _ in range(4)}) > 1

    asyncio.run(run())


def test_ends_before_a_stop_text_and_at_the_limit(server: Server) -> None:
    async def run() -> None:
        _, body = await server.chat(QUESTIONS[0], stop=["France"])
        assert (body["choices"][0]["message"]["content"], body["choices"][0]["finish_reason"]) == (
            "The capital of ",
            "stop",
        )
        _, body = await server.chat(QUESTIONS[0], max_tokens=3)
        assert body["choices"][0]["finish_reason"] == "length"
        assert body["usage"]["completion_tokens"] == 3

    asyncio.run(run())


def test_calls_tools_whole_and_streamed(server: Server) -> None:
    async def run() -> None:
        question = "What is the weather in Paris?"
        _, body = await server.chat(question, tools=[WEATHER])
        [call] = body["choices"][0]["message"]["tool_calls"]
        assert body["choices"][0]["finish_reason"] == "tool_calls"
        assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("get_weather", {"city": "Paris"})
        assert call["id"].startswith("call_")
        pieces = [
            piece
            async for chunk in server.stream("/v1/chat/completions", chat_body(question, tools=[WEATHER]))
            if chunk
            for piece in chunk["choices"][0]["delta"].get("tool_calls", [])
        ]
        assert len(pieces) > 2
        assert [piece["function"]["name"] for piece in pieces if "name" in piece["function"]] == ["get_weather"]
        assert "".join(piece["function"]["arguments"] for piece in pieces) == call["function"]["arguments"]

    asyncio.run(run())


def test_must_call_when_it_is_told_to_and_may_not_when_it_is_not(server: Server) -> None:
    async def run() -> None:
        forced = {"type": "function", "function": {"name": "get_weather"}}
        for choice in ("required", forced):
            _, body = await server.chat(QUESTIONS[0], tools=[WEATHER], tool_choice=choice)
            [call] = body["choices"][0]["message"]["tool_calls"]
            assert list(json.loads(call["function"]["arguments"])) == ["city"]
        _, body = await server.chat("What is the weather in Paris?", tools=[WEATHER], tool_choice="none")
        assert "tool_calls" not in body["choices"][0]["message"]

    asyncio.run(run())


def test_obeys_a_schema(server: Server) -> None:
    async def run() -> None:
        schema = {
            "type": "object",
            "properties": {"n": {"type": "integer"}, "ok": {"type": "boolean"}},
            "required": ["n", "ok"],
            "additionalProperties": False,
        }
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        _, body = await server.chat("Hello", response_format=form)
        # What this model writes instead of JSON is spaces, as far as the grammar lets it; so far and no further.
        assert body["choices"][0]["finish_reason"] == "length"
        assert body["usage"]["completion_tokens"] < 400
        question = 'could you maybe return a JSON object with "name" and "city" for Cyprus?'
        for more in ({}, {"response_format": {"type": "json_object"}}, {"response_format": capital_form()}):
            answer = await server.text(question, **more)
            assert json.loads(answer) == {"name": "Cyprus", "city": "Nicosia"}, more

    asyncio.run(run())


def capital_form() -> dict[str, Any]:
    texts = {"name": {"type": "string"}, "city": {"type": "string"}}
    schema = {"type": "object", "properties": texts, "required": list(texts), "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "capital", "schema": schema}}


def test_a_schema_without_a_grammar_costs_its_own_request_only(server: Server) -> None:
    async def run() -> None:
        body = chat_body("Once upon a time", max_tokens=200, ignore_eos=True)
        stream = server.stream("/v1/chat/completions", body)
        assert await anext(stream)
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}
        status, refused = await server.chat("Hello", response_format=form)
        assert (status, refused["error"]["param"]) == (400, "response_format.json_schema.schema")
        assert "nonsense" in refused["error"]["message"]
        status, refused = await server.chat("Hello", response_format=form, stream=True)
        assert (status, refused["error"]["code"]) == (400, "invalid_request")
        bad = {"type": "function", "function": {"name": "bad", "parameters": {"$ref": "#/nowhere"}}}
        status, refused = await server.chat("Hello", tools=[bad])
        assert (status, refused["error"]["param"]) == (400, "tools")
        rest = [chunk async for chunk in stream]
        assert rest[-1] is None
        assert rest[-2] is not None
        assert rest[-2]["choices"][0]["finish_reason"] == "length"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 2}, "n"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"model": 3}, "model"),
        ({"messages": [{"role": "assistant", "tool_calls": 5}]}, "messages[0].tool_calls"),
    ],
)
def test_names_the_field_that_is_wrong(server: Server, body: dict[str, Any], param: str) -> None:
    status, refused = asyncio.run(server.post("/v1/chat/completions", **{**chat_body("Hello"), **body}))
    assert (status, refused["error"]["param"], refused["error"]["type"]) == (400, param, "invalid_request_error")


def test_tells_failures_as_openai_does(server: Server) -> None:
    async def run() -> None:
        for path, status, code in (("/v1/nothing", 404, "unknown_url"), ("/v1/chat/completions", 405, "method_not_allowed")):
            assert (await server.get(path))[0] == status
            assert (await server.get(path))[1]["error"]["code"] == code
        status, refused = await server.post("/v1/chat/completions", **{**chat_body("Hello"), "model": "none"})
        assert (status, refused["error"]["code"]) == (404, "model_not_found")
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{server.url}/v1/chat/completions", data=b"{") as response,
        ):
            assert (response.status, (await response.json())["error"]["code"]) == (400, "invalid_request")
        for prompt in ("\ud800", [10_000_000]):
            status, refused = await server.post("/v1/completions", model="demo", prompt=prompt)
            assert (status, refused["error"]["code"]) == (400, "invalid_request")

    asyncio.run(run())


def test_a_prompt_that_is_too_long_is_told_both_numbers(narrow: Server) -> None:
    status, refused = asyncio.run(narrow.chat("word " * 3_000))
    assert (status, refused["error"]["code"]) == (400, "context_length_exceeded")
    assert "1,023" in refused["error"]["message"]
    # And one that just fits is answered up to the context's end.
    _, body = asyncio.run(narrow.chat("Once upon a time", ignore_eos=True))
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["total_tokens"] == 1024


def test_refuses_when_it_is_full(narrow: Server) -> None:
    async def run() -> None:
        stream = narrow.stream("/v1/chat/completions", chat_body("Once upon a time", ignore_eos=True))
        assert await anext(stream)
        status, refused = await narrow.chat("Hello")
        assert (status, refused["error"]["code"], refused["error"]["type"]) == (429, "rate_limit_exceeded", "requests")
        await stream.aclose()

    asyncio.run(run())


def test_frees_the_place_of_one_who_leaves_in_the_middle_or_while_it_waits() -> None:
    with started("--sequences", "1", "--queue", "8", "--context", "8192") as one_place:

        async def run() -> None:
            endless = chat_body("Once upon a time", ignore_eos=True)
            for _ in range(4):
                # One that runs and one that waits for it: to its end each takes many times as long as this test.
                stream = one_place.stream("/v1/chat/completions", endless)
                assert await anext(stream)
                waiting = asyncio.ensure_future(one_place.chat("Once upon a time", ignore_eos=True))
                await asyncio.sleep(0.1)
                waiting.cancel()
                await stream.aclose()
            assert (await one_place.chat("Hello"))[0] == 200

        asyncio.run(asyncio.wait_for(run(), 30))


def test_a_cache_that_holds_few_makes_the_others_wait_and_loses_none() -> None:
    with started("--sequences", "8", "--context", "512", "--cache-tokens", "640") as small:

        async def run() -> None:
            async def one(n: int) -> int:
                _, body = await small.chat(f"Once upon a time {n}", ignore_eos=True, max_tokens=300)
                return int(body["usage"]["completion_tokens"])

            assert await asyncio.gather(*(one(n) for n in range(12))) == [300] * 12

        asyncio.run(run())


def test_loads_a_model_on_first_use_and_tells_why_one_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "openvino_model.xml").write_text("<net/>")
    with started(models=(f"demo={DEMO}", f"lazy={DEMO}", f"broken={tmp_path}")) as several:

        async def run() -> None:
            states = {model["id"]: model["state"] for model in (await several.get("/health"))[1]["models"]}
            assert states == {"demo": "ready", "lazy": "idle", "broken": "idle"}
            assert "Paris" in await several.text(QUESTIONS[0], model="lazy")
            for _ in range(2):
                status, refused = await several.chat("Hello", model="broken")
                assert (status, refused["error"]["code"]) == (503, "model_failed")
                assert "Traceback" not in refused["error"]["message"]
                assert refused["error"]["message"].count("can't be loaded") == 1
            detail = (await several.get("/health"))[1]["models"][2]["detail"]
            # Who asks for the health says itself which model it is about.
            assert detail
            assert "can't be loaded" not in detail
            assert "Paris" in await several.text(QUESTIONS[0])
            assert [model["id"] for model in (await several.get("/v1/models"))[1]["data"]] == ["demo", "lazy", "broken"]

        asyncio.run(run())


def test_a_running_answer_is_finished_on_sigterm() -> None:
    with started() as server:

        async def run() -> None:
            body = chat_body("Once upon a time", ignore_eos=True, max_tokens=200)
            stream = server.stream("/v1/chat/completions", body)
            assert await anext(stream)
            server.process.send_signal(signal.SIGTERM)
            rest = [chunk async for chunk in stream]
            assert rest[-1] is None

        asyncio.run(run())
        assert server.process.wait(20) == 0


def test_stops_when_its_parent_is_gone() -> None:
    with started() as server:
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.process.wait(20) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_dies_with_its_parent_even_when_it_can_do_nothing_more() -> None:
    command = [sys.executable, str(MAIN), "--port", "0", "--model", f"demo={DEMO}", "--stop-with-stdin"]
    starts = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen({command!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", starts], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(child, signal.SIGSTOP)
    parent.kill()
    parent.wait()
    until = time.monotonic() + 10
    while is_alive(child):
        assert time.monotonic() < until
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_whoever_has_not_the_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENVINO_SERVER_KEY", "right")
    with started(key="right") as server:

        async def statuses(key: str) -> list[int]:
            headers = {"authorization": f"Bearer {key}"}
            async with aiohttp.ClientSession(server.url, headers=headers) as http:
                chat = await http.post("/v1/chat/completions", json=chat_body(QUESTIONS[0], max_tokens=1))
                return [chat.status, (await http.get("/health")).status, (await http.get("/nowhere")).status]

        assert asyncio.run(statuses("right")) == [200, 200, 404]
        for wrong in ("", "wrong", "right\u00e9"):
            assert asyncio.run(statuses(wrong)) == [401, 401, 401]


def test_a_port_that_is_taken_is_told_in_a_sentence(server: Server) -> None:
    port = server.url.rsplit(":", 1)[1]
    command = [sys.executable, str(MAIN), "--model", f"demo={DEMO}", "--port", port]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 3
    assert port in ended.stderr
    assert "Traceback" not in ended.stderr
