// The explorer: any figure that the records hold against any other, by colour and in panels. What
// is chosen stands in the address.
{
  const PANELS = 12, TICKS = 40;
  const DOTS = 2000; // More single seeds are a grey cloud over their means.
  const colours = (letter) => Object.keys(cnnjax.data.palette)
    .filter((name) => RegExp(`^${letter}\\d$`).test(name)).length;
  const mean = (values) => {
    const known = values.filter((v) => v !== null && v !== undefined);
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  };
  const extent = (values) => // Without spreading: there may be many.
    values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
  const si = (v) => {
    const i = Math.min(Math.floor(Math.log10(Math.abs(v)) / 3), 4);
    return i < 1 || !v ? String(+v.toPrecision(4))
      : `${+(v / 1000 ** i).toPrecision(3)} ${["", "k", "M", "G", "T"][i]}`;
  };
  const short = (v, kind) => v === null ? "–" : kind === "share" ? (100 * v).toFixed(1) + "%"
    : typeof v === "number" ? si(v) : v;

  // A point's figure in a column, [mean, low, high] or [value].
  const figure = (point, column) => {
    const values = point.runs.map((r) => column.values[r]);
    if (column.kind === "text")
      return [[...new Set(values.filter((v) => v !== null))].join("; ") || null];
    return point.scores[column.name] ?? [mean(values)];
  };

  const axis = (column, values, log) => {
    const {title, kind} = column;
    if (kind === "text")
      return {type: "nominal", axis: {title, labelLimit: 140, labelAngle: 0,
        labelOverlap: "greedy"}, scale: {domain: [...new Set(values)].slice(0, TICKS)}};
    const format = kind === "share" ? ".0%" : "~s";
    const type = log ? "log" : "linear";
    const scale = {type, nice: false, padding: 14, ...(log ? {} : {zero: false})};
    return {type: "quantitative", scale,
      axis: {title: title + (log ? " (log scale)" : ""), format, tickCount: 5, grid: true,
        labelOverlap: "greedy"}};
  };

  // How the values of a column are told apart: [value, colour, shape] each, or steps of a range.
  const looks = (column, points) => {
    const shapes = Object.keys(cnnjax.data.shapes), steps = colours("s"), hues = colours("c");
    if (!column) return {key: () => "", list: [["", "var(--c0)", "circle"]]};
    const values = points.map((p) => figure(p, column)[0]);
    const distinct = [...new Set(values.filter((v) => v !== null))];
    const number = column.kind !== "text";
    if (number) distinct.sort((a, b) => a - b);
    if (number && distinct.length > steps) { // Ninths of the ranks: as many points each.
      const cuts = Array.from({length: steps}, (_, i) =>
        distinct[Math.floor(i * distinct.length / steps)]);
      const name = (i) => "from " + short(cuts[i], column.kind);
      const key = (v) => v === null ? "–" : name(cuts.findLastIndex((c) => v >= c));
      return {key, list: cuts.map((c, i) => [name(i), `var(--s${i})`, "circle"])};
    }
    const key = (v) => v === null ? "–" : short(v, column.kind);
    return {key, list: [...new Set(values.map(key))].length && distinct.map((v, i) => [
      key(v),
      number ? `var(--s${Math.round(i * (steps - 1) / Math.max(distinct.length - 1, 1))})`
        : `var(--c${i % hues})`,
      number ? "circle" : shapes[i % shapes.length],
    ])};
  };

  const panel = (title, data, seeds, scales) => {
    const {x, y, list, both} = scales;
    const names = {domain: list.map(([n]) => n)};
    const color = {field: "key", type: "nominal", legend: null,
      scale: {...names, range: list.map(([, c]) => c)}};
    const shape = {field: "key", type: "nominal", legend: null,
      scale: {...names, range: list.map(([, , s]) => s)}};
    const {test, faint} = cnnjax.data.linked;
    const fade = (own) => ({condition: {test, value: own}, value: faint * own});
    const at = {x: {field: "x", ...x}, y: {field: "y", ...y}};
    const tooltip = [["name", "point"], ["xs", "x"], ["ys", "y"], ["n", "seeds"]].map(
      ([field, title]) => ({field, type: "nominal",
        title: title === "x" ? scales.titles[0] : title === "y" ? scales.titles[1] : title}));
    const bars = data.filter((d) => d.low < d.high);
    return {
      width: "container", height: 320, title, params: [{name: "picked", value: null}],
      layer: [
        ...(both && seeds.length ? [{data: {values: seeds}, mark: {type: "circle", size: 16},
          encoding: {...at, color, opacity: fade(0.45)}}] : []),
        ...(bars.length ? [{data: {values: bars}, mark: {type: "rule", strokeWidth: 2},
          encoding: {...at, y: {field: "low", ...y}, y2: {field: "high"}, color,
            opacity: fade(1)}}] : []),
        {data: {values: data}, mark: {type: "point", filled: true, size: 70},
          params: [{name: "brush", select: {type: "interval"}}],
          encoding: {...at, color, shape, tooltip, opacity: fade(1)}},
      ],
    };
  };

  const draw = (chosen, form) => {
    const {columns, points} = cnnjax.data.explorer;
    const by = (name) => columns.find((c) => c.name === name);
    const [x, y, hue, facet] = ["x", "y", "colour", "facet"].map((n) => by(chosen[n]));
    const {key, list} = looks(hue, points);
    const able = (column, log, p) => {
      const v = figure(p, column)[0];
      return v !== null && (!log || v > 0);
    };
    const kept = points.filter((p) => able(x, chosen.logx, p) && able(y, chosen.logy, p));
    const data = kept.map((p) => {
      const [v, low, high] = figure(p, y), [u] = figure(p, x);
      const told = low < high ? `${short(v, y.kind)} [${short(low, y.kind)}, ${short(high, y.kind)}]`
        : short(v, y.kind);
      return {point: p.id, name: p.name, x: u, y: v, low, high, key: key(hue && figure(p, hue)[0]),
        facet: facet ? String(short(figure(p, facet)[0], facet.kind)) : "", n: p.runs.length,
        xs: short(u, x.kind), ys: told};
    });
    let seeds = kept.flatMap((p, i) => p.runs.length < 2 ? [] : p.runs.map((r) => ({
      point: p.id, key: data[i].key, facet: data[i].facet, x: x.values[r], y: y.values[r]})))
      .filter((d) => d.x !== null && d.y !== null && (!chosen.logx || d.x > 0)
        && (!chosen.logy || d.y > 0));
    const crowd = seeds.length > DOTS;
    if (crowd) seeds = [];
    const both = x.kind !== "text" && y.kind !== "text";
    const panels = [...new Set(data.map((d) => d.facet))];
    const ends = (column, name, log) => {
      const scale = axis(column, data.map((d) => d[name]), log);
      if (column.kind === "text") return scale;
      const all = [...data, ...(both ? seeds : [])].map((d) => d[name]);
      if (name === "y") all.push(...data.flatMap((d) => d.low < d.high ? [d.low, d.high] : []));
      scale.scale.domain = extent(all.filter((v) => !log || v > 0));
      return scale;
    };
    const scales = {list, both, x: ends(x, "x", chosen.logx), y: ends(y, "y", chosen.logy),
      titles: [x.title, y.title]};
    const place = form.parentElement.querySelector(".views");
    for (const old of place.children) cnnjax.unlink(old);
    place.style.setProperty("--n", Math.min(panels.length, 3));
    place.replaceChildren(...panels.slice(0, PANELS).map((name) => {
      const view = document.createElement("div");
      view.className = "view";
      view.setAttribute("role", "img");
      const there = data.filter((d) => d.facet === name);
      const few = there.slice(0, 20).map((d) => `${d.name}: ${d.xs}, ${d.ys}`).join("; ");
      view.setAttribute("aria-label", `${y.title} against ${x.title}. ${few}`);
      cnnjax.draw(view, panel(facet ? `${facet.title} ${name}` : "", there,
        seeds.filter((d) => d.facet === name), scales));
      return view;
    }));
    const legend = form.parentElement.querySelector(".legend");
    legend.replaceChildren(...(hue ? list : []).map(([name, colour, shape]) => {
      const item = document.createElement("li");
      item.innerHTML = swatch(colour, shape); // Ours: a colour and a shape of the above.
      item.append(name);
      return item;
    }));
    const left = points.length - kept.length;
    form.querySelector("output").textContent = [
      left ? `${left} of ${points.length} points have no such figures` : "",
      crowd ? "too many single seeds to show" : "",
      panels.length > PANELS ? `the first ${PANELS} of ${panels.length} panels` : "",
    ].filter(Boolean).join("; ");
  };

  const swatch = (colour, shape) => `<svg viewBox="0 0 16 12" aria-hidden="true" `
    + `style="fill:${colour}"><path d="${cnnjax.data.shapes[shape]}"/></svg>`;

  cnnjax.parts.push(({explorer}) => {
    const form = document.getElementById("explorer");
    if (!form) return;
    const read = cnnjax.state.read();
    const column = (name) => explorer.columns.find((c) => c.name === name);
    const wide = (name) => { // Costs are read by their ratios.
      const known = (column(name)?.values ?? []).filter((v) => typeof v === "number");
      const [low, high] = extent(known);
      return column(name)?.kind === "number" && low > 0 && high / low > 8;
    };
    const standard = {x: explorer.x, y: explorer.y, colour: explorer.colour, facet: ""};
    const asked = (name) => read.has(name) && (column(read.get(name)) || read.get(name) === "none")
      ? read.get(name).replace(/^none$/, "") : column(standard[name]) ? standard[name] : "";
    const chosen = Object.fromEntries(Object.keys(standard).map((name) => [name, asked(name)]));
    for (const name of ["x", "y"]) if (!chosen[name]) chosen[name] = explorer.columns[0].name;
    for (const name of ["x", "y"])
      chosen["log" + name] = read.has("log" + name) ? read.get("log" + name) === "1"
        : name === "x" && wide(chosen.x);
    for (const [name, value] of Object.entries(chosen)) {
      const field = form.elements[name];
      if (typeof value === "boolean") { field.checked = value; continue; }
      const options = ["colour", "facet"].includes(name) ? [new Option("–", "")] : [];
      field.replaceChildren(...options,
        ...explorer.columns.map((c) => new Option(c.title, c.name)));
      field.value = value;
    }
    const able = () => {
      for (const name of ["x", "y"]) {
        const known = column(chosen[name]).values.filter((v) => v !== null);
        const field = form.elements["log" + name];
        field.disabled = known.some((v) => !(v > 0));
        if (field.disabled) chosen["log" + name] = field.checked = false;
      }
    };
    form.addEventListener("change", (event) => {
      const {name, type, checked, value} = event.target;
      chosen[name] = type === "checkbox" ? checked : value;
      if (name === "x" || name === "y")
        chosen["log" + name] = form.elements["log" + name].checked = wide(value);
      able();
      cnnjax.state.write(Object.fromEntries(Object.entries(chosen).map(([name, v]) =>
        [name, typeof v === "boolean" ? (v ? "1" : "0") : v || "none"])));
      draw(chosen, form);
    });
    able();
    draw(chosen, form);
  });
}
