// Points of the charts from the selected rows, in one panel per setting.
const PANELS = 6;
const POINTS = 2000;
const LEADERS = 3; // methods named per tile
const SETTING = ["run", "level", "device", "timer", "dtype", "mode", "threads", "batch", "channels", "res", "seed", "env"];
const AXIS_TEXTS = {
  res: (value) => `${value} px`,
  channels: (value) => `${value} channels`,
  batch: (value) => `batch ${value}`,
  threads: (value) => (value === 1 ? "1 thread" : `${value} threads`),
  timer: (value) => `timed ${value}`,
  seed: (value) => `seed ${value}`,
  mode: (value) => ({ infer: "inference", train: "training step" })[value],
  env: (value) => `environment ${value}`,
};
const OMITTED = ["run", "level", "timer", "seed", "env"]; // not part of a title if they do not vary
const axisText = (name, row) => (AXIS_TEXTS[name] ?? String)(values[name][row]);

// Groups rows by the varying axes of their setting, except the axes of the chart: [title, rows], sorted by these axes.
function panels(rows, chartAxes) {
  const axes = SETTING.filter((name) => !chartAxes.includes(name));
  const varying = axes.filter((name) => distinct(name, rows).length > 1);
  const shown = varying.length ? varying : axes.filter((name) => !OMITTED.includes(name));
  const orders = varying.map((name) => compared(name, false));
  const ordered = [...rows].sort((a, b) => orders.reduce((result, order) => result || order(a, b), 0));
  return [...Map.groupBy(ordered, (row) => shown.map((name) => axisText(name, row)).join(", "))];
}

function point(row, name) {
  return { row, series: values[name][row], what: described(row, name), ...island.styles[values[name][row]] };
}

function described(row, name) {
  return `${values[name][row]}, ${axisText("res", row)}, ${axisText("channels", row)}`;
}

// Both ends of an interval under these names; nothing without an interval.
function ends(name, row, low, high) {
  const spread = columns.get(name).spread;
  return spread ? { [low]: values[spread.lo][row], [high]: values[spread.hi][row] } : {};
}

function present(rows, ...names) {
  return rows.filter((row) => names.every((name) => values[name][row] !== null));
}

// Values along one axis of the sweep, for settings with at least two values on it.
function scaling(rows) {
  const axis = { res: "side", channels: "channels", kernel: "kernel" }[state.tab];
  const name = state.tab === "kernel" ? "series" : "label";
  const swept = panels(present(rows, axis, state.y), [state.tab]).filter(([, own]) => distinct(axis, own).length > 1);
  const points = swept.map(([panel, own]) => [
    panel,
    own
      .sort(compared(axis, false))
      .map((row) => ({ ...point(row, name), x: values[axis][row], y: values[state.y][row], ...ends(state.y, row, "lo", "hi") }))
      .concat(crossing(own)),
  ]);
  const empty = `Nothing to draw: no setting of the selected cells has ${columns.get(state.y).title} at two ${tabs[state.tab].toLowerCase()} values.`;
  return { spec: "scaling", points, x: axis, y: state.y, ticks: distinct(axis, swept.flatMap(([, own]) => own)), empty };
}

// The range of kernel sizes of the crossover in the setting of these rows, if known and if several methods are shown.
function crossing(rows) {
  const matches = (entry) => Object.entries(entry.setting).every(([name, value]) => values[name][rows[0]] === value);
  const both = state.tab === "kernel" && state.y === "latency_ms" && distinct("series", rows).length > 1;
  const known = both ? island.crossings.filter(matches) : [];
  return known.map(({ from, to }) => ({ x: from, x2: to, crossing: `crossing: ${from} to ${to} px` }));
}

function roofline(rows) {
  const points = panels(present(rows, "flop_per_byte", "gflop_per_s"), ["res", "channels", "batch"]).map(([panel, own]) => {
    const drawn = own.map((row) => ({ ...point(row, "label"), x: values.flop_per_byte[row], y: values.gflop_per_s[row] }));
    return [panel, [...drawn, ...roofsOver(own, drawn)]];
  });
  return { spec: "roofline", points, x: "flop_per_byte", y: "gflop_per_s", empty: "Nothing to draw: no selected cell has operations, bytes and a latency." };
}

// The roofs for the machine and precision of these rows, over the horizontal range of the points.
function roofsOver(rows, drawn) {
  const roofs = [...horizontalRoofs(rows), ...slopedRoofs(rows)];
  const [left, right] = [Math.min(...drawn.map(({ x }) => x)) / 1.5, Math.max(...drawn.map(({ x }) => x)) * 1.5];
  const rates = roofs.filter((roof) => roof.rate).map((roof) => roof.rate);
  const top = Math.max(...(rates.length ? rates : drawn.map(({ y }) => y)));
  return roofs.map((roof) => {
    const end = roof.rate ? right : Math.min(right, top / roof.bandwidth);
    const at = (x) => roof.rate ?? roof.bandwidth * x;
    return { roof: roof.name, x: left, y: at(left), x2: end, y2: at(end) };
  });
}

// Peak rates of products and transforms.
function horizontalRoofs([row]) {
  const key = { run: values.run[row], env: values.env[row], where: `${values.device[row]}/${values.threads[row]}`, dtype: values.dtype[row] };
  return island.roofs.filter((roof) => Object.entries(key).every(([name, value]) => roof[name] === value));
}

// Bandwidths of copies of the size of the smallest and the largest cell.
function slopedRoofs(rows) {
  const known = present(rows, "bytes_min", "copy_gb_per_s").sort(compared("bytes_min", false));
  const ends = new Map([known.at(0), known.at(-1)].filter((row) => row !== undefined).map((row) => [values.bytes_min[row], values.copy_gb_per_s[row]]));
  return [...ends].map(([size, bandwidth]) => ({ bandwidth, name: `${short(bandwidth)} GB/s, a copy of ${short(size)} MB` }));
}

// The value of a column, negated if higher is better.
function cost(name, row) {
  return columns.get(name).better === "higher" ? -values[name][row] : values[name][row];
}

// The Pareto-optimal rows.
function front(rows, across, up) {
  const ordered = [...rows].sort((a, b) => cost(across, a) - cost(across, b) || cost(up, a) - cost(up, b));
  const optimal = new Set();
  let [best, last] = [Infinity, null];
  for (const row of ordered) {
    const equal = last !== null && cost(across, row) === cost(across, last) && cost(up, row) === cost(up, last);
    if (cost(up, row) >= best && !equal) continue;
    optimal.add(row);
    [best, last] = [cost(up, row), row];
  }
  return optimal;
}

// Accuracies that are not significantly above the trivial accuracy are excluded from the front.
function eligible(row) {
  return ![state.across, state.up].some((name) => columns.get(name).metric === "accuracy") || values.above_trivial[row] === 1;
}

function pareto(rows) {
  const { across, up } = state;
  const points = panels(present(rows, across, up), []).map(([panel, own]) => {
    const optimal = front(own.filter(eligible), across, up);
    const position = (row) => ({ x: values[across][row], y: values[up][row], ...ends(across, row, "xlo", "xhi"), ...ends(up, row, "lo", "hi") });
    return [panel, own.sort(compared(across, false)).map((row) => ({ ...point(row, "label"), ...position(row), ...(optimal.has(row) && { front: true }) }))];
  });
  return { spec: "pareto", points, x: across, y: up, empty: "Nothing to draw: no selected cell has a value in both columns." };
}

// The fastest methods at each resolution and number of channels, with their ranks among all methods of the setting.
function ranks(rows) {
  const points = panels(present(rows, "place", "latency_ms"), ["res", "channels"]).map(([panel, own]) => [
    panel,
    [...Map.groupBy(own.sort(compared("side", false)), (row) => `${values.res[row]} ${values.channels[row]}`).values()].map(winner),
  ]);
  return { spec: "ranks", points, x: "res", y: "channels", empty: "Nothing to draw: no selected cell has a latency." };
}

function winner(rows) {
  const ordered = [...rows].sort(compared("latency_ms", false));
  const [first] = ordered;
  const tied = (row) => ordered.filter((other) => other !== row && values.place[other] === values.place[row]);
  const leaders = ordered.slice(0, LEADERS).map((row) => `${values.place[row]}${tied(row).length ? "=" : ""} ${values.label[row]}`);
  const drawn = { ...point(first, "label"), x: values.res[first], y: values.channels[first], name: leaders.join("\n") };
  return { ...drawn, what: `${drawn.what}: ${leaders.join(", ")}`, tied: tied(first).map((row) => values.label[row]) };
}
