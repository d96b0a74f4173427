"""The look of the report page: its style and its script, fixed texts whose hashes its content policy names."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

STYLE: Final = """
:root { --paper: #fdfcfa; --ink: #1d2127; --soft: #5c636e; --line: #e4e1da; --wash: #f5f3ee;
  --idle: #c2740c; --busy: #23786f; --other: #918e87; --fail: #b3261e; color-scheme: light dark }
@media screen and (prefers-color-scheme: dark) {
  :root { --paper: #16181c; --ink: #e7e5e0; --soft: #a3a7af; --line: #30343a; --wash: #1e2126;
    --idle: #e39a3b; --busy: #4fb0a5; --other: #6f737b; --fail: #ff8a80 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 3rem 2rem 4rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 Inter, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums }
h1 { margin: 0; font-size: 1.9rem; font-weight: 600; letter-spacing: -.02em; line-height: 1.2; overflow-wrap: anywhere }
p { margin: .4rem 0 0; color: var(--soft) }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(7rem, 1fr)); margin: 2.2rem 0 0;
  border-block: 1px solid var(--line) }
dl div { display: flex; flex-direction: column-reverse; padding: 1rem 0 .9rem }
dt { color: var(--soft); font-size: .87rem }
dd { margin: 0; font-size: 2.1rem; font-weight: 300; letter-spacing: -.02em; line-height: 1.2 }
section { margin-top: 2.8rem }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 0 4rem }
.scroll { max-height: 24rem; overflow: auto }
table { width: 100%; border-collapse: collapse }
caption { padding-bottom: .7rem; text-align: left; font-size: 1.1rem; font-weight: 600 }
th, td { padding: .38rem .9rem .38rem 0; border-top: 1px solid var(--line); text-align: left; vertical-align: top;
  font-weight: 400; overflow-wrap: anywhere }
thead th { border-top: 0; color: var(--soft); font-size: .87rem; white-space: nowrap }
.n, .sessions :is(th, td):nth-child(n+5), .numbers td { text-align: right; white-space: nowrap }
:is(th, td):last-child { padding-right: 0 }
.sessions thead th { position: sticky; top: 0; background: var(--paper); box-shadow: inset 0 -1px var(--line) }
.sessions tbody tr:hover { background: var(--wash) }
.bars td:nth-child(2) { width: 60%; vertical-align: middle }
.bars tbody th, .sessions td:nth-child(-n+4), .failures :is(th, td):nth-child(-n+2) {
  max-width: 19rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
.bars tbody th { max-width: 11rem }
.bars tr > * { border: 0; padding-block: .22rem }
svg { display: block; height: 12px; width: 100% }
.idle { fill: var(--idle) } .busy { fill: var(--busy) } .other { fill: var(--other) }
:is(dt, td):is(.idle, .busy, .other)::before { content: ""; display: inline-block; width: .55em; height: .55em;
  margin-right: .5em; border-radius: 50%; background: var(--other) }
:is(dt, td).idle::before { background: var(--idle) } :is(dt, td).busy::before { background: var(--busy) }
.failed { color: var(--fail) }
button { all: unset; cursor: pointer } button:hover { color: var(--ink) }
:focus-visible { outline: 2px solid var(--busy); outline-offset: 2px }
[aria-sort=ascending] button::after { content: " \\2191" } [aria-sort=descending] button::after { content: " \\2193" }
@media screen and (max-width: 54rem) { body { padding: 1.6rem 1rem 3rem }
  .sessions :is(th, td):is(:nth-child(3), :nth-child(n+6)), .failures :is(th, td):nth-child(2) { display: none }
  .failures :is(th, td):first-child { max-width: 8rem } .bars td:nth-child(2) { width: 40% }
  .sessions tr { display: grid; grid-template-columns: 1fr 6rem 6rem }
  .sessions thead th { position: static; box-shadow: none }
  .sessions th:first-child { grid-column: 1 / -1 } .sessions tbody th { padding-bottom: 0 }
  .sessions tr > :not(:first-child) { border: 0; padding-top: 0 } .sessions tr > :nth-child(5) { padding-right: 0 }
  .sessions td { color: var(--soft) } }
@media print { :root { --paper: #fff; print-color-adjust: exact } body { max-width: none; padding: 0; font-size: 9pt }
  .scroll { max-height: none; overflow: visible } .sessions thead th { position: static } tr { break-inside: avoid } }
"""

SCRIPT: Final = """
const words = new Intl.Collator(undefined, { numeric: true });
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button"), numeric = head.classList.contains("n");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const before = head.ariaSort;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.ariaSort = before === "descending" || (!before && !numeric) ? "ascending" : "descending";
      const sign = head.ariaSort === "ascending" ? 1 : -1;
      const rows = [...body.rows].map(row => [row.cells[column].dataset.v ?? row.cells[column].textContent, row]);
      rows.sort(([a], [b]) => (a === "") - (b === "") || sign * words.compare(a, b));
      for (const [, row] of rows) body.append(row);
    });
  });
}
"""


def policy() -> str:
    """The page's Content-Security-Policy: this style and this script, and nothing else from anywhere."""
    style, script = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (STYLE, SCRIPT))
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "base-uri 'none'; form-action 'none'"
    )
