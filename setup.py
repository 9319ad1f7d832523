"""Only what ``pyproject.toml`` cannot say: the C extension, and that it needs no particular CPython."""

from setuptools import setup

setup(
    cffi_modules=["runtara/_native/_build.py:builder"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
