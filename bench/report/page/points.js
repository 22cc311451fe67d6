// What a chart draws: points of the rows that are chosen, in panels, one a setting.
const PANELS = 6;
const POINTS = 2000;
const LEADERS = 3; // named in a tile
const SETTING = ["run", "level", "device", "timer", "dtype", "mode", "threads", "batch", "channels", "res", "seed", "env"];
const SAYS = {
  res: (value) => `${value} px`,
  channels: (value) => `${value} channels`,
  batch: (value) => `batch ${value}`,
  threads: (value) => (value === 1 ? "1 thread" : `${value} threads`),
  timer: (value) => `timed ${value}`,
  seed: (value) => `seed ${value}`,
  mode: (value) => ({ infer: "inference", train: "training step" })[value],
  env: (value) => `environment ${value}`,
};
const OBVIOUS = ["run", "level", "timer", "seed", "env"]; // left unsaid where they do not vary
const said = (name, row) => (SAYS[name] ?? String)(values[name][row]);

// Each row's setting in words: all axes that vary, but for those that the chart itself has; [title, rows] in the order of the axes.
function panels(rows, along) {
  const axes = SETTING.filter((name) => !along.includes(name));
  const vary = axes.filter((name) => distinct(name, rows).length > 1);
  const shown = vary.length ? vary : axes.filter((name) => !OBVIOUS.includes(name));
  const orders = vary.map((name) => compared(name, false));
  const ordered = [...rows].sort((one, other) => orders.reduce((found, order) => found || order(one, other), 0));
  return [...Map.groupBy(ordered, (row) => shown.map((name) => said(name, row)).join(", "))];
}

function point(row, name) {
  return { row, series: values[name][row], what: described(row, name), ...island.looks[values[name][row]] };
}

function described(row, name) {
  return `${values[name][row]}, ${said("res", row)}, ${said("channels", row)}`;
}

// Both ends of an interval, under these names; nothing where there is none.
function ends(name, row, low, high) {
  const spread = columns.get(name).spread;
  return spread ? { [low]: values[spread.lo][row], [high]: values[spread.hi][row] } : {};
}

function present(rows, ...names) {
  return rows.filter((row) => names.every((name) => values[name][row] !== null));
}

// Figures along one axis of the sweep; a setting with one value on it has no line.
function scaling(rows) {
  const axis = { res: "side", channels: "channels", kernel: "kernel" }[state.tab];
  const name = state.tab === "kernel" ? "series" : "label";
  const found = panels(present(rows, axis, state.y), [state.tab]).filter(([, own]) => distinct(axis, own).length > 1);
  const points = found.map(([panel, own]) => [
    panel,
    own
      .sort(compared(axis, false))
      .map((row) => ({ ...point(row, name), x: values[axis][row], y: values[state.y][row], ...ends(state.y, row, "lo", "hi") }))
      .concat(crossing(own)),
  ]);
  const lacking = `Nothing to draw: no setting of the chosen cells has ${columns.get(state.y).title} at two ${tabs[state.tab].toLowerCase()} values.`;
  return { spec: "scaling", points, x: axis, y: state.y, ticks: distinct(axis, found.flatMap(([, own]) => own)), lacking };
}

// Between which sizes the Fourier form begins to win in the setting of these rows, if that is known and both forms are among them.
function crossing(rows) {
  const fits = (one) => Object.entries(one.setting).every(([name, value]) => values[name][rows[0]] === value);
  const both = state.tab === "kernel" && state.y === "latency_ms" && distinct("series", rows).length > 1;
  const known = both ? island.crossings.filter(fits) : [];
  return known.map((one) => ({ x: one.from, x2: one.to, crossing: `crossing: ${one.from} to ${one.to} px` }));
}

function roofline(rows) {
  const found = panels(present(rows, "flop_per_byte", "gflop_per_s"), ["res", "channels", "batch"]);
  const points = found.map(([panel, own]) => {
    const drawn = own.map((row) => ({ ...point(row, "label"), x: values.flop_per_byte[row], y: values.gflop_per_s[row] }));
    return [panel, [...drawn, ...roofsOver(own, drawn)]];
  });
  return { spec: "roofline", points, x: "flop_per_byte", y: "gflop_per_s", lacking: "Nothing to draw: no chosen cell has operations, bytes and a latency." };
}

// The roofs of the machine and the precision of these rows, from the left of the points to their right.
function roofsOver(rows, drawn) {
  const mine = [...levels(rows), ...slopes(rows)];
  const [left, right] = [Math.min(...drawn.map(({ x }) => x)) / 1.5, Math.max(...drawn.map(({ x }) => x)) * 1.5];
  const rates = mine.filter((roof) => roof.rate).map((roof) => roof.rate);
  const top = Math.max(...(rates.length ? rates : drawn.map(({ y }) => y)));
  return mine.map((roof) => {
    const end = roof.rate ? right : Math.min(right, top / roof.bandwidth);
    const at = (x) => roof.rate ?? roof.bandwidth * x;
    return { roof: roof.name, x: left, y: at(left), x2: end, y2: at(end) };
  });
}

// Of operations: products and transforms.
function levels([row]) {
  const mine = { run: values.run[row], env: values.env[row], where: `${values.device[row]}/${values.threads[row]}`, dtype: values.dtype[row] };
  return island.roofs.filter((roof) => Object.entries(mine).every(([name, value]) => roof[name] === value));
}

// Of bytes: copies as large as the smallest and as the largest cell.
function slopes(rows) {
  const known = present(rows, "bytes_min", "copy_gb_per_s").sort(compared("bytes_min", false));
  const ends = new Map([known.at(0), known.at(-1)].filter((row) => row !== undefined).map((row) => [values.bytes_min[row], values.copy_gb_per_s[row]]));
  return [...ends].map(([size, bandwidth]) => ({ bandwidth, name: `${short(bandwidth)} GB/s, a copy of ${short(size)} MB` }));
}

// Costs as they are, gains with their sign turned: the less the better.
function costs(name, row) {
  return columns.get(name).better === "higher" ? -values[name][row] : values[name][row];
}

// The rows that no other beats: none is as good in both and better in one.
function front(rows, across, up) {
  const ordered = [...rows].sort((a, b) => costs(across, a) - costs(across, b) || costs(up, a) - costs(up, b));
  const kept = new Set();
  let [best, last] = [Infinity, null];
  for (const row of ordered) {
    const equal = last !== null && costs(across, row) === costs(across, last) && costs(up, row) === costs(up, last);
    if (costs(up, row) >= best && !equal) continue;
    kept.add(row);
    [best, last] = [costs(up, row), row];
  }
  return kept;
}

// An accuracy that is not told from its floor is no gain.
function eligible(row) {
  return ![state.across, state.up].some((name) => columns.get(name).metric === "accuracy") || values.above_floor[row] === 1;
}

function pareto(rows) {
  const { across, up } = state;
  const points = panels(present(rows, across, up), []).map(([panel, own]) => {
    const kept = front(own.filter(eligible), across, up);
    const placed = (row) => ({ x: values[across][row], y: values[up][row], ...ends(across, row, "xlo", "xhi"), ...ends(up, row, "lo", "hi") });
    return [panel, own.sort(compared(across, false)).map((row) => ({ ...point(row, "label"), ...placed(row), ...(kept.has(row) && { front: true }) }))];
  });
  return { spec: "pareto", points, x: across, y: up, lacking: "Nothing to draw: no chosen cell has a value in both columns." };
}

// The fastest at each resolution and number of channels, with their places among all methods of the setting.
function ranks(rows) {
  const points = panels(present(rows, "place", "latency_ms"), ["res", "channels"]).map(([panel, own]) => [
    panel,
    [...Map.groupBy(own.sort(compared("side", false)), (row) => `${values.res[row]} ${values.channels[row]}`).values()].map(winner),
  ]);
  return { spec: "ranks", points, x: "res", y: "channels", lacking: "Nothing to draw: no chosen cell has a latency." };
}

function winner(rows) {
  const ordered = [...rows].sort(compared("latency_ms", false));
  const [first] = ordered;
  const beside = (row) => ordered.filter((other) => other !== row && values.place[other] === values.place[row]);
  const named = ordered.slice(0, LEADERS).map((row) => `${values.place[row]}${beside(row).length ? "=" : ""} ${values.label[row]}`);
  const drawn = { ...point(first, "label"), x: values.res[first], y: values.channels[first], name: named.join("\n") };
  return { ...drawn, what: `${drawn.what}: ${named.join(", ")}`, beside: beside(first).map((row) => values.label[row]) };
}
