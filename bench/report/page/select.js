// Menus of check boxes: the filters and the choice of columns.
const names = { series: "Method", res: "Resolution", kernel: "Kernel size", dtype: "Precision", run: "Run", batch: "Batch", env: "Environment" };

function capital(word) {
  return names[word] ?? word[0].toUpperCase() + word.slice(1);
}

function box(label, checked, changed) {
  const input = element("input", { type: "checkbox", checked });
  input.addEventListener("change", () => changed(input.checked));
  return element("label", {}, input, ` ${label}`);
}

// A filter with one value says nothing and is left out.
function filterMenus() {
  const offered = filters.filter((name) => distinct(name).length > 1);
  return offered.map((name) => {
    const menu = element("details", { className: "menu", id: `filter-${name}` }, element("summary"), element("div", { className: "options" }));
    menu.lastChild.setAttribute("role", "group");
    menu.lastChild.setAttribute("aria-label", capital(name));
    menu.addEventListener("toggle", () => menu.open && fillFilter(menu, name));
    return menu;
  });
}

function optionsOf(name) {
  const first = new Map();
  for (const row of everyRow) if (!first.has(String(values[name][row]))) first.set(String(values[name][row]), row);
  return [...first].sort(([, one], [, other]) => compared(name, false)(one, other)).map(([option]) => option);
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

function toggled(list, one, on) {
  return on ? [...list, one] : list.filter((other) => other !== one);
}

// What is chosen, in the words of the menu itself; the boxes of an open menu follow.
function showFilters() {
  for (const menu of document.querySelectorAll("#filters .menu")) {
    const name = menu.id.replace("filter-", "");
    const chosen = state[name];
    const few = chosen.length <= 2 ? chosen.map((one) => shownOption(name, one)).join(", ") : `${chosen.length} chosen`;
    menu.classList.toggle("chosen", chosen.length > 0);
    menu.firstChild.textContent = `${capital(name)}: ${chosen.length ? few : "all"}`;
    const options = optionsOf(name);
    menu.querySelectorAll("input").forEach((input, index) => (input.checked = chosen.includes(options[index])));
  }
  if (document.activeElement !== byId("search")) byId("search").value = state.search;
}

// Columns in groups, one a metric; they stand in the table in the order of this list.
function fillColumns() {
  const groups = Map.groupBy([...columns.values()], (column) => column.metric);
  const made = [...groups].flatMap(([metric, group]) => [
    element("h3", { textContent: metric || "setting and comparison" }),
    ...group.map((column) => {
      const label = box(titled(column.name), state.columns.includes(column.name), (on) => change({ columns: inOrder(toggled(state.columns, column.name, on)) }));
      label.title = column.meaning;
      return label;
    }),
  ]);
  byId("columns").lastElementChild.replaceChildren(...made);
}

// The usual columns first, as they are, then the others by the dictionary of columns; the status ends a row.
function inOrder(chosen) {
  const order = [...new Set([...opened.columns, ...columns.keys()])].filter((name) => name !== "status").concat("status");
  return [...chosen].sort((one, other) => order.indexOf(one) - order.indexOf(other));
}

function closeMenus(event) {
  for (const menu of document.querySelectorAll(".menu[open]")) {
    if (event.type === "keydown" ? event.key !== "Escape" : menu.contains(event.target)) continue;
    if (menu.contains(document.activeElement)) menu.firstElementChild.focus();
    menu.open = false;
  }
}
