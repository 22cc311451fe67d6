// The chosen chart: its points into the specification, its axes named, its legend and its notes below.
const NOTES = 12;
const FITTED = " ~ n^a: the power law that fits a line, by least squares on logarithms; ± says how far the points are from it, not how well each is known.";
const CROSSING =
  " Shaded: from the last kernel size at which the direct form is told to be faster to the first from which on the Fourier form is. Where in it they cross is not known: between two sizes a library may leave its fast path, and the ratio jumps.";
const drawings = { res: scaling, channels: scaling, kernel: scaling, roofline, pareto, ranks };
let view = null; // of Vega, while a chart is shown
let turn = 0; // a drawing that a later one overtook is dropped

async function showChart(rows) {
  const mine = ++turn;
  byId("chart").setAttribute("aria-busy", "true");
  const drawing = drawings[state.tab](rows);
  const panels = drawing.points.slice(0, PANELS);
  const points = panels.flatMap(([panel, own]) => own.map((one) => ({ ...one, panel })));
  const refused = points.length > POINTS ? `${points.length.toLocaleString("en")} points are too many to read: filter to ${POINTS.toLocaleString("en")} or fewer.` : "";
  byId("caption").textContent = refused || (points.length ? captionOf(drawing, panels, points) : drawing.lacking);
  const drawn = refused ? [] : points;
  showLegend(drawn);
  showNotes(drawing, rows);
  await embed(drawing, drawn, panels.length, mine);
  if (mine === turn) byId("chart").setAttribute("aria-busy", "false");
}

async function embed(drawing, points, panels, mine) {
  view?.finalize();
  view = null;
  if (!points.length) return byId("chart").replaceChildren();
  const spec = filled(structuredClone(island.specs[drawing.spec]), drawing, points, panels);
  const holder = element("div");
  const made = await vegaEmbed(holder, spec, { mode: "vega-lite", renderer: "svg", ast: true, actions: false, tooltip: showTip });
  if (mine !== turn) return made.finalize();
  view = made.view;
  holder.querySelector("svg").setAttribute("aria-label", `Chart: ${byId("caption").textContent} The table holds the same figures.`);
  byId("chart").replaceChildren(holder);
  focusOn(state.focus);
}

// Panels of one size beside each other, as many as the window has room for.
function filled(spec, drawing, points, panels) {
  const room = byId("chart").clientWidth;
  const across = Math.max(Math.min(panels, 3, Math.floor(room / 300)), 1);
  spec.columns = across;
  spec.spec.width = Math.floor((room - 65 - 25 * (across - 1)) / across);
  spec.spec.height = panels > 1 ? 240 : Math.min(Math.max(spec.spec.width * 0.6, 240), 430);
  if (drawing.spec === "ranks") spec.spec.height = 70 * new Set(points.map(({ y }) => y)).size;
  spec.facet.sort = drawing.points.map(([panel]) => panel);
  Object.assign(spec.facet.header, panels > 1 ? { labelLimit: spec.spec.width } : { labelExpr: "''" });
  spec.data = { name: "points", values: points };
  spec.spec.layer = spec.spec.layer.filter((layer) => points.some((point) => point[layer.description] != null));
  for (const layer of spec.spec.layer) named(layer, drawing, points);
  return spec;
}

function named({ encoding, mark }, drawing, points) {
  for (const axis of ["x", "y"].filter((one) => encoding[one].field)) {
    const channel = encoding[axis];
    channel.title = titled(drawing[axis]);
    if (channel.scale) Object.assign(channel.scale, scaleOf(drawing[axis], points.map((point) => point[axis]).filter((value) => value !== undefined)));
    if (axis === "x" && channel.axis && drawing.ticks?.length <= 12) channel.axis.values = drawing.ticks;
  }
  if (mark.angle && columns.get(drawing.y).better === "higher") mark.angle = 35; // away from the stairs
  if (mark.interpolate) mark.interpolate = columns.get(drawing.x).better === "higher" ? "step-before" : "step-after";
}

// Shares of a hundred stand on an even scale, as does what is not above zero.
function scaleOf(name, drawn) {
  return columns.get(name).unit === "%" || drawn.some((value) => value <= 0) ? { type: "linear", zero: false } : { type: "log" };
}

function captionOf({ spec, x, y }, panels, points) {
  const setting = panels.length > 1 ? "" : ` Setting: ${panels[0][0]}.`;
  const fitted = [...bySeries(points).values()].some(exponentText);
  const words = {
    scaling: `${titled(y)}, against ${titled(x)}; bars are 95% intervals.${fitted ? FITTED : ""}${points.some((point) => point.crossing) ? CROSSING : ""}`,
    roofline: "Operations a second against operations a byte of compulsory traffic; of a direct form the taps inside the map count. Lines are the best rates of the machine: of products, of transforms, and of copies as large as the smallest and the largest cell.",
    pareto: `${titled(y)}, against ${titled(x)}; filled and named: the Pareto front of the chosen cells, each panel its own.`,
    ranks: "The fastest of the chosen cells at each resolution and number of channels, in the colour of the first. A number is the place among all methods of the setting; = is shared by another of the chosen.",
  };
  return words[spec] + setting;
}

// Without a chart's own legend: one that the keyboard reaches, with the exponent of a line.
function showLegend(points) {
  const items = [...bySeries(points)].sort(([one], [other]) => collator.compare(one, other)).map(([name, own]) => {
    const button = element("button", { type: "button" }, swatch(island.looks[name]), name + exponentText(own));
    button.dataset.series = name;
    button.addEventListener("click", () => change({ focus: state.focus === name ? "" : name, page: state.page }));
    return element("li", {}, button);
  });
  byId("legend").replaceChildren(...items);
}

function bySeries(points) {
  return Map.groupBy(points.filter((point) => point.series), (point) => point.series);
}

// Of a line that is in one panel alone.
function exponentText(points) {
  const alone = drawings[state.tab] === scaling && distinctOf(points, "panel") === 1;
  const fitted = alone && distinctOf(points, "x") > 1 && points.every(({ x, y }) => x > 0 && y > 0) ? exponent(points) : null;
  if (!fitted) return "";
  return ` ~ n^${fitted.slope.toFixed(2)}${fitted.half === undefined ? "" : ` ±${fitted.half.toFixed(2)}`}`;
}

function distinctOf(points, name) {
  return new Set(points.map((point) => point[name])).size;
}

// Slope of the logarithms by least squares, and half of its 95% t-interval, which needs three points.
function exponent(points) {
  const [xs, ys] = [points.map(({ x }) => Math.log(x)), points.map(({ y }) => Math.log(y))];
  const mean = (list) => list.reduce((sum, one) => sum + one, 0) / list.length;
  const [mx, my] = [mean(xs), mean(ys)];
  const across = xs.reduce((sum, x) => sum + (x - mx) ** 2, 0);
  const slope = xs.reduce((sum, x, index) => sum + (x - mx) * (ys[index] - my), 0) / across;
  const left = ys.reduce((sum, y, index) => sum + (y - my - slope * (xs[index] - mx)) ** 2, 0);
  const freedom = points.length - 2;
  if (!freedom) return { slope };
  return { slope, half: (island.t95[freedom - 1] ?? island.t95.at(-1)) * Math.sqrt(left / freedom / across) };
}

function swatch({ colour, shape, dash }) {
  const svg = svgElement("svg", { viewBox: "-3 -1.5 6 3", width: 30, height: 15, "aria-hidden": "true" });
  const line = svgElement("line", { x1: -3, x2: 3, y1: 0, y2: 0, stroke: colour, "stroke-width": 0.35 });
  line.setAttribute("stroke-dasharray", dash.map((length) => length / 5).join(" "));
  svg.append(line, svgElement("path", { d: shape, fill: colour }));
  return svg;
}

function svgElement(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function focusOn(series) {
  for (const button of byId("legend").querySelectorAll("button")) button.setAttribute("aria-pressed", button.dataset.series === series);
  const known = [...byId("legend").querySelectorAll("button")].some((button) => button.dataset.series === series);
  view?.signal("focus", known ? series : "").runAsync();
}

// What is not drawn, and why: panels too many, and cells that failed.
function showNotes(drawing, rows) {
  const left = drawing.points.length - PANELS;
  const failed = rows.filter((row) => [drawing.x, drawing.y].some((name) => columns.get(name).metric && statusOf(columns.get(name), row)));
  const vary = SETTING.filter((name) => !["res", "channels"].includes(name) && distinct(name, rows).length > 1);
  const where = (row) => [described(row, "label"), ...vary.filter((name) => values[name][row] !== null).map((name) => said(name, row))].join(", ");
  const told = failed.slice(0, NOTES).map((row) => `Not shown: ${where(row)} (${statusOf(columns.get(drawing.y), row) ?? statusOf(columns.get(drawing.x), row)})`);
  if (failed.length > NOTES) told.push(`Not shown: ${failed.length - NOTES} more; the table names them.`);
  if (drawing.spec === "pareto") told.unshift(...drawing.points.slice(0, PANELS).map(frontText));
  if (left > 0) told.unshift(`${PANELS} of ${drawing.points.length} settings are shown: choose others with the filters.`);
  byId("notes").replaceChildren(...told.map((textContent) => element("li", { textContent })));
}

function frontText([panel, points]) {
  const kept = points.filter((point) => point.front).map((point) => point.series);
  return `Front, ${panel}: ${kept.join(", ") || "none"}`;
}

// Vega calls this with the row under the pointer, or with nothing.
function showTip(_, event, item) {
  const row = item?.datum?.row;
  byId("tip").hidden = row === undefined;
  if (row === undefined) return;
  byId("tip").replaceChildren(element("strong", { textContent: values.label[row] }), element("dl", {}, ...tipLines(row, item.datum).flatMap(([term, said]) => [element("dt", { textContent: term }), element("dd", { textContent: said })])));
  const box = byId("tip").getBoundingClientRect();
  byId("tip").style.left = `${Math.max(Math.min(event.clientX + 14, innerWidth - box.width - 8), 4)}px`;
  byId("tip").style.top = `${Math.max(Math.min(event.clientY + 14, innerHeight - box.height - 8), 4)}px`;
}

function tipLines(row, datum) {
  const { x, y } = { res: { y: state.y }, channels: { y: state.y }, kernel: { y: state.y }, pareto: { x: state.across, y: state.up } }[state.tab] ?? {};
  const figures = [...new Set([x, y, "latency_ms", ...(state.tab === "roofline" ? ["gflop_per_s", "flop_per_byte", "pct_of_limit", "bound"] : [])])];
  const setting = SETTING.filter((name) => !OBVIOUS.includes(name) && values[name][row] !== null).map((name) => said(name, row)).join(", ");
  return [
    ...figures.filter((name) => name && values[name]?.[row] !== null).map((name) => [columns.get(name).title, withUnit(name, row)]),
    ["rounds", values.rounds[row] === null ? "" : text("rounds", row)],
    ["seeds", values.accuracy_seeds[row] === null || state.tab !== "pareto" ? "" : text("accuracy_seeds", row)],
    ["shares its place with", (datum.beside ?? []).join(", ")],
    ["remark", values.reason[row]],
    ["setting", setting],
    ["run", values.run[row]],
    ["environment", island.envs[values.env[row]] ?? values.env[row]],
  ].filter(([, said]) => said);
}
