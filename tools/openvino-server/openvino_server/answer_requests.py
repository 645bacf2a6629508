"""From a body that nobody has checked to a request that can be answered, or a failure that names the field."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .failures import RequestFailure, invalid, unsupported

STOP_TEXTS_MAX = 4
STOP_TEXT_CHARACTERS_MAX = 1_000
TOOLS_MAX = 128
# A grammar is made of a schema in the pause between two steps: all answers wait for it.
SCHEMA_BYTES_MAX = 65_536
GRAMMAR_BYTES_MAX = 65_536

# Fields that would change the answer, and that OpenVINO GenAI has nothing for. Others that are unknown are ignored.
REFUSED: Mapping[str, Callable[[Any], bool]] = {
    "n": lambda value: value != 1,
    "best_of": lambda value: value != 1,
    "logit_bias": bool,
    "logprobs": lambda value: value is not False,
    "top_logprobs": lambda value: value != 0,
    "echo": bool,
    "suffix": bool,
    "functions": bool,
}


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. None: the model's default, then OpenAI's."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    ignore_eos: bool = False


@dataclass(frozen=True)
class OutputFormat:
    """What the text must be: JSON of a schema, or what an EBNF grammar or a regular expression derives."""

    kind: Literal["json_schema", "grammar", "regex"]
    text: str
    # The field it came from, for an error.
    param: str


@dataclass(frozen=True)
class ToolChoice:
    """Whether the answer must, may or must not call."""

    mode: Literal["auto", "none", "required"] = "auto"
    # The only tool that may be called.
    name: str | None = None


@dataclass(frozen=True)
class ChatPrompt:
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] = field(default_factory=list)
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    parallel_calls: bool = True
    template_variables: dict[str, Any] = field(default_factory=dict)
    # What the assistant has said already: the answer goes on behind it.
    begun: str = ""


@dataclass(frozen=True)
class AnswerRequest:
    model: str
    # Messages, a text, or tokens.
    prompt: ChatPrompt | str | list[int]
    sampling: Sampling
    # None: until the context is full.
    max_tokens: int | None
    stop: list[str]
    format: OutputFormat | None
    stream: bool
    include_usage: bool


def parse_chat(body: Any) -> AnswerRequest:
    """A body of POST /v1/chat/completions."""
    fields = _Fields(body)
    messages = [_message(fields, index, one) for index, one in enumerate(fields.list_of("messages", dict))]
    if not messages:
        raise invalid("`messages` is empty; it needs at least one message.", "messages")
    variables = dict(fields.optional("chat_template_kwargs", dict) or {})
    if fields.optional("reasoning_effort", str) == "none":
        # The name that Qwen 3 and its kin read.
        variables.setdefault("enable_thinking", False)
    documents = fields.optional("documents", list)
    if documents:
        variables.setdefault("documents", documents)
    begun = ""
    if fields.optional("continue_final_message", bool):
        last = messages.pop()
        if last["role"] != "assistant" or last.get("tool_calls") or not messages:
            raise invalid(
                "`continue_final_message` needs a last message of the assistant's, without calls, and one before it.",
                "continue_final_message",
            )
        begun = last["content"]
    prompt = ChatPrompt(
        messages=messages,
        begun=begun,
        tools=_tools(fields),
        tool_choice=_tool_choice(fields),
        parallel_calls=fields.optional("parallel_tool_calls", bool) is not False,
        template_variables=variables,
    )
    return _request(fields, prompt, fields.optional("max_completion_tokens", int) or fields.optional("max_tokens", int))


def parse_completion(body: Any) -> AnswerRequest:
    """A body of POST /v1/completions."""
    fields = _Fields(body)
    return _request(fields, _text_prompt(fields), fields.optional("max_tokens", int))


def _request(fields: _Fields, prompt: ChatPrompt | str | list[int], max_tokens: int | None) -> AnswerRequest:
    for name, asks in REFUSED.items():
        value = fields.body.get(name)
        if value is not None and asks(value):
            raise unsupported(f"`{name}` is not supported by OpenVINO GenAI; leave it out.", name)
    if max_tokens is not None and max_tokens < 1:
        raise invalid(f"`max_tokens` is {max_tokens}; it must be at least 1.", "max_tokens")
    options = fields.optional("stream_options", dict) or {}
    return AnswerRequest(
        model=fields.required("model", str),
        prompt=prompt,
        sampling=_sampling(fields),
        max_tokens=max_tokens,
        stop=_stop(fields),
        format=_format(fields),
        stream=fields.optional("stream", bool) is True,
        include_usage=options.get("include_usage") is True,
    )


def _sampling(fields: _Fields) -> Sampling:
    return Sampling(
        temperature=fields.number("temperature", 0, 2),
        top_p=fields.number("top_p", 0, 1, above_least=True),
        top_k=_whole(fields, "top_k", 0, 1_000_000),
        min_p=fields.number("min_p", 0, 1),
        seed=fields.optional("seed", int),
        presence_penalty=fields.number("presence_penalty", -2, 2),
        frequency_penalty=fields.number("frequency_penalty", -2, 2),
        # One name is vLLM's and OpenVINO's, the other llama.cpp's.
        repetition_penalty=_first(
            fields.number("repetition_penalty", 0, 2, above_least=True),
            fields.number("repeat_penalty", 0, 2, above_least=True),
        ),
        ignore_eos=fields.optional("ignore_eos", bool) is True,
    )


def _whole(fields: _Fields, name: str, least: int, most: int) -> int | None:
    value: int | None = fields.optional(name, int)
    if value is not None and not least <= value <= most:
        raise invalid(f"`{name}` is {value}; it must lie between {least} and {most}.", name)
    return value


def _first(one: float | None, other: float | None) -> float | None:
    return other if one is None else one


def _stop(fields: _Fields) -> list[str]:
    value = fields.body.get("stop")
    texts = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise invalid("`stop` must be a text or a list of texts, none of them empty.", "stop")
    if len(texts) > STOP_TEXTS_MAX:
        raise invalid(f"`stop` has {len(texts)} texts; {STOP_TEXTS_MAX} are allowed.", "stop")
    longest = max((len(text) for text in texts), default=0)
    if longest > STOP_TEXT_CHARACTERS_MAX:
        raise invalid(f"A text of `stop` has {longest} characters; {STOP_TEXT_CHARACTERS_MAX} are allowed.", "stop")
    return texts


def _format(fields: _Fields) -> OutputFormat | None:
    value = fields.optional("response_format", dict)
    if value is None:
        return None
    kind = value.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        # Under `schema`, llama.cpp's server and OpenVINO's take one here too.
        schema = value.get("schema", {"type": "object"})
        return OutputFormat("json_schema", _schema_text(schema, "response_format.schema"), "response_format")
    if kind == "json_schema":
        described = value.get("json_schema")
        if not isinstance(described, dict) or not isinstance(described.get("schema"), (dict, bool)):
            raise invalid("`response_format.json_schema.schema` is missing.", "response_format.json_schema")
        text = _schema_text(described["schema"], "response_format.json_schema.schema")
        return OutputFormat("json_schema", text, "response_format.json_schema.schema")
    if kind in ("grammar", "regex"):
        text = value.get(kind)
        if not isinstance(text, str) or not 0 < len(text) <= GRAMMAR_BYTES_MAX:
            raise invalid(
                f"`response_format.{kind}` must be a text of at most {GRAMMAR_BYTES_MAX} characters.", "response_format"
            )
        return OutputFormat(kind, text, "response_format")
    raise invalid(
        f"`response_format.type` is {_shown(kind)}; text, json_object and json_schema are known.", "response_format.type"
    )


def _schema_text(schema: Any, param: str) -> str:
    text = json.dumps(schema, ensure_ascii=False)
    size = len(text.encode())
    if size > SCHEMA_BYTES_MAX:
        raise invalid(f"`{param}` has {size:,} bytes; {SCHEMA_BYTES_MAX:,} are allowed.", param)
    return text


def _tools(fields: _Fields) -> list[dict[str, Any]]:
    tools = fields.list_of("tools", dict) if fields.body.get("tools") is not None else []
    if len(tools) > TOOLS_MAX:
        raise invalid(f"`tools` has {len(tools)} entries; {TOOLS_MAX} are allowed.", "tools")
    for index, tool in enumerate(tools):
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, dict):
            raise invalid(f"`tools[{index}]` is no function; other tools are not supported.", f"tools[{index}]")
        if not isinstance(function.get("name"), str) or not function["name"]:
            raise invalid(f"`tools[{index}].function.name` is missing.", f"tools[{index}].function.name")
        if not isinstance(function.get("parameters", {}), (dict, bool)):
            raise invalid(f"`tools[{index}].function.parameters` is no schema.", f"tools[{index}].function.parameters")
        _schema_text(function.get("parameters", {}), f"tools[{index}].function.parameters")
    return tools


def _tool_choice(fields: _Fields) -> ToolChoice:
    value = fields.body.get("tool_choice")
    if value is None:
        return ToolChoice()
    if value == "required" and not fields.body.get("tools"):
        raise invalid("`tool_choice` is required, and there are no `tools`.", "tool_choice")
    if value == "auto" or value == "none" or value == "required":
        return ToolChoice(value)
    function = value.get("function") if isinstance(value, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise invalid("`tool_choice` must be auto, none, required, or an object that names a function.", "tool_choice")
    tools = fields.body.get("tools") or []
    if not any(tool.get("function", {}).get("name") == name for tool in tools if isinstance(tool, dict)):
        raise invalid(f'`tool_choice` names "{name}", which is none of the tools.', "tool_choice")
    return ToolChoice("required", name)


def _message(fields: _Fields, index: int, message: dict[str, Any]) -> dict[str, Any]:
    """The message as a template reads it: parts of text joined, arguments of calls as objects."""
    where = f"messages[{index}]"
    if not isinstance(message.get("role"), str):
        raise invalid(f"`{where}.role` is missing.", f"{where}.role")
    content = message.get("content")
    read = {name: value for name, value in message.items() if value is not None}
    if isinstance(content, list):
        read["content"] = "".join(_part(f"{where}.content[{at}]", part) for at, part in enumerate(content))
    elif content is not None and not isinstance(content, str):
        raise invalid(f"`{where}.content` must be a text or a list of parts.", f"{where}.content")
    else:
        # Templates add texts up without asking whether there is one.
        read["content"] = content or ""
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise invalid(f"`{where}.tool_calls` must be a list.", f"{where}.tool_calls")
    if calls:
        read["tool_calls"] = [_past_call(f"{where}.tool_calls[{at}]", call) for at, call in enumerate(calls)]
    return read


def _part(where: str, part: Any) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type") if isinstance(part, dict) else part
    raise invalid(f"`{where}` is a part of type {_shown(kind)}; this server takes texts only.", where)


def _past_call(where: str, call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise invalid(f"`{where}.function.name` is missing.", where)
    arguments = function.get("arguments", "{}")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError) as error:
            raise invalid(f"`{where}.function.arguments` is no JSON.", f"{where}.function.arguments") from error
    return {**call, "function": {**function, "arguments": arguments}}


def _text_prompt(fields: _Fields) -> str | list[int]:
    value = fields.body.get("prompt")
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], (str, list)):
        value = value[0]
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and value and all(type(token) is int and 0 <= token < 2**31 for token in value):
        return value
    raise invalid("`prompt` must be one text or one list of tokens, and not empty.", "prompt")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:60]}…"


class _Fields:
    """A JSON object, read field by field; null is as good as absent."""

    def __init__(self, body: Any) -> None:
        if not isinstance(body, dict):
            raise RequestFailure(400, "invalid_request", "The body must be a JSON object.")
        self.body: dict[str, Any] = body

    def optional(self, name: str, kind: type) -> Any:
        value = self.body.get(name)
        # A bool is an int to Python.
        if value is None or (isinstance(value, kind) and not (kind is int and isinstance(value, bool))):
            return value
        raise invalid(f"`{name}` is {_shown(value)}, which is no {_KIND_NAMES[kind]}.", name)

    def required(self, name: str, kind: type) -> Any:
        value = self.optional(name, kind)
        if value is None:
            raise invalid(f"`{name}` is missing.", name)
        return value

    def list_of(self, name: str, kind: type) -> list[Any]:
        values = self.required(name, list)
        for index, value in enumerate(values):
            if not isinstance(value, kind):
                raise invalid(f"`{name}[{index}]` is {_shown(value)}, which is no {_KIND_NAMES[kind]}.", f"{name}[{index}]")
        return list(values)

    def number(self, name: str, least: float, most: float, *, above_least: bool = False) -> float | None:
        value = self.body.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise invalid(f"`{name}` is {_shown(value)}, which is no number.", name)
        # Written so that NaN, which JSON of Python's knows, is refused too.
        if not least <= value <= most or (above_least and value == least):
            raise invalid(f"`{name}` is {value}; it must lie between {least} and {most}.", name)
        return float(value)


_KIND_NAMES = {str: "text", int: "whole number", bool: "true or false", dict: "object", list: "list"}
