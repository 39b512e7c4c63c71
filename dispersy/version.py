"""The version of Dispersy; pyproject.toml takes it from here, so no process looks for its own package."""

VERSION = "3.0.0.dev0"
