// Renders the page once per change of the state.
let waiting = false;
let typing = 0;

// Updates the state; several updates within one frame are rendered together. Returns to the first page unless given another.
function change(update) {
  state = { ...state, page: "1", ...update };
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    history.replaceState(null, "", `#${hashOf(state)}`);
    show();
  });
}

function show() {
  const rows = selectedRows();
  document.documentElement.dataset.theme = state.theme;
  byId("theme").value = state.theme;
  byId("size").value = state.size;
  showFilters();
  showTabs();
  showTable(rows);
  return showChart(rows);
}

function showTabs() {
  for (const tab of byId("tabs").children) {
    const selected = tab.dataset.tab === state.tab;
    tab.setAttribute("aria-selected", selected);
    tab.tabIndex = selected ? 0 : -1;
    if (selected) byId("chart-panel").setAttribute("aria-labelledby", tab.id);
  }
  const axes = { pareto: { across: "Horizontal", up: "Vertical" }, roofline: {}, ranks: {} }[state.tab] ?? { y: "Vertical" };
  for (const label of byId("axes").children) {
    label.hidden = !(label.dataset.axis in axes);
    label.querySelector("select").value = state[label.dataset.axis];
  }
}

function makeTabs() {
  const buttons = Object.entries(tabs).map(([name, textContent]) => {
    const tab = element("button", { type: "button", id: `tab-${name}`, textContent });
    tab.dataset.tab = name;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", "chart-panel");
    tab.addEventListener("click", () => change({ tab: name, page: state.page }));
    return tab;
  });
  byId("tabs").replaceChildren(...buttons);
  byId("tabs").addEventListener("keydown", (event) => moveBetweenTabs(event, buttons));
}

// Arrow keys, Home and End select tabs, as specified for tab lists by WAI-ARIA.
function moveBetweenTabs(event, buttons) {
  const from = buttons.indexOf(document.activeElement);
  const to = { ArrowRight: from + 1, ArrowLeft: from - 1, Home: 0, End: buttons.length - 1 }[event.key];
  if (to === undefined) return;
  const next = buttons[(to + buttons.length) % buttons.length];
  event.preventDefault();
  next.focus();
  next.click();
}

function makeAxes() {
  const axes = { y: "Vertical axis", across: "Horizontal axis", up: "Vertical axis" };
  for (const [axis, title] of Object.entries(axes)) {
    const select = element("select", { id: axis }, ...comparable.map((name) => element("option", { value: name, textContent: titled(name), title: columns.get(name).meaning })));
    select.addEventListener("change", () => change({ [axis]: select.value, page: state.page }));
    const label = element("label", {}, `${title} `, select);
    label.dataset.axis = axis;
    byId("axes").append(label);
  }
}

function makeRuns() {
  const entries = island.runs.flatMap((run) => [
    element("h3", { textContent: run.date ? `${run.name}, ${run.date}` : run.name }),
    element("p", { textContent: `Baseline: ${run.baseline}. Reproduce:` }),
    ...run.commands.map(([command, commit]) => element("pre", {}, element("code", { textContent: command }), commit ? ` at commit ${commit}` : "")),
    ...run.envs.map((id) => element("p", { textContent: `Environment ${id}: ${island.envs[id]}` })),
  ]);
  byId("runs").append(...entries);
}

// Shows the link in a text field if the clipboard is not available.
async function copyLink() {
  const link = byId("link");
  link.value = location.href;
  try {
    await navigator.clipboard.writeText(location.href);
    byId("copied").textContent = "Copied.";
  } catch {
    link.hidden = false;
    link.select();
    byId("copied").textContent = "Copy the link from this field:";
  }
}

// The address was edited. The hash is read from the event, because a pending change may have overwritten the address.
function follow(event) {
  clearTimeout(typing);
  change(read(new URL(event.newURL).hash));
}

function listen() {
  byId("copy").addEventListener("click", copyLink);
  byId("reset").addEventListener("click", () => change({ ...initial, theme: state.theme }));
  byId("theme").addEventListener("change", (event) => change({ theme: event.target.value, page: state.page }));
  byId("size").addEventListener("change", (event) => change({ size: event.target.value }));
  byId("search").addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(() => change({ search: event.target.value }), 150);
  });
  byId("columns").addEventListener("toggle", fillColumns);
  addEventListener("hashchange", follow);
  addEventListener("beforeprint", showForPrint);
  addEventListener("afterprint", show);
  document.addEventListener("click", closeMenus);
  document.addEventListener("keydown", closeMenus);
  new ResizeObserver(resized(byId("chart").clientWidth)).observe(byId("chart"));
}

// Redraws the chart after its width has changed and is stable.
function resized(width) {
  let timer = 0;
  return () => {
    if (byId("chart").clientWidth === width) return;
    width = byId("chart").clientWidth;
    clearTimeout(timer);
    timer = setTimeout(() => showChart(selectedRows()), 200);
  };
}

byId("filters").append(...filterMenus());
makeTabs();
makeAxes();
makeRuns();
listen();
await show();
