// The charts.
cnnjax.parts.push(({config, charts}) => {
  const options = {actions: false, renderer: "svg", mode: "vega-lite", config};
  for (const [id, spec] of Object.entries(charts)) {
    const place = document.getElementById(id);
    vegaEmbed(place, spec, options).then(() => {
      // The page's own description stands for the drawing's hundred marks.
      place.querySelector("svg")?.setAttribute("aria-hidden", "true");
    }).catch((error) => { place.textContent = "This chart could not be drawn: " + error.message; });
  }
});
