// What is folded: opened by the links that lead there, and all of it, drawn, before printing.

function openFold() {
  const section = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
  const fold = section && section.querySelector("details.fold");
  if (fold) fold.open = true;
}

function drawAll() {
  const folded = [...document.querySelectorAll("details:not([open])")].filter((details) => !details.closest("#table"));
  folded.forEach((details) => { details.open = true; });
  while (waiting.size) [...waiting].forEach((draw) => draw()); // drawing one part may leave others to be drawn
  document.querySelectorAll(".chart").forEach((node) => node.redraw());
  addEventListener("afterprint", () => folded.forEach((details) => { details.open = false; }), { once: true });
}

addEventListener("hashchange", openFold);
addEventListener("beforeprint", drawAll);
openFold();
