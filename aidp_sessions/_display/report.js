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
