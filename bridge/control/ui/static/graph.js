// The pipeline as a graph: five kinds of stations in columns (rows on a narrow screen), arrows
// between them with what flows and how far behind it is.

import { h, render, s } from "./dom.js";
import { ago, count, lagLevel, level, plural, rate, seconds } from "./format.js";
import { icon } from "./states.js";

const ALL_AT_ONCE = 6;
const SPEEDS = [[1, "slow"], [50, "steady"], [1_000, "fast"]];

const NARROW = matchMedia("(max-width: 900px)");

/** The datasets drawn: all of them where they are few, else those connected with the selected one;
 * on a narrow screen that one alone. */
function drawn(status, selected) {
  const chosen = status.datasets.find((d) => d.dataset === selected) ?? status.datasets[0];
  if (NARROW.matches) return chosen ? [chosen] : [];
  if (status.datasets.length <= ALL_AT_ONCE) return status.datasets;
  const near = status.datasets.filter((d) => d.tables.some((t) => chosen.tables.includes(t)));
  return [chosen, ...near.filter((d) => d !== chosen)].slice(0, ALL_AT_ONCE);
}

export function stations(state, selected) {
  const { status, flows } = state;
  const datasets = drawn(status, selected);
  const names = [...new Set(datasets.flatMap((d) => d.tables))];
  const shown = names.slice(0, ALL_AT_ONCE * 2);
  const tables = shown.map((name) => status.tables.find((t) => t.table === name)).filter(Boolean);
  const transforms = new Map();
  for (const d of datasets) transforms.set(d.transform, [...(transforms.get(d.transform) ?? []), d]);
  const columns = [
    ["Source", tables.map(tableNode)],
    ["Changes", tables.map(changesNode)],
    ["Transform", [...transforms].map(([name, of]) => transformNode(name, of))],
    ["Rows", datasets.map(rowsNode)],
    ["Dataset", datasets.map((d) => datasetNode(d, state.at_s, d.dataset === selected, status.datasets.length > 1))],
  ];
  return { columns, arrows: arrows(tables, datasets, flows), left: names.length - shown.length };
}

function arrows(tables, datasets, flows) {
  const found = [];
  for (const t of tables) {
    const flow = Object.values(flows).find((f) => t.table in f.tables);
    found.push({ from: `table:${t.table}`, to: `changes:${t.table}`, by: "connector", rate: flow?.tables[t.table] ?? null, lag: t.source.lag_s, off: t.verdict.state });
  }
  for (const d of datasets) {
    const flow = flows[d.dataset];
    for (const t of tables.filter((each) => d.tables.includes(each.table))) {
      found.push({ from: `changes:${t.table}`, to: `transform:${d.transform}`, rate: flow?.reads[t.table] ?? null, lag: d.rows.lag_s });
    }
    found.push({ from: `transform:${d.transform}`, to: `rows:${d.dataset}`, by: "processor", rate: flow?.rows ?? null, lag: d.rows.lag_s, quiet: true });
    found.push({ from: `rows:${d.dataset}`, to: `dataset:${d.dataset}`, by: "sink", rate: flow?.merged ?? null, lag: d.table.lag_s });
  }
  const once = new Map(found.map((each) => [`${each.from} ${each.to}`, each]));
  return [...once.values()];
}

function node(id, name, state, facts, options = {}) {
  const kind = state === null ? "plain" : level(state);
  const inside = [
    h("span", { class: "node-name", title: name }, state === null ? null : icon(kind), h("span", {}, breakable(name))),
    facts.filter(Boolean).map((fact) => h("span", { class: "node-fact" }, fact)),
    state === null ? null : h("span", { class: "hidden" }, ` (${state})`),
  ];
  const attributes = { class: `node ${kind}${options.selected ? " selected" : ""}`, "data-node": id, "data-key": id };
  return options.href
    ? h("a", { ...attributes, href: options.href, "aria-current": options.selected ? "true" : null }, inside)
    : h("div", attributes, inside);
}

/** A name that may be broken after its separators. */
function breakable(name) {
  return name.split(/(?<=[._:/-])/).flatMap((part) => [part, h("wbr")]).slice(0, -1);
}

function tableNode(t) {
  const trim = t.hours_to_trim !== null && t.hours_to_trim < 23 ? `${t.hours_to_trim.toFixed(1)} h to trim` : null;
  const loading = t.snapshot !== null ? `snapshot ${Math.floor(t.snapshot * 100)}%` : null;
  const word = t.verdict.state === "running" ? null : t.verdict.state;
  return node(`table:${t.table}`, t.table, t.verdict.state, [word, loading, `${plural(t.shards.open, "open shard")}`, trim]);
}

function changesNode(t) {
  return node(`changes:${t.table}`, `changes.${t.table}`, null, [`${count(t.records)} offsets kept`]);
}

function transformNode(name, datasets) {
  const worst = datasets.map((d) => d.verdict.state).find((state) => level(state) === "bad");
  const dead = Math.max(...datasets.map((d) => d.dead_letters));
  const processors = Math.max(...datasets.map((d) => d.processors));
  const gone = processors === 0;
  return node(`transform:${name}`, `@${name}`, gone ? "stopped" : worst === "GAP" ? "GAP" : "running",
    [gone ? "no processor" : plural(processors, "processor"), dead ? plural(dead, "dead letter") : null]);
}

function rowsNode(d) {
  const name = d.generation > 1 ? `rows.${d.dataset}.g${d.generation}` : `rows.${d.dataset}`;
  return node(`rows:${d.dataset}`, name, null, [`${count(d.table.records)} waiting`]);
}

function datasetNode(d, now, selected, choice) {
  const word = d.verdict.state === "running" ? null : d.verdict.state;
  const facts = [word, d.version === null ? "no table yet" : `version ${count(d.version)}`,
    d.committed_s === null ? null : `commit ${ago(d.committed_s, now)}`,
    d.building ? `building generation ${d.building}` : null];
  const href = choice ? `#dataset=${encodeURIComponent(d.dataset)}` : null;
  return node(`dataset:${d.dataset}`, d.dataset, d.verdict.state, facts, { href, selected: selected && choice });
}

/** Draws it, and the arrows once the stations have their places. */
export function draw(place, state, selected) {
  const { columns, arrows: found, left } = stations(state, selected);
  place.classList.toggle("branching", columns.some(([, nodes]) => nodes.length > 1));
  render(place,
    s("svg", { class: "arrows", "aria-hidden": "true" }),
    columns.map(([title, nodes], i) => h("div", { class: "stations" },
      h("h3", {}, title), nodes, i === 0 && left ? h("p", { class: "muted" }, `and ${left} more`) : null)),
    h("ul", { class: "hidden" }, found.map((a) => h("li", {}, spoken(a)))));
  connect(place, found);
}

function spoken(arrow) {
  const lag = arrow.lag === null ? "lag not known" : `${seconds(arrow.lag)} behind`;
  return `${arrow.by ? `${arrow.by}: ` : ""}from ${arrow.from} to ${arrow.to}, ${rate(arrow.rate)}, ${lag}`;
}

export function connect(place, found) {
  const area = place.getBoundingClientRect();
  const boxes = new Map([...place.querySelectorAll("[data-node]")].map((n) => [n.dataset.node, n.getBoundingClientRect()]));
  const picture = place.querySelector("svg.arrows");
  picture.setAttribute("viewBox", `0 0 ${area.width} ${area.height}`);
  const drawnArrows = found.map((arrow) => {
    const [a, b] = [boxes.get(arrow.from), boxes.get(arrow.to)];
    return a && b ? path(arrow, a, b, area, side(arrow, found)) : null;
  });
  const kept = drawnArrows.filter(Boolean);
  picture.replaceChildren(...kept.map(([line]) => line), ...kept.map(([, labels]) => labels));
}

/** Where the words of an arrow stand: off the end at which several arrows meet. */
function side(arrow, found) {
  if (found.filter((each) => each.to === arrow.to).length > 1) return "start";
  return found.filter((each) => each.from === arrow.from).length > 1 ? "end" : "middle";
}

function path(arrow, a, b, area, place) {
  const down = b.left < a.right;  // stations below one another: a narrow screen
  const from = down ? [a.left + a.width / 2, a.bottom] : [a.right, a.top + a.height / 2];
  const to = down ? [b.left + b.width / 2, b.top] : [b.left, b.top + b.height / 2];
  const [x1, y1, x2, y2] = [from[0] - area.left, from[1] - area.top, to[0] - area.left, to[1] - area.top];
  const [mx, my] = [(x1 + x2) / 2, (y1 + y2) / 2];
  const curve = down ? `M${x1} ${y1}C${x1} ${my} ${x2} ${my} ${x2} ${y2 - 7}` : `M${x1} ${y1}C${mx} ${y1} ${mx} ${y2} ${x2 - 7} ${y2}`;
  const tip = down ? `M${x2 - 5} ${y2 - 9}L${x2} ${y2 - 1}L${x2 + 5} ${y2 - 9}Z` : `M${x2 - 9} ${y2 - 5}L${x2 - 1} ${y2}L${x2 - 9} ${y2 + 5}Z`;
  const speed = SPEEDS.filter(([least]) => (arrow.rate ?? 0) >= least).at(-1)?.[1] ?? ((arrow.rate ?? 0) > 0 ? "slow" : null);
  const kind = lagLevel(arrow.lag);
  const labels = s("g", { class: `arrow ${kind}` });
  const line = s("g", { class: `arrow ${kind}` }, s("path", { d: curve, class: "line" }),
    speed ? s("path", { d: curve, class: `flow ${speed}` }) : null, s("path", { d: tip, class: "tip" }));
  const told = place === "middle" || kind !== "ok";  // where arrows meet, only what is worth it
  const late = told && !arrow.quiet && arrow.lag !== null && arrow.lag >= 0.05 ? `${seconds(arrow.lag)} behind` : null;
  const lines = [arrow.by ?? null, rate(arrow.rate), late].filter(Boolean);
  const [tx, ty] = { start: [x1 + 5, y1], middle: [mx, my], end: [x2 - 13, y2] }[down ? "middle" : place];
  const top = down ? my - (lines.length - 1) * 7 + 4 : ty - 8 - (lines.length - (late ? 2 : 1)) * 14;
  lines.forEach((text, i) => {
    const below = !down && text === late;
    const y = below ? ty + 17 : top + i * 14;
    const name = text === arrow.by ? "by" : text === late ? "late" : "rate";
    labels.append(s("text", { x: down ? mx + 12 : tx, y, "text-anchor": down ? "start" : place, class: name }, text));
  });
  return [line, labels];
}
