// The filters: a form whose fields are the query string of the page.

import { h, put, OUTCOMES } from "./dom.js";
import { RANGES, STEPS, getIf, iso, link, query, range as present } from "./state.js";

/** Names of filters on their chips. */
const NAMES = { org: "organisation", q: "search", error: "error code" };

let drawn = false;
let known = 0;

function field(label, control, hint) {
  return h("label", { class: "field " + control.getAttribute("name") }, h("span", {}, label), control, hint || null);
}

function select(name, options) {
  return h("select", { name, "data-key": name }, options.map(([value, text]) => h("option", { value }, text)));
}

/** Shows the form, with the values of the address. */
export function show(form, context, page) {
  if (!drawn) draw(form, context, page);
  const { params, range } = context;
  form.elements.range.value = range.name;
  form.elements.step.value = params.get("step") || "";
  for (const name of ["org", "model", "provider", "route", "outcome", "q"]) {
    const control = form.elements[name];
    const value = params.get(name) || "";
    if (control.tagName === "SELECT" && value && ![...control.options].some((o) => o.value === value)) control.append(h("option", { value }, value));
    // Not what somebody is typing.
    if (document.activeElement !== control) control.value = value;
  }
  for (const name of ["from", "to"]) form.elements[name].value = range.name === "custom" ? iso(range[name]).slice(0, 16) : "";
  form.classList.toggle("custom", range.name === "custom");
  const set = ["org", "model", "provider", "route", "outcome", "caller", "error", "limit", "q"].filter((name) => params.get(name));
  put(form.querySelector(".set"), set.map((name) => h("a", { class: "chip", href: link({ [name]: null }), "data-key": "chip " + name },
    h("span", { class: "hidden" }, "Remove the filter "), (NAMES[name] || name) + ": " + params.getAll(name).join(" or "), h("span", { "aria-hidden": "true" }, " ×"))),
    set.length > 1 ? h("a", { class: "chip reset", "data-key": "reset", href: link(Object.fromEntries(set.map((name) => [name, null]))) }, "Reset all") : null);
  form.querySelector("summary b").textContent = set.length ? ` (${set.length})` : "";
}

/** The names to choose from: those with the most calls in the last weeks. Asked when the page is there, which would wait for them. */
export async function offer(form, context) {
  if (Date.now() - known < 60000) return;
  known = Date.now();
  const from = iso(Math.min(context.range.from, Date.now() - 7 * 86400000)).slice(0, 10);
  const ask = (by) => getIf(`/api/summary?by=${by}&from=${from}&sort=calls&lines=200&percentiles=false`, { rows: [] });
  for (const [by, column] of [["org", "org_id"], ["model", "model"], ["provider", "provider"]]) {
    const { rows } = await ask(by).catch(() => ({ rows: [] }));
    const values = rows.map((row) => row[column]).filter(Boolean);
    if (by === "provider") {
      const control = form.elements.provider;
      const now = control.value;
      control.replaceChildren(h("option", { value: "" }, "all"), ...[...new Set([...values, ...(now ? [now] : [])])].map((value) => h("option", { value }, value)));
      control.value = now;
    } else {
      document.getElementById(by + "-names").replaceChildren(...values.map((value) => h("option", { value })));
    }
  }
}

function draw(form, context, page) {
  drawn = true;
  const search = h("input", { name: "q", type: "search", placeholder: "id, name or text", autocomplete: "off", "data-key": "q", maxlength: "200" });
  const list = (name) => h("input", { name, list: name + "-names", placeholder: "all", autocomplete: "off", "data-key": name });
  const main = h("div", { class: "row" },
    field("Range", select("range", Object.entries(RANGES).map(([value, { name }]) => [value, name]))),
    field("From", h("input", { name: "from", type: "datetime-local", "data-key": "from" })),
    field("To", h("input", { name: "to", type: "datetime-local", "data-key": "to" })),
    field("Granularity", select("step", [["", "auto"], ...Object.keys(STEPS).map((step) => [step, "by " + step])])),
    field("Search", search));
  const more = h("div", { class: "row" },
    field("Organisation", list("org")), field("Model", list("model")),
    field("Provider", select("provider", [["", "all"]])),
    field("Route", select("route", [["", "all"], ["proxy", "proxy"], ["intent", "intent"]])),
    field("Outcome", select("outcome", [["", "all"], ...OUTCOMES.map((o) => [o, o.replaceAll("_", " ")])])));
  const details = h("details", { open: innerWidth > 700 }, h("summary", {}, "Filters", h("b")), more);
  form.replaceChildren(main, details, h("div", { class: "set" }),
    h("datalist", { id: "org-names" }), h("datalist", { id: "model-names" }), h("button", { class: "hidden", tabindex: "-1" }, "Apply"));
  const apply = () => {
    const changes = {};
    for (const name of ["range", "step", "org", "model", "provider", "route", "outcome", "q"]) changes[name] = form.elements[name].value.trim();
    const isCustom = changes.range === "custom";
    for (const name of ["from", "to"]) {
      const value = form.elements[name].value;
      changes[name] = isCustom ? (value ? value + "Z" : iso(present()[name]).slice(0, 16) + "Z") : null;
    }
    if (changes.range === "24h") changes.range = null;
    // Only the list of calls can be searched.
    const path = changes.q && changes.q !== query().get("q") ? "/calls" : location.pathname;
    context.go(link(changes, path));
  };
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
  });
}
