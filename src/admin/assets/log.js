// The log and its store: what waits, what was lost, and what became of the rows.

import { h, put, count, bytes, age, table, card, facts } from "./dom.js";
import { get } from "./state.js";

const MEANING = {
  written: "in the write-ahead log, on disk before the caller saw the end of its answer", stored: "in the store", lost: "could not be kept: the disk was full, or the backlog at its bound",
  dead_letter: "refused by the store, and kept in data_dir/dead-letter.jsonl", expired: "older than the retention before they could be stored",
  suspect: "written, but the disk refused the sync", unfinished: "cut off by the end of the process, before their answers were complete",
};

export async function show({ node, isCurrent }) {
  const store = await get("/api/store");
  if (!isCurrent()) return;
  const waits = store.oldest_unstored_at ? Date.now() - Date.parse(store.oldest_unstored_at) : 0;
  const state = store.trouble || store.lost_rows ? "bad" : waits > 60000 ? "warn" : "good";
  const head = store.trouble ? "Rows wait, because they cannot be stored. Nothing is lost until the write-ahead log is full."
    : store.lost_rows ? `${count(store.lost_rows)} rows were lost since the start.` : waits > 60000 ? "The store is behind." : "All rows are stored.";
  const rows = Object.entries(store.rows).map(([result, n]) => ({ result, n }));
  for (const result of ["written", "stored", "lost"]) if (!rows.some((r) => r.result === result)) rows.push({ result, n: 0 });
  const order = Object.keys(MEANING);
  rows.sort((a, b) => order.indexOf(a.result) - order.indexOf(b.result));
  const bounds = Object.entries(store.bounds_reached).map(([name, n]) => ({ name, n })).filter((b) => b.n);
  put(node,
    h("section", { class: "state " + state, "aria-label": "State" }, h("p", { class: "headline" }, h("span", { class: "dot", "aria-hidden": "true" }), head),
      store.trouble ? h("p", {}, store.trouble) : null),
    h("div", { class: "pair" },
      card("Backlog", facts([
        ["Not stored yet", h("b", { id: "figure-backlog", "data-value": store.unstored_bytes }, bytes(store.unstored_bytes))],
        ["Oldest of them", store.oldest_unstored_at ? age(waits) + " old" : "none waits"],
        ["Lost", h("b", { id: "figure-lost", "data-value": store.lost_rows, class: store.lost_rows ? "bad" : "" }, count(store.lost_rows))],
      ])),
      card("Store", facts([
        ["Kind", store.store === "embedded" ? "embedded (SQLite)" : "ClickHouse"], ["Place", h("code", {}, store.place)], ["Size", store.bytes === null ? null : bytes(store.bytes)],
        ["Takes rows", store.trouble ? h("span", { class: "bad" }, "no") : "yes"],
      ]))),
    card("Rows since the start", table("Rows since the start", [
      { title: "Result", show: (r) => r.result.replaceAll("_", " ") }, { title: "Rows", number: true, show: (r) => count(r.n), value: (r) => r.n },
      { title: "Meaning", class: "text grow", show: (r) => MEANING[r.result] || "" },
    ], rows)),
    card("Bounds that were reached", h("p", { class: "quiet" }, "Every queue and map has a maximum. Now and then is normal; often means that the gateway needs room or protection."),
      table("Bounds that were reached", [
        { title: "Bound", class: "grow", show: (b) => h("code", {}, b.name) }, { title: "Times", number: true, show: (b) => count(b.n), value: (b) => b.n },
      ], bounds, "None since the start.")));
}
