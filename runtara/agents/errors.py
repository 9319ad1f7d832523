"""How a capability fails: as data that decides about retries and survives every wrapper. Source: dsl.md §7.1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias, get_args

__all__ = ("AgentError", "Category", "Severity")

Category: TypeAlias = Literal["transient", "permanent", "timeout"]
"""Whether another try may help: it may after a timeout, and after what is transient."""

Severity: TypeAlias = Literal["info", "warning", "error", "critical"]

_SEVERITY_OF: Final[Mapping[Category, Severity]] = {
    "transient": "warning",
    "permanent": "error",
    "timeout": "error",
}


class AgentError(Exception):
    """What a capability raises when it could not do what was asked.

    A *transient* error is tried again, not before ``retry_after_ms``; a *permanent* one is not. A code with
    ``RATE_LIMITED`` in it does not use up tries, but a budget of waiting. Attributes are facts for a handler to branch
    on, as texts.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        category: Category = "permanent",
        severity: Severity | None = None,
        retry_after_ms: int | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.category: Category = category
        self.severity: Severity = severity or _SEVERITY_OF[category]
        self.retry_after_ms = retry_after_ms
        self.attributes = {str(name): str(value) for name, value in (attributes or {}).items()}

    @property
    def is_rate_limit(self) -> bool:
        """Whether the service asked to be left alone for a while."""
        return "RATE_LIMITED" in self.code

    def retold(self, code: str, message: str) -> AgentError:
        """The same error under another code and message; what decides about retries stays."""
        return AgentError(
            code,
            message,
            category=self.category,
            severity=self.severity,
            retry_after_ms=self.retry_after_ms,
            attributes=self.attributes,
        )

    def to_data(self) -> dict[str, Any]:
        """The error as it is stored and shown; ``from_data`` gives it back."""
        data: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "category": self.category,
            "severity": self.severity,
        }
        if self.retry_after_ms is not None:
            data["retryAfterMs"] = self.retry_after_ms
        return data | ({"attributes": self.attributes} if self.attributes else {})

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> AgentError:
        """The error again. A category or severity of another version becomes the cautious one of ours."""
        severity = data.get("severity")
        return cls(
            str(data.get("code", "CAPABILITY_ERROR")),
            str(data.get("message", "")),
            category=_known_category(data.get("category")),
            severity=severity if severity in get_args(Severity) else None,
            retry_after_ms=data.get("retryAfterMs"),
            attributes=data.get("attributes"),
        )

    @classmethod
    def of(cls, error: Exception) -> AgentError:
        """The agent error in an exception: itself, in a group, or behind it as its cause.

        Any other exception is a fault of the capability, which no second try mends: ``CAPABILITY_ERROR``.
        """
        found = next((inner for inner in _layers(error) if isinstance(inner, cls)), None)
        if found is not None:
            return found
        kind = type(error).__name__
        return cls("CAPABILITY_ERROR", f"{kind}: {error}", attributes={"exception": kind})


def _known_category(category: Any) -> Category:
    return category if category in ("transient", "timeout") else "permanent"


def _layers(error: BaseException) -> Iterator[BaseException]:
    yield error
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _layers(inner)
    if error.__cause__ is not None:
        yield from _layers(error.__cause__)
