// The providers: circuits, attempts, latencies, classes of errors, credentials.

import { h, put, count, usd, time, percent, age, table, card, facts, meter, reason, ERRORS } from "./dom.js";
import { STEPS, get, link, steps, sums } from "./state.js";
import { chart } from "./charts.js";

const plot = h("div", { class: "card" });
const COLORS = ["c1", "c2", "c3", "c4", "c5"];

export async function show({ range, node, params, isCurrent }) {
  const [state, byProvider, line, why] = await Promise.all([
    get("/api/providers"), sums("provider", range, { sort: "calls", lines: 100 }), sums(range.step + ",provider", range),
    sums("provider,outcome,error", range, { sort: "calls", lines: 200 }),
  ]);
  if (!isCurrent()) return;
  const known = new Map(byProvider.rows.map((r) => [r.provider, r]));
  const wanted = params.get("provider");
  const names = state.providers.filter((p) => !wanted || p.name === wanted);
  const gone = byProvider.rows.filter((r) => r.provider && !state.providers.some((p) => p.name === r.provider));
  const failures = why.rows.filter((r) => r.provider && r.outcome !== "ok");
  put(node,
    h("div", { class: "boxes" }, names.map((p) => box(p, known.get(p.name)))),
    names.length ? null : h("p", { class: "empty" }, "The policy has no provider of this name. ", h("a", { href: link({ provider: null }) }, "All providers")),
    plot,
    card("Classes of errors", table("Classes of errors", [
      { title: "Provider", show: (r) => h("a", { href: link({ provider: r.provider, outcome: r.outcome, error: r.error_code || null }, "/calls"), "data-key": r.provider + r.outcome + r.error_code }, r.provider) },
      { title: "Outcome", class: "grow", show: (r) => reason(r.outcome) }, { title: "Code", show: (r) => (r.error_code ? h("code", {}, r.error_code) : "–") },
      { title: "Calls", number: true, show: (r) => count(r.calls), value: (r) => r.calls },
      { title: "Of its calls", number: true, show: (r) => [meter(r.calls / (known.get(r.provider)?.calls || r.calls), ERRORS.includes(r.outcome) ? "bad" : "warn"), percent(r.calls / (known.get(r.provider)?.calls || r.calls))] },
      { title: "p95", number: true, show: (r) => time(r.p95_ms) },
    ], failures, "No call to a provider failed in this range.")),
    gone.length ? card("No longer in the policy", table("No longer in the policy", [
      { title: "Provider", class: "grow", show: (r) => r.provider }, { title: "Calls", number: true, show: (r) => count(r.calls) }, { title: "Cost", number: true, show: (r) => usd(r.cost_usd) },
    ], gone)) : null);
  latency(range, line.rows, byProvider.rows.filter((r) => r.provider).slice(0, COLORS.length));
}

function box(p, sum) {
  const attempts = Object.entries(p.attempts);
  const total = attempts.reduce((n, [, c]) => n + c, 0);
  const failed = attempts.filter(([name]) => name !== "ok" && name !== "status_4xx").reduce((n, [, c]) => n + c, 0);
  const isBad = p.circuit === "open" || p.key_refused > 0;
  const until = p.credential_expires_in_s;
  return h("section", { class: "card provider", "aria-labelledby": "provider-" + p.name, "data-provider": p.name },
    h("h2", { id: "provider-" + p.name }, h("span", { class: "dot " + (isBad ? "bad" : total ? "good" : "") , "aria-hidden": "true" }), p.name, h("small", {}, p.kind)),
    h("p", { class: p.circuit === "open" ? "bad" : "quiet" }, p.circuit === "open" ? "Circuit open: calls pause until a probe succeeds." : total ? "Circuit closed: calls go out." : "Not called since the start."),
    facts([
      ["Calls in this range", sum ? count(sum.calls) : "0"], ["Failed", sum ? h("span", { class: sum.error_rate >= 0.05 ? "bad" : "" }, `${percent(sum.error_rate)} (${count(sum.errors)})`) : null],
      ["Latency", sum ? `median ${time(sum.p50_ms)}, p95 ${time(sum.p95_ms)}, p99 ${time(sum.p99_ms)}` : null],
      ["First token", sum && sum.first_token_p50_ms ? `median ${time(sum.first_token_p50_ms)}, p95 ${time(sum.first_token_p95_ms)}` : null],
      ["Cost", sum ? usd(sum.cost_usd) : null],
      ["Attempts since the start", total ? `${count(total)}, ${count(failed)} failed` : null],
      ["Ends of attempts", attempts.length ? attempts.map(([name, n]) => `${name.replaceAll("_", " ")} ${count(n)}`).join(" · ") : null],
      ["Retries", Object.entries(p.retries).map(([name, n]) => `${name.replaceAll("_", " ")} ${count(n)}`).join(" · ")],
      ["Credential", credential(p, until)], ["Address", h("code", {}, p.address)],
    ]));
}

function credential(p, until) {
  if (p.key_refused) return h("span", { class: "bad" }, `the provider refused the gateway's key ${count(p.key_refused)} times; replace it`);
  if (p.credential === "none") return "none: only callers with a key of their own";
  if (p.credential === "key") return "a key of the policy";
  if (until === null || until === undefined) return p.credential === "aws" ? "an AWS access key" : "a token, not fetched yet";
  return until <= 0 ? h("span", { class: "bad" }, "the token has ended; see the gateway's log") : `a token, valid for ${age(until * 1000)}`;
}

function latency(range, rows, providers) {
  const x = steps(range);
  const at = (row) => Date.parse(row[range.step].length === 10 ? row[range.step] + "T00:00:00Z" : row[range.step]);
  const place = new Map(x.map((ms, i) => [ms, i]));
  const series = providers.map((p, i) => {
    const values = x.map(() => null);
    for (const row of rows) if (row.provider === p.provider && place.has(at(row))) values[place.get(at(row))] = row.p95_ms;
    return { label: p.provider, color: COLORS[i], values, total: p.p95_ms, format: time };
  });
  if (!series.length) return put(plot, h("p", { class: "empty" }, "No calls to providers in this range."));
  chart(plot, { title: "Latency by provider, p95", x, step: STEPS[range.step], axis: time, series });
}
