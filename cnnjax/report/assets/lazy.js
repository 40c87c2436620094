// Work whose outcome nobody sees yet: the task of a place on the page waits until the place comes
// near the window, until the browser has nothing else to do, or until the page is printed.
{
  const NEAR = "300px 0px";
  const tasks = new Map(), near = new Set(), watched = new Set();
  const run = (place) => {
    const task = tasks.get(place);
    tasks.delete(place);
    return task?.();
  };
  const observer = new IntersectionObserver((entries) => {
    for (const {target, isIntersecting} of entries) {
      isIntersecting ? near.add(target) : near.delete(target);
      if (isIntersecting) run(target);
    }
  }, {rootMargin: NEAR});

  const idle = (task) => window.scheduler?.postTask
    ? scheduler.postTask(task, {priority: "background"}) : setTimeout(task);
  let asked = false;
  const ask = () => {
    if (asked || !tasks.size) return;
    asked = true;
    idle(async () => { // One at a time, so that nobody waits for more than one.
      asked = false;
      await run(tasks.keys().next().value);
      ask();
    });
  };

  // Do `task` once it is worth while; it takes the place of what still waited there.
  cnnjax.later = (place, task) => {
    tasks.set(place, task);
    if (near.has(place)) return run(place);
    if (!watched.has(place)) observer.observe(place);
    watched.add(place);
    ask();
  };
  cnnjax.forget = (place) => {
    for (const some of [tasks, near, watched]) some.delete(place);
    observer.unobserve(place);
  };
  addEventListener("beforeprint", () => { for (const place of [...tasks.keys()]) run(place); });

  cnnjax.parts.push(() => {
    for (const place of watched) if (!place.isConnected) cnnjax.forget(place);
  });
}
