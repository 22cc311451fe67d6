"""Registry of operators. Every module of this folder that registers a class adds a method.

Importing this package does not import torch: `catalogue()` parses the decorators, `get(name)` imports the modules.
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
