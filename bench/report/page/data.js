// The table as plain arrays, and numbers as text.
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
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const byId = (id) => document.getElementById(id);

// Three significant digits, never in exponential form.
function short(number) {
  const size = Math.abs(number);
  if (size === 0 || size >= 100) return Math.round(number).toLocaleString("en");
  return number.toFixed(Math.min(Math.max(2 - Math.floor(Math.log10(size)), 0), 20));
}

function numberText(column, value) {
  return column.whole ? value.toLocaleString("en") : short(value);
}

// Half of the interval: of an accuracy in points, of all else in percent of the middle.
function spreadText(column, row) {
  if (!column.spread) return "";
  const { lo, hi, half } = column.spread;
  if (half) return values[half][row] === null ? "" : `±${values[half][row].toFixed(1)}`;
  const [low, high, middle] = [values[lo][row], values[hi][row], values[column.name][row]];
  if (low === null || high === null || !middle) return "";
  const share = (50 * (high - low)) / middle;
  return `±${share.toFixed(share >= 10 ? 0 : 1)}%`;
}

function statusOf(column, row) {
  const status = column.metric ? values[`${column.metric}_status`][row] : null;
  return status === "ok" ? null : status;
}

// A value with its interval, the status of a metric that has none, or nothing.
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

// For sorting: numbers by size, text by name, what is missing last in either direction.
function compared(name, down) {
  const keys = values[columns.get(name).order];
  const sign = down ? -1 : 1;
  return (one, other) => {
    const [a, b] = [keys[one], keys[other]];
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b));
  };
}

const collator = new Intl.Collator("en", { numeric: true });

function distinct(name, rows = everyRow) {
  return [...new Set(rows.map((row) => values[name][row]))];
}
