// Tables that sort by the column clicked, filter by what is typed, and pick the row clicked. Of one
// with many rows the file holds data: rows are made as far as they are shown.
{
  const FIRST = 100, MORE = 500; // Rows of a large table.

  const made = ({columns, points, opens}, cells, at) => {
    const row = document.createElement("tr");
    if (points[at]) row.dataset.point = points[at];
    columns.forEach(({text}, i) => {
      const cell = row.insertCell(), shown = String(cells[i].shown[at]);
      if (text) cell.className = "text";
      if (i !== opens) { cell.textContent = shown; return; }
      const button = document.createElement("button");
      Object.assign(button, {type: "button", className: "net", textContent: shown});
      button.dataset.net = points[at];
      cell.append(button);
    });
    return row;
  };

  // A table's rows as [{row(), key(column), text(), net}], whether or not they stand in the page.
  const entries = (table) => {
    const source = table.closest(".scroll").parentElement.querySelector(":scope > script.rows");
    if (!source) return [...table.tBodies[0].rows].map((row) => ({
      row: () => row, text: () => row.textContent,
      key: (i) => row.cells[i].dataset.sort ?? row.cells[i].textContent,
      net: row.querySelector("[data-net]")?.dataset.net,
    }));
    const data = JSON.parse(source.textContent);
    data.points = cnnjax.column(data.points);
    const cells = data.columns.map(({shown, keys}) =>
      ({shown: cnnjax.column(shown), keys: keys && cnnjax.column(keys)}));
    return data.points.map((point, at) => {
      let row;
      return {
        row: () => row ??= made(data, cells, at),
        text: () => cells.map(({shown}) => shown[at]).join(" "),
        key: (i) => String(cells[i].keys?.[at] ?? cells[i].shown[at]),
        net: data.opens === null ? undefined : point,
        name: data.opens === null ? undefined : cells[data.opens].shown[at],
      };
    });
  };

  const value = (entry, i) => {
    const text = entry.key(i), number = Number(text);
    return text === "" ? [2, 0, ""] : Number.isNaN(number) ? [1, 0, text] : [0, number, ""];
  };

  const sorted = (all, i, down) => all.map((entry) => [value(entry, i), entry])
    .sort(([a], [b]) => a[0] - b[0] // What is not known stays last.
      || (down ? -1 : 1) * (a[1] - b[1] || a[2].localeCompare(b[2], "en", {numeric: true})))
    .map(([, entry]) => entry);

  // `wide 3×3` keeps rows with both words, `macs<2e6` those below it in the column so named.
  const tests = (text, heads) => text.toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
    const [, name, sign, limit] = word.match(/^(.+?)(<=|>=|<|>|=)(.+)$/) ?? [];
    const i = name ? heads.findIndex((h) => h.replaceAll(" ", "_").startsWith(name)) : -1;
    const bound = Number(limit?.replace(/%$/, "")) / (limit?.endsWith("%") ? 100 : 1);
    if (i < 0 || Number.isNaN(bound)) return (entry) => entry.text().toLowerCase().includes(word);
    const holds = {"<": (v) => v < bound, ">": (v) => v > bound, "<=": (v) => v <= bound,
      ">=": (v) => v >= bound, "=": (v) => v === bound}[sign];
    return (entry) => { const [kind, v] = value(entry, i); return kind === 0 && holds(v); };
  });

  let nets = []; // The entries of the table that opens nets.
  let larger = []; // What shows all rows of a large table, or the first again.
  for (const event of ["beforeprint", "afterprint"])
    addEventListener(event, () => { for (const show of larger) show(event === "beforeprint"); });
  cnnjax.nets = () => nets.map(({net, name}) => ({net, name}));

  const begin = (table, number) => {
    const {read, write} = cnnjax.state;
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    const box = table.closest(".tabled")?.querySelector("input[type=search]");
    const more = table.closest(".scroll").parentElement.querySelector(":scope > .more");
    let all = entries(table), kept = all, limit = more ? FIRST : Infinity;

    const show = () => {
      if (all.some(({net}) => net)) nets = all;
      if (more) body.replaceChildren(...kept.slice(0, limit).map((entry) => entry.row()));
      else {
        const there = new Set(kept);
        for (const entry of all) entry.row().hidden = !there.has(entry);
        body.append(...all.map((entry) => entry.row()));
      }
      cnnjax.mark(table);
      if (!more) return;
      more.hidden = kept.length <= limit;
      more.querySelector("output").textContent = `${limit} of ${kept.length} rows.`;
      more.querySelector("button").textContent =
        `Show ${Math.min(MORE, kept.length - limit)} more`;
    };
    const filter = () => {
      const names = heads.map((h) => h.textContent.trim().toLowerCase());
      const held = tests(box?.value ?? "", names);
      kept = all.filter((entry) => held.every((test) => test(entry)));
      if (box) box.parentElement.querySelector("output").textContent =
        held.length ? `${kept.length} of ${all.length} rows` : "";
    };
    const sort = (i, down) => {
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      heads[i].setAttribute("aria-sort", down ? "descending" : "ascending");
      all = sorted(all, i, down);
      filter();
      show();
    };

    heads.forEach((head, i) => head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      sort(i, down);
      write({["sort" + number]: (down ? "-" : "") + i});
    }));
    if (box) {
      box.value = read().get("filter" + number) ?? "";
      box.addEventListener("input", () => {
        filter();
        show();
        write({["filter" + number]: box.value});
      });
    }
    more?.querySelector("button").addEventListener("click", () => { limit += MORE; show(); });
    if (more) larger.push((printing) => {
      if (table.closest("details:not([open])")) return; // That is not printed.
      limit = printing ? Infinity : FIRST;
      show();
    });
    const [, minus, i] = read().get("sort" + number)?.match(/^(-?)(\d+)$/) ?? [];
    if (box?.value) filter();
    if (i !== undefined && heads[i]) sort(+i, !!minus);
    else if (more || box?.value) show();
    else if (all.some(({net}) => net)) nets = all;
  };

  cnnjax.parts.push(() => {
    [nets, larger] = [[], []];
    document.querySelectorAll("table.sortable").forEach((table, number) => {
      const fold = table.closest("details:not([open])");
      if (fold) fold.addEventListener("toggle", () => begin(table, number), {once: true});
      else begin(table, number);
      table.tBodies[0].addEventListener("click", (event) => {
        const row = event.target.closest("tr[data-point]");
        if (!row || event.target.closest("button, a") || String(getSelection())) return;
        const ids = row.dataset.point.split(" ").map(Number);
        cnnjax.toggle(ids[0]);
      });
    });
  });
}
