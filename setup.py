"""The Cython kernels and the directives they are compiled with; all other metadata is in pyproject.toml.

DISPERSY_CYTHON_DEBUG=1 builds the same kernels with bounds checks, for the second run of their tests.
"""

import os
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("DISPERSY_CYTHON_DEBUG") == "1"
KERNELS = ("bloom", "digest", "sketch", "table", "udp", "verify", "wire")

directives = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": DEBUG,
    "initializedcheck": DEBUG,
    "cdivision": not DEBUG,
    "freethreading_compatible": False,
}

extensions = [
    Extension(
        f"dispersy.ext.{name}",
        [f"ext/{name}.pyx"],
        include_dirs=["ext"],
        depends=glob("ext/*.h") + glob("ext/*.pxi"),
        extra_compile_args=["-O1", "-g", "-UNDEBUG"] if DEBUG else ["-O3", "-g0"],
    )
    for name in KERNELS
]

# The two builds share no file, and neither takes an older one for its own: a compiler's flags have no date.
build = "build/debug" if DEBUG else "build"
setup(
    ext_modules=cythonize(extensions, compiler_directives=directives, build_dir=f"{build}/cython"),
    options={"build": {"build_base": build}, "build_ext": {"force": True}},
)
