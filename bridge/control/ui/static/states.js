// A state is a shape, a word and a colour: never the colour alone.

import { h, s } from "./dom.js";
import { count, level, plural, seconds } from "./format.js";

const SHAPES = {
  ok: ["M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Z", "m4.8 8.2 2.2 2.2 4.2-4.6"],
  warn: ["M8 1.5 15.2 14.5H.8Z", "M8 6v4M8 12v.6"],
  bad: ["M5 1h6l4 4v6l-4 4H5l-4-4V5Z", "m5.4 5.4 5.2 5.2m0-5.2-5.2 5.2"],
  pause: ["M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Z", "M6.2 5.2v5.6M9.8 5.2v5.6"],
  now: ["M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Z", "M6.6 5.4v5.2L10.8 8Z"],
  none: ["M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Z", "M5 8h6"],
};
const GLYPHS = { ok: "✓", warn: "!", bad: "✕", pause: "‖", none: "…" };

export function icon(name) {
  const [outline, sign] = SHAPES[name];
  return s("svg", { viewBox: "0 0 16 16", class: `state-icon ${name}`, "aria-hidden": "true" },
    s("path", { d: outline, class: "outline" }), s("path", { d: sign, class: "sign" }));
}

export function badge(state) {
  const name = level(state);
  return h("span", { class: `badge ${name}` }, icon(name), state);
}

/** What the whole page says: a level, a word for the title, and a sentence. */
export function overall(page) {
  const { state, silentSince, now } = page;
  if (silentSince !== null && state?.run?.ended) return ended(state.run);
  if (silentSince !== null) {
    return { level: "none", word: "no answer", text: "The page's server does not answer" };
  }
  if (state === null) return { level: "none", word: "connecting", text: "Connecting" };
  if (state.run?.ended) return ended(state.run);
  if (state.problem) return { level: "bad", word: "not known", text: "The state is not known" };
  if (state.status === null) return { level: "none", word: "waiting", text: `Waiting for ${state.waiting}` };
  const bad = state.alarms.filter((alarm) => alarm.level === "bad");
  if (bad.length) {
    const text = `${bad[0].what}: ${bad[0].state}` + (bad.length > 1 ? `, and ${bad.length - 1} more` : "");
    return { level: "bad", word: plural(bad.length, "problem"), text };
  }
  if (state.alarms.length) {
    const first = state.alarms[0];
    return { level: "warn", word: first.state, text: `${first.what}: ${first.state}` };
  }
  return { ...calm(state.status), now };
}

function calm(status) {
  const lags = status.datasets.map((d) => d.lag_s).filter((lag) => lag !== null);
  const behind = lags.length ? `, at most ${seconds(Math.max(...lags))} behind` : "";
  if (status.state === "running") {
    const all = status.datasets.length === 1 ? "Everything arrives" : `All ${count(status.datasets.length)} datasets run`;
    return { level: "ok", word: "running", text: all + behind };
  }
  return { level: level(status.state), word: status.state, text: status.state[0].toUpperCase() + status.state.slice(1) + behind };
}

function ended(run) {
  const clean = run.clean && run.verdict;
  return { level: clean ? "ok" : "none", word: clean ? "verified" : "ended", text: run.verdict ?? "This run has ended" };
}

export function show(found) {
  document.title = `${GLYPHS[found.level]} ${found.word} · tailrace`;
  const link = document.getElementById("icon");
  const href = `/static/icons/${found.level}.svg`;
  if (link.getAttribute("href") !== href) link.setAttribute("href", href);
}
