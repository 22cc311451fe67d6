// One change of the state, one rendering of the page.
let waiting = false;
let typing = 0;

// Takes the new choices; several of one moment are shown together. Whatever changes the rows begins at their first page.
function change(chosen) {
  state = { ...state, page: "1", ...chosen };
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    history.replaceState(null, "", `#${written(state)}`);
    show();
  });
}

function show() {
  const rows = chosenRows();
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
    const chosen = tab.dataset.tab === state.tab;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    if (chosen) byId("chart-panel").setAttribute("aria-labelledby", tab.id);
  }
  const axes = { pareto: { across: "Horizontal", up: "Vertical" }, roofline: {}, ranks: {} }[state.tab] ?? { y: "Vertical" };
  for (const label of byId("axes").children) {
    label.hidden = !(label.dataset.axis in axes);
    label.querySelector("select").value = state[label.dataset.axis];
  }
}

function makeTabs() {
  const made = Object.entries(tabs).map(([name, textContent]) => {
    const tab = element("button", { type: "button", id: `tab-${name}`, textContent });
    tab.dataset.tab = name;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", "chart-panel");
    tab.addEventListener("click", () => change({ tab: name, page: state.page }));
    return tab;
  });
  byId("tabs").replaceChildren(...made);
  byId("tabs").addEventListener("keydown", (event) => walk(event, made));
}

// The arrow keys go from tab to tab, as a list of tabs is expected to.
function walk(event, all) {
  const at = all.indexOf(document.activeElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
  if (to === undefined) return;
  const next = all[(to + all.length) % all.length];
  event.preventDefault();
  next.focus();
  next.click();
}

function makeAxes() {
  const axes = { y: "Vertical axis", across: "Horizontal axis", up: "Vertical axis" };
  for (const [axis, words] of Object.entries(axes)) {
    const select = element("select", { id: axis }, ...comparable.map((name) => element("option", { value: name, textContent: titled(name), title: columns.get(name).meaning })));
    select.addEventListener("change", () => change({ [axis]: select.value, page: state.page }));
    const label = element("label", {}, `${words} `, select);
    label.dataset.axis = axis;
    byId("axes").append(label);
  }
}

function makeRuns() {
  const made = island.runs.flatMap((run) => [
    element("h3", { textContent: run.date ? `${run.name}, ${run.date}` : run.name }),
    element("p", { textContent: `Baseline: ${run.baseline}. Reproduce:` }),
    ...run.commands.map(([command, commit]) => element("pre", {}, element("code", { textContent: command }), commit ? ` at commit ${commit}` : "")),
    ...run.envs.map((id) => element("p", { textContent: `Environment ${id}: ${island.envs[id]}` })),
  ]);
  byId("runs").append(...made);
}

// Shown instead where there is no clipboard.
async function copyLink() {
  const link = byId("link");
  link.value = location.href;
  try {
    await navigator.clipboard.writeText(location.href);
    byId("copied").textContent = "Copied.";
  } catch {
    link.hidden = false;
    link.select();
    byId("copied").textContent = "Copy it from the field:";
  }
}

// The address was changed by hand. By its own word: a change that waits for its frame may have written over it.
function follow(event) {
  clearTimeout(typing);
  change(read(new URL(event.newURL).hash));
}

function listen() {
  byId("copy").addEventListener("click", copyLink);
  byId("reset").addEventListener("click", () => change({ ...usual, theme: state.theme }));
  byId("theme").addEventListener("change", (event) => change({ theme: event.target.value, page: state.page }));
  byId("size").addEventListener("change", (event) => change({ size: event.target.value }));
  byId("search").addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(() => change({ search: event.target.value }), 150);
  });
  byId("columns").addEventListener("toggle", fillColumns);
  addEventListener("hashchange", follow);
  addEventListener("beforeprint", toPaper);
  addEventListener("afterprint", show);
  document.addEventListener("click", closeMenus);
  document.addEventListener("keydown", closeMenus);
  new ResizeObserver(resized(byId("chart").clientWidth)).observe(byId("chart"));
}

// Draws again where the width changed, once it stands still.
function resized(width) {
  let timer = 0;
  return () => {
    if (byId("chart").clientWidth === width) return;
    width = byId("chart").clientWidth;
    clearTimeout(timer);
    timer = setTimeout(() => showChart(chosenRows()), 200);
  };
}

byId("filters").append(...filterMenus());
makeTabs();
makeAxes();
makeRuns();
listen();
await show();
