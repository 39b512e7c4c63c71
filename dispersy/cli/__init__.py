"""The command line: `dispersy`, see app.py."""

from __future__ import annotations

from dispersy.cli.app import main

__all__ = ["main"]
