// Everything chosen, and the part of the address that keeps it: only what differs from the page as it opens.
const tabs = {
  res: "Resolution",
  channels: "Channels",
  kernel: "Kernel size",
  roofline: "Roofline",
  pareto: "Pareto front",
  ranks: "Who is fastest",
};
const { filters, compared: comparable, opened } = island.choices;
const usual = {
  ...Object.fromEntries(filters.map((name) => [name, []])),
  ...opened,
  search: "",
  sort: "latency_ms",
  down: "",
  page: "1",
  size: "100",
  tab: "res",
  focus: "",
  theme: "auto",
};
const known = Object.fromEntries(filters.map((name) => [name, new Set(distinct(name).map(String))]));
const allowed = {
  columns: columns,
  sort: columns,
  down: new Set(["", "1"]),
  size: new Set(["25", "100", "500"]),
  tab: new Map(Object.entries(tabs)),
  theme: new Set(["auto", "light", "dark"]),
  y: new Set(comparable),
  across: new Set(comparable),
  up: new Set(comparable),
};
let state = read(location.hash);

// A list that is chosen empty is written as one empty value, for its absence means the usual one.
function written(chosen) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(chosen)) {
    if (String(value) === String(usual[name])) continue;
    for (const one of Array.isArray(value) && value.length ? value : [value]) words.append(name, one);
  }
  return words.toString();
}

// A filter keeps what does not exist here, as a run of an older page: no row fits it, rather than every row.
function read(hash) {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  const chosen = { ...usual };
  for (const name of Object.keys(usual)) {
    if (!words.has(name)) continue;
    const fit = words.getAll(name).filter((one) => (filters.includes(name) ? one : !allowed[name] || allowed[name].has(one)));
    if (Array.isArray(usual[name])) chosen[name] = fit;
    else if (fit.length) chosen[name] = fit[0];
  }
  return chosen;
}

// How many of the chosen values of filters no row has.
function strangers() {
  return filters.reduce((sum, name) => sum + state[name].filter((one) => !known[name].has(one)).length, 0);
}

// The rows that the filters leave, in the order of the table.
function chosenRows() {
  const active = filters.filter((name) => state[name].length).map((name) => [values[name], new Set(state[name])]);
  const wanted = state.search.trim().toLowerCase();
  return everyRow.filter((row) => active.every(([column, set]) => set.has(String(column[row]))) && (!wanted || found(row, wanted)));
}

function found(row, wanted) {
  return ["label", "method", "reason"].some((name) => (values[name][row] ?? "").toLowerCase().includes(wanted));
}
