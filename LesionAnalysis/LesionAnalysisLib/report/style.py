"""CSS of ``report.html``: light, dark (following the reader's system) and printed."""

_LIGHT = """--page:#eef1f5; --card:#ffffff; --ink:#17202b; --soft:#5a6675; --line:#dbe1e8; --quiet:#f4f6f9;
  --positive:#c2410c; --negative:#0f766e; --unknown:#64748b; --bar:#8fa3ba;
  --notice:#fff7e0; --notice-ink:#6b4a00; --notice-line:#e9c765; --shadow:0 1px 3px #1018281f;"""

_DARK = """--page:#10151c; --card:#19212b; --ink:#e7ecf2; --soft:#9aa8b8; --line:#2d3845; --quiet:#202a36;
  --positive:#ff8f5a; --negative:#4fd1c0; --unknown:#94a3b8; --bar:#5f738b;
  --notice:#322a12; --notice-ink:#f6dc93; --notice-line:#7a6526; --shadow:none;"""

_SCREEN = """
* { box-sizing:border-box; }
body { margin:0; background:var(--page); color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",Arial,sans-serif; }
main { max-width:1080px; margin:0 auto; padding:28px 20px 40px; }
h1 { font-size:26px; line-height:1.2; margin:0; overflow-wrap:anywhere; }
h2 { font-size:17px; margin:0 0 12px; }
p { margin:0 0 10px; }
small,.soft { color:var(--soft); }
small { font-size:13px; }
.top { display:flex; justify-content:space-between; align-items:end; gap:20px; margin-bottom:16px; }
.brand { color:var(--soft); font-size:12px; letter-spacing:.08em; text-transform:uppercase; font-weight:600; }
.meta { text-align:right; color:var(--soft); font-size:13px; }
.notice { background:var(--notice); color:var(--notice-ink); border:1px solid var(--notice-line);
  border-radius:10px; padding:10px 16px; margin-bottom:16px; font-weight:600; }
.card { background:var(--card); border:1px solid var(--line); border-radius:12px; box-shadow:var(--shadow);
  padding:18px 20px; margin-bottom:16px; }

.result { display:grid; grid-template-columns:auto 1fr; gap:8px 30px; align-items:center; }
.number { font-size:64px; line-height:1; font-weight:700; font-variant-numeric:tabular-nums;
  color:var(--tone); }
.unit { color:var(--soft); font-size:13px; margin-top:6px; }
.words { font-size:21px; font-weight:650; line-height:1.3; margin-bottom:4px; }
.gauge { position:relative; height:10px; border-radius:5px; background:var(--quiet);
  border:1px solid var(--line); margin:14px 0 34px; }
.gauge .fill { position:absolute; left:-1px; top:-1px; bottom:-1px; border-radius:5px;
  background:var(--tone); }
.gauge .tick { position:absolute; top:-5px; bottom:-5px; width:2px; background:var(--ink); }
.gauge .tick span { position:absolute; top:20px; left:50%; transform:translateX(-50%); white-space:nowrap;
  font-size:12px; color:var(--soft); }
.positive-tone { --tone:var(--positive); }
.negative-tone { --tone:var(--negative); }
.unknown-tone { --tone:var(--unknown); }
.warnings { border-left:5px solid var(--notice-line); }
.warnings ul { margin:0; padding-left:20px; }

.cards { display:grid; grid-template-columns:repeat(4,1fr); gap:16px; margin-bottom:16px; }
.cards .card { margin:0; }
.cards h2 { font-size:13px; color:var(--soft); font-weight:600; margin:0 0 6px; }
.cards .big { font-size:30px; font-weight:700; line-height:1.15; font-variant-numeric:tabular-nums; }
.cards .big small { font-size:15px; font-weight:500; }
.cards .row { display:flex; justify-content:space-between; gap:8px; font-size:13px; margin-top:4px; }
.chip { display:inline-block; width:11px; height:11px; border-radius:3px; margin-right:7px;
  vertical-align:-1px; border:1px solid #0006; }

.chart { width:100%; height:auto; display:block; }
.chart text { fill:var(--soft); font-size:12px; }
.chart .lung { fill:var(--quiet); }
.chart .grid { stroke:var(--line); }
.chart .axis { stroke:var(--soft); }
.chart .bar { fill:var(--bar); }
.chart .positive { fill:var(--positive); }
.chart .threshold { stroke:var(--ink); stroke-dasharray:6 4; stroke-width:1.2; }
.chart .threshold-label { fill:var(--ink); font-weight:600; paint-order:stroke; stroke:var(--card);
  stroke-width:4px; }
.chart .minor { opacity:.8; font-size:11px; }
.chart .lane { stroke:#0005; stroke-width:.6; }
.legend { display:flex; flex-wrap:wrap; gap:4px 20px; font-size:13px; color:var(--soft); margin-top:10px; }
.swatch-positive { background:var(--positive); }
.swatch-bar { background:var(--bar); }

.figures { display:grid; grid-template-columns:repeat(2,1fr); gap:14px; }
figure { margin:0; break-inside:avoid; }
figure img { width:100%; height:auto; display:block; border-radius:8px; background:#000; }
figcaption { font-size:13px; color:var(--soft); margin-top:5px; }

.scroll { overflow-x:auto; }
table { border-collapse:collapse; width:100%; font-size:13.5px; }
th { text-align:left; color:var(--soft); font-weight:600; white-space:nowrap; }
th,td { padding:6px 10px; border-bottom:1px solid var(--line); vertical-align:top; }
.lesions td { white-space:nowrap; }
tbody tr:nth-child(even) { background:var(--quiet); }
.num { text-align:right; font-variant-numeric:tabular-nums; }
.two { display:grid; grid-template-columns:2fr 1fr; gap:16px; align-items:start; }
.two td { overflow-wrap:anywhere; }
.two .card { min-width:0; }
pre { font-family:ui-monospace,Consolas,"DejaVu Sans Mono",monospace; font-size:12px; margin:0;
  background:var(--quiet); padding:10px; white-space:pre-wrap; overflow-wrap:anywhere; }
footer { color:var(--soft); font-size:13px; text-align:center; padding-top:8px; }

@media screen and (max-width:760px) {
  .cards { grid-template-columns:repeat(2,1fr); }
  .figures,.two,.result { grid-template-columns:1fr; }
  .top { display:block; }
  .meta { text-align:left; margin-top:6px; }
}
"""

_PRINT = """
  * { print-color-adjust:exact; -webkit-print-color-adjust:exact; }
  body { font-size:11.5px; background:#fff; }
  main { max-width:none; padding:0; }
  .card { padding:10px 14px; margin-bottom:10px; break-inside:avoid; box-shadow:none; }
  .long { break-inside:auto; }
  .cards,.figures,.two { gap:10px; }
  .number { font-size:48px; }
  .words { font-size:17px; }
  .cards .big { font-size:20px; }
  .cards .big small,.cards .row,.legend,figcaption,small { font-size:10px; }
  h1 { font-size:20px; }
  h2 { font-size:14px; }
  .gauge { margin:10px 0 28px; }
  table { font-size:10px; }
  th,td { padding:3px 6px; }
  thead { display:table-header-group; }
  tr { break-inside:avoid; }
  .new-page { break-before:page; }
  h2,.legend { break-after:avoid; }
  .scroll { overflow:visible; }
"""

STYLE = (
    f":root {{ color-scheme:light dark; {_LIGHT} }}"
    f"\n@media screen and (prefers-color-scheme:dark) {{ :root {{ {_DARK} }} }}"
    f"{_SCREEN}@page {{ size:A4; margin:13mm; }}\n@media print {{{_PRINT}}}\n"
)
