"""The look of a report: light or dark as the reader's device is, and on paper. May import: nothing."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #596273; --line: #dde1e8; --page: #ffffff; --card: #f4f6fa;
  --accent: #0060a8; --warning: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #a3acbb; --line: #3a4150; --page: #14181f;
  --card: #1e242e; --accent: #6cb6f5; --warning: #ff8a80; } figure img { filter: brightness(.88); } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 3rem; max-width: 70rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.55rem; line-height: 1.25; margin: .1rem 0 .6rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-top: .8rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .4rem; }
p { margin: .4rem 0; max-width: 52rem; overflow-wrap: anywhere; }
.kind, .made, figcaption, .headline .note { color: var(--soft); font-size: .9rem; }
.kind { text-transform: uppercase; letter-spacing: .06em; font-size: .8rem; }
.summary { font-size: 1.1rem; }
.warning { color: var(--warning); }
.headlines { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem; margin: 1.2rem 0; }
.headline { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .7rem .9rem; }
.headline .label { color: var(--soft); font-size: .85rem; }
.headline .value { font-size: 1.5rem; font-weight: 650; line-height: 1.25; color: var(--accent); }
figure { margin: 1rem 0; }
figure img { max-width: 100%; height: auto; background: #ffffff; border: 1px solid var(--line); border-radius: .5rem;
  padding: .5rem; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line);
  white-space: pre; }
th { font-weight: 600; }
th.right, td.right { text-align: right; }
td.long { white-space: pre-wrap; min-width: 28rem; overflow-wrap: anywhere; }
tr.bold { font-weight: 650; }
tr.dim, tr.dim td { color: var(--soft); }
td ul { margin: 0; padding-left: 1.1rem; }
li { margin: .2rem 0; max-width: 52rem; overflow-wrap: anywhere; }
code { font: .85rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace;
  background: var(--card); border-radius: .25rem; padding: .1rem .3rem; overflow-wrap: anywhere; }
pre { background: var(--card); border-radius: .5rem; padding: .7rem .9rem; white-space: pre-wrap; }
pre code { padding: 0; background: none; }
details { margin: .3rem 0; padding-left: .9rem; border-left: 2px solid var(--line); }
summary { cursor: pointer; margin-left: -.9rem; padding: .15rem .4rem; overflow-wrap: anywhere; }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } figure, tr, .headline { break-inside: avoid; }
  .scroll { overflow: visible; } td, th { white-space: pre-wrap; } }
"""
