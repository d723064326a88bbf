// Throughput, lag and batch size over time, drawn by uPlot.

import uPlot from "./vendor/uplot/uPlot.esm.js";
import { h } from "./dom.js";
import { count, rate, seconds, short } from "./format.js";

const HEIGHT = 170;
const TIME = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const clock = (at) => TIME.format(new Date(at * 1000));
const CHARTS = [
  { id: "throughput", title: "Throughput", unit: rate, series: [["changes", "--chart-1", []], ["rows", "--chart-2", [6, 3]], ["merged", "--chart-3", [2, 3]]] },
  { id: "lag", title: "Lag, source to table", unit: seconds, series: [["lag", "--chart-2", []]] },
  { id: "batch", title: "Batch size", unit: (v) => `${count(v)} rows`, bars: true, series: [["rows of a commit", "--chart-1", []]] },
];

export class Charts {
  constructor(place) {
    this.place = place;
    this.span = 300;
    this.data = { at: [], changes: [], rows: [], merged: [], lag: [] };
    this.batches = [[], []];
    this.charts = [];
    this.build();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.build());
    new ResizeObserver(() => this.resize()).observe(place);
  }

  /** Forget the points: another dataset, or another server. */
  clear() {
    for (const values of Object.values(this.data)) values.length = 0;
    this.batches = [[], []];
  }

  get newest() {
    return this.data.at.at(-1) ?? 0;
  }

  add(series, commits) {
    for (const [name, values] of Object.entries(this.data)) values.push(...series[name]);
    const extra = this.data.at.length - 2_400;
    if (extra > 0) for (const values of Object.values(this.data)) values.splice(0, extra);
    const batches = commits.filter((c) => c.rows !== null && c.rows > 0).reverse();
    this.batches = [batches.map((c) => c.at_s), batches.map((c) => c.rows)];
  }

  build() {
    for (const { plot } of this.charts) plot.destroy();
    this.place.replaceChildren();
    this.charts = CHARTS.map((chart) => this.chart(chart));
  }

  chart(chart) {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    const legend = chart.series.map(([name, stroke, dash]) => {
      const value = h("b", {});
      const key = h("span", { class: `key ${dash.length ? (dash[0] > 3 ? "dashed" : "dotted") : ""} ${stroke.slice(2)}`, "aria-hidden": "true" });
      return { value, item: h("li", {}, key, `${name} `, value) };
    });
    const canvas = h("div", { class: "plot", role: "img" });
    const figure = h("figure", { class: "card chart", "data-chart": chart.id },
      h("figcaption", {}, h("h3", {}, chart.title), h("ul", { class: "legend" }, legend.map((l) => l.item))), canvas);
    this.place.append(figure);
    const axis = { stroke: color("--muted"), font: "11px system-ui, sans-serif", grid: { stroke: color("--line"), width: 1 }, ticks: { show: false } };
    const plot = new uPlot({
      width: Math.max(200, canvas.clientWidth), height: HEIGHT, legend: { show: false }, padding: [8, 16, 0, 0],
      cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
      scales: { x: { time: true, range: () => this.range() }, y: { range: (_u, _low, high) => [0, Math.max(1, (high ?? 0) * 1.15)] } },
      axes: [{ ...axis, size: 26, space: 64, incrs: [30, 60, 120, 300, 600, 900, 1_800], values: (_u, ticks) => ticks.map(clock) }, { ...axis, size: 46, values: (_u, ticks) => ticks.map((v) => chart.id === "lag" ? seconds(v) : short(v)) }],
      series: [{}, ...chart.series.map(([, stroke, dash]) => ({
        stroke: color(stroke), width: 1.75, dash, points: { show: false },
        ...(chart.bars ? { paths: uPlot.paths.bars({ size: [0.7, 12, 2] }), fill: color(stroke), width: 0 } : {}),
      }))],
      hooks: { setCursor: [(u) => this.tell(chart, u, legend, canvas)] },
    }, this.points(chart), canvas);
    return { chart, plot, canvas, legend };
  }

  range() {
    const end = Math.max(Date.now() / 1000, this.newest);
    return [end - this.span, end];
  }

  points(chart) {
    const { at, changes, rows, merged, lag } = this.data;
    if (chart.id === "throughput") return [at, changes, rows, merged];
    return chart.id === "lag" ? [at, lag] : this.batches;
  }

  /** The values under the cursor, or the newest. */
  tell(chart, plot, legend, canvas) {
    const index = plot.cursor.idx ?? plot.data[0].length - 1;
    const texts = legend.map(({ value }, i) => {
      const text = chart.unit(plot.data[i + 1][index] ?? null);
      if (value.textContent !== text) value.textContent = text;
      return `${chart.series[i][0]} ${text}`;
    });
    canvas.setAttribute("aria-label", `${chart.title}: ${texts.join(", ")}`);
  }

  draw() {
    for (const { chart, plot, canvas, legend } of this.charts) {
      plot.setData(this.points(chart));
      this.tell(chart, plot, legend, canvas);
    }
  }

  resize() {
    for (const { plot, canvas } of this.charts) {
      const width = Math.max(200, canvas.clientWidth);
      if (width !== plot.width) plot.setSize({ width, height: HEIGHT });
    }
  }
}
