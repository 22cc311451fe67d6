"""The charts as Vega-Lite specifications, made with altair; the page puts the points in and names the axes.

A point has x and y and some of: lo, hi, xlo, xhi (the intervals), series, colour, shape, dash, panel (its setting), row (of the
table), what (in words), front (true), roof and crossing (the texts at that line and that band).
"""

from __future__ import annotations

from typing import Any

import altair as alt

INK = "currentColor"  # of the page: light or dark, and black on paper
PLAIN: Any = None  # a scale that takes colours, paths and dashes as they stand in the data
FOCUS = "focus == '' || datum.series == focus"
ZOOM = "wheel![event.ctrlKey || event.shiftKey || event.metaKey]"  # the bare wheel scrolls the page
X = alt.X("x:Q", title="", scale=alt.Scale(type="log", nice=False, padding=12), axis=alt.Axis(format="~r"))
Y = alt.Y("y:Q", title="", scale=alt.Scale(type="log", nice=False, padding=12), axis=alt.Axis(format="~r"))
TOLD: dict[str, Any] = {"description": alt.Description("what:N"), "tooltip": alt.Tooltip("row:Q")}
COLOUR = alt.Color("colour:N", scale=PLAIN, legend=None)


def specs() -> dict[str, dict[str, Any]]:
    """Every chart by name."""
    made = {
        "scaling": panels(line(), bars("y"), markers(), *crossings()),
        "roofline": panels(markers(), roofs(), roof_names()),
        "pareto": panels(markers(filled=False), bars("x"), bars("y"), steps(), markers(of="front"), names()),
        "ranks": panels(*tiles(), zoom=False),
    }
    return {name: chart.to_dict() for name, chart in made.items()}


def base(needed: str) -> Any:
    """A layer of the points that have a field; its description names it, for the page leaves out a layer without points.

    It has no data of its own: a facet shares out only those of the facet.
    """
    return alt.Chart(description=needed).transform_filter(f"isValid(datum.{needed})").encode(x=X, y=Y)


def faded() -> Any:
    """Full for the series in focus, and for all while none is."""
    return alt.condition(FOCUS, alt.value(1), alt.value(0.12))


def line() -> Any:
    dash = alt.StrokeDash("dash:N", scale=PLAIN, legend=None)
    return base("series").mark_line(strokeWidth=2).encode(color=COLOUR, strokeDash=dash, detail="series:N", opacity=faded())


def bars(along: str) -> Any:
    """The interval along one axis."""
    upright = along == "y"
    ends = {"y": alt.Y("lo:Q", title=""), "y2": "hi:Q"} if upright else {"x": alt.X("xlo:Q", title=""), "x2": "xhi:Q"}
    ruled = base("lo" if upright else "xlo").mark_rule(strokeWidth=1.5)
    return ruled.encode(color=COLOUR, opacity=faded(), **ends)


def markers(filled: bool = True, of: str = "series") -> Any:
    shape = alt.Shape("shape:N", scale=PLAIN, legend=None)
    points = base(of).mark_point(filled=filled, size=70, strokeWidth=1.5, opacity=1)
    return points.encode(color=COLOUR, shape=shape, opacity=faded(), **TOLD)


def steps() -> Any:
    """The front, as the stairs that bound what is beaten; the page turns them by the sense of the horizontal axis."""
    stairs = base("front").mark_line(interpolate="step-after", strokeWidth=1.2, strokeDash=[4, 3])
    return stairs.encode(color=alt.value(INK), opacity=alt.value(0.7))


def names() -> Any:
    """The methods of the front, by name."""
    text = base("front").mark_text(align="left", angle=325, dx=10, fontSize=12)
    return text.encode(text="series:N", color=alt.value(INK), opacity=faded())


def crossings() -> tuple[Any, Any]:
    """The kernel sizes, from x to x2, between which the Fourier form becomes the faster."""
    crossing = base("crossing").encode(y=alt.value(0), color=alt.value(INK))
    band = crossing.mark_rect(opacity=0.12).encode(x2="x2:Q", y2=alt.value("height"))
    return band, crossing.mark_text(align="left", baseline="top", dx=4, dy=4, fontSize=11).encode(text="crossing:N")


def roofs() -> Any:
    ends = {"x2": "x2:Q", "y2": "y2:Q"}
    return base("roof").mark_rule(strokeWidth=1.5).encode(**ends, color=alt.value(INK), opacity=alt.value(0.55))


def roof_names() -> Any:
    text = base("roof").mark_text(align="left", dx=4, dy=-7, fontSize=11)
    return text.encode(text="roof:N", color=alt.value(INK))


def tiles() -> tuple[Any, Any]:
    """One tile a resolution and channels: in the colour of the fastest, named."""
    across = alt.X("x:O", sort=PLAIN, title="", axis=alt.Axis(labelAngle=0))
    grid: Any = alt.Chart(description="name").encode(x=across, y=alt.Y("y:O", sort="descending", title=""))
    tile = grid.mark_rect(fillOpacity=0.3, strokeWidth=2)
    fill = alt.Fill("colour:N", scale=PLAIN, legend=None)
    stroke = alt.Stroke("colour:N", scale=PLAIN, legend=None)
    named = grid.mark_text(fontSize=12, lineBreak="\n", baseline="middle", lineHeight=15, dy=-15).encode(
        text="name:N", color=alt.value(INK)
    )
    return tile.encode(fill=fill, stroke=stroke, opacity=faded(), **TOLD), named


def panels(*layers: Any, zoom: bool = True) -> Any:
    """The layers once a setting, with one pair of axes that zooms and pans."""
    chart = alt.layer(*layers)
    chart = chart.add_params(alt.selection_interval(bind="scales", zoom=ZOOM)) if zoom else chart
    header = alt.Header(labelFontSize=13, labelColor=INK, title=None)
    faceted = chart.facet(facet=alt.Facet("panel:N", sort=PLAIN, header=header, title=None), data=alt.NamedData(name="points"))
    axis: dict[str, Any] = {f"{part}Color": INK for part in ("domain", "tick", "label", "title", "grid")}
    shown = faceted.add_params(alt.param(name="focus", value=""))
    return (
        shown.configure(background="transparent", font="inherit")
        .configure_axis(**axis, gridOpacity=0.12, labelFontSize=12, titleFontSize=13, titleFontWeight="normal", labelOverlap=True)
        .configure_view(stroke=INK, strokeOpacity=0.2)
    )
