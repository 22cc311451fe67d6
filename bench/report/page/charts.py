"""Charts as Vega-Lite specifications, made with altair; the page inserts the points and the titles of the axes.

A point has x and y and some of: lo, hi, xlo, xhi (intervals), series, colour, shape, dash, panel (its setting), row (of the table),
what (description), front (true on the Pareto front), roof and crossing (texts of a roof and of a crossover band).
"""

from __future__ import annotations

from typing import Any

import altair as alt

INK = "currentColor"  # text colour of the page: light or dark, black in print
IDENTITY: Any = None  # a scale that uses colours, paths and dashes from the data
FOCUS = "focus == '' || datum.series == focus"
ZOOM = "wheel![event.ctrlKey || event.shiftKey || event.metaKey]"  # the wheel without a key scrolls the page
X = alt.X("x:Q", title="", scale=alt.Scale(type="log", nice=False, padding=12), axis=alt.Axis(format="~r"))
Y = alt.Y("y:Q", title="", scale=alt.Scale(type="log", nice=False, padding=12), axis=alt.Axis(format="~r"))
TOOLTIP: dict[str, Any] = {"description": alt.Description("what:N"), "tooltip": alt.Tooltip("row:Q")}
COLOUR = alt.Color("colour:N", scale=IDENTITY, legend=None)


def specs() -> dict[str, dict[str, Any]]:
    """Return all charts by name."""
    charts = {
        "scaling": panels(line(), bars("y"), markers(), *crossings()),
        "roofline": panels(markers(), roofs(), roof_names()),
        "pareto": panels(markers(filled=False), bars("x"), bars("y"), steps(), markers(of="front"), names()),
        "ranks": panels(*tiles(), zoom=False),
    }
    return {name: chart.to_dict() for name, chart in charts.items()}


def base(needed: str) -> Any:
    """Return a layer of the points that have a field.

    The description of the layer is the field, by which the page drops layers without points. The data are those of the facet.
    """
    return alt.Chart(description=needed).transform_filter(f"isValid(datum.{needed})").encode(x=X, y=Y)


def focus_opacity() -> Any:
    """Return an opacity that fades all series but the one in focus."""
    return alt.condition(FOCUS, alt.value(1), alt.value(0.12))


def line() -> Any:
    """Return a line per series."""
    dash = alt.StrokeDash("dash:N", scale=IDENTITY, legend=None)
    return base("series").mark_line(strokeWidth=2).encode(color=COLOUR, strokeDash=dash, detail="series:N", opacity=focus_opacity())


def bars(along: str) -> Any:
    """Return error bars along one axis."""
    vertical = along == "y"
    ends = {"y": alt.Y("lo:Q", title=""), "y2": "hi:Q"} if vertical else {"x": alt.X("xlo:Q", title=""), "x2": "xhi:Q"}
    rules = base("lo" if vertical else "xlo").mark_rule(strokeWidth=1.5)
    return rules.encode(color=COLOUR, opacity=focus_opacity(), **ends)


def markers(filled: bool = True, of: str = "series") -> Any:
    """Return markers of the points that have the field `of`."""
    shape = alt.Shape("shape:N", scale=IDENTITY, legend=None)
    points = base(of).mark_point(filled=filled, size=70, strokeWidth=1.5, opacity=1)
    return points.encode(color=COLOUR, shape=shape, opacity=focus_opacity(), **TOOLTIP)


def steps() -> Any:
    """Return the Pareto front as a step line; the page sets the direction of the steps."""
    stairs = base("front").mark_line(interpolate="step-after", strokeWidth=1.2, strokeDash=[4, 3])
    return stairs.encode(color=alt.value(INK), opacity=alt.value(0.7))


def names() -> Any:
    """Return the names of the methods on the front."""
    text = base("front").mark_text(align="left", angle=325, dx=10, fontSize=12)
    return text.encode(text="series:N", color=alt.value(INK), opacity=focus_opacity())


def crossings() -> tuple[Any, Any]:
    """Return the bands of kernel sizes, from x to x2, between which the Fourier form becomes faster, and their texts."""
    crossing = base("crossing").encode(y=alt.value(0), color=alt.value(INK))
    band = crossing.mark_rect(opacity=0.12).encode(x2="x2:Q", y2=alt.value("height"))
    return band, crossing.mark_text(align="left", baseline="top", dx=4, dy=4, fontSize=11).encode(text="crossing:N")


def roofs() -> Any:
    """Return the lines of the peak rates."""
    ends = {"x2": "x2:Q", "y2": "y2:Q"}
    return base("roof").mark_rule(strokeWidth=1.5).encode(**ends, color=alt.value(INK), opacity=alt.value(0.55))


def roof_names() -> Any:
    """Return the texts of the peak rates."""
    text = base("roof").mark_text(align="left", dx=4, dy=-7, fontSize=11)
    return text.encode(text="roof:N", color=alt.value(INK))


def tiles() -> tuple[Any, Any]:
    """Return one tile per resolution and number of channels, in the colour of the fastest method, and its text."""
    resolution = alt.X("x:O", sort=IDENTITY, title="", axis=alt.Axis(labelAngle=0))
    grid: Any = alt.Chart(description="name").encode(x=resolution, y=alt.Y("y:O", sort="descending", title=""))
    tile = grid.mark_rect(fillOpacity=0.3, strokeWidth=2)
    fill = alt.Fill("colour:N", scale=IDENTITY, legend=None)
    stroke = alt.Stroke("colour:N", scale=IDENTITY, legend=None)
    texts = grid.mark_text(fontSize=12, lineBreak="\n", baseline="middle", lineHeight=15, dy=-15).encode(
        text="name:N", color=alt.value(INK)
    )
    return tile.encode(fill=fill, stroke=stroke, opacity=focus_opacity(), **TOOLTIP), texts


def panels(*layers: Any, zoom: bool = True) -> Any:
    """Return the layers in one panel per setting, on common axes that zoom and pan."""
    chart = alt.layer(*layers)
    chart = chart.add_params(alt.selection_interval(bind="scales", zoom=ZOOM)) if zoom else chart
    header = alt.Header(labelFontSize=13, labelColor=INK, title=None)
    faceted = chart.facet(facet=alt.Facet("panel:N", sort=IDENTITY, header=header, title=None), data=alt.NamedData(name="points"))
    axis: dict[str, Any] = {f"{part}Color": INK for part in ("domain", "tick", "label", "title", "grid")}
    focusable = faceted.add_params(alt.param(name="focus", value=""))
    return (
        focusable.configure(background="transparent", font="inherit")
        .configure_axis(**axis, gridOpacity=0.12, labelFontSize=12, titleFontSize=13, titleFontWeight="normal", labelOverlap=True)
        .configure_view(stroke=INK, strokeOpacity=0.2)
    )
