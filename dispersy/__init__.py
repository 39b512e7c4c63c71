"""Dispersy, the Distributed Permission System: communities without servers.

What applications need is here, and is loaded when it is first asked for: the processes of a node import this
package, too, and none of it.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dispersy.aio import AsyncClient as AsyncClient
    from dispersy.client import Client as Client
    from dispersy.community import BlockingCommunity as BlockingCommunity
    from dispersy.community import Community as Community
    from dispersy.community import kind as kind
    from dispersy.declaration import direct as direct
    from dispersy.declaration import dynamic as dynamic
    from dispersy.declaration import full_sync as full_sync
    from dispersy.declaration import last_sync as last_sync
    from dispersy.declaration import n_hop as n_hop
    from dispersy.declaration import policy as policy
    from dispersy.declaration import relay as relay
    from dispersy.errors import DispersyError as DispersyError
    from dispersy.errors import StorageError as StorageError
    from dispersy.errors import UsageError as UsageError
    from dispersy.governance import Governed as Governed
    from dispersy.messages import Event as Event
    from dispersy.messages import Published as Published
    from dispersy.typed_messages import TypedMessage as TypedMessage

_HOMES = {
    "aio": ("AsyncClient",),
    "client": ("Client",),
    "community": ("BlockingCommunity", "Community", "kind"),
    "declaration": (
        "direct",
        "dynamic",
        "full_sync",
        "last_sync",
        "n_hop",
        "policy",
        "relay",
    ),
    "errors": ("DispersyError", "StorageError", "UsageError"),
    "governance": ("Governed",),
    "messages": ("Event", "Published"),
    "typed_messages": ("TypedMessage",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)

# The kernels lie in another folder of the source tree, so that only an installation makes the package whole.
if find_spec(f"{__name__}.ext") is None:
    raise ImportError(
        f"{__path__[0]} is a source folder whose kernels have not been built; to work in it type: "
        "python -m pip install -e .   (and to use an installed dispersy, run Python from another folder)"
    )

# A type checker reads the imports above instead, and then knows which names there are not.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        module = _HOME_OF.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOME_OF})
