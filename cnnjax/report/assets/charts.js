// The charts. Colours are CSS variables, so that a drawing in SVG follows light and dark; where
// there are too many marks for SVG it is a canvas, which has the colours put in.
{
  const MANY = 2000;
  const specs = new WeakMap(), canvases = new Set();
  cnnjax.spec = (place) => specs.get(place);
  const marks = (spec) => (spec.layer ?? []).reduce((n, layer) => n + layer.data.values.length, 0);

  // The same with the colours of now, or of a given palette, in place of variables.
  cnnjax.concrete = (data, palette) => {
    const css = getComputedStyle(document.documentElement);
    const colour = (name) => palette?.[name] ?? css.getPropertyValue("--" + name).trim();
    const put = (v) => Array.isArray(v) ? v.map(put)
      : v && typeof v === "object" ? Object.fromEntries(
        Object.entries(v).map(([k, x]) => [k, k === "values" ? x : put(x)])) // Data are none.
      : typeof v === "string" && v.startsWith("var(--") ? colour(v.slice(6, -1)) : v;
    return put(data);
  };

  // Draw a specification in a place of the page.
  cnnjax.draw = async (place, spec) => {
    const {config} = cnnjax.data;
    const canvas = marks(spec) > MANY;
    // A finger's drag scrolls the page: no brush for fingers.
    const layers = matchMedia("(pointer: coarse)").matches
      ? spec.layer?.map(({params, ...layer}) => layer) : spec.layer;
    const whole = {...spec, config, ...(layers ? {layer: layers} : {})};
    const options = {actions: false, renderer: canvas ? "canvas" : "svg", mode: "vega-lite"};
    cnnjax.unlink(place);
    specs.set(place, spec);
    canvas ? canvases.add(place) : canvases.delete(place);
    try {
      const {view} = await vegaEmbed(place, canvas ? cnnjax.concrete(whole) : whole, options);
      // The page's own description stands for the drawing's hundred marks.
      place.querySelector("svg")?.setAttribute("aria-hidden", "true");
      if (spec.params) cnnjax.link(place, view, spec);
    } catch (error) {
      place.textContent = "This chart could not be drawn: " + error.message;
    }
  };

  cnnjax.parts.push(({charts}) => {
    for (const [id, spec] of Object.entries(charts)) cnnjax.draw(document.getElementById(id), spec);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const place of canvases) if (place.isConnected) cnnjax.draw(place, cnnjax.spec(place));
  });
}
