// Samples: how far from the pictures, why, and what they look like down the weights.

const PAIRS = [
  ["prior", "draws of the prior, as one sees them", "var(--ink)", ""],
  ["fitted", "draws of the fitted sampler, as one sees them", "var(--accent)", ""],
  ["blur", "blur: held-out pictures through their codes", "var(--soft)", "2 3"],
  ["holes", "holes: draws of the prior against those", "var(--soft)", "7 4"],
];
const DRAWN = 6;

function drawSamples() {
  const root = byId("sampling"), { curves, sees } = data.sampling;
  if (!curves.length) return nothing(root, "No run has been judged: fewer than 8 images are held out, or none was evaluated.");
  const charts = el("div", { class: "columns" });
  const show = (features) => refill(charts, ...curves.map((curve) => distanceChart(curve, features)));
  root.append(segments("Alike in", Object.entries(sees), "random_conv", show), charts,
    el("div", { class: "key" }, PAIRS.map(([, words, colour, dash]) => el("span", {},
      el("svg", { viewBox: "0 0 28 10", "aria-hidden": "true" }, el("line", { x1: 1, x2: 27, y1: 5, y2: 5, stroke: colour, "stroke-width": 2, "stroke-dasharray": dash })), words))));
  show("random_conv");
  sampleStrip(root);
}

function distanceChart(curve, features) {
  const pairs = curve.sets[features], rows = Object.values(pairs).flat();
  const x = { title: "KL weight", range: extent(rows.map(([w]) => w), true), log: true };
  const y = { title: "distance to held-out pictures", range: [0, extent(rows.map(([, v]) => v))[1]] };
  const label = `Distance of samples to held-out pictures against the KL weight${curve.name ? `, ${curve.name}` : ""}`;
  return el("div", {}, curve.name && el("h3", {}, curve.name), chart({ label, height: 280, x, y }, (g, sx, sy) => {
    PAIRS.forEach(([pair, words, colour, dash]) => distanceLine(g, sx, sy, { rows: pairs[pair], words, colour, dash }));
  }));
}

function distanceLine(g, sx, sy, { rows, words, colour, dash }) {
  const path = linePath(rows.map(([w, v]) => [sx(w), sy(Math.max(0, v))]));
  g.append(el("path", { d: path, fill: "none", stroke: colour, "stroke-width": 2, "stroke-dasharray": dash }));
  for (const [w, v, low, high] of rows) {
    const dot = el("circle", { cx: sx(w), cy: sy(Math.max(0, v)), r: 4, fill: colour });
    dot.append(el("title", {}, `${words} at ${figure(w, 4)}: ${figure(v)} (${figure(low)} to ${figure(high)})`));
    g.append(el("line", { x1: sx(w), x2: sx(w), y1: sy(Math.max(0, low)), y2: sy(Math.max(0, high)), stroke: colour }), dot);
  }
}

function sampleStrip(root) {
  const shown = spread(data.hero.runs.filter((id) => runs.get(id).pictures.includes("fitted")), 6, data.recommended.runs[0]);
  if (!shown.length) return;
  const indices = Array.from({ length: DRAWN }, (_, k) => k);
  const row = (source, kind) => {
    const canvas = el("canvas", { role: "img", "aria-label": `${sourceName(source)}: ${kind}` });
    strip(canvas, source, kind, indices);
    return canvas;
  };
  const table = el("div", { class: "sample-strip" },
    ["", "held-out pictures, reconstructed", "drawn from the prior", "drawn from the fitted sampler"].map((words) => el("b", {}, words)),
    el("span", {}, "original"), row(originalOf(shown[0]), "mean"), el("span"), el("span"));
  for (const id of shown) {
    const run = runs.get(id);
    table.append(el("span", { class: "bar-name", style: `--c:${colourOf(run)}` }, weightName(run)), ...["noisy", "prior", "fitted"].map((kind) => row(id, kind)));
  }
  root.append(el("h3", {}, "Down the weights, the same draws"), table);
}
