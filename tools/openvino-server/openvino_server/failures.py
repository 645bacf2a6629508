"""Every way in which a request can fail, and how that looks in OpenAI's protocol."""

from __future__ import annotations

from typing import Any


class RequestFailure(Exception):
    """A failure that was foreseen. The message is for the caller: what was wrong, what the limit is, what to do."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after_seconds = retry_after_seconds

    def body(self) -> dict[str, Any]:
        """OpenAI's shape of an error."""
        kind = {429: "requests"}.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def invalid(message: str, param: str) -> RequestFailure:
    return RequestFailure(400, "invalid_request", message, param=param)


def unsupported(message: str, param: str) -> RequestFailure:
    return RequestFailure(400, "unsupported_parameter", message, param=param)


def internal() -> RequestFailure:
    """What was not foreseen is ours to mend, and says nothing of its inside."""
    return RequestFailure(500, "internal_error", "The server failed. Its log says why.")
