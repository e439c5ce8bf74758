"""The stylesheet of reports: one column for phones, wider pictures on desktops, light and dark."""

STYLESHEET = """
:root {
  --paper: #fbfbf9; --card: #ffffff; --ink: #22262e; --soft: #5c636e; --line: #dfe2e6; --accent: #0072b2;
  --mark: #e6f0f7;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181d; --card: #1d2127; --ink: #e6e8eb; --soft: #a3abb6; --line: #343a43; --accent: #6bb8e6;
    --mark: #1d3342;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 17px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
}
main { max-width: 72rem; margin: 0 auto; padding: 2.5rem 1.25rem 3rem; }
h1 { font-size: clamp(1.7rem, 5vw, 2.4rem); line-height: 1.2; margin: 0 0 0.75rem; letter-spacing: -0.01em; }
h2 { font-size: 1.35rem; line-height: 1.3; margin: 0 0 0.5rem; }
p { margin: 0 0 0.9rem; max-width: 42rem; }
.headline { font-size: 1.2rem; line-height: 1.5; color: var(--ink); max-width: 46rem; }
.facts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr));
  gap: 0.75rem; margin: 1.5rem 0 0;
}
.facts div {
  display: flex; flex-direction: column-reverse; justify-content: flex-end; padding: 0.8rem 1rem;
  background: var(--card); border: 1px solid var(--line); border-radius: 10px;
}
.facts dd { margin: 0; font-size: 1.8rem; font-weight: 700; line-height: 1.2; color: var(--accent); }
.facts dt { font-size: 0.85rem; line-height: 1.35; color: var(--soft); }
section { margin-top: 2.75rem; padding-top: 1.75rem; border-top: 1px solid var(--line); }
figure { margin: 1.25rem 0; }
img {
  display: block; max-width: 100%; height: auto; background: #ffffff;
  border: 1px solid var(--line); border-radius: 10px;
}
figcaption, .caption {
  margin: 0.6rem 0 0; max-width: 46rem; font-size: 0.9rem;
  line-height: 1.5; color: var(--soft);
}
.table {
  overflow-x: auto; margin: 1.25rem 0 0; border: 1px solid var(--line);
  border-radius: 10px; background: var(--card);
}
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; line-height: 1.4; }
th, td { padding: 0.5rem 0.8rem; text-align: left; vertical-align: top; }
th { font-weight: 600; vertical-align: bottom; border-bottom: 2px solid var(--line); }
tbody tr + tr td { border-top: 1px solid var(--line); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
tr.highlight td { background: var(--mark); font-weight: 600; }
.unit { font-weight: 400; color: var(--soft); white-space: nowrap; }
code { padding: 0.1em 0.3em; border-radius: 4px; background: var(--mark); font-size: 0.9em; }
footer {
  margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line);
  font-size: 0.85rem; color: var(--soft);
}
@media (max-width: 40rem) {
  body { font-size: 16px; }
  main { padding: 1.5rem 1rem 2rem; }
  section { margin-top: 2rem; padding-top: 1.25rem; }
  .facts { grid-template-columns: repeat(2, 1fr); }
  .scroll { overflow-x: auto; }
  img.wide { max-width: none; min-width: 680px; width: 680px !important; }
}
@media print { section { break-inside: avoid; } }
"""
"""Cascading style sheet, to be put into the head of a page."""
