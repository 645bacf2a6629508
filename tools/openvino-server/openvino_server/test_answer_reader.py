"""However an answer is cut, it reads the same."""

from __future__ import annotations

import random

import pytest

from .answer_reader import AnswerReader, Reading
from .tool_format import HERMES, LLAMA_3, ToolFormat

HERMES_CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Pa}r\\"is", "days": [1, {"a": 2}]}}\n</tool_call>'
LLAMA_CALL = '{"name": "weather", "parameters": {"city": "Paris"}}'
WEATHER = ("weather", '{"city": "Pa}r\\"is", "days": [1, {"a": 2}]}')


def read(
    pieces: list[str],
    *,
    thinks: bool = False,
    thinking: bool = False,
    tools: ToolFormat | None = None,
    stop: list[str] | None = None,
) -> tuple[str, str, list[tuple[str, str]]]:
    reader = AnswerReader(thinks=thinks, thinking=thinking, tools=tools, stop=stop or [])
    readings: list[Reading] = [reader.push(piece) for piece in pieces]
    readings.append(reader.finish())
    calls: list[list[str]] = []
    for reading in readings:
        for call in reading.calls:
            if call.name is not None:
                assert call.index == len(calls)
                calls.append([call.name, ""])
            else:
                calls[call.index][1] += call.arguments
    return (
        "".join(reading.text for reading in readings),
        "".join(reading.reasoning for reading in readings),
        [(name, arguments) for name, arguments in calls],
    )


CASES = [
    ("plain text", "Hello, world! ", {}, ("Hello, world! ", "", [])),
    ("a stop text", "one two END three", {"stop": ["END", "NEVER"]}, ("one two ", "", [])),
    ("the first of two stop texts", "a b c", {"stop": ["c", "b"]}, ("a ", "", [])),
    ("the beginning of a stop text", "one EN", {"stop": ["END"]}, ("one EN", "", [])),
    ("thoughts", "<think>\nhm, \n</think>\n\nYes.", {"thinks": True}, ("Yes.", "hm,", [])),
    ("thoughts begun in the prompt", "hm </think>Yes.", {"thinks": True, "thinking": True}, ("Yes.", "hm", [])),
    ("thoughts cut off", "<think>hm </thi", {"thinks": True}, ("", "hm </thi", [])),
    ("no thoughts", "<b>Yes", {"thinks": True}, ("<b>Yes", "", [])),
    ("tags of a model that doesn't think", "<think>a</think>", {}, ("<think>a</think>", "", [])),
    ("a call", HERMES_CALL, {"tools": HERMES}, ("", "", [WEATHER])),
    ("text before a call", f"Let me see.\n{HERMES_CALL}\n", {"tools": HERMES}, ("Let me see.", "", [WEATHER])),
    ("two calls", f"{HERMES_CALL}\n{HERMES_CALL}", {"tools": HERMES}, ("", "", [WEATHER, WEATHER])),
    ("text behind a call", f"{HERMES_CALL}\nDone.", {"tools": HERMES}, ("Done.", "", [WEATHER])),
    ("text like a call", "a <tool_call> b", {"tools": HERMES}, ("a <tool_call> b", "", [])),
    ("a head cut off", 'a <tool_call>\n{"name": "we', {"tools": HERMES}, ('a <tool_call>\n{"name": "we', "", [])),
    ("a call without tools", HERMES_CALL, {}, (HERMES_CALL, "", [])),
    (
        "thoughts and a call",
        f"<think>a</think>{HERMES_CALL}",
        {"tools": HERMES, "thinks": True},
        ("", "a", [WEATHER]),
    ),
    ("Llama's call", LLAMA_CALL, {"tools": LLAMA_3}, ("", "", [("weather", '{"city": "Paris"}')])),
    (
        "arguments cut off",
        '{"name": "weather", "parameters": {"city": "Pa',
        {"tools": LLAMA_3},
        ("", "", [("weather", '{"city": "Pa')]),
    ),
]


@pytest.mark.parametrize(("text", "options", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_reads_the_same_however_it_is_cut(text: str, options: dict, expected: tuple) -> None:  # type: ignore[type-arg]
    assert read([text], **options) == expected
    assert read(list(text), **options) == expected
    for first in range(len(text)):
        assert read([text[:first], text[first:]], **options) == expected
    draw = random.Random(1)
    for _ in range(50):
        cuts = sorted(draw.sample(range(len(text) + 1), min(4, len(text))))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert read(pieces, **options) == expected


def test_lets_text_out_at_once_where_nothing_speaks_against_it() -> None:
    reader = AnswerReader(thinks=True, thinking=False, tools=HERMES, stop=["END"])
    assert reader.push("Hello").text == "Hello"
    assert reader.push(", wor").text == ", wor"
    assert reader.push(" E").text == " "
    assert reader.push("lf").text == "Elf"


def test_arguments_come_as_they_are_written() -> None:
    reader = AnswerReader(thinks=False, thinking=False, tools=HERMES, stop=[])
    assert reader.push('<tool_call>\n{"name": "f", "arguments": {"a"').calls[-1].arguments == '{"a"'
    assert reader.push(': "b').calls[-1].arguments == ': "b'
    assert reader.cut
    assert reader.push('"}}').calls[-1].arguments == '"}'
    assert reader.push("\n</tool_call>").calls == []
    assert not reader.cut
