// What is picked: points, by the ids that rows of tables and marks of charts carry. One set for the
// whole page; it stands in the address with everything else that the reader has chosen.
cnnjax.state = {
  read: () => new URLSearchParams(location.hash.slice(1)),
  write: (change) => {
    const params = cnnjax.state.read();
    for (const [name, value] of Object.entries(change))
      value === null || value === "" ? params.delete(name) : params.set(name, value);
    const text = params.toString().replaceAll("%2C", ",");
    history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
  },
};

{
  const views = new Map(); // Every drawn view by the element it stands in.
  let picked = null, written;

  const whole = (ids) => {
    const {points} = cnnjax.data.explorer;
    const runs = new Set(points.filter((p) => ids?.has(p.id)).flatMap((p) => p.runs));
    const all = points.filter((p) => p.runs.some((r) => runs.has(r)));
    return ids?.size ? new Set([...ids, ...all.map((p) => p.id)]) : null;
  };

  // Pick points by their ids, or none; other points of the same runs are picked with them.
  cnnjax.pick = (ids) => {
    picked = whole(ids);
    clearTimeout(written); // A brush picks at every step; browsers bear few addresses a second.
    written = setTimeout(() => cnnjax.state.write({
      pick: picked ? [...picked].sort((a, b) => a - b).join(",") : null}), 100);
    show();
  };
  cnnjax.picked = () => picked;
  cnnjax.toggle = (id) => {
    const next = new Set(picked ?? []);
    if (next.has(id)) whole(new Set([id])).forEach((other) => next.delete(other));
    else next.add(id);
    cnnjax.pick(next);
  };

  const signal = () => picked && Object.fromEntries([...picked].map((id) => [id, true]));
  const update = (view) => view.signal("picked", signal()).runAsync();
  // Let the rows of a table look as they are picked.
  cnnjax.mark = (table) => {
    for (const row of table.querySelectorAll("tr[data-point]")) {
      const there = picked && row.dataset.point.split(" ").some((id) => picked.has(+id));
      row.classList.toggle("picked", !!there);
      row.classList.toggle("faint", !!picked && !there);
    }
  };
  const show = () => {
    for (const [place, view] of views) cnnjax.later(place, () => update(view));
    for (const table of document.querySelectorAll("table.sortable"))
      cnnjax.later(table, () => cnnjax.mark(table));
    const bar = document.getElementById("picked");
    if (!bar) return;
    bar.hidden = !picked;
    bar.querySelector("output").textContent = picked
      ? `${picked.size} of ${cnnjax.data.explorer.points.length} points picked` : "";
  };

  // The ids of the data that a brush encloses, by the fields of its two sides.
  const inside = (layers, box) => {
    const ids = new Set();
    for (const {params, data, encoding} of layers) {
      if (!params?.some((p) => p.name === "brush")) continue;
      const sides = ["x", "y"].map((c) => encoding[c].field).filter((f) => f in box);
      const within = (v, side) => typeof v === "string" ? side.includes(v)
        : v >= Math.min(...side) && v <= Math.max(...side);
      for (const datum of data.values)
        if (sides.every((f) => within(datum[f], box[f]))) {
          ids.add(datum.point);
          if (datum.other !== undefined) ids.add(datum.other);
        }
    }
    return ids;
  };

  // Let a view follow what is picked, and pick by a brush, or by a click on a mark.
  cnnjax.link = (place, view, spec) => {
    views.set(place, view);
    if (picked) update(view);
    const has = (name) => { try { view.signal(name); return true; } catch { return false; } };
    if (has("brush"))
      view.addSignalListener("brush", (name, box) => {
        if (Object.keys(box).length) cnnjax.pick(inside(spec.layer, box));
        else if (place.contains(document.activeElement) || place.matches(":hover"))
          cnnjax.pick(null);
      });
    view.addEventListener("click", (event, item) => {
      if (item?.datum?.point !== undefined) cnnjax.toggle(item.datum.point);
    });
  };
  cnnjax.unlink = (place) => {
    cnnjax.forget(place);
    views.get(place)?.finalize();
    views.delete(place);
  };

  cnnjax.parts.push(() => {
    for (const place of views.keys()) if (!place.isConnected) cnnjax.unlink(place);
    document.getElementById("clear")?.addEventListener("click", () => cnnjax.pick(null));
    const ids = cnnjax.state.read().get("pick");
    const known = new Set(cnnjax.data.explorer.points.map((p) => p.id));
    const kept = ids?.split(",").map(Number).filter((id) => known.has(id));
    picked = whole(new Set(kept));
    show();
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && picked && !document.querySelector("dialog[open]"))
      cnnjax.pick(null);
  });
}
