"use strict";
// What all scripts of the page share. Each adds to it and runs again when the page's content is
// replaced, as by a server that follows a running study.
const cnnjax = {parts: []};

// Draw everything inside <main> from the data beside it.
cnnjax.start = () => {
  const data = JSON.parse(document.getElementById("chart-data").textContent);
  cnnjax.data = data;
  for (const part of cnnjax.parts) part(data);
};

// Put another state of the same page in place, keeping where the reader is.
cnnjax.replace = (text) => {
  const next = new DOMParser().parseFromString(text, "text/html");
  const open = [...document.querySelectorAll("details[open] > summary")].map((s) => s.textContent);
  const {scrollX, scrollY} = window;
  for (const place of ["main", "#chart-data"]) {
    const [old, fresh] = [document, next].map((page) => page.querySelector(place));
    old.replaceWith(document.adoptNode(fresh));
  }
  for (const summary of document.querySelectorAll("details > summary"))
    if (open.includes(summary.textContent)) summary.parentElement.open = true;
  document.title = next.title;
  cnnjax.start();
  window.scrollTo(scrollX, scrollY);
};
addEventListener("DOMContentLoaded", () => cnnjax.start());
