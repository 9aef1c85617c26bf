// The overview: is it well, what does it cost, who uses it, what failed and why.

import { h, put, count, brief, usd, time, percent, age, moment, reason, outcome, meter, table, card, ERRORS } from "./dom.js";
import { STEPS, conditions, get, getIf, iso, link, rowConditions, steps, sums } from "./state.js";
import { chart } from "./charts.js";

const ROWS = 8;
const parts = {};

/** The boxes of the page, made once. */
function frame(node) {
  if (parts.node === node) return;
  parts.node = node;
  for (const name of ["verdict", "figures", "orgs", "models", "failures", "limits", "latest", "kinds", "credentials"]) parts[name] = h("div", { class: name });
  const plots = ["calls", "cost", "latency", "tokens"];
  for (const name of plots) parts["plot-" + name] = h("div", { class: "card plot-" + name });
  put(node, parts.verdict, parts.figures, h("div", { class: "charts" }, plots.map((name) => parts["plot-" + name])),
    h("div", { class: "pair" }, parts.orgs, parts.models), h("div", { class: "pair" }, parts.failures, parts.limits), parts.latest,
    h("div", { class: "pair" }, parts.kinds, parts.credentials));
}

export async function show(context) {
  const { range, session, node, isCurrent } = context;
  const seesAll = !session.orgs.length;
  const only = conditions();
  const latest = new URLSearchParams(rowConditions());
  latest.set("limit", "6");
  latest.set("from", iso(range.from));
  latest.set("to", iso(range.to));
  if (!latest.has("outcome")) for (const name of ERRORS) latest.append("outcome", name);
  const step = range.step;
  const [now, before, line, byOutcome, orgs, models, reasons, config, limits, providers, store, auth, failed] = await Promise.all([
    sums("total", range), sums("total", range.before), sums(step, range), sums(step + ",outcome", range, { percentiles: false }),
    sums("org", range, { sort: "cost_usd", lines: ROWS }), sums("model", range, { sort: "cost_usd", lines: ROWS }),
    sums("outcome,error,provider", range, { sort: "calls", lines: 60, percentiles: false }),
    seesAll ? getIf("/api/config") : null, seesAll ? getIf("/api/limits") : null, seesAll ? getIf("/api/providers") : null,
    seesAll ? getIf("/api/store") : null, seesAll ? getIf("/api/auth") : null, get("/api/logs?" + latest),
  ]);
  if (!isCurrent()) return;
  frame(node);
  const all = now.rows[0] || empty();
  verdict(all, before.rows[0], config, limits, providers, store, range);
  figures(all, before.rows[0], range);
  plots(range, line.rows, byOutcome.rows, all);
  ranking(parts.orgs, "Organisations by cost", "org_id", "org", orgs, all, "/organizations", "Organisation");
  ranking(parts.models, "Models by cost", "model", "model", models, all, null, "Model");
  why(reasons.rows, all);
  closest(limits);
  latestFailures(failed.rows);
  kinds(store, all);
  credentials(auth, only);
}

const empty = () => ({
  calls: 0, errors: 0, error_rate: 0, rate_limited: 0, input_tokens: 0, cached_tokens: 0, output_tokens: 0, cost_usd: 0, unpriced: 0, redactions: 0,
  attachments_dropped: 0, p50_ms: 0, p95_ms: 0, p99_ms: 0, retried_calls: 0, saved_calls: 0, saved_by_cache_usd: 0, mean_gateway_us: 0, first_token_p50_ms: 0, first_token_p95_ms: 0,
});

/** One sentence, and what needs attention, each with the place to look at. */
function verdict(all, before, config, limits, providers, store, range) {
  const found = [];
  const add = (kind, text, href, where) => found.push({ kind, text, href, where });
  for (const p of providers?.providers || []) {
    if (p.circuit === "open") add("bad", `Calls to ${p.name} pause: its circuit is open.`, link({}, "/providers"), "Providers");
    if (p.credential === "token" && p.credential_expires_in_s !== null && p.credential_expires_in_s <= 0) add("bad", `The credential of ${p.name} has ended.`, link({}, "/providers"), "Providers");
  }
  if (store?.trouble) add("bad", "Rows of the log cannot be stored: " + store.trouble, "/log", "Log");
  if (store?.lost_rows) add("bad", `${count(store.lost_rows)} rows of the log were lost.`, "/log", "Log");
  if (limits?.shared_store === "away") add("bad", "The shared limits store does not answer; limits.fail of the policy applies.", link({}, "/organizations"), "Organisations");
  if (config?.last_edit_refused) add("warn", "The last policy edit was refused; the policy before it is in force.", "/policy", "Policy");
  if (config?.restart_needed) add("warn", "gateway.yaml has changed; restart the gateway to apply it.", "/policy", "Policy");
  for (const l of (limits?.closest || []).filter((l) => l.used_percent >= 90 && l.limit.startsWith("usd")).slice(0, 3)) {
    add("warn", `${l.org_id} has used ${l.used_percent.toFixed(0)} % of ${l.limit}.`, link({ org: l.org_id }, "/organizations"), "Organisations");
  }
  const rate = all.error_rate;
  if (all.calls >= 20 && rate >= 0.05) add(rate >= 0.2 ? "bad" : "warn", `${percent(rate)} of the calls failed.`, "#h-why-calls-failed", "Why");
  const was = before && before.calls ? ` (${percent(before.error_rate)} in the time before)` : "";
  const state = found.some((f) => f.kind === "bad") ? "bad" : found.length ? "warn" : "good";
  const head = !all.calls ? "No calls in this range."
    : state === "good" ? `All is well: ${all.errors ? percent(rate) + " of" : "none of"} ${count(all.calls)} calls failed${was}.`
    : found.length === 1 ? "One thing needs attention." : `${found.length} things need attention.`;
  put(parts.verdict, h("section", { class: "state " + state, "aria-label": "State" },
    h("p", { class: "headline" }, h("span", { class: "dot", "aria-hidden": "true" }), head),
    found.length ? h("ul", {}, found.map((f) => h("li", { class: f.kind }, f.text + " ", h("a", { href: f.href, "data-key": "see " + f.text }, f.where)))) : null,
    !all.calls ? h("p", {}, "Send a call through the gateway, choose a longer range, or ", h("a", { href: link({ org: null, model: null, provider: null, route: null, outcome: null, range: "30d", from: null, to: null }) }, "look at all calls of 30 days"), ".") : null));
}

/** The change against the range before. */
function changed(now, was, isBad) {
  if (!was) return now ? h("span", { class: "delta" }, "none before") : null;
  const part = (now - was) / was;
  const text = Math.abs(part) < 0.005 ? "as before" : `${part > 0 ? "+" : "−"}${Math.abs(part) >= 10 ? count(100 * Math.abs(part)) : (100 * Math.abs(part)).toFixed(Math.abs(part) < 0.1 ? 1 : 0)} %`;
  const kind = Math.abs(part) < 0.05 || isBad === undefined ? "" : part > 0 === isBad ? "worse" : "better";
  return h("span", { class: "delta " + kind }, Math.abs(part) < 0.005 ? null : h("span", { "aria-hidden": "true" }, part > 0 ? "▲ " : "▼ "), text);
}

function figures(all, before, range) {
  const was = before || empty();
  const change = before ? changed : () => null;
  const share = (of) => (of.input_tokens ? of.cached_tokens / of.input_tokens : 0);
  const tokens = (of) => of.input_tokens + of.output_tokens;
  const box = (id, name, value, exact, delta, note) => h("div", { class: "figure", id: "figure-" + id, "data-value": exact },
    h("dt", {}, name), h("dd", { class: "big", title: String(exact) }, value), h("dd", { class: "small" }, delta, note ? h("span", {}, note) : null));
  put(parts.figures, h("dl", { class: "figures", "aria-label": "Totals, with the change against the same time before" },
    box("calls", "Calls", brief(all.calls), all.calls, change(all.calls, was.calls)),
    box("cost", "Cost", usd(all.cost_usd), all.cost_usd, change(all.cost_usd || 0, was.cost_usd || 0),
      all.unpriced ? count(all.unpriced) + " calls without a price" : all.saved_by_cache_usd ? usd(all.saved_by_cache_usd) + " saved by caches" : null),
    box("errors", "Failed", all.calls ? percent(all.error_rate, 2) : "–", all.errors, change(all.error_rate, was.error_rate, true), count(all.errors) + " calls"),
    box("latency", "Latency, p95", time(all.p95_ms), all.p95_ms, change(all.p95_ms, was.p95_ms, true), all.p50_ms ? "median " + time(all.p50_ms) : null),
    box("first", "First token, p95", time(all.first_token_p95_ms), all.first_token_p95_ms, change(all.first_token_p95_ms, was.first_token_p95_ms, true), "of streams"),
    box("overhead", "Gateway overhead", all.mean_gateway_us ? (all.mean_gateway_us / 1000).toFixed(2) + " ms" : "–", all.mean_gateway_us, change(all.mean_gateway_us, was.mean_gateway_us, true), "mean"),
    box("tokens", "Tokens", brief(tokens(all)), tokens(all), change(tokens(all), tokens(was)), percent(share(all), 0) + " of input cached"),
    box("redactions", "Redacted values", brief(all.redactions), all.redactions, change(all.redactions, was.redactions), all.attachments_dropped ? count(all.attachments_dropped) + " attachments" : null),
    box("limited", "Over a limit", brief(all.rate_limited), all.rate_limited, change(all.rate_limited, was.rate_limited, true), "refused calls"),
    box("retried", "Retried", brief(all.retried_calls), all.retried_calls, change(all.retried_calls, was.retried_calls, true), count(all.saved_calls) + " saved"),
  ));
}

function plots(range, line, byOutcome, all) {
  const x = steps(range);
  const at = (row) => Date.parse(row[range.step].length === 10 ? row[range.step] + "T00:00:00Z" : row[range.step]);
  const place = new Map(x.map((ms, i) => [ms, i]));
  const fill = (rows, value, missing) => {
    const values = x.map(() => missing);
    for (const row of rows) if (place.has(at(row))) values[place.get(at(row))] = (values[place.get(at(row))] || 0) + value(row);
    return values;
  };
  const of = (names) => byOutcome.filter((row) => names.includes(row.outcome));
  const total = (values) => values.reduce((sum, v) => sum + (v || 0), 0);
  const failed = fill(of(ERRORS), (r) => r.calls, 0);
  const limited = fill(of(["rate_limited", "provider_rate_limited"]), (r) => r.calls, 0);
  const other = fill(of(["client_error", "client_disconnect"]), (r) => r.calls, 0);
  const ok = fill(of(["ok"]), (r) => r.calls, 0);
  const calls = [["ok", "c1", ok], ["other", "c4", other], ["limited", "c3", limited], ["failed", "c2", failed]];
  const per = range.step === "hour" ? "per hour" : range.step === "day" ? "per day" : "per minute";
  const base = { x, step: STEPS[range.step] };
  chart(parts["plot-calls"], { ...base, title: `Calls ${per}`, stacked: true, axis: brief,
    series: calls.map(([label, color, values]) => ({ label, color, values, total: total(values), format: count })) });
  const cost = fill(line, (r) => r.cost_usd || 0, 0);
  chart(parts["plot-cost"], { ...base, title: `Cost ${per}`, stacked: true, axis: money,
    series: [{ label: "cost", color: "c1", values: cost, total: all.cost_usd, format: usd }] });
  const ms = (field) => fill(line.filter((r) => r[field]), (r) => r[field], null);
  const timed = (label, color, field) => ({ label, color, values: ms(field), total: all[field], format: time });
  chart(parts["plot-latency"], { ...base, title: "Latency", axis: time,
    series: [timed("p95", "c2", "p95_ms"), timed("median", "c1", "p50_ms"), timed("first token", "c3", "first_token_p50_ms")] });
  const tokens = [
    ["cached", "c5", fill(line, (r) => r.cached_tokens, 0), all.cached_tokens],
    ["input", "c1", fill(line, (r) => Math.max(0, r.input_tokens - r.cached_tokens), 0), Math.max(0, all.input_tokens - all.cached_tokens)],
    ["output", "c4", fill(line, (r) => r.output_tokens, 0), all.output_tokens],
  ];
  chart(parts["plot-tokens"], { ...base, title: `Tokens ${per}`, stacked: true, axis: brief,
    series: tokens.map(([label, color, values, sum]) => ({ label, color, values, total: sum, format: brief })) });
}

/** An amount on an axis. */
const money = (n) => "$" + (n >= 100 ? n.toFixed(0) : n >= 1 ? n.toFixed(2) : Number(n.toPrecision(2)));

/** A table of the largest; a name is a filter. */
function ranking(node, title, column, filter, answer, all, more, name) {
  const most = Math.max(...answer.rows.map((r) => r.cost_usd || 0), 0);
  put(node, card(title, table(title, [
    { title: name, class: "grow", show: (r) => (r[column] ? h("a", { href: link({ [filter]: r[column] }), "data-key": filter + r[column] }, r[column]) : "–") },
    { title: "Cost", number: true, show: (r) => [meter(most ? (r.cost_usd || 0) / most : 0), usd(r.cost_usd)], value: (r) => r.cost_usd },
    { title: "Calls", number: true, show: (r) => brief(r.calls), value: (r) => r.calls },
    { title: "Failed", number: true, show: (r) => h("span", { class: r.error_rate >= 0.05 ? "bad" : "" }, r.errors ? percent(r.error_rate) : "0"), value: (r) => r.errors },
    { title: "p95", number: true, show: (r) => time(r.p95_ms), value: (r) => r.p95_ms },
  ], answer.rows, "No calls in this range."), answer.cut && more ? h("p", { class: "more" }, h("a", { href: link({}, more) }, "All of them")) : null));
}

/** The reasons of all calls that were not answered. */
function why(rows, all) {
  const failures = rows.filter((r) => r.outcome !== "ok").slice(0, ROWS);
  const total = rows.filter((r) => r.outcome !== "ok").reduce((sum, r) => sum + r.calls, 0);
  put(parts.failures, card("Why calls failed", table("Why calls failed", [
    { title: "Reason", class: "grow", show: (r) => h("a", { href: link({ outcome: r.outcome, error: r.error_code || null, provider: r.provider || null }, "/calls"), "data-key": "why " + r.outcome + r.error_code + r.provider }, reason(r.outcome)) },
    { title: "Code", show: (r) => (r.error_code ? h("code", {}, r.error_code) : "–") },
    { title: "Provider", show: (r) => r.provider || "–" },
    { title: "Calls", number: true, show: (r) => [meter(total ? r.calls / total : 0, ERRORS.includes(r.outcome) ? "bad" : "warn"), count(r.calls)], value: (r) => r.calls },
    { title: "Of all", number: true, show: (r) => percent(all.calls ? r.calls / all.calls : 0) },
  ], failures, "Every call in this range was answered.")));
}

function closest(limits) {
  if (!limits) return put(parts.limits);
  put(parts.limits, card("Limits that will be hit next", table("Limits that will be hit next", [
    { title: "Organisation", class: "grow", show: (l) => h("a", { href: link({ org: l.org_id }, "/organizations"), "data-key": "limit " + l.org_id + l.scope + l.name + l.limit }, l.org_id, l.scope !== "org" ? ` · ${l.scope} ${l.name}` : "") },
    { title: "Limit", show: (l) => l.limit.replaceAll("_", " ") },
    { title: "Used", number: true, show: (l) => [meter(l.used_percent / 100, l.used_percent >= 90 ? "bad" : l.used_percent >= 70 ? "warn" : ""), l.used_percent.toFixed(0) + " %"], value: (l) => l.used_percent },
  ], limits.closest.slice(0, ROWS), "No organisation uses a limit right now."),
  h("p", { class: "more" }, h("a", { href: link({}, "/organizations") }, "All limits"))));
}

function latestFailures(rows) {
  put(parts.latest, card("Latest failures", table("Latest failures", [
    { title: "Time", show: (r) => h("a", { href: link({}, "/calls/" + r.id), "data-key": "call " + r.id }, moment(r.created_at)) },
    { title: "Organisation", show: (r) => r.org_id }, { title: "Model", show: (r) => r.model || "–" }, { title: "Provider", show: (r) => r.provider || "–" },
    { title: "Outcome", show: (r) => outcome(r.outcome) }, { title: "Status", number: true, show: (r) => String(r.status) },
    { title: "Attempts", class: "grow", show: (r) => r.attempts_detail || String(r.attempts) }, { title: "Latency", number: true, show: (r) => time(r.latency_ms) },
  ], rows, "No failed call in this range.")));
}

function kinds(store, all) {
  if (!store) return put(parts.kinds);
  const rows = Object.entries(store.redactions).map(([kind, n]) => ({ kind, n })).filter((r) => r.n).sort((a, b) => b.n - a.n);
  const most = rows.length ? rows[0].n : 0;
  put(parts.kinds, card("Redacted since the start, by kind", table("Redacted since the start, by kind", [
    { title: "Kind", class: "grow", show: (r) => r.kind.replaceAll("_", " ") },
    { title: "Values", number: true, show: (r) => [meter(r.n / most), count(r.n)], value: (r) => r.n },
  ], rows.slice(0, ROWS), "Nothing was redacted since the gateway started.")));
}

function credentials(auth, only) {
  if (!auth || !auth.refused.length) return put(parts.credentials);
  const rows = [...auth.refused].sort((a, b) => b.calls - a.calls);
  put(parts.credentials, card("Refused credentials since the start", table("Refused credentials since the start", [
    { title: "Reason", class: "grow", show: (r) => r.reason.replaceAll("_", " ") },
    { title: "Calls", number: true, show: (r) => count(r.calls), value: (r) => r.calls },
    { title: "Latest", show: (r) => (r.latest ? age(Date.now() - Date.parse(r.latest.at)) + " ago" : "–") },
    { title: "Issuer", show: (r) => r.latest?.iss || "–" },
  ], rows)));
}
