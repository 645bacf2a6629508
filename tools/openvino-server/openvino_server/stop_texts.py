"""Ends an answer at the first of some texts, which is never let out."""

from __future__ import annotations


class StopTexts:
    """Holds back what may be the beginning of a stop text, and nothing else."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """What can be let out now. Nothing more once `stopped`."""
        if self.stopped:
            return ""
        self._held += text
        places = [place for place in (self._held.find(stop) for stop in self._texts) if place >= 0]
        if places:
            self.stopped = True
            out, self._held = self._held[: min(places)], ""
            return out
        kept = max((beginning_length(self._held, stop) for stop in self._texts), default=0)
        split = len(self._held) - kept
        out, self._held = self._held[:split], self._held[split:]
        return out

    def flush(self) -> str:
        """What was held back, when no more comes."""
        out, self._held = self._held, ""
        return "" if self.stopped else out


def beginning_length(text: str, mark: str) -> int:
    """How many characters at the end of `text` are the beginning of `mark`; all of `mark` doesn't count."""
    for length in range(min(len(mark) - 1, len(text)), 0, -1):
        if text.endswith(mark[:length]):
            return length
    return 0
