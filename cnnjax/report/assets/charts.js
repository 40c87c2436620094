// The charts. Colours are CSS variables, so that a drawing in SVG follows light and dark; where
// there are too many marks for SVG it is a canvas, which has the colours put in.
{
  const MANY = 2000, AROUND = 48; // Marks; pixels of axes and titles.
  const specs = new WeakMap(), canvases = new Set();
  // A place's specification with its data, whether or not it is drawn yet.
  cnnjax.spec = (place) => cnnjax.unpack(specs.get(place));
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

  const render = async (place) => {
    const {config} = cnnjax.data, spec = cnnjax.spec(place);
    const canvas = marks(spec) > MANY;
    // A finger's drag scrolls the page: no brush for fingers.
    const layers = matchMedia("(pointer: coarse)").matches
      ? spec.layer?.map(({params, ...layer}) => layer) : spec.layer;
    const whole = {...spec, config, ...(layers ? {layer: layers} : {})};
    const options = {actions: false, renderer: canvas ? "canvas" : "svg", mode: "vega-lite"};
    canvas ? canvases.add(place) : canvases.delete(place);
    try {
      const {view} = await vegaEmbed(place, canvas ? cnnjax.concrete(whole) : whole, options);
      // The page's own description stands for the drawing's hundred marks.
      place.querySelector("svg")?.setAttribute("aria-hidden", "true");
      if (spec.params) cnnjax.link(place, view, spec);
    } catch (error) {
      place.textContent = "This chart could not be drawn: " + error.message;
    }
    place.style.minHeight = "";
  };

  // Draw a specification in a place of the page, once somebody might see it.
  cnnjax.draw = (place, spec) => {
    cnnjax.unlink(place);
    specs.set(place, spec);
    // Room for what comes, so that the page stays where the reader is.
    if (!place.firstChild) place.style.minHeight = (spec.height + AROUND || 0) + "px";
    cnnjax.later(place, () => render(place));
  };

  cnnjax.parts.push(({charts}) => {
    for (const [id, spec] of Object.entries(charts)) cnnjax.draw(document.getElementById(id), spec);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const place of canvases) if (place.isConnected) cnnjax.draw(place, specs.get(place));
  });
}
