"""What an answer's text says: what the model thought, what it says, and what it calls."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from .stop_texts import StopTexts, beginning_length
from .tool_format import ToolFormat

THINK_BEGIN = "<think>"
THINK_END = "</think>"


@dataclass(frozen=True)
class CallPiece:
    """A piece of a call: the name once, first; then the arguments' JSON bit by bit."""

    index: int
    name: str | None
    arguments: str


@dataclass
class Reading:
    """What a piece of text has brought. Each of the three is a stream of its own."""

    text: str = ""
    reasoning: str = ""
    calls: list[CallPiece] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.text or self.reasoning or self.calls)


class AnswerReader:
    """Reads an answer piece by piece, however it is cut, and never tells what it would have to take back."""

    def __init__(self, *, thinks: bool, thinking: bool, tools: ToolFormat | None, stop: list[str]) -> None:
        """`thinks`: the model may think before it speaks. `thinking`: its prompt has opened the tag already."""
        self._tools = tools
        self._stop = StopTexts(stop)
        self._held = ""
        self._state = "thinking" if thinking else "before" if thinks else "speaking"
        self._scanner = JsonEnd()
        self._trim = thinking
        self.calls = 0

    @property
    def stopped(self) -> bool:
        """A stop text came: the answer is over."""
        return self._stop.stopped

    @property
    def cut(self) -> bool:
        """Whether the text so far ends within a call."""
        return self._state in ("calling", "closing")

    def push(self, text: str) -> Reading:
        return self._read(text, last=False)

    def finish(self) -> Reading:
        """The rest, when no more comes."""
        reading = self._read("", last=True)
        reading.text += self._stop.flush()
        return reading

    def _read(self, text: str, *, last: bool) -> Reading:
        self._held += text
        reading = Reading()
        while self._step(reading, last=last):
            pass
        return reading

    def _step(self, reading: Reading, *, last: bool) -> bool:
        """Takes what it can from what is held; False when it has to wait for more."""
        if self._state == "before":
            return self._before(last=last)
        if self._state == "thinking":
            return self._thinking(reading, last=last)
        if self._state == "speaking":
            return self._speaking(reading, last=last)
        if self._state == "calling":
            return self._calling(reading)
        return self._closing(last=last)

    def _before(self, *, last: bool) -> bool:
        """Does it begin by thinking?"""
        seen = self._held.lstrip()
        if seen.startswith(THINK_BEGIN):
            self._held = seen[len(THINK_BEGIN) :]
            self._state, self._trim = "thinking", True
            return True
        if not last and THINK_BEGIN.startswith(seen):
            return False
        self._state = "speaking"
        return True

    def _thinking(self, reading: Reading, *, last: bool) -> bool:
        self._drop_leading_space()
        end = self._held.find(THINK_END)
        if end >= 0:
            reading.reasoning += self._held[:end].rstrip()
            self._held = self._held[end + len(THINK_END) :]
            self._state, self._trim = "speaking", True
            return True
        until = len(self._held) if last else len(self._held) - beginning_length(self._held, THINK_END)
        # Space before the end tag is part of neither: whether it comes, the rest tells.
        reading.reasoning += self._take(len(self._held[:until].rstrip()))
        return False

    def _speaking(self, reading: Reading, *, last: bool) -> bool:
        self._drop_leading_space()
        if self._tools is None:
            reading.text += self._stop.push(self._take(len(self._held)))
            return False
        head = self._tools.head[0]
        begin = self._held.find(head)
        until = begin if begin >= 0 else len(self._held) - (0 if last else beginning_length(self._held, head))
        if not last or begin >= 0 or self.calls > 0:
            # Space that stands before a call, or between two, is no part of the text: whether it does, the rest tells.
            until = len(self._held[:until].rstrip())
        reading.text += self._stop.push(self._take(until))
        return begin >= 0 and self._opening(reading, self._tools, last=last)

    def _opening(self, reading: Reading, tools: ToolFormat, *, last: bool) -> bool:
        """The held text begins with a head, and perhaps space before it."""
        named = self._named(self._held.index(tools.head[0]), tools)
        if named is None:
            # Cut off by its length, or not the head of a call after all.
            if last:
                reading.text += self._stop.push(self._take(len(self._held)))
            return False
        name, end = named
        self._take(end)
        reading.calls.append(CallPiece(self.calls, name, ""))
        self._scanner = JsonEnd()
        self._state = "calling"
        return True

    def _named(self, begin: int, tools: ToolFormat) -> tuple[str, int] | None:
        """The name of the call that begins there, and where its arguments begin; None when that isn't there yet."""
        at = begin + len(tools.head[0])
        try:
            name, end = json.JSONDecoder().raw_decode(self._held, at)
        except ValueError:
            return None
        if not isinstance(name, str) or not self._held.startswith(tools.head[1], end):
            return None
        return name, end + len(tools.head[1])

    def _calling(self, reading: Reading) -> bool:
        taken = self._scanner.push(self._held)
        if taken > 0:
            reading.calls.append(CallPiece(self.calls, None, self._take(taken)))
        if not self._scanner.ended:
            return False
        self._state = "closing"
        return True

    def _closing(self, *, last: bool) -> bool:
        tail = self._tools.tail if self._tools else ""
        if len(self._held) < len(tail) and not last:
            return False
        self._held = self._held.removeprefix(tail)
        self.calls += 1
        self._state, self._trim = "speaking", True
        return bool(self._held)

    def _drop_leading_space(self) -> None:
        if not self._trim:
            return
        self._held = self._held.lstrip()
        self._trim = not self._held

    def _take(self, length: int) -> str:
        out, self._held = self._held[:length], self._held[length:]
        return out


# Nobody indents so deep.
SPACE_IN_JSON_MAX = 200


class JsonAnswer:
    """
    An answer that is JSON, by a grammar that allows any space between its parts, and behind them.

    Weak models, once they have begun with spaces, go on until the context is full. An object or list is over with its last
    bracket; and one that has more space in one place than anybody would write is given up.
    """

    def __init__(self) -> None:
        self._end = JsonEnd()
        self.ended = False
        self.given_up = False

    def push(self, text: str) -> str:
        """What of the text belongs to the answer."""
        taken = self._end.push(text)
        self.ended = self._end.ended
        self.given_up = self._end.space > SPACE_IN_JSON_MAX
        return text[:taken]


class JsonEnd:
    """Finds where one JSON object or list ends, without keeping it."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_text = False
        self._escaped = False
        self.ended = False
        # Characters of space in a row, outside of texts, up to now.
        self.space = 0

    def push(self, text: str) -> int:
        """How many characters belong to it."""
        for at, character in enumerate(text):
            self._see(character)
            if self.ended:
                return at + 1
        return len(text)

    def _see(self, character: str) -> None:
        self.space = self.space + 1 if character.isspace() and not self._in_text else 0
        if self._in_text:
            if self._escaped:
                self._escaped = False
            elif character == "\\":
                self._escaped = True
            elif character == '"':
                self._in_text = False
        elif character == '"':
            self._in_text = True
        elif character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
            self.ended = self._depth == 0
