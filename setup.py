"""The Cython kernels and the directives they are compiled with; all other metadata is in pyproject.toml.

DISPERSY_CYTHON_DEBUG=1 builds the same kernels with bounds checks, for the second run of their tests.
"""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("DISPERSY_CYTHON_DEBUG") == "1"
KERNELS = ("bloom", "digest", "table", "udp", "verify", "wire")

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
        depends=["ext/records.h", "ext/murmur3.h", "ext/sodium.pxi"],
        extra_compile_args=["-O1", "-g", "-UNDEBUG"] if DEBUG else ["-O3"],
    )
    for name in KERNELS
    if os.path.exists(f"ext/{name}.pyx")
]

setup(ext_modules=cythonize(extensions, compiler_directives=directives, force=DEBUG, build_dir="build/cython"))
