// The table: one page of the sorted rows; in print all rows up to a limit.
const PRINTED = 2000;
let heads = "";

function sorted(rows) {
  return [...rows].sort(compared(state.sort, state.down));
}

function showTable(rows) {
  const size = Number(state.size);
  const pages = Math.max(Math.ceil(rows.length / size), 1);
  const page = Math.min(Math.max(Number.parseInt(state.page, 10) || 1, 1), pages);
  const shown = shownColumns(rows);
  showHead(shown);
  fillBody(shown, sorted(rows).slice((page - 1) * size, page * size));
  byId("page").textContent = `page ${page} of ${pages}`;
  byId("pages").hidden = rows.length <= 25;
  byId("previous").disabled = page === 1;
  byId("next").disabled = page === pages;
  byId("previous").onclick = () => change({ page: String(page - 1) });
  byId("next").onclick = () => change({ page: String(page + 1) });
  byId("count").textContent = counted(rows);
}

function counted(rows) {
  const failed = rows.filter((row) => values.status[row] !== "ok").length;
  const some = rows.length === everyRow.length ? "" : ` of ${everyRow.length.toLocaleString("en")}`;
  const direction = state.down ? "highest" : "lowest";
  const by = columns.get(state.sort).number ? `, ${direction} ${columns.get(state.sort).title} first` : `, by ${columns.get(state.sort).title}`;
  const unknown = unknownSelections();
  const ignored = unknown ? `; ${unknown} selected filter ${unknown === 1 ? "value does" : "values do"} not exist on this page` : "";
  return `${rows.length.toLocaleString("en")}${some} cells, ${failed} with failures${by}${ignored}`;
}

// Selected columns without empty ones and without axes of a single value, which the caption states.
function shownColumns(rows) {
  const filled = (name) => rows.some((row) => values[name][row] !== null || statusOf(columns.get(name), row));
  const constant = SETTING.filter((name) => state.columns.includes(name) && rows.length && distinct(name, rows).length === 1);
  const common = constant.filter((name) => values[name][rows[0]] !== null).map((name) => axisText(name, rows[0]));
  byId("table").caption.textContent = `One row per cell: a method in one setting.${common.length ? ` In all rows: ${common.join(", ")}.` : ""}`;
  return state.columns.filter((name) => !constant.includes(name) && (!rows.length || filled(name)));
}

// Rebuilt only when the columns change, so that the focused button stays.
function showHead(shown) {
  const key = shown.join();
  if (key !== heads) byId("table").tHead.replaceChildren(element("tr", {}, ...shown.map(headOf)));
  heads = key;
  for (const head of byId("table").tHead.rows[0].cells) {
    if (head.dataset.name !== state.sort) head.removeAttribute("aria-sort");
    else head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
  }
}

function headOf(name) {
  const column = columns.get(name);
  const button = element("button", { type: "button", title: column.meaning }, element("span", { className: "name", textContent: column.title }));
  if (column.unit) button.append(" ", element("small", { textContent: column.unit }));
  button.addEventListener("click", () => change(name === state.sort ? { down: state.down ? "" : "1" } : { sort: name, down: column.better === "higher" ? "1" : "" }));
  const head = element("th", { scope: "col", className: column.number ? "number" : "" }, button);
  head.dataset.name = name;
  return head;
}

function fillBody(shown, rows) {
  byId("table").tBodies[0].replaceChildren(...rows.map((row) => element("tr", {}, ...shown.map((name) => cellOf(name, row)))));
}

function cellOf(name, row) {
  const column = columns.get(name);
  if (name === "label") return element("th", { scope: "row", textContent: values.label[row] });
  if (name === "status") return statusCell(row);
  if (values[name][row] === null) return emptyCell(column, row);
  if (!column.number) return element("td", { textContent: String(values[name][row]) });
  const cell = element("td", { className: "number", textContent: numberText(column, values[name][row]) });
  if (column.spread) cell.append(element("span", { className: "spread", textContent: spreadText(column, row) }));
  if (name === "accuracy" && values.pareto[row] === 1) cell.prepend(element("span", { textContent: "◆ ", title: "on the Pareto front of its setting" }));
  return cell;
}

function emptyCell(column, row) {
  const status = statusOf(column, row);
  const cell = element("td", { className: column.number ? "number" : "" });
  if (status) cell.append(element("span", { className: "failed", textContent: status, title: values[`${column.metric}_detail`][row] ?? "" }));
  return cell;
}

function statusCell(row) {
  const status = values.status[row];
  const cell = element("td", { className: "status" }, element("span", { className: status === "ok" ? "" : "failed", textContent: status }));
  if (values.reason[row]) cell.append(element("small", { textContent: ` ${values.reason[row]}` }));
  return cell;
}

function showForPrint() {
  const rows = selectedRows();
  fillBody(shownColumns(rows), sorted(rows).slice(0, PRINTED));
  const limit = rows.length > PRINTED ? `; the first ${PRINTED} are printed` : "";
  byId("count").textContent = counted(rows) + limit;
}
