// The calls: newest first, with filters and search, page by page; and live.

import { h, put, count, usd, time, moment, outcome, table } from "./dom.js";
import { get, iso, link, query, rowConditions } from "./state.js";

const ROWS = 50;

export async function show({ range, session, node, params, isCurrent }) {
  const ask = rowConditions();
  ask.set("limit", ROWS);
  ask.set("from", iso(range.from));
  // Live, the newest row may be younger than the clock of this browser says.
  const searched = params.get("until");
  ask.set("to", searched || iso(range.endsNow ? range.to + 60000 : range.to));
  for (const name of ["q", "before"]) if (params.get(name)) ask.set(name, params.get(name));
  const { rows, next, cut, searched_to: seen } = await get("/api/logs?" + ask);
  if (!isCurrent()) return;
  const isLive = params.has("live");
  const older = cut ? next : rows.length === ROWS ? rows[rows.length - 1].id : null;
  const isPage = params.get("before") || searched;
  const found = params.get("q");
  put(node,
    h("div", { class: "actions" },
      h("p", {}, rows.length ? `${count(rows.length)} ${isPage ? "older" : "newest"} calls` : "No calls",
        found ? ` with “${found}”` : "", session.sees_texts || !found ? "" : ". Your role searches names and ids, not texts", "."),
      h("a", { class: "button" + (isLive ? " on" : ""), role: "button", "aria-pressed": String(isLive), "data-key": "live", href: link({ live: isLive ? null : "1", until: null }) },
        h("span", { class: "dot", "aria-hidden": "true" }), isLive ? "Live" : "Go live")),
    table("Calls", [
      { title: "Time", show: (r) => h("a", { href: link({}, "/calls/" + r.id), "data-key": "call " + r.id }, moment(r.created_at)) },
      { title: "Outcome", show: (r) => [outcome(r.outcome), r.calls > 1 ? ` × ${count(r.calls)}` : ""] },
      { title: "Organisation", show: (r) => h("a", { href: link({ org: r.org_id }), class: "quiet" }, r.org_id) },
      { title: "Caller", show: (r) => r.caller || "–" },
      { title: "Model", show: (r) => h("a", { href: link({ model: r.model }), class: "quiet" }, r.model || "–") },
      { title: "Provider", show: (r) => r.provider || "–" },
      { title: "Status", number: true, show: (r) => String(r.status) },
      { title: "Latency", number: true, show: (r) => time(r.latency_ms), value: (r) => r.latency_ms },
      { title: "Tokens", number: true, show: (r) => count(r.input_tokens + r.output_tokens), value: (r) => r.input_tokens + r.output_tokens },
      { title: "Cost", number: true, show: (r) => usd(r.cost_usd, 6), value: (r) => r.cost_usd },
      { title: "Redacted", number: true, show: (r) => count(r.redacted_emails + r.redacted_phones + r.redacted_other) },
      session.sees_texts ? { title: "Prompt", class: "text", show: (r) => r.prompt || "" } : { title: "Endpoint", class: "text", show: (r) => r.endpoint },
    ], rows, hint(found, seen)),
    h("nav", { class: "paging", "aria-label": "Pages of calls" },
      isPage ? h("a", { class: "button", href: link({ before: null, until: null }) }, "Newest") : null,
      older ? h("a", { class: "button", rel: "next", href: withBefore(older) }, "Older") : null,
      seen ? h("span", {}, `Searched back to ${seen.slice(0, 19).replace("T", " ")}. `, h("a", { class: "button", href: until(seen) }, "Search further back")) : null));
}

function withBefore(id) {
  const params = query();
  params.set("before", id);
  params.delete("live");
  return location.pathname + "?" + params;
}

function until(moment) {
  const params = query();
  params.set("until", moment);
  params.delete("before");
  params.delete("live");
  return location.pathname + "?" + params;
}

function hint(found, seen) {
  if (seen) return "Nothing found so far. Search further back, or choose an organisation first: that is quicker.";
  if (found) return "No call in this range has this text. Choose a longer range, or fewer filters.";
  return "No calls in this range. Choose a longer range, or fewer filters. A call is here a quarter of a second after its end.";
}
