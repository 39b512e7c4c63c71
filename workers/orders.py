"""What comes of an order to the writer."""

from __future__ import annotations

from typing import Any

from dispersy.errors import StorageError, UsageError

Ticket = Any
"""What the caller wants back with the outcome of an order."""
Outcome = tuple[Ticket, dict[str, Any] | StorageError | UsageError]
