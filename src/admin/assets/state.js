// The address of the page is its state: filters, range and granularity are in the query string. And the way to the API.

const MINUTE = 60000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
export const STEPS = { minute: MINUTE, hour: HOUR, day: DAY };

/** Names in the address, and their names in rows. */
export const FILTERS = { org: "org_id", model: "model", provider: "provider", route: "route", outcome: "outcome", caller: "caller", error: "error_code", limit: "limited_by" };

export const RANGES = {
  "1h": { name: "last hour", unit: MINUTE, length: HOUR },
  "6h": { name: "last 6 hours", unit: MINUTE, length: 6 * HOUR, step: "minute" },
  "24h": { name: "last 24 hours", unit: HOUR, length: DAY },
  today: { name: "today", unit: HOUR, length: DAY },
  yesterday: { name: "yesterday", unit: HOUR, length: DAY },
  "7d": { name: "last 7 days", unit: HOUR, length: 7 * DAY },
  "30d": { name: "last 30 days", unit: DAY, length: 30 * DAY },
  month: { name: "this month", unit: DAY },
  "90d": { name: "last 90 days", unit: DAY, length: 90 * DAY },
  custom: { name: "from – to", unit: HOUR },
};

const floor = (ms, unit) => Math.floor(ms / unit) * unit;
const ceil = (ms, unit) => Math.ceil(ms / unit) * unit;
export const iso = (ms) => new Date(ms).toISOString();

/** The range of the address: aligned to whole units, which the log answers from its sums. */
export function range(params = query(), now = Date.now()) {
  const name = RANGES[params.get("range")] ? params.get("range") : "24h";
  const { unit, length } = RANGES[name];
  let [from, to] = [floor(now, unit) + unit - length, ceil(now + 1, unit)];
  if (name === "today") [from, to] = [floor(now, DAY), ceil(now + 1, unit)];
  if (name === "yesterday") [from, to] = [floor(now, DAY) - DAY, floor(now, DAY)];
  if (name === "month") from = Date.parse(iso(now).slice(0, 8) + "01T00:00:00Z");
  if (name === "custom") {
    from = Date.parse(params.get("from")) || floor(now, DAY);
    to = Date.parse(params.get("to")) || ceil(now + 1, HOUR);
    // A day is meant as a whole.
    if (/^\d{4}-\d\d-\d\d$/.test(params.get("to") || "")) to += DAY;
    if (to <= from) to = from + HOUR;
  }
  const span = to - from;
  const usual = span <= 6 * HOUR ? "minute" : span <= 8 * DAY ? "hour" : "day";
  let step = STEPS[params.get("step")] ? params.get("step") : usual;
  // More points than pixels say nothing.
  if (span / STEPS[step] > 1500) step = usual;
  const end = Math.min(to, now);
  const before = name === "month" ? Date.parse(iso(from - DAY).slice(0, 8) + "01T00:00:00Z") : from - (length || span);
  return { name, from, to, step, before: { from: before, to: Math.min(from, before + (end - from)) }, endsNow: to >= now };
}

/** The beginnings of all steps of a range, in ms. */
export function steps({ from, to, step }) {
  const all = [];
  for (let at = floor(from, STEPS[step]); at < to; at += STEPS[step]) all.push(at);
  return all;
}

export const query = () => new URLSearchParams(location.search);

/** This page, or another, with the present filters and some changes; null removes one. */
export function link(changes = {}, path = location.pathname) {
  const params = query();
  if (path !== location.pathname) for (const name of ["sort", "offset", "before", "q"]) params.delete(name);
  for (const name of ["offset", "before"]) params.delete(name);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") params.delete(name);
    else params.set(name, value);
  }
  const text = params.toString().replaceAll("%3A", ":");
  return path + (text ? "?" + text : "");
}

/** The conditions of the address, for `/api/summary`. */
export function conditions(params = query()) {
  const found = new URLSearchParams();
  for (const name of Object.keys(FILTERS)) for (const value of params.getAll(name)) if (value) found.append(name, value);
  return found;
}

/** The same for `/api/logs`. */
export function rowConditions(params = query()) {
  const found = new URLSearchParams();
  for (const [name, column] of Object.entries(FILTERS)) for (const value of params.getAll(name)) if (value) found.append(column, value);
  return found;
}

/** A question that was not answered. */
export class Unanswered extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// The gateway answers a few questions of its log at once, and others may be looking, too.
const AT_ONCE = 3;
let asking = 0;
const waiting = [];

/** The answer to a question, as JSON. */
export async function get(path, options) {
  if (asking >= AT_ONCE) await new Promise((go) => waiting.push(go));
  asking++;
  try {
    const response = await fetch(path, options);
    // The session is over: the page itself asks for a sign-in.
    if (response.status === 401) location.reload();
    const text = await response.text();
    let body = {};
    try {
      body = JSON.parse(text);
    } catch {
      if (response.ok) throw new Unanswered(response.status, "the answer is incomplete");
    }
    if (!response.ok) throw Object.assign(new Unanswered(response.status, body.error || text || response.statusText), { body });
    return body;
  } catch (error) {
    if (error instanceof Unanswered) throw error;
    throw new Unanswered(0, "the gateway cannot be reached");
  } finally {
    asking--;
    waiting.shift()?.();
  }
}

/** The answer, or `otherwise` where this principal may not ask, or where there is no such question. */
export async function getIf(path, otherwise = null) {
  try {
    return await get(path);
  } catch (error) {
    if ([400, 403, 404].includes(error.status)) return otherwise;
    throw error;
  }
}

/** Sums: `by` is a list of dimensions; `more` has sort, lines and offset. */
export function sums(by, stretch, more = {}, only = conditions()) {
  const ask = new URLSearchParams(only);
  ask.set("by", by);
  ask.set("from", iso(stretch.from));
  ask.set("to", iso(stretch.to));
  for (const [name, value] of Object.entries(more)) ask.set(name, value);
  return get("/api/summary?" + ask);
}
