"""Blocks of pages: both printers print the same table, and each escapes the special characters of its format."""

import re

import pytest

from bench.report import markdown
from bench.report.blocks import (
    PARETO,
    Bold,
    Code,
    Emphasis,
    Footnotes,
    Heading,
    Image,
    Items,
    Link,
    Mark,
    Paragraph,
    Quote,
    Table,
    join,
    separated,
)
from bench.report.export import latex

HOSTILE = "a_b|c&d<e>%f\\g*h#i$j{k}~l^m`n"
ESCAPES = {  # of LaTeX, the characters that it prints otherwise than with a backslash
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textasciigrave{}": "`",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"$\pm$": "±",
    r"$\diamond$": PARETO,
}


def unescaped(text, pattern, escapes, special):
    """Return the plain text. Fails if a special character is not escaped."""
    assert not set(re.sub(pattern, "", text)) & set(special), text
    return re.sub(pattern, lambda match: escapes.get(match[0], match[0][1:]), text)


def from_markdown(text, special="\\`*_|<&"):
    return unescaped(text, r"\\[\\`*_|]|&lt;|&amp;", {"&lt;": "<", "&amp;": "&"}, special)


def from_latex(text):
    return unescaped(text, "|".join([*map(re.escape, ESCAPES), r"\\[#$%&_{}]"]), ESCAPES, "\\#$%&_{}~^`<>|±◆")


def cells_of_markdown(page):
    """Return the cells of each line of a table, including its head."""
    lines = [line for line in page.splitlines() if line.startswith("|") and not line.startswith("|:")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def cells_of_latex(page):
    lines = [line.removesuffix(r" \\") for line in page.splitlines() if line.endswith(r"\\")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)&", line)] for line in lines]


def example():
    notes = Footnotes()
    lines = [
        {"method": HOSTILE, "vs a_b, %": "1.00 ±9.5%", "memory, MB": "3"},
        {"method": "b", "vs a_b, %": join(Bold(join("0.5", notes.mark(HOSTILE))), f" {PARETO}")},
        {"method": Code("c`|_\\"), "memory, MB": notes.failure("oom", "50% of <8> GB")},
    ]
    return Table(lines, legend=f"{PARETO} front", notes=notes.texts)


def test_both_printers_print_the_same_cells():
    in_markdown, in_latex = cells_of_markdown(markdown.table(example())), cells_of_latex(latex.table(example(), ""))
    assert [len(row) for row in in_markdown] == [len(row) for row in in_latex] == [3, 3, 3, 3]
    assert [from_markdown(cell) for cell in in_markdown[0]] == [from_latex(cell) for cell in in_latex[0]] == example().columns
    assert from_markdown(in_markdown[1][0]) == from_latex(in_latex[1][0]) == HOSTILE
    assert from_markdown(in_markdown[1][1]) == from_latex(in_latex[1][1]) == "1.00 ±9.5%"
    assert (in_markdown[2][1], in_latex[2][1]) == ("**0.5<sup>1</sup>** ◆", r"\textbf{0.5\textsuperscript{1}} $\diamond$")
    assert (in_markdown[3][0], in_latex[3][0]) == (
        "`` c`\\|_\\ ``",
        r"\texttt{c\textasciigrave{}\textbar{}\_\textbackslash{}}",
    ), "no escapes in code, except of the bar in a table"
    assert (in_markdown[3][2], in_latex[3][2]) == ("*oom*<sup>2</sup>", r"\textit{oom}\textsuperscript{2}")
    assert (in_markdown[2][2], in_latex[2][2]) == (in_markdown[3][1], in_latex[3][1]) == ("", ""), "missing cells are empty"


def test_both_printers_print_the_same_notes():
    texts = HOSTILE, "oom: 50% of <8> GB"
    legend, empty, *notes = markdown.table(example()).splitlines()[-4:]
    assert (legend, empty) == ("◆ front", "")
    for number, (note, text) in enumerate(zip(notes, texts, strict=True), 1):
        assert note.startswith(f"<sup>{number}</sup> ") and note.endswith("  ")
        assert from_markdown(note[len("<sup>1</sup> ") : -2], special="\\`*_<&") == text, "a bar is special in tables only"
    legend, *notes = latex.table(example(), "").splitlines()[-4:-1]
    assert legend == r"\par $\diamond$ front"
    for number, (note, text) in enumerate(zip(notes, texts, strict=True), 1):
        assert from_latex(note.removeprefix(rf"\par \textsuperscript{{{number}}} ")) == text


def test_both_printers_align_the_same_columns():
    table = Table([{"#": "1", "method": "a", "way": "b", "x": "2"}], left=("method", "way"))
    assert r"\begin{tabular}{rllr}" in latex.table(table, "")
    assert re.search(r"^\|-+:\|:-+\|:-+\|-+:\|$", markdown.table(table), re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "in_markdown", "in_latex"),
    [
        ("two\n  lines", "two lines", "two lines"),
        ("99 ±>50", "99 ±>50", r"99 $\pm$\textgreater{}50"),
        (r"\*", r"\\\*", r"\textbackslash{}*"),
        (Code("a*b*_c"), "`a*b*_c`", r"\texttt{a*b*\_c}"),
        (Code("`a``"), "``` `a`` ```", r"\texttt{\textasciigrave{}a\textasciigrave{}\textasciigrave{}}"),
        (Emphasis("not_run"), r"*not\_run*", r"\textit{not\_run}"),
        (("a", Mark(1), Mark(2)), "a<sup>1</sup><sup>2</sup>", r"a\textsuperscript{1}\textsuperscript{2}"),
        (Link("a_b", "a_b.md"), r"[a\_b](a_b.md)", r"a\_b"),
        ("", "", ""),
    ],
)
def test_inline_text(text, in_markdown, in_latex):
    assert (markdown.inline(text), latex.inline(text)) == (in_markdown, in_latex)


def test_blocks_in_markdown():
    page = [
        Heading(1, "a_b"),
        Quote(("by ", Code("x|y"))),
        Paragraph("1 < 2", "*as*\nwritten\n"),
        Items([]),
        Items(["a", ("b ", Code("c"))]),
        Image("a*b", "a%20b.svg"),
    ]
    assert markdown.document(page) == ("# a\\_b\n\n> by `x|y`\n\n1 &lt; 2\n*as*\nwritten\n\n- a\n- b `c`\n\n![a\\*b](a%20b.svg)\n")


def test_latex_has_the_tables_and_list_items_of_a_page():
    table = Table([{"method": "a"}])
    page = [Heading(2, "run_1"), Items([("Reproduce: ", Code("run 'a_b%\n'"))]), Paragraph("text"), Quote("q"), table]
    head, comment, empty, *lines = latex.document(page).splitlines()
    assert (head, comment, empty) == (latex.HEAD, "% - Reproduce: `run 'a_b% '`", ""), "no escapes in comments"
    assert lines == latex.table(table, "run_1").splitlines()
    assert latex.document([Heading(2, "a"), Paragraph("text")]) == latex.HEAD + "\n"


def test_captions_are_the_headings_above_a_table():
    first, second = Table([{"x": "1"}]), Table([{"y": "2"}])
    page = [
        Heading(1, "page"),
        Heading(2, "run"),
        Heading(3, "a"),
        Heading(4, "1 px"),
        first,
        Heading(3, ("b ", Code("e_1"))),
        second,
    ]
    captions = [latex.inline(caption) for _, caption in latex.captioned(page)]
    assert captions == ["run. a. 1 px", r"run. b \texttt{e\_1}"]
    assert list(latex.captioned([first])) == [(first, "")]


def test_empty_texts_are_not_joined():
    assert join("", "") == "" == separated([], ", ")
    assert join("", "a", "") == "a" == separated(["a"], ", ")
    assert join("a", Mark(1)) == ("a", Mark(1))
    assert markdown.inline(separated([Code("a"), "b"], ", ")) == "`a`, b"
