// The organisations: use and cost of each, and the limits that are closest to exhaustion.

import { h, put, count, brief, usd, time, percent, meter, table, card, age } from "./dom.js";
import { getIf, link, query, sums } from "./state.js";

const ROWS = 50;
const SORTS = ["cost_usd", "calls", "errors", "rate_limited", "redactions"];

export async function show({ range, session, node, params, isCurrent }) {
  const sort = SORTS.includes(params.get("sort")) ? params.get("sort") : "cost_usd";
  const offset = Number(params.get("offset")) || 0;
  const org = params.get("org");
  const [orgs, limits, hit, callers, models] = await Promise.all([
    sums("org", range, { sort, lines: ROWS, offset }), session.orgs.length ? null : getIf("/api/limits"), sums("org,limit", range, { sort: "calls", lines: 200, percentiles: false }),
    org ? sums("caller", range, { sort: "cost_usd", lines: 20 }) : null, org ? sums("model", range, { sort: "cost_usd", lines: 20 }) : null,
  ]);
  if (!isCurrent()) return;
  const column = (title, field, show) => ({
    title, number: true, show: (r) => show(r[field]), value: (r) => r[field],
    sort: SORTS.includes(field) ? link({ sort: field === "cost_usd" ? null : field }) : null, sorted: field === sort,
  });
  const most = Math.max(...orgs.rows.map((r) => r.cost_usd || 0), 0);
  const figures = [
    { ...column("Cost", "cost_usd", usd), show: (r) => [meter(most ? (r.cost_usd || 0) / most : 0), usd(r.cost_usd)] }, column("Calls", "calls", count), column("Failed", "errors", count),
    { title: "Failed part", number: true, show: (r) => h("span", { class: r.error_rate >= 0.05 ? "bad" : "" }, percent(r.error_rate)) },
    column("Over a limit", "rate_limited", count), { title: "Tokens", number: true, show: (r) => brief(r.input_tokens + r.output_tokens), value: (r) => r.input_tokens + r.output_tokens },
    { title: "Cached", number: true, show: (r) => percent(r.input_tokens ? r.cached_tokens / r.input_tokens : 0, 0) },
    column("Redacted", "redactions", count), { title: "Median", number: true, show: (r) => time(r.p50_ms) }, { title: "p95", number: true, show: (r) => time(r.p95_ms) },
  ];
  const named = (title, field, href) => ({ title, class: "grow", show: (r) => (r[field] ? h("a", { href: href(r[field]), "data-key": field + r[field] }, r[field]) : "–") });
  put(node,
    card(org ? `Organisation ${org}` : "Organisations", table("Organisations", [named("Organisation", "org_id", (org) => link({ org })), ...figures], orgs.rows, "No organisation has made a call in this range. Choose a longer range, or fewer filters."),
      h("nav", { class: "paging", "aria-label": "Pages of organisations" },
        offset ? h("a", { class: "button", href: page(Math.max(0, offset - ROWS)) }, "Before") : null,
        orgs.cut ? h("a", { class: "button", href: page(offset + ROWS) }, "Next") : null,
        offset || orgs.cut ? h("span", {}, `${count(offset + 1)} to ${count(offset + orgs.rows.length)}`) : null)),
    org ? h("div", { class: "pair" },
      card("Its callers", table("Its callers", [named("Caller", "caller", (caller) => link({ caller }, "/calls")), ...figures.slice(0, 3)].map(unsorted), callers.rows)),
      card("Its models", table("Its models", [named("Model", "model", (model) => link({ model })), ...figures.slice(0, 3)].map(unsorted), models.rows))) : null,
    used(limits, org), reached(hit.rows.filter((r) => r.limited_by)), refused(limits));
}

const unsorted = ({ sort, sorted, ...column }) => column;

function page(offset) {
  const params = query();
  if (offset) params.set("offset", offset);
  else params.delete("offset");
  return location.pathname + "?" + params;
}

function used(limits, org) {
  if (!limits) return null;
  const rows = limits.closest.filter((l) => !org || l.org_id === org).slice(0, 25);
  const amount = (l, n) => (l.limit.startsWith("usd") ? usd(n) : count(n));
  return card("Limits closest to exhaustion", h("p", { class: "quiet" },
    `What is used of each limit now. A bucket of calls or tokens refills within a minute; budgets begin again with the day or the month (UTC). ${count(limits.organizations)} organisations and ${count(limits.subjects)} further subjects are counted here.`,
    limits.shared_store ? ` The shared limits store is ${limits.shared_store}; these are the counters of this gateway alone.` : ""),
  table("Limits closest to exhaustion", [
    { title: "Organisation", show: (l) => h("a", { href: link({ org: l.org_id }), "data-key": "used " + l.org_id + l.scope + l.name + l.limit }, l.org_id) },
    { title: "For", class: "grow", show: (l) => (l.scope === "org" ? "all its calls" : `${l.scope} ${l.name}`) },
    { title: "Limit", show: (l) => h("code", {}, l.limit) },
    { title: "Used", number: true, show: (l) => amount(l, l.used), value: (l) => l.used }, { title: "Of", number: true, show: (l) => amount(l, l.most), value: (l) => l.most },
    { title: "Part", number: true, show: (l) => [meter(l.used_percent / 100, l.used_percent >= 90 ? "bad" : l.used_percent >= 70 ? "warn" : ""), l.used_percent.toFixed(1) + " %"], value: (l) => l.used_percent },
  ], rows, org ? "This organisation uses none of its limits right now." : "No limit is in use right now."));
}

function reached(rows) {
  return card("Limits that refused calls in this range", table("Limits that refused calls in this range", [
    { title: "Organisation", class: "grow", show: (r) => h("a", { href: link({ org: r.org_id, limit: r.limited_by }, "/calls"), "data-key": "hit " + r.org_id + r.limited_by }, r.org_id) },
    { title: "Limit", show: (r) => h("code", {}, r.limited_by) },
    { title: "Refused calls", number: true, show: (r) => count(r.calls), value: (r) => r.calls },
  ], rows.slice(0, 25), "No call was refused for a limit in this range."));
}

function refused(limits) {
  if (!limits || !limits.most_refused.length) return null;
  return card("Most refused since the start", table("Most refused since the start", [
    { title: "Organisation", class: "grow", show: (r) => h("a", { href: link({ org: r.org_id }) }, r.org_id) },
    { title: "At most", number: true, show: (r) => count(r.refused) }, { title: "At least", number: true, show: (r) => count(r.at_least) },
  ], limits.most_refused));
}
