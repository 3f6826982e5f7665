// Where links lead: what is folded there is opened. Before printing all of it is, and drawn.

function openFold() {
  const section = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
  const fold = section && section.querySelector("details.fold");
  if (fold) fold.open = true;
  return section;
}

// What is drawn on the way moves the goal: go there until it has stayed for half a second, or the reader moves.
function arrive() {
  const section = openFold(), gone = new AbortController();
  if (!section) return;
  for (const move of ["wheel", "touchstart", "pointerdown", "keydown"]) addEventListener(move, () => gone.abort(), { signal: gone.signal, passive: true });
  let since = performance.now();
  const step = (now) => {
    const before = scrollY;
    section.scrollIntoView({ behavior: "instant" });
    if (Math.abs(scrollY - before) > 1) since = now;
    if (now - since > 500) gone.abort();
    if (!gone.signal.aborted) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

function drawAll() {
  const folded = [...document.querySelectorAll("details:not([open])")].filter((details) => !details.closest("#table"));
  folded.forEach((details) => { details.open = true; });
  while (waiting.size) [...waiting.keys()].forEach(drawNow); // drawing one part may leave others to be drawn
  document.querySelectorAll(".chart").forEach((node) => node.redraw());
  addEventListener("afterprint", () => folded.forEach((details) => { details.open = false; }), { once: true });
}

addEventListener("hashchange", arrive);
addEventListener("click", ({ target }) => { // on a link to where the address already is, which changes no hash
  const link = target.closest("a");
  if (link && link.hash && link.hash === location.hash) arrive();
});
addEventListener("beforeprint", drawAll);
const cameBack = performance.getEntriesByType("navigation").some(({ type }) => type === "reload" || type === "back_forward");
if (cameBack) openFold(); else arrive(); // the browser brings who comes back to where they were
