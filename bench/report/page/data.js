// The table as arrays, and number formats.
const island = JSON.parse(document.getElementById("data").textContent);
const columns = new Map(island.table.columns.map((column) => [column.name, column]));
const values = Object.fromEntries(Object.entries(island.table.values).map(([name, column]) => [name, unpacked(column)]));
const everyRow = Array.from({ length: island.table.rows }, (_, row) => row);

function unpacked({ plain, levels, codes }) {
  if (plain) return plain;
  if (codes) return codes.map((code) => levels[code]);
  return new Array(island.table.rows).fill(levels.length ? levels[0] : null);
}

function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

const byId = (id) => document.getElementById(id);

// Three significant digits, without an exponent.
function short(number) {
  const size = Math.abs(number);
  if (size === 0 || size >= 100) return Math.round(number).toLocaleString("en");
  return number.toFixed(Math.min(Math.max(2 - Math.floor(Math.log10(size)), 0), 20));
}

function numberText(column, value) {
  return column.whole ? value.toLocaleString("en") : short(value);
}

// Half-width of the interval: in points for an accuracy, else in percent of the midpoint.
function spreadText(column, row) {
  if (!column.spread) return "";
  const { lo, hi, half } = column.spread;
  if (half) return values[half][row] === null ? "" : `±${values[half][row].toFixed(1)}`;
  const [low, high, mid] = [values[lo][row], values[hi][row], values[column.name][row]];
  if (low === null || high === null || !mid) return "";
  const percent = (50 * (high - low)) / mid;
  return `±${percent.toFixed(percent >= 10 ? 0 : 1)}%`;
}

function statusOf(column, row) {
  const status = column.metric ? values[`${column.metric}_status`][row] : null;
  return status === "ok" ? null : status;
}

// A value with its interval, the status of a failed metric, or "".
function text(name, row) {
  const column = columns.get(name);
  const value = values[name][row];
  if (value === null) return statusOf(column, row) ?? "";
  return column.number ? [numberText(column, value), spreadText(column, row)].filter(Boolean).join(" ") : String(value);
}

function withUnit(name, row) {
  const { unit } = columns.get(name);
  return values[name][row] === null || !unit ? text(name, row) : `${text(name, row)} ${unit}`;
}

function titled(name) {
  const { title, unit } = columns.get(name);
  return unit ? `${title}, ${unit}` : title;
}

// A comparison function for sorting: numbers by size, text by name, missing values last in both directions.
function compared(name, down) {
  const keys = values[columns.get(name).order];
  const sign = down ? -1 : 1;
  return (rowA, rowB) => {
    const [a, b] = [keys[rowA], keys[rowB]];
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b));
  };
}

const collator = new Intl.Collator("en", { numeric: true });

function distinct(name, rows = everyRow) {
  return [...new Set(rows.map((row) => values[name][row]))];
}
