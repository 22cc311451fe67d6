"""Operators behind one registry: every module of this folder that registers a class is a method.

Importing this package costs no torch: `catalogue()` reads the decorators as text, `get(name)` imports the modules.
"""

from methods.catalogue import Entry
from methods.registry import (
    Method,
    UnknownMethod,
    Unsupported,
    catalogue,
    get,
    load_file,
    names,
    register,
)

__all__ = [
    "Entry",
    "Method",
    "UnknownMethod",
    "Unsupported",
    "catalogue",
    "get",
    "load_file",
    "names",
    "register",
]
