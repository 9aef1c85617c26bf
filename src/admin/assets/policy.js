// The policy: the one in force, the last edit that was refused, the audit, and the results of a candidate in shadow.

import { h, put, count, table, card, facts, moment } from "./dom.js";
import { get, getIf, iso } from "./state.js";

let reloaded = "";

export async function show(context) {
  const { session, node, isCurrent } = context;
  const [config, audit] = await Promise.all([get("/api/config"), get("/api/audit?limit=50")]);
  const month = { from: iso(Date.now() - 30 * 86400000) };
  const shadow = config.shadow ? await getIf("/api/summary?by=shadow&from=" + month.from.slice(0, 10)) : null;
  if (!isCurrent()) return;
  const when = (at) => (at ? at.replace("T", " ").slice(0, 19) + " UTC" : "–");
  put(node,
    h("section", { class: "state " + (config.last_edit_refused ? "bad" : config.restart_needed ? "warn" : "good"), "aria-label": "State" },
      h("p", { class: "headline" }, h("span", { class: "dot", "aria-hidden": "true" }),
        config.last_edit_refused ? "The files hold an edit that was refused; the policy before it stays in force." : config.restart_needed ? "gateway.yaml has changed: restart the gateway to apply it." : "The policy in force is that of the files."),
      reloaded ? h("p", { role: "status" }, reloaded) : null),
    config.last_refused ? refused(config, when) : null,
    h("div", { class: "pair" },
      card("In force", facts([
        ["Version", h("code", {}, config.policy_version)], ["Loaded", when(config.loaded_at)], ["Program", "tollgate " + config.version],
        ["Files", h("ul", { class: "plain" }, config.files.map((file) => h("li", {}, h("code", {}, file))))],
      ]), session.role === "operator" && !session.orgs.length ? h("p", { class: "more" }, h("button", { type: "button", "data-key": "reload", onclick: () => reload(context) }, "Read the files now")) : null),
      card("Warnings", config.warnings.length ? h("ul", { class: "plain" }, config.warnings.map((text) => h("li", {}, text))) : h("p", { class: "empty" }, "None about this configuration."))),
    shadowed(config.shadow, shadow, when), audited(audit, when),
    card("Effective configuration", h("p", { class: "quiet" }, "Every key with its value in force; secrets are masked."),
      sections(config.config || {}).map(([name, value]) => h("details", { "data-key": "section " + name }, h("summary", {}, h("code", {}, name)),
        h("pre", { tabindex: "0", role: "region", "aria-label": "Section " + name }, JSON.stringify(value, null, 2))))));
}

/** The sections of the policy, and gateway.yaml as one. */
function sections({ gateway, policy, ...others }) {
  return [...Object.entries(policy || {}), ...(gateway ? [["gateway.yaml", gateway]] : []), ...Object.entries(others)];
}

function refused(config, when) {
  return card(config.last_edit_refused ? "Refused edit" : "Last refused edit, repaired since",
    h("p", { class: "quiet" }, `${when(config.last_refused.at)}: each line names file, line and column, and what to change.`),
    h("pre", { class: "problems", tabindex: "0", role: "region", "aria-label": "Problems of the refused edit" }, config.last_refused.problems.join("\n")));
}

function shadowed(state, sums, when) {
  if (!state) return card("Candidate in shadow", h("p", { class: "empty" }, "No candidate policy is loaded. Put one into shadow/*.yaml to see what it would decide, before it is in force."));
  const rows = sums?.rows || [];
  return card("Candidate in shadow", facts([["Version", h("code", {}, state.version)], ["Loaded", when(state.loaded_at)], ["Files", (state.files || []).join(", ")]]),
    state.problems?.length ? h("pre", { class: "problems", tabindex: "0", role: "region", "aria-label": "Problems of the candidate" }, state.problems.join("\n")) : null,
    table("What it would have decided, last 30 days", [
      { title: "Decision", class: "grow", show: (r) => r.shadow || "same" }, { title: "Calls", number: true, show: (r) => count(r.calls), value: (r) => r.calls },
    ], rows, "No call has been judged by it yet."));
}

function audited(audit, when) {
  const { records } = audit;
  const who = (by) => (by ? [by.kind, by.principal].filter(Boolean).join(" ") : "–");
  return card("Audit", audit.broken ? h("p", { class: "bad" }, "The chain of records is broken: run tollgate audit verify.") : null, table("Audit", [
    { title: "Record", show: (r) => String(r.seq) }, { title: "Time", show: (r) => when(r.at) }, { title: "Event", show: (r) => h("span", { class: "badge " + (/rejected/.test(r.event) ? "bad" : "good") }, r.event.replaceAll("_", " ")) },
    { title: "By", show: (r) => who(r.by) }, { title: "Version", show: (r) => h("code", {}, r.version || "–") },
    { title: "Changes", class: "text", show: (r) => (r.problems?.length ? r.problems.join("; ") : (r.diff || []).map((d) => `${d.key} ${d.kind}`).join("; ") || object(r.subject)) },
  ], records, "No edit yet."));
}

/** The object of an operator's action: a key, answers of the cache, a webhook. */
function object(subject) {
  if (!subject) return "–";
  const { name, org, answers, delivered } = subject;
  return [name, org, answers === undefined ? null : count(answers) + " answers", delivered === false ? "not delivered" : null].filter((part) => part).join(", ");
}

async function reload(context) {
  try {
    const { policy_version: version } = await get("/api/reload", { method: "POST" });
    reloaded = "The files were read: version " + version + " is in force.";
  } catch (error) {
    reloaded = (error.body?.problems || [error.message]).length + " problems: the policy in force stays. " + error.message;
  }
  context.again();
}
