// Asks the server every other second and shows what it says; an answer that does not come is said
// too, and asked for again.

import { Charts } from "./charts.js";
import { h, render } from "./dom.js";
import { seconds } from "./format.js";
import * as graph from "./graph.js";
import * as panels from "./panels.js";
import { icon, overall, show } from "./states.js";

const EVERY_MS = 1_500;
const TIMEOUT_MS = 5_000;
const at = (id) => document.getElementById(id);

const page = { state: null, silentSince: null, failed: null, now: Date.now() / 1000 };
const charts = new Charts(at("charts"));
let wanted = chosen();
let plotted = "";

function chosen() {
  return new URLSearchParams(location.hash.slice(1)).get("dataset") ?? "";
}

async function ask() {
  const since = plotted === key(page.state) ? charts.newest : 0;
  const answer = await fetch(`/api/state?dataset=${encodeURIComponent(wanted)}&since=${since}`, {
    signal: AbortSignal.timeout(TIMEOUT_MS), credentials: "omit", cache: "no-store",
  });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return { state: await answer.json(), since };
}

function key(state) {
  return state?.selected ? `${state.server} ${state.selected.dataset}` : "";
}

async function tick() {
  const asked = wanted;
  try {
    const { state, since } = await ask();
    if (asked !== wanted) return;
    if (page.state !== null && page.state.server !== state.server && since !== 0) {
      page.state = state;  // another server: its points from the beginning, at the next tick
      plotted = "";
      return;
    }
    page.state = state;
    page.silentSince = page.failed = null;
    keep(state, since);
  } catch {
    page.failed ??= Date.now() / 1000;
    if (Date.now() / 1000 - page.failed >= 2) page.silentSince = page.failed;
  } finally {
    draw();
  }
}

function keep(state, since) {
  const name = key(state);
  if (!state.selected) return;
  if (name !== plotted || since === 0) {
    charts.clear();
    plotted = name;
  }
  charts.add(state.selected.series, state.selected.commits ?? []);
}

function draw() {
  page.now = Date.now() / 1000;
  const found = overall(page);
  show(found);
  at("overall").className = `overall ${found.level}`;
  render(at("overall"), icon(found.level), h("span", {}, found.text));
  render(at("banner"), banner());
  const { state } = page;
  const over = state?.run?.ended ?? false;
  document.body.classList.toggle("stale", !over && (page.silentSince !== null || Boolean(state?.problem)));
  render(at("clock"), clock());
  if (state === null) return;
  drawRun(state.run);
  at("attention").hidden = over || !state.alarms.length;
  render(at("attention-body"), panels.attention(state.alarms));
  if (state.status === null) {
    render(at("graph"), h("p", { class: "muted empty" }, `Waiting for ${state.waiting}.`));
    return;
  }
  drawStatus(state);
}

function banner() {
  const { state } = page;
  if (state?.run?.ended) return null;
  if (page.silentSince !== null) {
    const text = `The page's server has not answered for ${seconds(Math.round(page.now - page.silentSince))}. What you see is the last it said; asking again.`;
    return h("div", { class: "banner bad" }, icon("bad"), h("p", {}, text));
  }
  if (state?.problem) {
    const age = state.age_s === null ? "" : ` What you see is ${seconds(state.age_s)} old.`;
    return h("div", { class: "banner bad" }, icon("bad"), h("p", {}, h("b", {}, "The state is not known. "), `${state.problem}.${age} Asking again.`));
  }
  return null;
}

function clock() {
  const { state } = page;
  if (!state?.status || state.age_s === null) return "";
  return page.silentSince === null ? `as of ${seconds(state.age_s)} ago` : "";
}

function drawRun(run) {
  at("run").hidden = !run || (!run.steps.length && !run.verdict);
  at("events-card").hidden = !run?.events.length;
  if (!run) return;
  render(at("run"), panels.steps(run));
  render(at("events"), panels.events(run.events));
}

function drawStatus(state) {
  const { status, selected } = state;
  const dataset = status.datasets.find((d) => d.dataset === selected?.dataset);
  render(at("namespace"), status.namespace);
  graph.draw(at("graph"), state, selected?.dataset);
  at("datasets").hidden = status.datasets.length < 2;
  render(at("datasets-body"), panels.datasets(state, selected?.dataset));
  at("workers-card").hidden = !status.workers.length;
  render(at("workers"), panels.workers(status.workers, state.run?.stages ?? [], state.at_s));
  at("detail").hidden = !dataset;
  if (!dataset) return;
  render(at("detail-title"), dataset.dataset);
  render(at("tiles"), panels.tiles(dataset, state));
  render(at("commits"), selected.problem ? h("p", { class: "trouble" }, icon("warn"), selected.problem) : null, panels.commits(selected.commits ?? [], state.at_s));
  render(at("schema"), panels.schema(selected.schema ?? []));
  render(at("letters"), panels.letters(selected.letters ?? []));
  render(at("shards"), panels.shards(status.tables.filter((t) => dataset.tables.includes(t.table))));
  charts.resize();
  charts.draw();
}

async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    const range = document.createRange();
    range.selectNodeContents(button.previousElementSibling);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.copy) copy(button);
  if (button?.dataset.window) {
    charts.span = Number(button.dataset.window);
    for (const each of document.querySelectorAll("[data-window]")) each.setAttribute("aria-pressed", String(each === button));
    charts.draw();
  }
});
addEventListener("hashchange", () => {
  if (location.hash === "#main") return;
  wanted = chosen();
  tick();
});
addEventListener("resize", () => page.state?.status && graph.draw(at("graph"), page.state, page.state.selected?.dataset));

async function run() {
  for (;;) {
    await tick();
    const wait = page.state?.run?.ended && page.silentSince !== null ? EVERY_MS * 10 : EVERY_MS;
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}
run();
