"""From tokens to text, while they come: a token may be a part of a character, and its text depends on what is before it."""

from __future__ import annotations

BROKEN = "\ufffd"
# A character has at most four bytes. What isn't whole after so many tokens never will be.
BROKEN_TOKENS_MAX = 8


class TokenText:
    """
    The text of one answer so far.

    Two windows of tokens are turned to text, the second longer by what is new; what it has more is the new text. Both begin at
    the same token, so what the beginning of a text does to a token (a space that is dropped) is the same in both.
    """

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._begin = 0
        self._told = 0

    def add(self, tokens: list[int]) -> tuple[list[int], list[int]]:
        """The two windows, to be decoded and given to `advance`."""
        # What both windows are done with is let go of.
        del self._tokens[: self._begin]
        self._told -= self._begin
        self._begin = 0
        self._tokens.extend(tokens)
        return self._tokens[: self._told], list(self._tokens)

    def advance(self, before: str, after: str, *, last: bool) -> str:
        """The new text; empty while a character isn't whole."""
        waiting = len(self._tokens) - self._told
        if after.endswith(BROKEN) and not last and waiting < BROKEN_TOKENS_MAX:
            return ""
        self._begin, self._told = self._told, len(self._tokens)
        return after[len(before) :]
