"""Goal: a node and its clients agree on where the sockets are, also when they are of different users."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dispersy.errors import UsageError
from dispersy.locations import home_path, is_held, runtime_path
from dispersy.service.home.home import create_home, create_runtime, demand_home, is_under_service_manager


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that stands for /run/dispersy."""
    folder = tmp_path / "run" / "dispersy"
    for module in ("dispersy.locations", "dispersy.service.home.home"):
        monkeypatch.setattr(f"{module}.SERVICE_RUNTIME", folder)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "user"))
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    return folder


def test_a_node_of_a_user(service: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the user's runtime folder, or below /tmp; folders of other services change nothing."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/application")
    assert runtime_path(tmp_path / "home").parent == tmp_path / "user" / "dispersy"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert runtime_path(tmp_path / "home").parent == Path(f"/tmp/dispersy-{os.getuid()}")
    assert not service.exists()


def test_a_service_and_a_client_of_another_user(
    service: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service is told its folder; the client, which is not, finds it there while the node runs."""
    service.mkdir(parents=True, mode=0o755)
    service.chmod(0o755)
    home = tmp_path / "home"
    as_client = runtime_path(home)
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"/run/more:{service}")
    as_node = runtime_path(home)
    assert as_node.parent == service
    create_runtime(as_node)
    assert as_node.stat().st_mode & 0o777 == 0o700
    # Whom the service manager lets in there is its owner's choice.
    assert service.stat().st_mode & 0o777 == 0o755
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    assert runtime_path(home) == as_node
    as_node.rmdir()
    assert runtime_path(home) == as_client


def test_a_home_that_is_closed_to_us_may_have_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its sockets can tell."""

    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr("dispersy.locations.os.open", refuse)
    assert is_held(tmp_path)


@pytest.mark.parametrize(
    ("environment", "managed"),
    [
        ({}, False),
        ({"NOTIFY_SOCKET": "/run/systemd/notify"}, True),
        ({"INVOCATION_ID": "1"}, True),
        ({"INVOCATION_ID": "1", "SYSTEMD_EXEC_PID": str(os.getpid())}, True),
        ({"INVOCATION_ID": "1", "SYSTEMD_EXEC_PID": "1"}, False),
    ],
)
def test_a_terminal_that_is_a_service_is_no_service_manager(
    environment: dict[str, str], managed: bool
) -> None:
    """Desktops start terminals as services, and their variables reach every command."""
    assert is_under_service_manager(environment) is managed


def test_a_path_that_is_no_text_is_said(tmp_path: Path) -> None:
    """Status and settings could not name it."""
    with pytest.raises(UsageError, match=r"not UTF-8 text"):
        home_path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))


def test_an_empty_folder_is_no_home(tmp_path: Path) -> None:
    """systemd makes the folder of a service's state before the node is started."""
    home, _ = create_home(tmp_path / "home")
    with pytest.raises(UsageError, match="no home") as caught:
        demand_home(home.path)
    assert caught.value.code == "home-missing"
    assert str(home.path) in caught.value.hint
    home.config.write_text("")
    demand_home(home.path)
