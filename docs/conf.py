"""Sphinx configuration. The reference pages are generated from the sources before each build."""

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "generate"), str(HERE.parent)]

from writer import write  # noqa: E402

project = "Large-kernel bench"
author = "The authors of large-kernel-bench"
extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["reference/contract.md", "reference/hooks.md"]  # included by other pages
nitpicky = True
smartquotes = False  # quotes belong to option values such as "split"
html_theme = "furo"
html_title = project
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["site.css"]


def setup(app: Any) -> None:
    app.connect("builder-inited", lambda app: write(Path(app.srcdir) / "reference"))
