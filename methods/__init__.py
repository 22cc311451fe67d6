"""Registry of operators. Every module of this folder that registers a class adds a method.

`methods.list("niff*")` returns names, `methods.create("niff", channels=64, resolution=56)` builds an operator. Importing this
package and listing names do not import torch: `catalogue()` parses the decorators, `get(name)` imports the modules.
"""

from methods.catalogue import Entry
from methods.registry import (
    Method,
    UnknownMethod,
    Unsupported,
    catalogue,
    create,
    get,
    load_file,
    names,
    register,
)
from methods.registry import list_names as list

__all__ = [
    "Entry",
    "Method",
    "UnknownMethod",
    "Unsupported",
    "catalogue",
    "create",
    "get",
    "list",
    "load_file",
    "names",
    "register",
]
