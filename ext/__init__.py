"""The kernels, compiled from ext/*.pyx: a missing one is an error that says how to build it."""

from importlib.util import find_spec

for _name in ("bloom", "digest", "rows", "sketch", "table", "udp", "verify", "wire"):
    if find_spec(f"{__name__}.{_name}") is None:
        raise ImportError(
            f"the kernel {__name__}.{_name} has not been built; in the source tree type: "
            "python -m pip install -e ."
        )
