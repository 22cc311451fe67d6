// The state of the page, stored in the hash of the address as differences from the initial state.
const tabs = {
  res: "Resolution",
  channels: "Channels",
  kernel: "Kernel size",
  roofline: "Roofline",
  pareto: "Pareto front",
  ranks: "Fastest method",
};
const { filters, compared: comparable, opened } = island.choices;
const initial = {
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

// An empty list is written as one empty value, because an absent name means the initial value.
function hashOf(state) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (String(value) === String(initial[name])) continue;
    for (const item of Array.isArray(value) && value.length ? value : [value]) parameters.append(name, item);
  }
  return parameters.toString();
}

// Unknown values of a filter, such as a run of an older page, are kept: they match no row, while dropping them would match all rows.
function read(hash) {
  const parameters = new URLSearchParams(hash.replace(/^#/, ""));
  const result = { ...initial };
  for (const name of Object.keys(initial)) {
    if (!parameters.has(name)) continue;
    const valid = parameters.getAll(name).filter((value) => (filters.includes(name) ? value : !allowed[name] || allowed[name].has(value)));
    if (Array.isArray(initial[name])) result[name] = valid;
    else if (valid.length) result[name] = valid[0];
  }
  return result;
}

// The number of selected filter values that no row has.
function unknownSelections() {
  return filters.reduce((sum, name) => sum + state[name].filter((value) => !known[name].has(value)).length, 0);
}

// The rows that pass the filters and the search, in the order of the data.
function selectedRows() {
  const active = filters.filter((name) => state[name].length).map((name) => [values[name], new Set(state[name])]);
  const query = state.search.trim().toLowerCase();
  return everyRow.filter((row) => active.every(([column, set]) => set.has(String(column[row]))) && (!query || matches(row, query)));
}

function matches(row, query) {
  return ["label", "method", "reason"].some((name) => (values[name][row] ?? "").toLowerCase().includes(query));
}
