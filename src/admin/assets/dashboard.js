// The operators' dashboard: sums and the latest calls, from /api/summary, /api/logs, /api/limits,
// /api/auth and /api/config. Everything that comes from the log is put in as text, never as markup.
"use strict";

const byId = (id) => document.getElementById(id);
const number = (n) => Number(n || 0).toLocaleString("en");
// A cost of null is not known, which is not a cost of zero.
const usd = (n) => n === null ? "–" : "$" + Number(n || 0).toFixed(!n || n >= 1 ? 2 : n < 0.01 ? 6 : 4);
const DAY = 86400000;
const dayOf = (ms) => new Date(ms).toISOString().slice(0, 10);

function element(name, text, className) {
  const node = document.createElement(name);
  if (text !== undefined && text !== null) node.textContent = text;
  if (className) node.className = className;
  return node;
}

async function get(path) {
  const response = await fetch(path);
  // The session is over: the page itself asks for a sign-in.
  if (response.status === 401) location.reload();
  const body = await response.json();
  if (!response.ok) throw new Error(body.error || response.statusText);
  return body;
}

// Figures of all organisations; a token for some of them gets 403.
async function getIfAllowed(path, otherwise) {
  const response = await fetch(path);
  return response.status === 403 ? otherwise : get(path);
}

function table(node, columns, rows) {
  const head = element("tr");
  for (const c of columns) head.append(element("th", c.title, c.number ? "n" : ""));
  const body = rows.map((row) => {
    const line = element("tr");
    for (const c of columns) {
      const cell = element("td", c.show(row), (c.number ? "n" : "") + (c.bad && c.bad(row) ? " bad" : "") + (c.rest ? " rest" : ""));
      cell.title = cell.textContent;
      line.append(cell);
    }
    return line;
  });
  if (!body.length) {
    const empty = element("td", "nothing yet");
    empty.colSpan = columns.length;
    const line = element("tr");
    line.append(empty);
    body.push(line);
  }
  node.replaceChildren(head, ...body);
}

// One bar for each day, also for those without calls: the axis is time.
function bars(node, days, value, show) {
  const NS = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("viewBox", "0 0 300 120");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const most = Math.max(...days.map(value), 0);
  svg.setAttribute("aria-label", days.map((d) => d.day + ": " + show(value(d))).join(", "));
  const step = 300 / days.length;
  days.forEach((d, i) => {
    const height = most ? (value(d) / most) * 110 : 0;
    const bar = document.createElementNS(NS, "rect");
    const width = Math.min(step * 0.8, 60);
    const at = { x: (i + 0.5) * step - width / 2, y: 120 - height, width, height };
    for (const [k, v] of Object.entries(at)) bar.setAttribute(k, v);
    const title = document.createElementNS(NS, "title");
    title.textContent = d.day + ": " + show(value(d));
    bar.append(title);
    svg.append(bar);
  });
  const axis = element("div", null, "axis");
  const ends = days.length > 1 ? [days[0].day.slice(5), days[days.length - 1].day.slice(5)] : [days[0].day.slice(5), ""];
  axis.append(element("span", ends[0]), element("span", most ? "up to " + show(most) : "none"), element("span", ends[1]));
  node.replaceChildren(svg, axis);
}

const sum = (rows, field) => rows.reduce((total, row) => total + Number(row[field] || 0), 0);

function figures(rows) {
  const calls = sum(rows, "calls");
  const unpriced = sum(rows, "unpriced");
  const shown = [
    ["calls", number(calls)],
    [unpriced ? "cost, " + number(unpriced) + " calls without a price" : "cost", usd(sum(rows, "cost_usd"))],
    ["error rate", calls ? ((100 * sum(rows, "errors")) / calls).toFixed(2) + " %" : "–"],
    ["rate limited", number(sum(rows, "rate_limited"))],
    ["values redacted", number(sum(rows, "redactions"))],
    ["attachments", number(sum(rows, "attachments_dropped"))],
    ["input tokens", number(sum(rows, "input_tokens"))],
    ["output tokens", number(sum(rows, "output_tokens"))],
  ];
  byId("figures").replaceChildren(...shown.map(([name, value]) => {
    const box = element("div");
    box.append(element("b", value), element("span", name));
    return box;
  }));
}

// Of today's calls the time is enough.
function when(created) {
  const [day, time] = [created.slice(0, 10), created.slice(11, 23)];
  return day === dayOf(Date.now()) ? time : day + " " + time.slice(0, 8);
}

async function refresh() {
  const days = Number(byId("days").value);
  const by = byId("by").value;
  const first = Date.now() - (days - 1) * DAY;
  const from = dayOf(first);
  try {
    // One after the other: the gateway answers a few queries of its log at once, and others may be looking, too.
    const daily = await get("/api/summary?by=day&from=" + from);
    const groups = await get("/api/summary?by=" + by + "&from=" + from);
    const logs = await get("/api/logs?limit=50");
    const [config, limits, auth] = await Promise.all([
      getIfAllowed("/api/config", null), getIfAllowed("/api/limits", { most_refused: [] }), getIfAllowed("/api/auth", { refused: [] }),
    ]);
    figures(daily.rows);
    const known = new Map(daily.rows.map((row) => [row.day, row]));
    const axis = Array.from({ length: days }, (_, i) => dayOf(first + i * DAY)).map((day) => known.get(day) || { day });
    const chart = (id, value, show = number) => bars(byId(id), axis, (d) => Number(value(d) || 0), show);
    chart("calls", (d) => d.calls);
    chart("cost", (d) => d.cost_usd, usd);
    chart("errors", (d) => d.errors);
    chart("latency", (d) => d.p95_ms);
    chart("tokens", (d) => d.input_tokens + d.output_tokens);
    chart("redactions", (d) => d.redactions);
    byId("by-title").textContent = "By " + byId("by").selectedOptions[0].textContent;
    const key = by === "org" ? "org_id" : by;
    const n = (title, field, show = number) => ({ title, number: true, show: (r) => show(r[field]) });
    table(byId("groups"), [
      { title: byId("by").selectedOptions[0].textContent, show: (r) => r[key] || "–" },
      n("calls", "calls"), n("errors", "errors"), n("rate limited", "rate_limited"), n("input tokens", "input_tokens"),
      n("output tokens", "output_tokens"), n("redacted", "redactions"), n("cost", "cost_usd", usd), n("p50 ms", "p50_ms"), n("p95 ms", "p95_ms"), n("p99 ms", "p99_ms"),
    ], groups.rows.sort((a, b) => (by === "day" ? b.day.localeCompare(a.day) : b.cost_usd - a.cost_usd || b.calls - a.calls)));
    byId("refused-section").hidden = !limits.most_refused.length;
    table(byId("refused"), [{ title: "organisation", show: (r) => r.org_id }, n("calls over a limit, at most", "refused"), n("at least", "at_least")], limits.most_refused);
    byId("credentials-section").hidden = !auth.refused.length;
    const latest = (field) => (r) => (r.latest && r.latest[field]) || "–";
    table(byId("credentials"), [
      { title: "reason", show: (r) => r.reason.replaceAll("_", " ") }, n("calls", "calls"),
      { title: "latest (UTC)", show: (r) => (r.latest ? when(r.latest.at) : "–") },
      { title: "key id", show: latest("kid") }, { title: "issuer", show: latest("iss") }, { title: "request id", show: latest("request_id") },
    ], auth.refused.sort((a, b) => b.calls - a.calls));
    table(byId("tail"), [
      { title: "time (UTC)", show: (r) => when(String(r.created_at)) },
      { title: "organisation", show: (r) => r.org_id }, { title: "endpoint", show: (r) => r.endpoint },
      { title: "model", show: (r) => r.model }, { title: "outcome", show: (r) => r.outcome.replaceAll("_", " "), bad: (r) => !["ok", "rate_limited", "provider_rate_limited"].includes(r.outcome) },
      n("status", "status", String), n("attempts", "attempts", String), n("ms", "latency_ms"),
      { title: "redacted", number: true, show: (r) => number(r.redacted_emails + r.redacted_phones + r.redacted_other) },
      { title: "tokens", number: true, show: (r) => number(r.input_tokens + r.output_tokens) },
      n("cost", "cost_usd", usd),
      { title: "request", rest: true, show: (r) => r.request || "" },
    ], logs.rows);
    if (config) showConfig(config, limits);
  } catch (error) {
    show("The dashboard cannot be updated: " + error.message);
  }
}

function showConfig(config, limits) {
  byId("policy").textContent = "policy " + config.policy_version + ", loaded " + config.loaded_at.replace("T", " ").slice(0, 19) + " UTC";
  const trouble = [];
  if (config.last_edit_refused && config.last_refused) trouble.push("The last policy edit was refused:", ...config.last_refused.problems);
  if (config.restart_needed) trouble.push("gateway.yaml has changed; restart the gateway to apply it.");
  if (config.log.trouble) trouble.push("Rows of the log wait, because they cannot be stored: " + config.log.trouble);
  if (config.log.lost_rows) trouble.push(number(config.log.lost_rows) + " rows of the log were lost.");
  if (limits.shared_store === "away") trouble.push("The shared limits store is unavailable; limits.fail of the policy applies.");
  show(trouble.join("\n"));
  const [warnings, count] = [byId("warnings"), config.warnings.length];
  warnings.hidden = !count;
  warnings.querySelector("summary").textContent = count + (count === 1 ? " warning" : " warnings") + " about the configuration";
  warnings.querySelector("ul").replaceChildren(...config.warnings.map((text) => element("li", text)));
}

function show(text) {
  byId("trouble").textContent = text;
  byId("trouble").hidden = !text;
}

// The next look begins a while after the last one has ended, however long that took.
let timer = 0;
let looking = false;
let again = false;

async function look() {
  clearTimeout(timer);
  again = looking;
  if (looking) return;
  looking = true;
  await refresh();
  looking = false;
  timer = setTimeout(look, again ? 0 : 3000);
}

for (const id of ["days", "by"]) byId(id).addEventListener("change", look);
look();
