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

// While the sweep runs the page loads itself again, keeping its place; not while somebody compares pictures.
if (document.body.dataset.refresh) {
  const scrolled = sessionStorage.getItem("place");
  if (scrolled) requestAnimationFrame(() => scrollTo(0, Number(scrolled)));
  setInterval(() => {
    if (byId("viewer").open) return;
    sessionStorage.setItem("place", scrollY);
    location.reload();
  }, 1000 * Number(document.body.dataset.refresh));
}
