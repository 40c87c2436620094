// Follows the server that the page came from: asks what changed, and puts that in place.
{
  const EVERY = 2000, SLOWEST = 60000, PATIENCE = 10000; // Milliseconds.
  const line = document.getElementById("connection");
  let state = document.body.dataset.state, wait = EVERY, timer, asking = false, last = Date.now();

  const get = async (name, patience) => {
    const answer = await fetch(name, patience ? {signal: AbortSignal.timeout(patience)} : {});
    if (!answer.ok) throw new Error((await answer.text()).trim());
    return answer;
  };

  // A net's drawer in full, with the pictures that the page came without.
  cnnjax.more = async (id) => (await get(`net-${encodeURIComponent(id)}.html`)).text();

  // `<time>` says how long ago it is, and follows the clock.
  const ago = (at) => {
    const minutes = Math.round((Date.now() - at) / 60000);
    return minutes < 1 ? "just now" : minutes < 100 ? `${minutes} min ago`
      : minutes < 2880 ? `${Math.round(minutes / 60)} h ago` : `${Math.round(minutes / 1440)} days ago`;
  };
  const clocks = () => document.querySelectorAll("time[datetime]").forEach((time) => {
    time.title ||= time.textContent;
    time.textContent = ago(Date.parse(time.dateTime));
  });

  // The panel of what is running changes more often than the rest of the page.
  const panel = (text) => {
    const old = document.getElementById("now");
    const fresh = new DOMParser().parseFromString(text ?? "", "text/html").getElementById("now");
    if (old && fresh && old.outerHTML !== fresh.outerHTML) old.replaceWith(document.adoptNode(fresh));
  };

  const ask = async () => {
    if (asking) return;
    asking = true;
    clearTimeout(timer);
    try {
      const told = await (await get("state.json", PATIENCE)).json();
      if (told.state !== state) {
        const answer = await get("content.html"); // A large study takes its time.
        cnnjax.replace(await answer.text());
        state = answer.headers.get("X-State");
      }
      panel(told.now);
      wait = EVERY;
      last = Date.now();
      line.textContent = "live";
      line.className = "";
    } catch (error) {
      wait = Math.min(2 * wait, SLOWEST);
      line.textContent = `not connected: as of ${new Date(last).toLocaleTimeString()}`;
      line.className = "lost";
    }
    clocks();
    asking = false;
    // What nobody looks at is asked for seldom, and at once when somebody does.
    timer = setTimeout(ask, document.hidden ? SLOWEST : wait);
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  addEventListener("online", ask);
  addEventListener("DOMContentLoaded", ask);
}
