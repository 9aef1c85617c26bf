// Begins the page of this address, and keeps it up to date while it is looked at.

import { h } from "./dom.js";
import { get, link, query, range } from "./state.js";
import * as filters from "./filters.js";
import { selects } from "./charts.js";

const byId = (id) => document.getElementById(id);

/** Every page: its path, title and module; `all` are those that concern all organisations. */
const PAGES = [
  { path: "/", title: "Overview", module: "./overview.js", filters: true },
  { path: "/calls", title: "Calls", module: "./calls.js", filters: true, every: 3000 },
  { path: "/organizations", title: "Organisations", module: "./organizations.js", filters: true },
  { path: "/providers", title: "Providers", module: "./providers.js", filters: true, all: true },
  { path: "/policy", title: "Policy", module: "./policy.js", all: true },
  { path: "/log", title: "Log", module: "./log.js", all: true },
];
const CALL = { path: "/calls/", title: "Call", module: "./call.js", once: true };
const page = location.pathname.startsWith(CALL.path) ? CALL : PAGES.find((p) => p.path === location.pathname) || PAGES[0];

/** How often a page asks again by itself. */
const EVERY = 10000;
let timer = 0;
let round = 0;

function pages(session) {
  const shown = PAGES.filter((p) => !p.all || !session.orgs.length);
  byId("pages").replaceChildren(...shown.map((p) => {
    const isHere = p === page || (page === CALL && p.path === "/calls");
    return h("a", { href: link({}, p.path), "aria-current": isHere ? "page" : null }, p.title);
  }));
}

/** Goes to an address: of this page without loading it anew. */
export function go(href) {
  const to = new URL(href, location.href);
  if (to.pathname !== location.pathname) return location.assign(to);
  history.pushState(null, "", to);
  look(true);
}

async function look(isAsked = false) {
  clearTimeout(timer);
  const mine = ++round;
  const context = { session: look.session, range: range(), params: query(), node: byId("page"), isCurrent: () => mine === round, go, again: () => look(true) };
  document.body.classList.toggle("busy", isAsked);
  try {
    pages(look.session);
    if (page.filters) filters.show(byId("filters"), context, page);
    await look.show(context);
    if (mine !== round) return;
    say("");
    byId("updated").textContent = "Updated " + new Date().toISOString().slice(11, 19);
    if (page.filters) filters.offer(byId("filters"), context);
  } catch (error) {
    if (mine !== round) return;
    byId("page").querySelector(".loading")?.remove();
    say(failure(error));
  }
  document.body.classList.remove("busy");
  const every = page.every || EVERY;
  const isLive = !page.once && (!page.filters || context.range.endsNow) && !(page.path === "/calls" && (!context.params.has("live") || context.params.has("before")));
  if (isLive && !document.hidden) timer = setTimeout(look, every);
}

/** What went wrong, and what to do. */
function failure(error) {
  if (error.status === 403) return "You may not see this: " + error.message + ". Ask an operator for another token.";
  if (error.status === 503) return "The log cannot be read now: " + error.message + ". The page tries again by itself.";
  if (error.status === 400) return error.message + ". Change the filters, or reset them.";
  if (error.status === 0) return "The gateway cannot be reached; the figures below are those of before. The page tries again by itself.";
  return "The page cannot be updated: " + error.message;
}

function say(text) {
  if (byId("trouble").textContent !== text) byId("trouble").textContent = text;
  byId("trouble").hidden = !text;
}

async function begin() {
  document.title = page.title + " · Tollgate";
  byId("title").textContent = page.title;
  selects(go);
  try {
    look.session = await get("/api/session");
  } catch (error) {
    byId("page").replaceChildren();
    return say(failure(error));
  }
  const { name, role, orgs, access } = look.session;
  byId("who").textContent = access ? name + " · " + role + (orgs.length ? " · " + orgs.join(", ") : "") : "";
  const module = await import(page.module);
  look.show = module.show;
  byId("filters").hidden = !page.filters;
  addEventListener("popstate", () => look(true));
  document.addEventListener("visibilitychange", () => document.hidden ? clearTimeout(timer) : look());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => look());
  document.addEventListener("keydown", (event) => {
    const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey) {
      const search = document.querySelector("#filters input[name=q]");
      if (search) {
        event.preventDefault();
        search.closest("details")?.setAttribute("open", "");
        search.focus();
      }
    }
  });
  // A link to this page changes the address only.
  document.addEventListener("click", (event) => {
    const to = event.target.closest?.("a[href]");
    if (!to || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || to.target) return;
    const url = new URL(to.href);
    if (url.origin !== location.origin || url.pathname !== location.pathname || url.hash || page === CALL) return;
    event.preventDefault();
    go(to.href);
  });
  await look(true);
}

begin();
