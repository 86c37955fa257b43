// The page's style sheet and its few lines of script: light and dark, from 320 px to wide screens, and on paper.

/** One colour each for six lines of a chart, told apart by people who see no red or no green too. */
const LINES_LIGHT = ['#2166ac', '#b35806', '#1b7837', '#762a83', '#8c510a', '#35978f'];
const LINES_DARK = ['#6baed6', '#fdae61', '#7fbf7b', '#c2a5cf', '#dfc27d', '#80cdc1'];

const colours = (lines: readonly string[]): string => lines.map((colour, index) => `--c${index}:${colour}`).join(';');

export const STYLE = `
:root{color-scheme:light dark;--page:#fbfbfa;--card:#fff;--ink:#1c1e21;--soft:#5d646d;--rule:#dcdfe3;--code:#f3f4f5;
--bad:#b3261e;--bad-soft:#fdecea;--good:#1b6e3a;--good-soft:#e6f4ea;--warn:#8a5300;--warn-soft:#fff3dc;--mark:#fff0b8;${colours(LINES_LIGHT)}}
@media (prefers-color-scheme:dark){:root{--page:#15171a;--card:#1d2024;--ink:#e4e6e9;--soft:#9aa3ad;--rule:#33383f;--code:#24282d;
--bad:#ff8a80;--bad-soft:#3a1f1d;--good:#81c995;--good-soft:#1b3023;--warn:#ffc56b;--warn-soft:#382a12;--mark:#4a3f12;${colours(LINES_DARK)}}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
main,header,footer{max-width:1240px;margin:0 auto;padding:0 20px}
header{padding-top:28px}
h1{font-size:1.55rem;line-height:1.25;margin:.35em 0 .3em}
h2{font-size:1.08rem;margin:0 0 .6em}
h3{font-size:1rem;margin:1.1em 0 .4em}
section{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:16px 18px;margin:16px 0}
p{margin:.4em 0}
a{color:inherit}
code,pre,.frame,.regs,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono',monospace;font-size:13px;tab-size:4}
pre{background:var(--code);border-radius:6px;padding:10px 12px;margin:.5em 0;overflow-x:auto;line-height:1.45;overflow-wrap:normal}
.verdict{display:inline-block;border-radius:99px;padding:2px 12px;font-weight:600;font-size:.9rem;background:var(--bad-soft);color:var(--bad)}
.verdict.ok,.state.met{background:var(--good-soft);color:var(--good)}
.state{border-radius:4px;padding:1px 7px;font-size:.85rem;background:var(--bad-soft);color:var(--bad);white-space:nowrap}
.state.plain{background:var(--code);color:var(--soft)}
pre.wrap{white-space:pre-wrap;overflow-wrap:anywhere}
.state.undecided,.state.warning,.state.known{background:var(--warn-soft);color:var(--warn)}
.facts{color:var(--soft);margin:.2em 0 0;padding:0;list-style:none;display:flex;flex-wrap:wrap;gap:2px 18px}
.note{background:var(--warn-soft);color:var(--warn);border-radius:6px;padding:8px 12px;margin:10px 0}
.soft{color:var(--soft)}
summary{cursor:pointer;padding:3px 0 3px 1.1em;list-style:none;position:relative}
summary::-webkit-details-marker{display:none}
summary::before{content:'▸';position:absolute;left:0;color:var(--soft)}
details[open]>summary::before{content:'▾'}
summary:focus-visible{outline:2px solid var(--c0)}
details.part{border-top:1px solid var(--rule);padding:4px 0}
details.part:first-of-type{border-top:0}
.stack{margin:0;padding:0;list-style:none}
.stack li{border-top:1px solid var(--rule)}
.stack li:first-child{border-top:0}
.frame{padding:3px 0 3px 1.1em;display:flex;flex-wrap:wrap;gap:0 12px;align-items:baseline}
summary .frame{padding:0}
.stack summary{padding-right:6px}
.frame .at{color:var(--soft)}
.frame .n{color:var(--soft);min-width:2.2em}
.frame .trust{color:var(--soft);font-size:11px;border:1px solid var(--rule);border-radius:4px;padding:0 5px}
li.guilty>.frame,li.guilty>details>summary{background:var(--bad-soft);border-radius:6px}
li.guilty .fn{color:var(--bad);font-weight:600}
li.inlined .fn{font-style:italic}
.line{display:block;min-height:1.45em;width:max-content;min-width:100%}
.line .no{display:inline-block;min-width:4.5em;padding-right:1em;text-align:right;color:var(--soft);user-select:none}
.line.here{background:var(--mark)}
.console{max-height:70vh;overflow:auto}
.console .line{white-space:pre-wrap;width:auto;padding-left:5.5em;text-indent:-5.5em}
.console .line .no{text-indent:0;user-select:none}
.regs{display:grid;grid-template-columns:repeat(auto-fill,minmax(205px,1fr));gap:1px 18px}
.regs span{display:flex;justify-content:space-between;gap:10px}
.regs b{font-weight:400;color:var(--soft)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem;overflow-wrap:break-word}
th{text-align:left;font-weight:600;color:var(--soft)}
th,td{padding:4px 12px 4px 0;border-bottom:1px solid var(--rule);vertical-align:top}
tr:last-child td{border-bottom:0}
table.num{max-width:720px}
.num th:not(:first-child),.num td:not(:first-child){text-align:right;white-space:nowrap}
dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 18px;margin:0}
dt{color:var(--soft)}
dd{margin:0}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:14px 22px}
figure{margin:0;max-width:640px}
figcaption{font-weight:600;font-size:.92rem}
svg{display:block;width:100%;height:auto}
svg text{font:10px system-ui,sans-serif;fill:var(--soft)}
svg text.y,svg text.last{text-anchor:end}
svg text.middle{text-anchor:middle}
svg .grid{stroke:var(--rule)}
svg path{fill:none;stroke-width:1.8;stroke-linejoin:round}
svg .under{opacity:.16;stroke:none}
svg .limit{stroke-dasharray:5 4}
svg .bars{stroke-width:2}
svg .death{stroke:var(--bad);stroke-width:1.5}
${LINES_LIGHT.map((_, n) => `svg .c${n}{stroke:var(--c${n})}svg .under.c${n}{fill:var(--c${n})}.key.c${n}::before{background:var(--c${n})}`).join('')}
.legend{font-size:.83rem;color:var(--soft);display:flex;flex-wrap:wrap;gap:0 14px}
.key::before{content:'';display:inline-block;width:14px;height:3px;margin-right:6px;vertical-align:middle}
.tools{display:flex;flex-wrap:wrap;gap:8px;margin:12px 0 0}
.tools[hidden]{display:none}
button,input{font:inherit;color:inherit;background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:3px 10px;max-width:100%}
footer{color:var(--soft);font-size:.85rem;padding-bottom:30px}
@media (max-width:560px){main,header,footer{padding-left:12px;padding-right:12px}section{padding:12px}dl{gap:3px 12px}
.console .line,.line .no{padding-left:0;text-indent:0}.line .no{min-width:3em;padding-right:.7em}.frame{display:grid;grid-template-columns:2.4em 1fr;gap:0}
.frame>:not(.n){grid-column:2}.frame>:nth-child(2){grid-row:1}.frame .trust{justify-self:start}}
@media print{body{background:#fff;font-size:11px}section{border:0;padding:4px 0;break-inside:auto}.tools{display:none}.console{max-height:none}
pre{white-space:pre-wrap}.line{width:auto}figure,tr,.frame{break-inside:avoid}details::details-content{content-visibility:visible;block-size:auto}}
`;

/** Folds all, finds lines of the console, opens all for the printer. Without it the page only lacks these. */
export const SCRIPT = `
const all=document.querySelectorAll('details'),tools=document.querySelector('.tools');
tools.hidden=false;
document.getElementById('open').onclick=()=>all.forEach(d=>{d.open=true});
document.getElementById('fold').onclick=()=>all.forEach(d=>{d.open=false});
document.getElementById('find').oninput=e=>{const w=e.target.value.toLowerCase();
document.querySelectorAll('.console .line').forEach(l=>{l.hidden=!l.textContent.toLowerCase().includes(w)})};
addEventListener('beforeprint',()=>all.forEach(d=>{d.open=true}));
`;
