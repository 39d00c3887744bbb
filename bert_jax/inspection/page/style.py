"""The style of a page. Blue and orange can be told apart by colour-blind readers (Okabe & Ito 2008)."""

FOR, AGAINST = (0, 114, 178), (213, 94, 0)

STYLE = """
:root { color-scheme: light; --ink: #1d1d1f; --soft: #5f6368; --line: #dcdfe3; --blue: #0072b2; --orange: #d55e00; }
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 1080px; padding: 2rem 1.25rem 5rem; color: var(--ink); background: #fff;
  font: 16px/1.5 system-ui, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", "Noto Sans Arabic", "Noto Sans Hebrew",
    Helvetica, Arial, sans-serif;
}
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 3rem 0 .6rem; padding-top: .8rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
p { max-width: 46rem; margin: .4rem 0; }
.soft, figcaption, th { color: var(--soft); }
nav { margin-top: 1rem; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; }
a { color: var(--blue); text-decoration: none; }
a:hover { text-decoration: underline; }
blockquote {
  margin: 1rem 0; padding: .6rem 1rem; background: #f5f6f8; border-inline-start: 3px solid var(--blue);
  overflow-wrap: anywhere; white-space: pre-wrap;
}
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th { text-align: left; font-weight: 600; }
td, th { padding: .2rem .9rem .2rem 0; vertical-align: baseline; }
.wide { overflow-x: auto; }
.tree { width: 100%; }
.tree td:not(:first-child), .tree th:not(:first-child) { text-align: right; white-space: nowrap; }
.tree td:nth-child(2), .tree th:nth-child(2) { text-align: left; }
.guesses { width: 100%; max-width: 30rem; table-layout: fixed; }
.guesses td { overflow-wrap: anywhere; }
.guesses td:nth-child(2) { text-align: right; width: 5rem; }
.guesses td:nth-child(3) { width: 45%; }
.layers td:first-child { color: var(--soft); white-space: nowrap; }
.layers td, .layers th { padding: .25rem .6rem; border: 2px solid #fff; white-space: nowrap; }
.layers th { padding-inline-start: .85rem; }
.bar { display: block; width: 100%; min-width: 5rem; height: .6rem; background: #eef0f2; }
.bar i { display: block; height: 100%; background: var(--blue); }
details { border-bottom: 1px solid var(--line); padding: .3rem 0; }
summary { cursor: pointer; display: grid; grid-template-columns: 16rem 9rem 5rem 1fr; gap: 1rem; align-items: center; }
summary span:nth-of-type(2), summary span:nth-of-type(3) { text-align: right; }
details table { margin: .5rem 0 .8rem 1rem; }
.text { line-height: 2.2; overflow-wrap: anywhere; }
.token { padding: .12em .25em; border-radius: 3px; cursor: default; }
.token.goes-on { padding-inline-start: 0; border-start-start-radius: 0; border-end-start-radius: 0; }
.token.unfinished { padding-inline-end: 0; border-start-end-radius: 0; border-end-end-radius: 0; }
.token.against { border-bottom: 2px dotted var(--orange); }
.key.for { background: rgba(0, 114, 178, .55); }
.key.against { background: rgba(213, 94, 0, .55); border-bottom: 2px dotted var(--orange); }
.token.chosen { outline: 2px solid var(--orange); }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: .8rem; }
.key { display: inline-block; width: 1em; height: 1em; vertical-align: -.15em; border-radius: 2px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 1.5rem; }
figure { margin: 0; }
figcaption { font-weight: 600; font-size: .9rem; color: var(--ink); }
.chart svg text { font-size: 11px; fill: var(--soft); }
.chart .grid { stroke: var(--line); }
polyline, line.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
polyline.pale { stroke-width: .7; opacity: .35; }
.beside { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; align-items: flex-start; margin-top: .6rem; }
.beside > div { max-width: 100%; }
.controls { display: flex; flex-wrap: wrap; gap: .4rem 1.4rem; align-items: center; margin: .8rem 0; }
select { font: inherit; padding: .1rem .3rem; }
#attention-grid { font-size: .75rem; }
#attention-grid td, #attention-grid th { padding: 1px 2px; text-align: center; }
#attention-grid th { white-space: nowrap; font-weight: 400; vertical-align: middle; }
#attention-grid button { padding: 0; border: 2px solid transparent; background: none; line-height: 0; cursor: pointer; }
#attention-grid button[aria-pressed="true"] { border-color: var(--orange); }
#attention-grid canvas { width: 46px; height: 46px; image-rendering: pixelated; outline: 1px solid var(--line); }
#attention-reading, #attention-cell { min-height: 1.6em; font-size: .9rem; color: var(--soft); max-width: none; }
.ramp {
  display: inline-block; width: 12rem; height: .8rem; vertical-align: middle; border: 1px solid var(--line);
  background: linear-gradient(to right, #fff, #c6dbef 25%, #6baed6 50%, #2171b5 75%, #08306b);
}
@media print { nav, .controls { display: none; } h2 { break-after: avoid; } }
@media (max-width: 640px) {
  summary { grid-template-columns: 1fr auto; }
  summary span:nth-of-type(n + 3) { display: none; }
}
"""
