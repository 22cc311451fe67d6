// Draws the selected chart: fills its specification and adds legend and notes.
const NOTES = 12;
const FITTED = " ~ n^a: power law fitted by least squares on logarithms; ± reflects the deviation from a power law, not the measurement errors.";
const CROSSING =
  " Shaded: from the last kernel size with a significantly faster direct form to the first with a faster Fourier form. The crossing within it is unknown, because the ratio jumps if a library leaves its fast path between two sizes.";
const drawings = { res: scaling, channels: scaling, kernel: scaling, roofline, pareto, ranks };
let view = null; // Vega view of the chart
let turn = 0; // number of the latest drawing; older drawings are dropped

async function showChart(rows) {
  const current = ++turn;
  byId("chart").setAttribute("aria-busy", "true");
  const drawing = drawings[state.tab](rows);
  const panels = drawing.points.slice(0, PANELS);
  const points = panels.flatMap(([panel, own]) => own.map((point) => ({ ...point, panel })));
  const excess = points.length > POINTS ? `${points.length.toLocaleString("en")} points are too many to draw: filter to ${POINTS.toLocaleString("en")} or fewer.` : "";
  byId("caption").textContent = excess || (points.length ? captionOf(drawing, panels, points) : drawing.empty);
  const drawn = excess ? [] : points;
  showLegend(drawn);
  showNotes(drawing, rows);
  await embed(drawing, drawn, panels.length, current);
  if (current === turn) byId("chart").setAttribute("aria-busy", "false");
}

async function embed(drawing, points, panels, current) {
  view?.finalize();
  view = null;
  if (!points.length) return byId("chart").replaceChildren();
  const spec = filled(structuredClone(island.specs[drawing.spec]), drawing, points, panels);
  const holder = element("div");
  const result = await vegaEmbed(holder, spec, { mode: "vega-lite", renderer: "svg", ast: true, actions: false, tooltip: showTip });
  if (current !== turn) return result.finalize();
  view = result.view;
  holder.querySelector("svg").setAttribute("aria-label", `Chart: ${byId("caption").textContent} The table has the same values.`);
  byId("chart").replaceChildren(holder);
  focusOn(state.focus);
}

// Panels of equal size in rows, as many per row as fit into the window.
function filled(spec, drawing, points, panels) {
  const available = byId("chart").clientWidth;
  const perRow = Math.max(Math.min(panels, 3, Math.floor(available / 300)), 1);
  spec.columns = perRow;
  spec.spec.width = Math.floor((available - 65 - 25 * (perRow - 1)) / perRow);
  spec.spec.height = panels > 1 ? 240 : Math.min(Math.max(spec.spec.width * 0.6, 240), 430);
  if (drawing.spec === "ranks") spec.spec.height = 70 * new Set(points.map(({ y }) => y)).size;
  spec.facet.sort = drawing.points.map(([panel]) => panel);
  Object.assign(spec.facet.header, panels > 1 ? { labelLimit: spec.spec.width } : { labelExpr: "''" });
  spec.data = { name: "points", values: points };
  spec.spec.layer = spec.spec.layer.filter((layer) => points.some((point) => point[layer.description] != null));
  for (const layer of spec.spec.layer) setAxes(layer, drawing, points);
  return spec;
}

function setAxes({ encoding, mark }, drawing, points) {
  for (const axis of ["x", "y"].filter((name) => encoding[name].field)) {
    const channel = encoding[axis];
    channel.title = titled(drawing[axis]);
    if (channel.scale) Object.assign(channel.scale, scaleOf(drawing[axis], points.map((point) => point[axis]).filter((value) => value !== undefined)));
    if (axis === "x" && channel.axis && drawing.ticks?.length <= 12) channel.axis.values = drawing.ticks;
  }
  if (mark.angle && columns.get(drawing.y).better === "higher") mark.angle = 35; // away from the step line
  if (mark.interpolate) mark.interpolate = columns.get(drawing.x).better === "higher" ? "step-before" : "step-after";
}

// A linear scale for percentages and for values that are not positive, else a logarithmic scale.
function scaleOf(name, drawn) {
  return columns.get(name).unit === "%" || drawn.some((value) => value <= 0) ? { type: "linear", zero: false } : { type: "log" };
}

function captionOf({ spec, x, y }, panels, points) {
  const setting = panels.length > 1 ? "" : ` Setting: ${panels[0][0]}.`;
  const fitted = [...bySeries(points).values()].some(exponentText);
  const captions = {
    scaling: `${titled(y)}, against ${titled(x)}; bars are 95% intervals.${fitted ? FITTED : ""}${points.some((point) => point.crossing) ? CROSSING : ""}`,
    roofline: "Operations per second against operations per byte of compulsory traffic; direct forms count only taps inside the map. Lines are the peak rates of the machine: products, transforms, and copies of the size of the smallest and the largest cell.",
    pareto: `${titled(y)}, against ${titled(x)}; filled and named: the Pareto front of the selected cells, per panel.`,
    ranks: "The fastest of the selected cells at each resolution and number of channels, in the colour of the fastest method. The number is the rank among all methods of the setting; = marks ties with another selected method.",
  };
  return captions[spec] + setting;
}

// A legend with keyboard access, which Vega does not provide, and with the exponent of each line.
function showLegend(points) {
  const items = [...bySeries(points)].sort(([a], [b]) => collator.compare(a, b)).map(([name, own]) => {
    const button = element("button", { type: "button" }, swatch(island.styles[name]), name + exponentText(own));
    button.dataset.series = name;
    button.addEventListener("click", () => change({ focus: state.focus === name ? "" : name, page: state.page }));
    return element("li", {}, button);
  });
  byId("legend").replaceChildren(...items);
}

function bySeries(points) {
  return Map.groupBy(points.filter((point) => point.series), (point) => point.series);
}

// The exponent of a line; "" if the series is in several panels.
function exponentText(points) {
  const onePanel = drawings[state.tab] === scaling && distinctOf(points, "panel") === 1;
  const fitted = onePanel && distinctOf(points, "x") > 1 && points.every(({ x, y }) => x > 0 && y > 0) ? exponent(points) : null;
  if (!fitted) return "";
  return ` ~ n^${fitted.slope.toFixed(2)}${fitted.half === undefined ? "" : ` ±${fitted.half.toFixed(2)}`}`;
}

function distinctOf(points, name) {
  return new Set(points.map((point) => point[name])).size;
}

// Least-squares slope of the logarithms and the half-width of its 95% t-interval, which needs three points.
function exponent(points) {
  const [xs, ys] = [points.map(({ x }) => Math.log(x)), points.map(({ y }) => Math.log(y))];
  const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
  const [mx, my] = [mean(xs), mean(ys)];
  const spread = xs.reduce((sum, x) => sum + (x - mx) ** 2, 0);
  const slope = xs.reduce((sum, x, index) => sum + (x - mx) * (ys[index] - my), 0) / spread;
  const residual = ys.reduce((sum, y, index) => sum + (y - my - slope * (xs[index] - mx)) ** 2, 0);
  const freedom = points.length - 2;
  if (!freedom) return { slope };
  return { slope, half: (island.t95[freedom - 1] ?? island.t95.at(-1)) * Math.sqrt(residual / freedom / spread) };
}

function swatch({ colour, shape, dash }) {
  const svg = svgElement("svg", { viewBox: "-3 -1.5 6 3", width: 30, height: 15, "aria-hidden": "true" });
  const line = svgElement("line", { x1: -3, x2: 3, y1: 0, y2: 0, stroke: colour, "stroke-width": 0.35 });
  line.setAttribute("stroke-dasharray", dash.map((length) => length / 5).join(" "));
  svg.append(line, svgElement("path", { d: shape, fill: colour }));
  return svg;
}

function svgElement(name, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

function focusOn(series) {
  for (const button of byId("legend").querySelectorAll("button")) button.setAttribute("aria-pressed", button.dataset.series === series);
  const known = [...byId("legend").querySelectorAll("button")].some((button) => button.dataset.series === series);
  view?.signal("focus", known ? series : "").runAsync();
}

// Notes on what is not drawn: excess panels and failed cells.
function showNotes(drawing, rows) {
  const hidden = drawing.points.length - PANELS;
  const failed = rows.filter((row) => [drawing.x, drawing.y].some((name) => columns.get(name).metric && statusOf(columns.get(name), row)));
  const varying = SETTING.filter((name) => !["res", "channels"].includes(name) && distinct(name, rows).length > 1);
  const cellText = (row) => [described(row, "label"), ...varying.filter((name) => values[name][row] !== null).map((name) => axisText(name, row))].join(", ");
  const notes = failed.slice(0, NOTES).map((row) => `Not shown: ${cellText(row)} (${statusOf(columns.get(drawing.y), row) ?? statusOf(columns.get(drawing.x), row)})`);
  if (failed.length > NOTES) notes.push(`Not shown: ${failed.length - NOTES} more, listed in the table.`);
  if (drawing.spec === "pareto") notes.unshift(...drawing.points.slice(0, PANELS).map(frontText));
  if (hidden > 0) notes.unshift(`${PANELS} of ${drawing.points.length} settings are shown: select others with the filters.`);
  byId("notes").replaceChildren(...notes.map((textContent) => element("li", { textContent })));
}

function frontText([panel, points]) {
  const optimal = points.filter((point) => point.front).map((point) => point.series);
  return `Pareto front, ${panel}: ${optimal.join(", ") || "none"}`;
}

// Called by Vega with the row under the pointer, or with nothing.
function showTip(_, event, item) {
  const row = item?.datum?.row;
  byId("tip").hidden = row === undefined;
  if (row === undefined) return;
  byId("tip").replaceChildren(element("strong", { textContent: values.label[row] }), element("dl", {}, ...tipLines(row, item.datum).flatMap(([term, detail]) => [element("dt", { textContent: term }), element("dd", { textContent: detail })])));
  const box = byId("tip").getBoundingClientRect();
  byId("tip").style.left = `${Math.max(Math.min(event.clientX + 14, innerWidth - box.width - 8), 4)}px`;
  byId("tip").style.top = `${Math.max(Math.min(event.clientY + 14, innerHeight - box.height - 8), 4)}px`;
}

function tipLines(row, datum) {
  const { x, y } = { res: { y: state.y }, channels: { y: state.y }, kernel: { y: state.y }, pareto: { x: state.across, y: state.up } }[state.tab] ?? {};
  const shown = [...new Set([x, y, "latency_ms", ...(state.tab === "roofline" ? ["gflop_per_s", "flop_per_byte", "pct_of_limit", "bound"] : [])])];
  const setting = SETTING.filter((name) => !OMITTED.includes(name) && values[name][row] !== null).map((name) => axisText(name, row)).join(", ");
  return [
    ...shown.filter((name) => name && values[name]?.[row] !== null).map((name) => [columns.get(name).title, withUnit(name, row)]),
    ["rounds", values.rounds[row] === null ? "" : text("rounds", row)],
    ["seeds", values.accuracy_seeds[row] === null || state.tab !== "pareto" ? "" : text("accuracy_seeds", row)],
    ["tied with", (datum.tied ?? []).join(", ")],
    ["remark", values.reason[row]],
    ["setting", setting],
    ["run", values.run[row]],
    ["environment", island.envs[values.env[row]] ?? values.env[row]],
  ].filter(([, detail]) => detail);
}
