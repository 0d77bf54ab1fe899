// The live page: one stream of events from pai ui, drawn as text. Nothing that comes from the
// server becomes markup: elements are made here, and texts are put in as text.
"use strict";

const LOG_LINES = 2000;
const NODE = { width: 164, height: 48, gapX: 30, gapY: 12 };

// How a state looks: its colour, and a sign, so that colour alone says nothing.
const LOOK = {
  green: ["green", "✓"], done: ["green", "✓"], already: ["green", "="],
  red: ["red", "✗"], failed: ["red", "✗"], broken: ["red", "✗"],
  running: ["blue", "▸"], waiting: ["", "·"], "left out": ["left", "–"],
  interrupted: ["amber", "!"], stopped: ["amber", "!"], killed: ["amber", "!"],
  input_required: ["amber", "?"],
};
const CHECK = { ok: "green", warn: "amber", red: "red", unknown: "red", skipped: "" };
const SAID = { input_required: "input required", already: "already so" };

const $ = (id) => document.getElementById(id);
const look = (state) => LOOK[state] || ["", "·"];

function el(tag, attrs, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs || {})) {
    if (value === true) e.setAttribute(name, "");
    else if (value !== false && value != null) e.setAttribute(name, value);
  }
  e.append(...children.flat().filter((c) => c !== false && c != null));
  return e;
}

function svg(tag, attrs, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attrs || {})) e.setAttribute(name, value);
  e.append(...children);
  return e;
}

function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 59.95) return `${s.toFixed(1)}s`;
  const whole = Math.round(s);
  const m = Math.floor(whole / 60);
  const pad = (n) => String(n).padStart(2, "0");
  return m < 60 ? `${m}m ${pad(whole % 60)}s` : `${Math.floor(m / 60)}h ${pad(m % 60)}m`;
}

function words(value) {
  if (value == null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function cut(text, length) {
  return text.length > length ? text.slice(0, length - 1) + "…" : text;
}

let offset = 0; // the server's clock less this one's
let current = null; // the run as it came last
let shown = null; // id of the run that the stream is about
let source = null;
let revealed = null; // the step that the graph was scrolled to
const open = new Set(); // steps whose details are open
const outputs = new Map();

const since = (t) => Math.max(0, Date.now() + offset - Date.parse(t));

function ago(t) {
  const s = since(t) / 1000;
  if (!(s >= 0)) return "";
  if (s < 60) return "now";
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h`;
  return String(t).slice(0, 10);
}

// ---- the list ----------------------------------------------------------------------------------

function drawList(list) {
  $("runs").replaceChildren(...list.runs.map((run) => {
    const [tone, sign] = look(run.status);
    return el("li", {}, el("a", {
      href: "#" + run.run,
      "aria-current": run.run === shown ? "true" : false,
      title: run.reason || run.status,
    },
    el("span", { class: "sign " + tone, "aria-hidden": "true" }, sign),
    el("span", { class: "name" }, run.recipe || run.run),
    el("time", { class: "when", datetime: run.t }, ago(run.t)),
    el("span", { class: "id" }, `${run.run} · ${SAID[run.status] || run.status}`)));
  }));
  $("none").hidden = list.runs.length > 0;
  $("more").hidden = list.total <= list.runs.length;
  $("more").textContent = `${list.total - list.runs.length} older ones: pai runs --limit N`;
  if (!shown && list.runs.length > 0) location.replace("#" + list.runs[0].run);
}

// ---- the graph ---------------------------------------------------------------------------------

// A step's column is one more than that of the last it waits for.
function columns(steps) {
  const by = new Map(steps.map((s) => [s.name, s]));
  const column = new Map();
  const of = (name, trail) => {
    if (column.has(name)) return column.get(name);
    const before = (by.get(name).after || []).filter((a) => by.has(a) && !trail.has(a));
    const at = before.length
      ? 1 + Math.max(...before.map((a) => of(a, new Set(trail).add(name)))) : 0;
    column.set(name, at);
    return at;
  };
  steps.forEach((s) => of(s.name, new Set()));
  return column;
}

function underline(step) {
  const word = SAID[step.state] || step.state;
  if (step.items) {
    const ended = step.items.filter((i) => ["done", "already"].includes(i.state)).length;
    return `${ended} of ${step.items.length} ${word}`;
  }
  if (step.state === "running" && step.since) return "running " + duration(since(step.since));
  return step.ms != null ? `${word} ${duration(step.ms)}` : word;
}

function drawGraph(steps) {
  const drawn = steps.filter((s) => s.after);
  const column = columns(drawn);
  const rows = [];
  const place = new Map();
  for (const step of drawn) {
    const x = column.get(step.name);
    const y = (rows[x] = (rows[x] || 0) + 1) - 1;
    place.set(step.name, {
      x: x * (NODE.width + NODE.gapX) + 2,
      y: y * (NODE.height + NODE.gapY) + 2,
    });
  }
  const width = rows.length * (NODE.width + NODE.gapX) - NODE.gapX + 4;
  const height = Math.max(1, ...rows) * (NODE.height + NODE.gapY) - NODE.gapY + 4;
  const edges = [];
  const nodes = [];
  for (const step of drawn) {
    const to = place.get(step.name);
    for (const name of step.after) {
      const from = place.get(name);
      if (!from) continue;
      const x1 = from.x + NODE.width;
      const y1 = from.y + NODE.height / 2;
      const y2 = to.y + NODE.height / 2;
      const bend = Math.max(NODE.gapX / 2, (to.x - x1) / 2);
      const past = step.state !== "waiting" ? " past" : "";
      edges.push(svg("path", {
        class: "edge" + past,
        d: `M${x1} ${y1}C${x1 + bend} ${y1} ${to.x - bend} ${y2} ${to.x} ${y2}`,
      }));
    }
    const [tone, sign] = look(step.state);
    const label = svg("text", { x: to.x + 12, y: to.y + 20 }, cut(step.name, 21));
    const under = svg("text", { class: "under", x: to.x + 12, y: to.y + 38 },
      `${sign} ${cut(underline(step), 25)}`);
    under.dataset.step = step.name;
    nodes.push(svg("g", { class: "node " + tone, "data-step": step.name },
      svg("title", {}, `${step.name}: ${step.title || step.state}`),
      svg("rect", { x: to.x, y: to.y, width: NODE.width, height: NODE.height, rx: 8 }),
      label, under));
  }
  const picture = svg("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": drawn.map((s) => `${s.name} ${s.state}`).join(", "),
  }, ...edges, ...nodes);
  $("graph").replaceChildren(picture);
  $("graph").hidden = drawn.length === 0;
  reveal(drawn, place);
}

// Scrolls to what goes on, or was last; only when that is another step than before.
function reveal(drawn, place) {
  const busy = drawn.filter((s) => s.state === "running");
  const last = busy[0] || drawn.filter((s) => look(s.state)[0] === "red")[0];
  if (!last || revealed === shown + last.name) return;
  revealed = shown + last.name;
  $("graph").scrollLeft = place.get(last.name).x - $("graph").clientWidth / 2;
}

// ---- the steps ---------------------------------------------------------------------------------

function checkTable(checks) {
  const has = (key) => checks.some((c) => c[key] != null);
  const head = ["", "Check", "Measured"];
  if (has("expected")) head.push("Expected");
  return el("div", { class: "scroll" }, el("table", {},
    el("tr", {}, head.map((h) => el("th", { scope: "col" }, h))),
    checks.map((c) => el("tr", {},
      el("td", { class: "nowrap state" },
        el("span", { class: "pill " + (CHECK[c.state] || "") }, c.state)),
      el("td", {}, c.name),
      el("td", {}, words(c.measured),
        c.hint && c.state !== "ok" ? el("div", { class: "hint" }, c.hint) : null),
      has("expected") ? el("td", {}, words(c.expected)) : null))));
}

function took(step) {
  if (step.state === "running" && step.since) {
    return el("span", { class: "took", "data-since": step.since }, duration(since(step.since)));
  }
  return el("span", { class: "took" }, step.ms != null ? duration(step.ms) : "");
}

function line(step, said) {
  const [tone, sign] = look(step.state);
  return [
    el("span", { class: "sign " + tone, title: step.state }, sign),
    el("span", { class: "name" }, step.name),
    el("span", { class: "said" }, said),
    took(step),
  ];
}

// Asks for the end of what a step's programs printed.
function readOutput(pre) {
  const { run, step } = pre.dataset;
  fetch(`/api/output?run=${encodeURIComponent(run)}&step=${encodeURIComponent(step)}`)
    .then((r) => r.json())
    .then((r) => {
      if (run !== shown || !r.text || r.text === pre.textContent) return;
      const atEnd = pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 8;
      outputs.set(step, r.text);
      pre.textContent = r.text;
      pre.hidden = false;
      if (atEnd) pre.scrollTop = pre.scrollHeight;
    })
    .catch(() => {}); // the stream says when nobody answers
}

function output(run, step) {
  const text = outputs.get(step.name) || "";
  const pre = el("pre", {
    class: "output", tabindex: "0", "data-run": run, "data-step": step.name, hidden: !text,
    "data-grows": step.state === "running",
  }, text);
  readOutput(pre);
  return pre;
}

function inside(run, step) {
  const parts = [];
  if (step.error) {
    parts.push(el("p", { class: "bad" }, words(step.error.message)));
    if (step.error.hint) parts.push(el("p", { class: "hint" }, words(step.error.hint)));
  }
  if (step.checks && step.checks.length) parts.push(checkTable(step.checks));
  for (const item of step.items || []) {
    const said = item.said || (item.error && item.error.message) || SAID[item.state] || item.state;
    parts.push(el("div", { class: "plain" }, line(item, words(said))));
    parts.push(output(run, item));
  }
  parts.push(output(run, step));
  return el("div", { class: "inside" }, parts);
}

function said(step) {
  const of = (...states) => (step.checks || []).find((c) => states.includes(c.state));
  const check = of("red", "unknown") || of("warn");
  return step.said || (step.error && words(step.error.message)) || step.reason ||
    (check && `${check.name}: ${words(check.measured)}`) || step.title ||
    (step.use ? "recipe " + step.use : "");
}

function drawStep(run, step) {
  if (step.state === "waiting" || step.state === "left out") {
    return el("li", {}, el("div", { class: "plain" }, line(step, said(step))));
  }
  const bad = step.state === "failed" || step.state === "red";
  const key = run + " " + step.name;
  const box = el("details", { open: open.has(key) || (bad && !open.has("-" + key)) },
    el("summary", {}, line(step, said(step))));
  // Its inside is made when somebody looks.
  const fill = () => box.children.length < 2 && box.append(inside(run, step));
  if (box.open) fill();
  box.addEventListener("toggle", () => {
    open.delete(box.open ? "-" + key : key);
    open.add(box.open ? key : "-" + key);
    if (box.open) fill();
  });
  return el("li", {}, box);
}

// Only what has changed is drawn anew, so that the keyboard and the eye stay where they are.
function drawSteps(run) {
  const list = $("steps");
  run.steps.forEach((step, i) => {
    const text = run.run + JSON.stringify(step);
    const old = list.children[i];
    if (old && old.drawnFrom === text) return;
    const item = drawStep(run.run, step);
    item.drawnFrom = text;
    const focused = old && old.contains(document.activeElement);
    if (old) old.replaceWith(item);
    else list.append(item);
    if (focused) (item.querySelector("summary") || $("main")).focus();
  });
  while (list.children.length > run.steps.length) list.lastChild.remove();
}

// ---- the run -----------------------------------------------------------------------------------

function drawAbout() {
  const run = current;
  const took = run.status === "running" ? duration(since(run.t)) : run.ms != null && duration(run.ms);
  const about = [run.recipe, run.run, String(run.t || "").slice(0, 19).replace("T", " ") + " UTC",
    took, run.target && "target " + run.target, run.host,
    run.sessions > 1 && `resumed ${run.sessions - 1} times`.replace("1 times", "once")];
  $("about").textContent = about.filter(Boolean).join("  ·  ");
}

function drawRun(run) {
  // The server's clock is another one only behind a tunnel; it says whole seconds at best.
  offset = Date.parse(run.now) - Date.now();
  if (Math.abs(offset) < 3000) offset = 0;
  current = run;
  const [tone] = look(run.status);
  $("empty").hidden = true;
  $("run").hidden = false;
  $("title").textContent = run.title || run.recipe || run.run;
  $("status").textContent = SAID[run.status] || run.status;
  $("status").className = "pill big " + tone;
  document.title = `${look(run.status)[1]} ${run.recipe || run.run} · pai`;
  $("report").hidden = !run.report;
  $("report").href = "/report?run=" + encodeURIComponent(run.run);
  const why = [];
  if (run.status !== "green" && run.reason) why.push(el("p", {}, words(run.reason)));
  if (run.hint) why.push(el("p", {}, words(run.hint)));
  if (why.length) why.push(el("p", {}, "To go on: ", el("code", {}, "pai resume " + run.run)));
  $("why").replaceChildren(...why);
  $("why").hidden = why.length === 0;
  drawAbout();
  drawGraph(run.steps);
  drawSteps(run);
  $("media-part").hidden = !run.media.length;
  $("media").replaceChildren(...run.media.map((path) => el("li", {}, words(path))));
  const inputs = Object.entries(run.inputs || {}).sort();
  $("inputs").replaceChildren(...inputs.map(([name, value]) => el("tr", {},
    el("th", { scope: "row", class: "key" }, name),
    el("td", {}, value && value.$secret ? "*** from " + words(value.$secret) : words(value)))));
  if (!inputs.length) $("inputs").replaceChildren(el("tr", {}, el("td", { class: "soft" }, "none")));
}

function drawLog(lines) {
  const log = $("log");
  const add = lines.map((l) => el("div", { class: l.level === "warn" ? "warn" : false },
    el("time", { datetime: l.t }, String(l.t).slice(11, 19)),
    l.step ? el("strong", {}, l.step + "  ") : null, words(l.text)));
  log.append(...add);
  while (log.children.length > LOG_LINES) log.firstChild.remove();
  if ($("tail").checked) log.scrollTop = log.scrollHeight;
}

// ---- the stream --------------------------------------------------------------------------------

function listen() {
  const wanted = location.hash.slice(1);
  const id = /^run-[\w-]+$/.test(wanted) ? wanted : null;
  if (source && id === shown) return;
  if (source) source.close();
  shown = id;
  current = null;
  outputs.clear();
  $("run").hidden = true;
  $("empty").hidden = false;
  $("empty").firstElementChild.textContent = id ? "Reading …" : "Choose a run.";
  source = new EventSource("/api/events" + (id ? "?run=" + encodeURIComponent(id) : ""));
  const mine = source;
  // A stream that begins anew tells everything anew.
  source.addEventListener("open", () => {
    $("lost").hidden = true;
    $("log").replaceChildren();
  });
  source.addEventListener("runs", (e) => mine === source && drawList(JSON.parse(e.data)));
  source.addEventListener("run", (e) => mine === source && drawRun(JSON.parse(e.data)));
  source.addEventListener("log", (e) => mine === source && drawLog(JSON.parse(e.data).lines));
  source.addEventListener("error", () => {
    if (mine !== source) return;
    if (source.readyState === EventSource.CLOSED && id) {
      fetch("/api/run?run=" + encodeURIComponent(id)).then((r) => {
        if (mine !== source) return;
        if (r.status === 404) $("empty").firstElementChild.textContent = "There is no run " + id + ".";
        else $("lost").hidden = false;
      }).catch(() => ($("lost").hidden = false));
    } else {
      $("lost").hidden = false;
    }
  });
}

// What counts time goes on between events.
let ticks = 0;
setInterval(() => {
  if (!current || current.status !== "running") return;
  ticks += 1;
  if (ticks % 4 === 0) document.querySelectorAll("[data-grows]").forEach(readOutput);
  drawAbout();
  const now = new Map(current.steps.map((s) => [s.name, s]));
  for (const e of document.querySelectorAll(".under")) {
    const step = now.get(e.dataset.step);
    e.textContent = `${look(step.state)[1]} ${cut(underline(step), 25)}`;
  }
  for (const e of document.querySelectorAll("[data-since]")) {
    e.textContent = duration(since(e.dataset.since));
  }
}, 500);

window.addEventListener("hashchange", listen);
listen();
