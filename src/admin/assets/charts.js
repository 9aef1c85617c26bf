// Charts by uPlot, on one time axis with one cursor. Each has its figures as a table, too.

import { h } from "./dom.js";
import { link, iso } from "./state.js";

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const drawn = new Map();

/** Goes to the part of the range that was drawn over. */
let onSelect = () => {};
export const selects = (go) => (onSelect = go);

/**
 * Draws a chart, or gives a drawn one new data. `spec` has a title, `x` (ms), `unit` (the format of the axis), `stacked`, and
 * series with a label, a colour, values and a format.
 */
export function chart(node, spec) {
  const series = spec.stacked ? piled(spec.series) : spec.series.map((s) => ({ ...s, at: s.values }));
  // Of a pile the whole is drawn first, and the parts over it.
  const order = spec.stacked ? [...series].reverse() : series;
  const data = [spec.x.map((ms) => ms / 1000), ...order.map((s) => s.at)];
  const key = JSON.stringify([spec.title, spec.step, order.map((s) => s.label), matchMedia("(prefers-color-scheme: dark)").matches]);
  const known = drawn.get(node);
  if (known && known.key === key && node.isConnected) {
    known.order = order;
    known.plot.setData(data);
  } else {
    known?.plot.destroy();
    known?.watch.disconnect();
    const canvas = h("div", { class: "plot" + (spec.stacked ? " pile" : "") });
    const figure = h("figure", {}, h("figcaption", {}, spec.title), canvas, h("details", { class: "data" }, h("summary", {}, "as a table"), h("div")));
    node.replaceChildren(figure);
    const entry = { key, order, spec };
    entry.plot = new uPlot(options(entry, canvas), data, canvas);
    entry.plot.root.querySelector(".u-wrap").setAttribute("role", "img");
    entry.watch = new ResizeObserver(() => entry.plot.setSize(size(canvas)));
    entry.watch.observe(canvas);
    drawn.set(node, entry);
  }
  const entry = drawn.get(node);
  entry.spec = spec;
  entry.plot.root.querySelector(".u-wrap").setAttribute("aria-label", spec.title + ": " + spec.series.map((s) => s.label + " " + s.format(s.total)).join(", "));
  const details = node.querySelector("details.data");
  const fill = () => details.open && details.lastChild.replaceChildren(values(spec));
  details.ontoggle = fill;
  fill();
}

/** The text of a place on the axis of time: the day where it begins, else the time. */
function tick(ms, step) {
  const at = iso(ms);
  const day = Number(at.slice(8, 10)) + " " + new Date(ms).toLocaleString("en", { month: "short", timeZone: "UTC" });
  return step >= 86400 || at.slice(11, 16) === "00:00" ? day : at.slice(11, 16);
}

const size = (node) => ({ width: Math.max(200, node.clientWidth), height: 170 });

/** Each series on those before it. */
function piled(series) {
  let below = series[0].values.map(() => 0);
  return series.map((s) => {
    below = below.map((sum, i) => sum + (s.values[i] || 0));
    return { ...s, at: below };
  });
}

function options(entry, node) {
  const { spec } = entry;
  const [ink, line] = [color("dim"), color("line")];
  const font = "12px system-ui, sans-serif";
  const axis = { stroke: ink, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
  const bars = uPlot.paths.bars({ size: [0.72, 28], radius: 0.12 });
  return {
    ...size(node),
    tzDate: (s) => uPlot.tzDate(new Date(s * 1000), "Etc/UTC"),
    padding: [8, 8, 0, 0],
    cursor: { sync: { key: "range" }, drag: { x: true, y: false, setScale: false }, points: { size: 7 }, y: false },
    select: { show: true },
    legend: { live: true, markers: { width: 0, fill: (u, place) => (place ? color(entry.order[place - 1].color) : "") } },
    hooks: {
      setSelect: [(u) => {
        if (u.select.width < 12) return;
        const at = (px) => Math.round(u.posToVal(px, "x")) * 1000;
        const [from, to] = [at(u.select.left), at(u.select.left + u.select.width)];
        u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        onSelect(link({ range: "custom", from: iso(from).slice(0, 16) + "Z", to: iso(to).slice(0, 16) + "Z", step: null }));
      }],
    },
    scales: {
      x: { range: (u, from, to) => (spec.step ? [from - spec.step / 2000, to + spec.step / 2000] : [from, to]) },
      y: { range: (u, from, to) => [0, to > 0 ? to * 1.08 : 1] },
    },
    axes: [
      { ...axis, grid: { show: false }, space: 64, size: 26,
        values: (u, splits, of, space, step) => splits.map((s) => tick(s * 1000, step)) },
      { ...axis, size: 58, space: 34, values: (u, splits) => splits.map((v) => (v === 0 ? "0" : spec.axis(v).replace(/\.(\d*?)0+(?=\D|$)/, (all, digits) => (digits ? "." + digits : "")))) },
    ],
    series: [
      { label: "time", value: (u, s) => (s === null || s === undefined ? "whole range" : iso(s * 1000).slice(5, 16).replace("T", " ")) },
      ...entry.order.map((s, place) => ({
        label: s.label,
        stroke: color(s.color),
        fill: spec.stacked ? color(s.color) : undefined,
        width: spec.stacked ? 0 : 1.75,
        paths: spec.stacked ? bars : undefined,
        // A line needs two points; fewer are shown as such.
        points: { size: 6, fill: color(s.color), show: (u, of) => !spec.stacked && u.data[of].filter((v) => v !== null).length < 4 },
        spanGaps: true,
        value: (u, v, of, at) => {
          const now = entry.order[place];
          return at === null || at === undefined ? now.format(now.total) : now.values[at] === null ? "–" : now.format(now.values[at]);
        },
      })),
    ],
  };
}

/** The figures of a chart, newest first. */
function values(spec) {
  const rows = spec.x.map((ms, i) => [iso(ms).slice(0, 16).replace("T", " "), ...spec.series.map((s) => (s.values[i] === null ? "–" : s.format(s.values[i])))]);
  return h("div", { class: "scroll short", tabindex: "0", role: "region", "aria-label": spec.title + ", figures" },
    h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "time (UTC)"), spec.series.map((s) => h("th", { scope: "col", class: "n" }, s.label)))),
      h("tbody", {}, rows.reverse().map(([at, ...cells]) => h("tr", {}, h("th", { scope: "row" }, at), cells.map((c) => h("td", { class: "n" }, c)))))));
}
