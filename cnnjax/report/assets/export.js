// What a reader takes away from a chart: PNG, SVG, CSV of its data, or its Vega-Lite specification;
// in the light colours, with the legend that the page draws beside it.
{
  const WIDTH = 560, PAIR = 380;

  const legends = (data, shown) => Array.isArray(data) ? data.map((v) => legends(v, shown))
    : data && typeof data === "object" ? Object.fromEntries(Object.entries(data).map(([k, v]) =>
      [k, k === "legend" && shown ? {title: null, symbolOpacity: 1}
        : k === "values" ? v : legends(v, shown)]))
    : data;

  const whole = (figure) => {
    const specs = [...figure.querySelectorAll(".view")].map((place) => cnnjax.spec(place));
    const wide = specs.length > 1 ? PAIR : WIDTH;
    const shown = !!figure.querySelector(".legend li");
    const {config, palette} = cnnjax.data;
    return cnnjax.concrete({
      $schema: "https://vega.github.io/schema/vega-lite/v6.json",
      title: {text: figure.querySelector("h3").textContent, fontSize: 16, offset: 16},
      concat: specs.map(({params, ...spec}) => legends({...spec,
        layer: spec.layer.map(({params, ...layer}) => ({...layer, encoding: Object.fromEntries(
          Object.entries(layer.encoding).map(([c, e]) => // Nothing is picked on paper.
            [c, e.condition?.test ? {value: e.condition.value} : e]))})),
        width: spec.width === "container" ? wide : spec.width}, shown)),
      columns: Math.min(specs.length, 3), padding: 20,
      config: {...config, background: palette.page},
    }, palette);
  };

  const csv = (figure) => {
    const rows = [...figure.querySelectorAll(".view")].flatMap((place) =>
      cnnjax.spec(place).layer.filter((l) => l.mark.type !== "text" && l.mark.type !== "rule")
        .flatMap((layer) => layer.data.values));
    const names = [...new Set(rows.flatMap(Object.keys))];
    const cell = (v) => {
      let text = v === null || v === undefined ? "" : String(v);
      if (typeof v === "string" && /^[=+\-@\t\r]/.test(text)) text = "'" + text; // No formula.
      return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return [names, ...rows.map((row) => names.map((n) => row[n]))]
      .map((row) => row.map(cell).join(",")).join("\n") + "\n";
  };

  // Drawn once more beside the page.
  const drawn = async (figure, take) => {
    const place = document.createElement("div");
    const found = await vegaEmbed(place, whole(figure), {actions: false, mode: "vega-lite"});
    try { return await take(found.view); } finally { found.finalize(); }
  };
  const KINDS = {
    PNG: (figure) => drawn(figure, async (view) => {
      const text = atob((await view.toCanvas(2)).toDataURL("image/png").split(",")[1]);
      return new Blob([Uint8Array.from(text, (c) => c.charCodeAt(0))], {type: "image/png"});
    }),
    SVG: (figure) => drawn(figure, async (view) =>
      new Blob([await view.toSVG()], {type: "image/svg+xml"})),
    CSV: async (figure) => new Blob([csv(figure)], {type: "text/csv"}),
    "Vega-Lite": async (figure) =>
      new Blob([JSON.stringify(whole(figure), null, 1)], {type: "application/json"}),
  };
  const ENDS = {PNG: "png", SVG: "svg", CSV: "csv", "Vega-Lite": "vl.json"};

  cnnjax.save = async (figure, kind) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await KINDS[kind](figure));
    link.download = `${figure.dataset.name}.${ENDS[kind]}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  cnnjax.parts.push(() => {
    for (const figure of document.querySelectorAll("figure[data-name]")) {
      const bar = document.createElement("div");
      bar.className = "export";
      bar.append("Save as ", ...Object.keys(KINDS).map((kind) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = kind;
        button.setAttribute("aria-label",
          `Save “${figure.querySelector("h3").textContent}” as ${kind}`);
        button.addEventListener("click", () => cnnjax.save(figure, kind));
        return button;
      }));
      figure.append(bar);
    }
  });
}
