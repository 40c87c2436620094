"""The dashboard's style sheet and script: plain CSS and JavaScript, no library of their own."""

STYLE = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);
 font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif}
main{max-width:1120px;margin:0 auto;padding:56px 32px 96px}
h1{font-size:clamp(1.6rem,1.1rem + 2.1vw,2.4rem);line-height:1.2;letter-spacing:-.015em;
 font-weight:680;margin:.15em 0 .4em;max-width:24em;text-wrap:balance}
h2{font-size:1.25rem;letter-spacing:-.005em;font-weight:650;margin:72px 0 20px}
h3{font-size:1.05rem;font-weight:650;margin:0 0 4px}
h4{font-size:.8rem;font-weight:600;margin:0 0 8px;color:var(--muted)}
p{margin:0 0 .8em}
a{color:var(--accent)}
code,pre{font:.875em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
pre{margin:0;padding:12px 16px;background:var(--panel);border-radius:6px;white-space:pre-wrap;
 overflow-wrap:anywhere}
.kicker,.meta,figcaption,.quiet{color:var(--muted)}
.kicker{font-size:.875rem;margin:0}
.meta{font-size:.9375rem;margin:0}
.banner{border-left:4px solid var(--warn);background:var(--warn-back);padding:10px 16px;
 margin:20px 0 0;border-radius:0 6px 6px 0}
.progress{display:flex;flex-wrap:wrap;align-items:center;gap:6px 16px;margin:20px 0 0}
progress{flex:1 1 200px;max-width:420px;height:8px;accent-color:var(--accent)}
.lead{font-size:1.25rem;line-height:1.5;margin:32px 0 0;padding:20px 24px;background:var(--panel);
 border-radius:8px;text-wrap:pretty}
.lead b{display:block;font-size:.8125rem;line-height:1.4;color:var(--muted);font-weight:600;
 margin-bottom:4px}
.found{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:32px 48px;margin-top:32px}
.found>*{min-width:0}
.found ul{list-style:none;margin:0 0 20px;padding:0}
.found li{display:grid;grid-template-columns:1.35em 1fr;padding:3px 0;font-size:.9375rem}
.found li>span:first-child{color:var(--muted)}
.better>span:first-child{color:var(--better)!important}
.worse>span:first-child{color:var(--worse)!important}
strong{font-weight:650;font-variant-numeric:tabular-nums;white-space:nowrap}
dl{margin:0;font-size:.9375rem}
dt{font-weight:600}
dd{margin:0 0 10px;overflow-wrap:anywhere}
.next{margin-top:24px}
.next h4{margin-bottom:6px}
.charts{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:64px 48px;margin-top:72px;
 grid-auto-flow:dense}
figure{margin:0;min-width:0;break-inside:avoid}
figure.wide{grid-column:1/-1}
figcaption{font-size:.875rem;line-height:1.45;margin-bottom:12px;max-width:62em}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;margin:0 0 14px;padding:0;
 font-size:.875rem}
.legend li{display:flex;align-items:center;gap:7px}
.legend svg{width:16px;height:12px;overflow:visible}
.views{display:grid;gap:24px 40px;grid-template-columns:repeat(var(--n,1),minmax(0,1fr))}
.views.stacked{grid-template-columns:minmax(0,1fr);gap:8px}
.view{width:100%;min-width:0}
.view.vega-embed{display:block;padding:0}
.view svg{display:block;max-width:100%}
.scroll{overflow-x:auto;margin:0 -8px}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums;width:100%}
th,td{padding:7px 8px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line);
 vertical-align:baseline}
th:first-child,td:first-child,.text{text-align:left!important}
th{font-weight:600;color:var(--muted);border-bottom-color:var(--strong);vertical-align:bottom}
tbody tr:hover{background:var(--panel)}
th button{all:unset;cursor:pointer;color:inherit}
th button:hover{color:var(--ink)}
th button:focus-visible,summary:focus-visible,a:focus-visible{outline:2px solid var(--accent);
 outline-offset:3px;border-radius:2px}
th[aria-sort=ascending] button::after{content:" ↑"}
th[aria-sort=descending] button::after{content:" ↓"}
details{margin-top:4px}
.scroll+details{margin-top:20px}
summary{cursor:pointer;font-size:.9375rem;color:var(--accent);padding:4px 0}
details .scroll{max-height:480px;overflow:auto;margin-top:8px}
.provenance{display:grid;grid-template-columns:minmax(8em,max-content) 1fr;gap:6px 24px}
.provenance dd{margin:0}
.provenance dt{font-weight:400;color:var(--muted)}
#vg-tooltip-element{background:var(--page)!important;color:var(--ink)!important;
 border:1px solid var(--strong)!important;border-radius:6px!important;font:inherit!important;
 font-size:.8125rem!important;padding:8px 10px!important;box-shadow:0 4px 16px #0003!important}
#vg-tooltip-element td.key{color:var(--muted)!important}
#vg-tooltip-element td{border:0!important;padding:1px 4px!important}
@media screen and (max-width:820px){
 main{padding:32px 18px 64px}
 .found,.charts{grid-template-columns:minmax(0,1fr)}
 .views{grid-template-columns:minmax(0,1fr)}
 h2{margin-top:56px}
 .charts{margin-top:56px;gap:56px 0}
 .lead{font-size:1.125rem;padding:16px 18px}
 .provenance{grid-template-columns:1fr;gap:0}
 .provenance dd{margin-bottom:10px}
}
@media print{
 body{font-size:12px}
 main{padding:0;max-width:none}
 h2,h3,figcaption,.legend{break-after:avoid}
 h2{margin-top:32px}
 .charts{gap:28px 32px;margin-top:32px}
 .view svg{height:auto}
 table{font-size:9px}
 th,td{padding:4px}
 .scroll{overflow:visible}
 tbody tr:hover{background:none}
 details:not([open]){display:none}
}
"""

SCRIPT = """
"use strict";
(() => {
  const {config, charts} = JSON.parse(document.getElementById("chart-data").textContent);
  const reduced = {actions: false, renderer: "svg", mode: "vega-lite", config};
  for (const [id, spec] of Object.entries(charts)) {
    const place = document.getElementById(id);
    vegaEmbed(place, spec, reduced).then(() => {
      // The page's own description stands for the drawing's hundred marks.
      place.querySelector("svg")?.setAttribute("aria-hidden", "true");
    }).catch((error) => { place.textContent = "This chart could not be drawn: " + error.message; });
  }
  const value = (row, i) => {
    const text = row.cells[i].dataset.sort ?? row.cells[i].textContent;
    const number = Number(text);
    return text === "" ? [2, 0, ""] : Number.isNaN(number) ? [1, 0, text] : [0, number, ""];
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, i) => head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].map((row) => [value(row, i), row]);
      rows.sort(([a], [b]) => a[0] - b[0] // What is not known stays last.
        || (down ? -1 : 1) * (a[1] - b[1] || a[2].localeCompare(b[2], "en", {numeric: true})));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    }));
  }
})();
"""
