// The drawer of a net: a panel at the right, filled from its template when it is opened. Which one
// is open stands in the address as `net=…`, beside whatever else does.
{
  const panel = document.createElement("dialog");
  panel.className = "drawer";
  panel.setAttribute("aria-labelledby", "net-name");
  panel.innerHTML = `<div class="bar">
    <button type="button" data-step="-1" aria-label="Previous net">‹</button>
    <button type="button" data-step="1" aria-label="Next net">›</button>
    <button type="button" data-close aria-label="Close" autofocus>✕</button></div>
    <div class="inside" tabindex="0"></div>`;
  const inside = panel.querySelector(".inside");
  const state = () => new URLSearchParams(location.hash.slice(1));
  const template = (id) => document.getElementById("net-" + id);
  const opener = (id) => document.querySelector(`[data-net="${CSS.escape(id)}"]`);
  // Its name, be its row in the page or not; undefined where there is no such row.
  const called = (id) => opener(id)?.textContent ?? cnnjax.nets().find((n) => n.net === id)?.name;
  let current = null, shown = {};

  const remember = (id) => {
    const next = state();
    if (id === null) next.delete("net"); else next.set("net", id);
    if (next.toString() !== state().toString())
      history.replaceState(null, "", next.size ? "#" + next : location.pathname + location.search);
  };

  // Of a row that the file had no room for: its name, and what shows the rest.
  const spare = (id) => {
    const made = template("none").cloneNode(true);
    made.id = "net-" + id;
    made.content.querySelector("h2").textContent = called(id);
    template("none").before(made);
    return made;
  };

  // What is there already stays, so that nothing flickers when a running study's page is renewed.
  const put = (id, text) => {
    if (shown.id === id && shown.text === text) return;
    inside.innerHTML = text; // Made and escaped by the report, as the page itself.
    shown = {id, text};
  };

  const fill = (id) => {
    const found = template(id) ?? spare(id);
    // A server that has more of it than the file sets `cnnjax.more`: number → promise of its HTML.
    const more = found.dataset.part !== "all" && cnnjax.more;
    if (!more || shown.id !== id) put(id, found.innerHTML);
    if (more) more(id).then((text) => {
      if (text && current === id) put(id, text);
    }).catch(() => {}); // What the file has stays.
  };

  // Open the drawer of a row by its number; whether there is one.
  cnnjax.drawer = (id) => {
    id = String(id);
    if (!(template(id) ?? called(id)) || id === "none") return false;
    current = id;
    fill(id);
    inside.scrollTop = 0;
    if (!panel.open) panel.showModal();
    remember(id);
    return true;
  };

  // To the next in the order in which the table has them at the moment.
  const step = (by) => {
    const nets = [...new Set(cnnjax.nets().map(({net}) => net).filter(Boolean))];
    const at = nets.indexOf(current);
    if (nets.length) cnnjax.drawer(nets[(at + by + nets.length) % nets.length]);
  };

  const close = () => {
    if (panel.open) panel.close();
    if (current === null) return;
    const id = current;
    current = null;
    put(null, "");
    remember(null);
    opener(id)?.focus({preventScroll: true});
  };

  const follow = () => {
    const id = state().get("net");
    if (id === null || !cnnjax.drawer(id)) close();
  };

  panel.addEventListener("click", (event) => {
    const {target} = event;
    if (target === panel || target.closest("[data-close]")) close();
    else if (target.closest("[data-step]")) step(+target.closest("[data-step]").dataset.step);
  });
  panel.addEventListener("keydown", (event) => {
    if (event.target.closest(".scroll") || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  panel.addEventListener("close", close); // By Escape.
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-net]");
    if (button) cnnjax.drawer(button.dataset.net);
  });
  addEventListener("hashchange", follow);

  // Also after the page's content was replaced: an open drawer shows the new state.
  cnnjax.parts.push(() => {
    if (!panel.isConnected) document.body.append(panel);
    const top = inside.scrollTop;
    follow();
    inside.scrollTop = top;
  });
}
