// Elements, numbers and tables. Everything that comes from the log is put in as text, never as markup.

/** An element with attributes and children; null and false are left out. */
export function h(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "onclick") node.addEventListener("click", value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Puts new children into a node. The focus stays on the element with the same `data-key`, and nothing scrolls. */
export function put(node, ...children) {
  const held = document.activeElement;
  const key = held && node.contains(held) ? held.dataset.key : null;
  const open = new Set([...node.querySelectorAll("details[open][data-key]")].map((d) => d.dataset.key));
  const scrolled = [...node.querySelectorAll(".scroll[data-key]")].map((s) => [s.dataset.key, s.scrollLeft]);
  node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  for (const d of node.querySelectorAll("details[data-key]")) d.open = d.open || open.has(d.dataset.key);
  for (const [of, left] of scrolled) {
    const same = node.querySelector(`.scroll[data-key="${CSS.escape(of)}"]`);
    if (same) same.scrollLeft = left;
  }
  if (key) node.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** 12,345 */
export const count = (n) => whole.format(n || 0);

/** 12,345 as it is, and 1.23 M where it would be long. */
export function brief(n) {
  n = n || 0;
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"]]) {
    if (Math.abs(n) >= size) return (n / size).toFixed(n >= 100 * size ? 0 : n >= 10 * size ? 1 : 2) + " " + unit;
  }
  return Math.abs(n) >= 100000 ? (n / 1000).toFixed(0) + " k" : whole.format(n);
}

/** A cost; null is not known, which is not zero. */
export function usd(n, fixed) {
  if (n === null || n === undefined) return "–";
  const digits = fixed || (n === 0 || n >= 1 ? 2 : n >= 0.01 ? 3 : 6);
  return "$" + new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(n);
}

/** 840 ms, 2.41 s */
export function time(ms) {
  if (!ms) return "–";
  return ms < 1000 ? whole.format(ms) + " ms" : ms < 60000 ? (ms / 1000).toFixed(2) + " s" : (ms / 60000).toFixed(1) + " min";
}

export const percent = (part, digits = 1) => (100 * part).toFixed(digits) + " %";

export function bytes(n) {
  if (n === null || n === undefined) return "–";
  for (const [size, unit] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]) {
    if (n >= size) return (n / size).toFixed(1) + " " + unit;
  }
  return count(n) + " B";
}

/** Of today's moments the time is enough. */
export function moment(iso) {
  const [day, clock] = [String(iso).slice(0, 10), String(iso).slice(11, 19)];
  return day === new Date().toISOString().slice(0, 10) ? clock : day + " " + clock;
}

/** 3 s, 5 min, 2 h, 4 days */
export function age(ms) {
  const s = Math.max(0, ms / 1000);
  if (s < 90) return Math.round(s) + " s";
  if (s < 5400) return Math.round(s / 60) + " min";
  return s < 129600 ? Math.round(s / 3600) + " h" : Math.round(s / 86400) + " days";
}

const WORDS = {
  ok: "ok", client_error: "the call was wrong", rate_limited: "over a limit of the policy", provider_rate_limited: "over a limit of the provider",
  provider_error: "the provider failed", timeout: "the provider took too long", client_disconnect: "the client left", refused: "the gateway refused",
};
/** An outcome in words. */
export const reason = (outcome) => WORDS[outcome] || outcome.replaceAll("_", " ");
export const OUTCOMES = Object.keys(WORDS);
/** Outcomes that count as errors, as in every report. */
export const ERRORS = ["provider_error", "timeout", "refused"];

/** The mark of an outcome: text and colour. */
export function outcome(name) {
  const kind = name === "ok" ? "good" : ERRORS.includes(name) ? "bad" : "warn";
  return h("span", { class: "badge " + kind }, name.replaceAll("_", " "));
}

/** A bar that shows a part of a whole; the number stands beside it. */
export function meter(part, kind = "") {
  const bar = h("span", { class: "bar " + kind, "aria-hidden": "true" }, h("i"));
  bar.firstChild.style.width = Math.max(0, Math.min(1, part || 0)) * 100 + "%";
  return bar;
}

/**
 * A table in a box that scrolls sideways. A column has a title, `show(row)` and, where they apply, `number`, `wide` and
 * `sort` (the link that sorts by it).
 */
export function table(caption, columns, rows, empty = "Nothing in this range.") {
  const head = h("tr", {}, columns.map((c) => h("th", {
    scope: "col", class: (c.number ? "n " : "") + (c.class || ""), "aria-sort": c.sorted ? "descending" : null,
  }, c.sort ? h("a", { href: c.sort, "data-key": "sort " + c.title }, c.title, c.sorted ? h("span", { "aria-hidden": "true" }, " ↓") : null) : c.title)));
  const body = rows.map((row) => h("tr", {}, columns.map((c, place) => {
    const shown = c.show(row);
    const value = c.value ? c.value(row) : null;
    const parts = [shown].flat();
    const isBarred = parts[0] instanceof Element && parts[0].classList.contains("bar");
    return h(place === 0 ? "th" : "td", {
      scope: place === 0 ? "row" : null, class: (c.number ? "n " : "") + (c.class || ""), "data-value": value,
      title: typeof shown === "string" && shown.length > 24 ? shown : null,
    }, ...(isBarred ? [h("span", { class: "measure" }, parts[0], h("span", {}, ...parts.slice(1)))] : parts));
  })));
  if (!body.length) return h("p", { class: "empty" }, empty);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption, "data-key": "table " + caption },
    h("table", {}, h("caption", { class: "hidden" }, caption), h("thead", {}, head), h("tbody", {}, body)));
}

/** A box with a heading. */
export function card(title, ...content) {
  const id = "h-" + title.toLowerCase().replace(/[^a-z]+/g, "-");
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, title), ...content);
}

/** Names and values. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, ...[value].flat()))));
}
