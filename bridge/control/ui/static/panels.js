// Everything below the graph: what is wrong, datasets, commits, dead letters, columns, shards,
// processes and events.

import { command, empty, h, table } from "./dom.js";
import { ago, count, moment, plural, rate, seconds } from "./format.js";
import { badge, icon } from "./states.js";

const COMMITS = 12;
const WORST = ["GAP", "stopped", "stalled", "waiting", "paused", "catching up", "loading", "running"];

export function attention(alarms) {
  return h("ul", { class: "alarms" }, alarms.map((a) => h("li", { class: `alarm ${a.level}`, "data-key": `${a.what} ${a.state}` },
    icon(a.level), h("div", {}, h("p", {}, h("b", {}, a.what), " ", h("span", { class: "word" }, a.state), a.reason ? `: ${a.reason}` : ""),
      a.command ? command(a.command) : null))));
}

export function datasets(state, selected) {
  const rows = [...state.status.datasets].sort((a, b) => WORST.indexOf(a.verdict.state) - WORST.indexOf(b.verdict.state) || a.dataset.localeCompare(b.dataset));
  return table("Datasets, worst first", [
    { title: "Dataset" }, { title: "State" }, { title: "Lag", number: true }, { title: "Into the table", number: true },
    { title: "Waiting", number: true }, { title: "Dead letters", number: true }, { title: "Last commit", number: true }],
  rows.map((d) => ({ key: d.dataset, cells: [
    h("a", { href: `#dataset=${encodeURIComponent(d.dataset)}`, "aria-current": d.dataset === selected ? "true" : null }, d.dataset),
    badge(d.verdict.state), seconds(d.lag_s), rate(state.flows[d.dataset]?.merged), count(sum(d.rows.records, d.table.records)),
    count(d.dead_letters), d.committed_s === null ? "–" : ago(d.committed_s, state.at_s)] })));
}

function sum(a, b) {
  return a === null || b === null ? null : a + b;
}

function tile(title, value, note, kind = "") {
  return h("div", { class: `tile ${kind}` }, h("span", { class: "tile-title" }, title), h("span", { class: "tile-value" }, value),
    h("span", { class: "tile-note" }, note ?? ""));
}

export function tiles(d, state) {
  const flow = state.flows[d.dataset];
  const trims = state.status.tables.filter((t) => d.tables.includes(t.table)).map((t) => t.hours_to_trim).filter((x) => x !== null);
  const trim = trims.length ? Math.min(...trims) : null;
  return [
    tile("State", badge(d.verdict.state), d.verdict.reason),
    tile("Lag", seconds(d.lag_s), "from source to table", d.lag_s !== null && d.lag_s >= 60 ? "bad" : ""),
    tile("Into the table", rate(flow?.merged), `${count(sum(d.rows.records, d.table.records))} waiting in Kafka`),
    tile("Table version", count(d.version), d.committed_s === null ? "no commit yet" : `committed ${ago(d.committed_s, state.at_s)}`),
    tile("Dead letters", count(d.dead_letters), d.dead_letters ? "open" : "none open", d.dead_letters ? "warn" : ""),
    tile("Until trim", trim === null ? "–" : `${trim.toFixed(1)} h`, "DynamoDB keeps 24 h", trim !== null && trim < 6 ? "bad" : ""),
  ];
}

export function commits(list, now) {
  if (!list.length) return empty("No commit yet.");
  return table("Recent commits, newest first", [
    { title: "Version" }, { title: "When" }, { title: "Inserted", number: true }, { title: "Updated", number: true },
    { title: "Deleted", number: true }, { title: "Batch", number: true }, { title: "Operation" }, { title: "Files", number: true }],
  list.slice(0, COMMITS).map((c) => ({ key: String(c.version), cells: [
    count(c.version), h("time", { datetime: moment(c.at_s), title: moment(c.at_s) }, ago(c.at_s, now)),
    change("+", c.inserted, "plus"), change("~", c.updated, "tilde"), change("−", c.deleted, "minus"),
    c.rows === null ? "–" : count(c.rows), c.operation.toLowerCase(), c.files_added || c.files_removed ? `+${c.files_added} −${c.files_removed}` : "–"] })));
}

function change(sign, value, name) {
  return value ? h("span", { class: `change ${name}` }, `${sign}${count(value)}`) : h("span", { class: "muted" }, "0");
}

export function schema(entries) {
  if (!entries.length) return empty("No columns known yet.");
  return h("ol", { class: "history" }, entries.slice(0, 20).map((e) => h("li", { "data-key": `${e.at} ${e.where} ${e.name}` },
    h("p", { class: "when" }, h("time", { datetime: e.at }, e.at.replace("T", " ").replace("+00:00", " UTC")), ` · ${e.where === "rows" ? "rows, schema" : "table,"} ${e.name}`),
    h("p", { class: "columns-changed" }, differences(e)))));
}

function differences(entry) {
  const parts = [
    ...Object.entries(entry.added).map(([name, type]) => ["plus", `+ ${name}`, type]),
    ...Object.entries(entry.removed).map(([name, type]) => ["minus", `− ${name}`, type]),
    ...Object.entries(entry.changed).map(([name, [a, b]]) => ["tilde", `~ ${name}`, `${a} → ${b}`]),
  ];
  if (!parts.length) return h("span", { class: "muted" }, "no column changed");
  return parts.map(([name, column, type]) => h("span", { class: `column ${name}` }, h("b", {}, column), ` ${type}`));
}

export function letters(groups) {
  if (!groups.length) return empty("None: every change could be processed.");
  return h("ul", { class: "letters" }, groups.map((g) => h("li", { "data-key": `${g.owner} ${g.stage} ${g.topic} ${g.error}` },
    h("p", {}, h("b", {}, g.error || "unknown"), ` in the ${g.stage || "stage"} of ${g.owner}`),
    h("p", { class: "reason" }, g.reason || "no reason given"),
    h("p", { class: "counts" }, h("span", { class: g.open ? "open" : "" }, `${count(g.open)} open`), ` · ${count(g.replayed)} replayed · ${count(g.dropped)} dropped · newest ${g.last.replace("T", " ").replace("+00:00", " UTC")}`),
    g.open ? command(g.command) : null)));
}

export function shards(tables) {
  return table("Source tables", [
    { title: "Table" }, { title: "State" }, { title: "Open", number: true }, { title: "Waiting", number: true }, { title: "Done", number: true },
    { title: "Behind", number: true }, { title: "Until trim", number: true }, { title: "Snapshot", number: true }],
  tables.map((t) => ({ key: t.table, cells: [
    t.table, badge(t.verdict.state), count(t.shards.open), count(t.shards.waiting), count(t.shards.done), seconds(t.source.lag_s),
    t.hours_to_trim === null ? "–" : `${t.hours_to_trim.toFixed(1)} h`, t.snapshot === null ? "done" : `${Math.floor(t.snapshot * 100)}%`] })));
}

export function workers(list, stages, now) {
  const restarts = new Map(stages.map((stage) => [stage.pid, stage.restarts]));
  return table("Processes", [
    { title: "Stage" }, { title: "Name" }, { title: "State" }, { title: "Where" }, { title: "Works on" },
    { title: "Heard", number: true }, { title: "Up for", number: true }, { title: "Restarts", number: true }],
  list.map((w) => ({ key: `${w.stage} ${w.name} ${w.host} ${w.pid}`, cells: [
    w.stage, w.name, badge(w.verdict.state), `${w.host} pid ${w.pid}`, w.works_on.slice(0, 4).join(", ") + (w.works_on.length > 4 ? ` and ${w.works_on.length - 4} more` : ""),
    ago(now - w.heard_s, now), seconds(Math.max(0, now - w.started_s)), restarts.has(w.pid) ? count(restarts.get(w.pid)) : "–"] })));
}

export function steps(run) {
  const words = { done: "done", now: "now", next: "to come" };
  return [h("ol", { class: "steps" }, run.steps.map((step) => h("li", { class: step.state, "aria-current": step.state === "now" ? "step" : null },
    icon(step.state === "done" ? "ok" : step.state === "now" ? "now" : "none"), step.title, h("span", { class: "hidden" }, `, ${words[step.state]}`)))),
  run.verdict ? h("p", { class: `verdict ${run.clean ? "ok" : "bad"}` }, icon(run.clean ? "ok" : "bad"), run.verdict) : null];
}

export function events(list) {
  return h("ol", { class: "events" }, [...list].reverse().map((e) => h("li", { class: e.tone, "data-key": `${e.at_s} ${e.text}` },
    h("span", { class: "when" }, `${e.at_s.toFixed(1)} s`), e.text)));
}

