// Tables that sort by the column clicked, filter by what is typed, and pick the row clicked.
{
  const value = (row, i) => {
    const text = row.cells[i].dataset.sort ?? row.cells[i].textContent;
    const number = Number(text);
    return text === "" ? [2, 0, ""] : Number.isNaN(number) ? [1, 0, text] : [0, number, ""];
  };

  const sort = (table, i, down) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    heads[i].setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows].map((row) => [value(row, i), row]);
    rows.sort(([a], [b]) => a[0] - b[0] // What is not known stays last.
      || (down ? -1 : 1) * (a[1] - b[1] || a[2].localeCompare(b[2], "en", {numeric: true})));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  };

  // `wide 3×3` keeps rows with both words, `macs<2e6` those below it in the column so named.
  const tests = (text, heads) => text.toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
    const [, name, sign, limit] = word.match(/^(.+?)(<=|>=|<|>|=)(.+)$/) ?? [];
    const i = name ? heads.findIndex((h) => h.replaceAll(" ", "_").startsWith(name)) : -1;
    const bound = Number(limit?.replace(/%$/, "")) / (limit?.endsWith("%") ? 100 : 1);
    if (i < 0 || Number.isNaN(bound)) return (row) => row.textContent.toLowerCase().includes(word);
    const holds = {"<": (v) => v < bound, ">": (v) => v > bound, "<=": (v) => v <= bound,
      ">=": (v) => v >= bound, "=": (v) => v === bound}[sign];
    return (row) => { const [kind, v] = value(row, i); return kind === 0 && holds(v); };
  });

  const filter = (box, table) => {
    const heads = [...table.tHead.rows[0].cells].map((h) => h.textContent.trim().toLowerCase());
    const all = tests(box.value, heads);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      row.hidden = !all.every((test) => test(row));
      shown += !row.hidden;
    }
    box.parentElement.querySelector("output").textContent =
      all.length ? `${shown} of ${table.tBodies[0].rows.length} rows` : "";
  };

  cnnjax.parts.push(() => {
    document.querySelectorAll("table.sortable").forEach((table, number) => {
      const {read, write} = cnnjax.state;
      const heads = [...table.tHead.rows[0].cells];
      heads.forEach((head, i) => head.querySelector("button").addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        sort(table, i, down);
        write({["sort" + number]: (down ? "-" : "") + i});
      }));
      const [, minus, i] = read().get("sort" + number)?.match(/^(-?)(\d+)$/) ?? [];
      if (i !== undefined && heads[i]) sort(table, +i, !!minus);
      const box = table.closest(".tabled")?.querySelector("input[type=search]");
      if (box) {
        box.value = read().get("filter" + number) ?? "";
        if (box.value) filter(box, table);
        box.addEventListener("input", () => {
          filter(box, table);
          write({["filter" + number]: box.value});
        });
      }
      table.tBodies[0].addEventListener("click", (event) => {
        const row = event.target.closest("tr[data-point]");
        if (!row || event.target.closest("button, a") || String(getSelection())) return;
        const ids = row.dataset.point.split(" ").map(Number);
        cnnjax.toggle(ids[0]);
      });
    });
  });
}
