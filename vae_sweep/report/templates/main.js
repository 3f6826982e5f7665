// Draw the page from the top down; what lies below the first screen waits until it comes near.

drawHero();
drawSlider();
drawMatrix();
loadAhead();
whenSeen(byId("plane-chart"), drawPlane);
whenSeen(byId("curves"), drawCurves);
drawProgress();
whenSeen(byId("latent-panels"), drawLatents);
whenSeen(byId("sampling"), drawSamples);
whenSeen(byId("gaps"), drawGaps);
enliven();

// Whether loading again would take something out of the reader's hands: a dialog, or what they look for in the table.
function inUse() {
  const filter = byId("filter");
  return Boolean(document.querySelector("dialog[open]") || (filter && (filter.value || filter === document.activeElement)));
}

// While the sweep runs the page loads itself again, keeping its place.
if (document.body.dataset.refresh) {
  const scrolled = cameBack && sessionStorage.getItem("place");
  if (scrolled) requestAnimationFrame(() => scrollTo(0, Number(scrolled)));
  setInterval(() => {
    if (inUse()) return;
    sessionStorage.setItem("place", scrollY);
    location.reload();
  }, 1000 * Number(document.body.dataset.refresh));
}
