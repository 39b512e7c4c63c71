"""The Cython kernels and the directives they are compiled with; all other metadata is in pyproject.toml.

DISPERSY_CYTHON_DEBUG=1 builds the same kernels with bounds checks, for the second run of their tests.
DISPERSY_CYTHON_CACHE names a folder from which the same C code is taken once more, for builds without end.
"""

import os
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("DISPERSY_CYTHON_DEBUG") == "1"
KERNELS = ("bloom", "digest", "rows", "sketch", "table", "udp", "verify", "wire")

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
        extra_compile_args=["-O0", "-g0", "-UNDEBUG"] if DEBUG else ["-O3", "-g0"],
    )
    for name in KERNELS
]

# The two builds share no file, and neither takes an older one for its own: a compiler's flags have no date.
build = "build/debug" if DEBUG else "build"
cores = os.cpu_count() or 1
setup(
    ext_modules=cythonize(
        extensions,
        compiler_directives=directives,
        build_dir=f"{build}/cython",
        cache=os.environ.get("DISPERSY_CYTHON_CACHE", False),
    ),
    # A compiler takes a quarter of a gigabyte: small machines have more cores than room for them.
    options={"build": {"build_base": build}, "build_ext": {"force": True, "parallel": min(2, cores)}},
)
