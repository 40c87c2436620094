// Tables that sort by the column clicked.
cnnjax.parts.push(() => {
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
});
