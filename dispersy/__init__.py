"""Dispersy, the Distributed Permission System: communities without servers."""

from importlib.util import find_spec

# The kernels lie in another folder of the source tree, so that only an installation makes the package whole.
if find_spec(f"{__name__}.ext") is None:
    raise ImportError(
        f"{__path__[0]} is a source folder whose kernels have not been built; to work in it type: "
        "python -m pip install -e .   (and to use an installed dispersy, run Python from another folder)"
    )
