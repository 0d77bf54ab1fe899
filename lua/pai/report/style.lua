-- The report's style sheet. It is in the page itself; the page's policy admits this text only, by
-- its digest, so nothing else can style the page or run in it.
return [[
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #14181f; --soft: #5a6473; --line: #dde1e8;
  --quiet: #eef1f5; --accent: #2458d3;
  --green: #14803c; --green-bg: #e3f5e9; --red: #c02626; --red-bg: #fdebea;
  --amber: #8f5b00; --amber-bg: #fdf3dc; --grey: #6b7483; --grey-bg: #eceff3;
  --bar-done: #2f9e5b; --bar-already: #8fc7a6; --bar-failed: #d64545; --bar-interrupted: #d99a2b;
  --bar-running: #4a7de8; --gap: #c9ced8; --shade: rgb(20 24 31 / .14);
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1218; --card: #171b23; --ink: #e8ebf0; --soft: #9aa5b5; --line: #2a303b;
    --quiet: #1e232d; --accent: #8ab0ff;
    --green: #6fd695; --green-bg: #12301f; --red: #ff9189; --red-bg: #3a1717;
    --amber: #f0c265; --amber-bg: #352a10; --grey: #a4adba; --grey-bg: #252b35;
    --bar-done: #3fae6c; --bar-already: #2f6a48; --bar-failed: #e06060; --gap: #3a414d;
    --shade: rgb(0 0 0 / .6);
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere;
}
main, header > div, footer > div { max-width: 74rem; margin: 0 auto; padding: 0 1.25rem; }
header {
  background: var(--card); border-bottom: 1px solid var(--line); padding: 1.75rem 0 1.25rem;
}
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .75rem; }
h3 { font-size: 1rem; margin: 0; }
p { margin: .4rem 0; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: .25rem; }
code, pre, .mono {
  font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: .86em;
}
pre {
  margin: 0; white-space: pre-wrap; background: var(--quiet); padding: .75rem 1rem;
  border-radius: .5rem;
}
.head { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; }
.soft { color: var(--soft); }
.small { font-size: .875rem; }
.skip { position: absolute; left: -99rem; }
.skip:focus { position: static; }
nav { margin-top: 1rem; display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; font-size: .9rem; }
nav a { text-decoration: none; } nav a:hover { text-decoration: underline; }

.pill {
  display: inline-block; padding: .1rem .6rem; border-radius: 1rem; font-size: .8rem;
  font-weight: 650; white-space: nowrap; color: var(--grey); background: var(--grey-bg);
}
.pill.big { font-size: 1rem; padding: .25rem .9rem; }
.pill.big::first-letter { text-transform: uppercase; }
.green { color: var(--green); background: var(--green-bg); }
.red { color: var(--red); background: var(--red-bg); }
.amber { color: var(--amber); background: var(--amber-bg); }

.notice, .verdict {
  border-radius: .6rem; padding: .8rem 1.1rem; margin: 1rem 0; border-left: .35rem solid;
}
.notice { border-color: var(--amber); background: var(--amber-bg); }
.notice strong, .verdict strong { color: inherit; }
.notice p, .verdict p { color: var(--ink); margin: .15rem 0; }
.notice strong { color: var(--amber); }
.notice ul { margin: .2rem 0 0; padding-left: 1.2rem; color: var(--ink); }
figure .notice { margin: .75rem; }
.verdict { border-color: var(--red); background: var(--red-bg); }
.verdict h2 { margin: 0 0 .3rem; color: var(--red); }

.tiles {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem;
  margin: 1.25rem 0;
}
.tile {
  background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: .7rem .95rem;
}
.tile dt {
  color: var(--soft); font-size: .8rem; } .tile dd { margin: 0; font-size: 1.25rem;
  font-weight: 620;
}
.tile dd.text { font-size: 1rem; padding-top: .2rem; }

.card {
  background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: 1rem 1.1rem; margin: .75rem 0;
}
/* A shade at the side to which there is more; it lies under what scrolls along. */
.scroll {
  overflow-x: auto;
  background:
    linear-gradient(to right, var(--card) 40%, transparent) left / 2rem 100% no-repeat local,
    linear-gradient(to left, var(--card) 40%, transparent) right / 2rem 100% no-repeat local,
    linear-gradient(to right, var(--shade), transparent) left / .7rem 100% no-repeat,
    linear-gradient(to left, var(--shade), transparent) right / .7rem 100% no-repeat,
    var(--card);
}
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th {
  text-align: left; white-space: nowrap;
  font-weight: 620; color: var(--soft); font-size: .8rem;
}
th, td {
  padding: .45rem .75rem .45rem 0; vertical-align: top; border-bottom: 1px solid var(--line);
}
tr:last-child > td, tr:last-child > th { border-bottom: 0; }
td.num, th.num {
  width: 1%; text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap;
}
td.nowrap { white-space: nowrap; overflow-wrap: normal; }
.key { width: 14rem; font-weight: 560; }
.state { width: 6.5rem; }
.hint { color: var(--amber); }

.media {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
  gap: 1rem;
}
.media figure:first-child, .media figure:nth-child(2):last-child { grid-column: 1 / -1; }
figure {
  margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  overflow: hidden;
}
figure video, figure img {
  display: block; width: 100%; max-height: 75vh; object-fit: contain; background: #000;
}
figcaption { padding: .6rem .95rem .7rem; }

.time td { padding: .3rem .75rem .3rem 0; border: 0; vertical-align: middle; }
.time .lane { width: 62%; padding-right: .75rem; }
.time svg { display: block; width: 100%; height: 1.35rem; overflow: visible; }
.track { fill: var(--quiet); } .gap { fill: var(--gap); }
.done { fill: var(--bar-done); } .already { fill: var(--bar-already); }
.failed, rect.red { fill: var(--bar-failed); } .interrupted { fill: var(--bar-interrupted); }
.running { fill: var(--bar-running); }
.tick { stroke: var(--line); stroke-width: 1; }
.label { fill: var(--soft); font-size: .72rem; font-weight: 400; }
.legend {
  display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; font-size: .8rem; color: var(--soft);
  margin: .6rem 0 0; padding: 0; list-style: none;
}
.legend svg { width: .8rem; height: .8rem; vertical-align: -.08rem; margin-right: .35rem; }

.bars td { padding: .25rem .75rem .25rem 0; border: 0; vertical-align: middle; }
.bars svg { display: block; width: 100%; height: 1.1rem; }
.bars .lane { width: 60%; } .value { fill: var(--accent); }

details { margin: .5rem 0; }
summary { cursor: pointer; padding: .3rem 0; }
details > .card, details > pre { margin-top: .4rem; }
.log time { color: var(--soft); margin-right: .75rem; }
footer { margin: 3rem 0 2rem; color: var(--soft); font-size: .875rem; }

@media (max-width: 40rem) {
  .time .lane, .bars .lane { width: 40%; }
  .time .from, .label.minor { display: none; }
  .scroll table:has(tr > :nth-child(4)) { min-width: 34rem; }
  .scroll :is(td, th) { max-width: 18rem; overflow-wrap: break-word; }
  .key { width: 8rem; }
}
@media print {
  :root { --page: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb; --quiet: #eee; }
  body { font-size: 11pt; } nav, .skip { display: none; }
  .card, figure, .tile, tr, .notice, .verdict { break-inside: avoid; }
  figure video { max-height: 12cm; }
  details::details-content { content-visibility: visible; block-size: auto; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
]]
