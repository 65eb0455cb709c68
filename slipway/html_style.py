"""How a page looks: light and dark, on paper, on a telephone. Nothing is fetched from anywhere."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --text: #1b2430; --soft: #566273; --line: #d8dee6; --card: #f5f7fa;
  --good: #0b6b3a; --good-back: #e3f4ea; --bad: #a61b1b; --bad-back: #fdeaea;
  --warn: #8a4b00; --warn-back: #fdf1de; --calm: #1d4f91; --calm-back: #e7effa;
  --work: #3b76c4; --wait: #9aa7b8; --undo: #c9701a; --mark: #c02626;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12171e; --text: #e4e9f0; --soft: #a3afbf; --line: #2f3946; --card: #1a212b;
    --good: #6fd69d; --good-back: #12301f; --bad: #ff9c96; --bad-back: #3b1717;
    --warn: #f5bd6f; --warn-back: #36260e; --calm: #8fbcf5; --calm-back: #15294a;
    --work: #5b95e6; --wait: #66758a; --undo: #e0934a; --mark: #ff7a73;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
main { max-width: 70rem; margin: 0 auto; padding: 2rem 1.5rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .75rem; overflow-wrap: anywhere; }
h2 {
  font-size: 1.15rem; margin: 2.5rem 0 .75rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--line);
}
h3 { font-size: 1rem; margin: 1.25rem 0 .4rem; }
p { margin: .6rem 0; max-width: 48rem; overflow-wrap: anywhere; }
ul { margin: .6rem 0; padding-left: 1.25rem; max-width: 56rem; }
li { margin: .2rem 0; overflow-wrap: anywhere; }
code {
  font: .86em/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  background: var(--card); border-radius: 3px; padding: .1em .3em; overflow-wrap: anywhere;
}
.badge {
  display: inline-block; margin: 0 0 .75rem; padding: .15rem .7rem; border-radius: 1rem;
  font-size: .85rem; font-weight: 600; border: 1px solid currentColor;
}
.lead {
  margin: 0 0 1rem; padding: .9rem 1.1rem; border-left: .3rem solid currentColor;
  border-radius: .25rem; max-width: none; font-size: 1.1rem;
}
.lead span { color: var(--text); }
.good { color: var(--good); background: var(--good-back); }
.bad { color: var(--bad); background: var(--bad-back); }
.warn { color: var(--warn); background: var(--warn-back); }
.calm { color: var(--calm); background: var(--calm-back); }
.mark { color: var(--soft); font-size: .9rem; margin: .25rem 0; max-width: none; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .9rem .4rem 0; }
thead th { color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--line); }
tbody td, tbody th { border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
tbody th { font-weight: 600; }
td.tight, th.tight { white-space: nowrap; overflow-wrap: normal; }
td.done { color: var(--good); font-weight: 600; }
td.missing { color: var(--bad); font-weight: 600; }
td.open { color: var(--soft); }
.proof { display: block; }
.bars td.picture { width: 55%; padding: .2rem 0; vertical-align: middle; }
.bars thead .picture { width: 55%; padding: 0; }
.bars tbody td, .bars tbody th { padding-top: .25rem; padding-bottom: .25rem; }
svg { display: block; overflow: visible; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.grid { stroke: var(--line); } .decided { stroke: var(--mark); stroke-dasharray: 4 3; }
.work { fill: var(--work); } .wait { fill: var(--wait); } .undo { fill: var(--undo); }
.legend { color: var(--soft); font-size: .85rem; max-width: none; }
.legend span { display: inline-block; margin-right: 1rem; }
.legend svg { display: inline-block; vertical-align: -1px; margin-right: .35rem; }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
@media screen and (max-width: 44rem) {
  main { padding: 1.25rem 1rem 3rem; }
  table, tbody, tr, th, td { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tbody tr { padding: .5rem 0; border-bottom: 1px solid var(--line); }
  tbody td, tbody th, td.tight, th.tight { border: 0; padding: .1rem 0; white-space: normal; }
  tbody td[data-label]::before {
    content: attr(data-label) ": "; color: var(--soft); font-weight: 400;
  }
  td.empty { display: none; }
  .bars td.tight { display: inline; padding-right: 1rem; }
  .bars td.picture { width: 100%; padding: .3rem 0; }
}
@media print {
  :root {
    color-scheme: light;
    --page: #fff; --text: #000; --soft: #444; --line: #bbb; --card: #fff;
    --good: #0b6b3a; --good-back: #fff; --bad: #a61b1b; --bad-back: #fff;
    --warn: #8a4b00; --warn-back: #fff; --calm: #1d4f91; --calm-back: #fff;
    --work: #3b76c4; --wait: #9aa7b8; --undo: #c9701a; --mark: #c02626;
  }
  @page { margin: 15mm 12mm; }
  html { font-size: 10.5px; }
  body { font-size: 1rem; }
  main { max-width: none; padding: 0; }
  h2, h3 { break-after: avoid; margin-top: 1.2rem; }
  tr, li { break-inside: avoid; }
  thead { display: table-header-group; }
  rect { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
