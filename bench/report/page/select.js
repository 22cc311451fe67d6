// Menus of check boxes for the filters and the columns.
const names = { series: "Method", res: "Resolution", kernel: "Kernel size", dtype: "Precision", run: "Run", batch: "Batch", env: "Environment" };

function menuTitle(name) {
  return names[name] ?? name[0].toUpperCase() + name.slice(1);
}

function box(label, checked, changed) {
  const input = element("input", { type: "checkbox", checked });
  input.addEventListener("change", () => changed(input.checked));
  return element("label", {}, input, ` ${label}`);
}

// One menu per filter with at least two values.
function filterMenus() {
  return filters.filter((name) => distinct(name).length > 1).map((name) => {
    const menu = element("details", { className: "menu", id: `filter-${name}` }, element("summary"), element("div", { className: "options" }));
    menu.lastChild.setAttribute("role", "group");
    menu.lastChild.setAttribute("aria-label", menuTitle(name));
    menu.addEventListener("toggle", () => menu.open && fillFilter(menu, name));
    return menu;
  });
}

function optionsOf(name) {
  const first = new Map();
  for (const row of everyRow) if (!first.has(String(values[name][row]))) first.set(String(values[name][row]), row);
  return [...first].sort(([, a], [, b]) => compared(name, false)(a, b)).map(([option]) => option);
}

function shownOption(name, option) {
  return option === "null" ? "none" : `${option}${columns.get(name).unit ? ` ${columns.get(name).unit}` : ""}`;
}

function fillFilter(menu, name) {
  const all = element("button", { type: "button", className: "all", textContent: "All" });
  all.addEventListener("click", () => change({ [name]: [] }));
  const boxes = optionsOf(name).map((option) =>
    box(shownOption(name, option), state[name].includes(option), (on) => change({ [name]: toggled(state[name], option, on) })),
  );
  menu.lastChild.replaceChildren(all, ...boxes);
}

function toggled(list, item, on) {
  return on ? [...list, item] : list.filter((other) => other !== item);
}

// Updates the titles and the boxes of the menus.
function showFilters() {
  for (const menu of document.querySelectorAll("#filters .menu")) {
    const name = menu.id.replace("filter-", "");
    const selected = state[name];
    const few = selected.length <= 2 ? selected.map((option) => shownOption(name, option)).join(", ") : `${selected.length} selected`;
    menu.classList.toggle("selected", selected.length > 0);
    menu.firstChild.textContent = `${menuTitle(name)}: ${selected.length ? few : "all"}`;
    const options = optionsOf(name);
    menu.querySelectorAll("input").forEach((input, index) => (input.checked = selected.includes(options[index])));
  }
  if (document.activeElement !== byId("search")) byId("search").value = state.search;
}

// Columns grouped by metric, in the order of the table.
function fillColumns() {
  const groups = Map.groupBy([...columns.values()], (column) => column.metric);
  const entries = [...groups].flatMap(([metric, group]) => [
    element("h3", { textContent: metric || "setting and comparison" }),
    ...group.map((column) => {
      const label = box(titled(column.name), state.columns.includes(column.name), (on) => change({ columns: inOrder(toggled(state.columns, column.name, on)) }));
      label.title = column.meaning;
      return label;
    }),
  ]);
  byId("columns").lastElementChild.replaceChildren(...entries);
}

// Initial columns first, then the others in the order of the data dictionary, the status last.
function inOrder(selected) {
  const order = [...new Set([...opened.columns, ...columns.keys()])].filter((name) => name !== "status").concat("status");
  return [...selected].sort((a, b) => order.indexOf(a) - order.indexOf(b));
}

function closeMenus(event) {
  for (const menu of document.querySelectorAll(".menu[open]")) {
    if (event.type === "keydown" ? event.key !== "Escape" : menu.contains(event.target)) continue;
    if (menu.contains(document.activeElement)) menu.firstElementChild.focus();
    menu.open = false;
  }
}
