"""How a model writes tool calls: which grammar makes it write them right, and how they are read out of its text.

A model is bound from the moment it begins a call, and free before: it writes the head of one of the tools, letter by letter
as its template shows it, then JSON that the tool's schema allows, then the tail. So heads and tails can be looked for as
they stand, and the arguments are always valid.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .answer_requests import ToolChoice


@dataclass(frozen=True)
class ToolFormat:
    name: str
    # What begins every head, and nothing else that the model would write.
    trigger: str
    # Around the name, as JSON, and behind the arguments.
    head: tuple[str, str]
    tail: str

    def head_of(self, tool: str) -> str:
        return f"{self.head[0]}{json.dumps(tool, ensure_ascii=False)}{self.head[1]}"


HERMES = ToolFormat(
    name="hermes",
    trigger="<tool_call>",
    head=('<tool_call>\n{"name": ', ', "arguments": '),
    tail="}\n</tool_call>",
)
LLAMA_3 = ToolFormat(
    name="llama-3",
    trigger='{"name": ',
    head=('{"name": ', ', "parameters": '),
    tail="}",
)


def format_of_template(template: str) -> ToolFormat | None:
    """The format that a chat template teaches, or None when it is none that is known here."""
    if "<tool_call>" in template:
        # Some later models write their calls in XML within the same tag.
        return None if "<function=" in template else HERMES
    if "tools" in template and "python_tag" in template and '"parameters"' in template:
        return LLAMA_3
    return None


@dataclass(frozen=True)
class CallGrammar:
    """What the answer may be, in words that OpenVINO GenAI's structured output is made of; see `model.py`."""

    triggers: list[str]
    # Head, schema of the arguments, tail.
    tags: list[tuple[str, str, str]]
    must_call: bool
    once: bool


def call_grammar(form: ToolFormat, tools: list[dict[str, Any]], choice: ToolChoice, parallel: bool) -> CallGrammar:
    functions = [tool["function"] for tool in tools]
    if choice.name is not None:
        functions = [function for function in functions if function["name"] == choice.name]
    return CallGrammar(
        triggers=[form.trigger],
        tags=[
            (form.head_of(function["name"]), json.dumps(_parameters(function), ensure_ascii=False), form.tail)
            for function in functions
        ],
        must_call=choice.mode == "required",
        once=not parallel or choice.name is not None,
    )


def _parameters(function: dict[str, Any]) -> Any:
    """Arguments are an object, whatever else the schema leaves open."""
    schema = function.get("parameters")
    if schema in (None, {}, True):
        return {"type": "object"}
    if isinstance(schema, dict) and "type" not in schema and "properties" in schema:
        return {"type": "object", **schema}
    return schema
