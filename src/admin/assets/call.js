// One call: what became of it, its attempts and times, tokens and cost, and its redacted texts for those who may see them.

import { h, put, count, usd, time, bytes, reason, outcome, facts, card, table, ERRORS } from "./dom.js";
import { get, link } from "./state.js";

export async function show({ session, node, isCurrent }) {
  const id = decodeURIComponent(location.pathname.split("/").pop());
  const { rows } = await get("/api/logs?limit=1&id=" + encodeURIComponent(id));
  if (!isCurrent()) return;
  const row = rows[0];
  if (!row) {
    return put(node, h("p", { class: "empty" }, "There is no such call here. It may have been deleted after its time (ailog.retention), or it is one of an organisation that you may not see. ",
      h("a", { href: link({}, "/calls") }, "All calls")));
  }
  document.title = "Call of " + row.org_id + " · Tollgate";
  const filter = (name, value) => (value ? h("a", { href: link({ [name]: value, range: null }, "/calls") }, value) : null);
  const tags = Object.entries(row.tags || {});
  put(node,
    h("section", { class: "state " + (row.outcome === "ok" ? "good" : ERRORS.includes(row.outcome) ? "bad" : "warn"), "aria-label": "Outcome" },
      h("p", { class: "headline" }, h("span", { class: "dot", "aria-hidden": "true" }), sentence(row)),
      h("p", { class: "sub" }, row.created_at.replace("T", " ").replace("Z", " UTC"), " · ", h("code", {}, row.request_id))),
    h("div", { class: "pair" },
      card("Call", facts([
        ["Organisation", filter("org", row.org_id)], ["Caller", filter("caller", row.caller)], ["Client", row.client], ["Endpoint", h("code", {}, row.endpoint)],
        ["Model", filter("model", row.model)], ["Answered by", [row.response_model || "–", row.provider ? " at " : "", filter("provider", row.provider)]],
        ["Translated", row.translated && row.translated.replace(">", " → ")], ["Not carried over", row.dropped_fields],
        ["Outcome", outcome(row.outcome)], ["Status", String(row.status)], ["Error code", row.error_code && h("a", { href: link({ error: row.error_code, range: null }, "/calls") }, row.error_code)],
        ["Refused by limit", row.limited_by], ["Calls in this row", row.calls > 1 ? count(row.calls) : null], ["End of the answer", row.finish_reason],
        ["Policy", h("code", {}, row.policy_version)], ["Trace", row.trace_id && h("code", {}, row.trace_id)], ["Cache", row.cache],
        ...tags.map(([name, value]) => ["Tag " + name, value]),
      ])),
      card("Tokens and cost", facts([
        ["Cost", h("b", {}, usd(row.cost_usd))], ["Input", count(row.input_tokens) + " tokens" + part(row.input_cost_usd)],
        ["Cached", row.cached_tokens ? count(row.cached_tokens) + part(row.cached_cost_usd) : null], ["Cache written", row.cache_write_tokens ? count(row.cache_write_tokens) + part(row.cache_write_cost_usd) : null],
        ["Output", count(row.output_tokens) + " tokens" + part(row.output_cost_usd)], ["Reasoning", row.reasoning_tokens ? count(row.reasoning_tokens) : null],
        ["Saved by the cache", row.saved_by_cache_usd ? usd(row.saved_by_cache_usd) : null], ["Usage from", row.usage_source], ["Prices", row.price_version],
        ["Redacted", `${count(row.redacted_emails)} e-mail, ${count(row.redacted_phones)} telephone, ${count(row.redacted_other)} other`],
        ["Attachments removed", row.attachments_dropped ? count(row.attachments_dropped) : null], ["Taken out of the answer", row.answer_masked ? count(row.answer_masked) : null],
        ["Sizes", `${bytes(row.request_bytes)} in, ${bytes(row.response_bytes)} out`],
      ]))),
    card("Timing and attempts", timing(row), attempts(row)),
    shadow(row),
    texts(row, session),
    h("details", { class: "card", "data-key": "columns" }, h("summary", {}, "All columns of the row"), columns(row)));
}

const part = (amount) => (amount === null || amount === undefined ? "" : ", " + usd(amount));

function sentence(row) {
  if (row.outcome === "ok") return `Answered in ${time(row.latency_ms)}` + (row.attempts > 1 ? ` after ${row.attempts} attempts.` : ".");
  const word = reason(row.outcome);
  return word[0].toUpperCase() + word.slice(1) + (row.error_code ? ` (${row.error_code})` : "") + `, after ${time(row.latency_ms)}.`;
}

/** Bars on the time of the call. */
function timing(row) {
  const whole = Math.max(row.latency_ms, 1);
  const bar = (name, from, to, kind) => {
    const strip = h("span", { class: "strip", "aria-hidden": "true" }, h("i", { class: kind }));
    strip.firstChild.style.left = (100 * from) / whole + "%";
    strip.firstChild.style.width = Math.max(0.5, (100 * (to - from)) / whole) + "%";
    return h("div", { class: "step" }, h("dt", {}, name), h("dd", {}, strip, h("span", { class: "n" }, to - from < 1 ? (1000 * (to - from)).toFixed(0) + " µs" : time(to - from))));
  };
  const own = row.gateway_us / 1000;
  const steps = [bar("in the gateway", 0, own, "own")];
  if (row.ttfb_ms) steps.push(bar("until the first byte", 0, row.ttfb_ms, "wait"));
  if (row.first_token_ms) steps.push(bar("until the first token", 0, row.first_token_ms, "wait"));
  steps.push(bar("whole call", 0, row.latency_ms, "all"));
  return h("dl", { class: "timing" }, steps);
}

function attempts(row) {
  const all = Array.isArray(row.attempts_log) ? row.attempts_log : [];
  if (!all.length) return h("p", { class: "quiet" }, row.attempts ? `${row.attempts} ${row.attempts === 1 ? "attempt" : "attempts"}. ${row.attempts_detail}` : "No attempt: the call never reached a provider.");
  return table("Attempts", [
    { title: "Attempt", show: (a) => String(all.indexOf(a) + 1) }, { title: "Provider", class: "grow", show: (a) => a.provider },
    { title: "Status", number: true, show: (a) => (a.status ? String(a.status) : "no answer") }, { title: "Error", show: (a) => a.error || "–" },
    { title: "Time", number: true, show: (a) => time(a.ms) },
  ], all);
}

/** What a candidate policy would have decided. */
function shadow(row) {
  if (!row.shadow || row.shadow === "{}") return null;
  const text = typeof row.shadow === "string" ? row.shadow : JSON.stringify(row.shadow);
  return card("The candidate policy would have decided otherwise", h("pre", { tabindex: "0", role: "region", "aria-label": "Shadow decision" }, pretty(text)));
}

function texts(row, session) {
  const title = "Texts, redacted";
  if (!session.sees_texts) return card(title, h("p", { class: "empty" }, "Your role (viewer) does not see texts. A token with the role auditor does."));
  const known = ["prompt", "answer", "request", "response"].filter((name) => row[name] !== null && row[name] !== undefined && row[name] !== "");
  if (!known.length) return card(title, h("p", { class: "empty" }, "No texts were captured: ailog.capture_bytes is 0, or they were deleted after their time (ailog.retention.captures)."));
  const names = { prompt: "Last message of the user", answer: "Answer", request: "Request body", response: "Answer body" };
  return card(title, row.truncated ? h("p", { class: "quiet" }, "Cut at ailog.capture_bytes.") : null,
    known.map((name) => h("details", { open: name === "prompt" || name === "answer", "data-key": name }, h("summary", {}, names[name]),
      h("pre", { tabindex: "0", role: "region", "aria-label": names[name], id: "text-" + name }, pretty(row[name])))));
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function columns(row) {
  return facts(Object.entries(row).filter(([name]) => !["request", "response", "prompt", "answer"].includes(name)).map(([name, value]) =>
    [name, value === null ? "null" : typeof value === "object" ? JSON.stringify(value) : String(value) || "“”"]));
}
