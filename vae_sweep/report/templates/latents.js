// The code of two runs side by side: per-unit KL, aggregate posterior against the prior, samples, interpolations, traversals.

function drawLatents() {
  const root = byId("latent-panels");
  const shown = data.runs.filter((run) => (data.latents[run.id] || {}).cloud || run.pictures.includes("prior"));
  if (!shown.length) return nothing(root, "No run has written its latents yet.");
  const options = shown.map((run) => [run.id, run.label]);
  const first = (data.recommended.runs.find((id) => shown.some((r) => r.id === id)) || shown[0].id);
  const others = shown.filter((r) => r.id !== first && !r.autoencoder && r.family === runs.get(first).family);
  const second = (others.find((r) => r.weight === data.weights[0]) || others.at(-1) || shown.find((r) => r.id !== first) || {}).id;
  const columns = el("div", { class: "columns" });
  for (const chosen of [first, second].filter(Boolean)) {
    const body = el("div");
    const draw = (id) => body.replaceChildren(...latentPanel(runs.get(id)));
    columns.append(el("div", {}, el("div", { class: "tools" }, picker("Run", options, chosen, draw)), body));
    whenSeen(columns.lastChild, () => draw(chosen));
  }
  root.append(columns);
}

function latentPanel(run) {
  const found = data.latents[run.id] || {}, sheets = sheetsOf(run.id), parts = [];
  if (found.kl) parts.push(klBars(run, found));
  if (found.marginals) parts.push(marginalChart(run, found.marginals));
  if (found.cloud) parts.push(cloudChart(run, found));
  const sheet = (name, caption) => {
    if (!sheets[name]) return;
    const canvas = el("canvas", { role: "img", "aria-label": caption });
    wholeSheet(canvas, sheets[name]);
    parts.push(el("figure", { class: "sheet" }, el("figcaption", {}, caption), canvas));
  };
  sheet("prior", "Samples from the prior, decoded");
  sheet("interpolations", "Between two held-out images, through the code");
  if (sheets.traversals) {
    const { units, values } = sheets.traversals;
    const ends = values.length ? ` from ${figure(values[0])} to ${figure(values.at(-1))}` : "";
    sheet("traversals", `One unit at a time${ends}: units ${units.join(", ")}`);
  }
  return parts.length ? parts : [el("p", { class: "note" }, "This run has no latents to show.")];
}

function klBars(run, found) {
  const active = found.active ? found.active.filter(Boolean).length : null;
  const total = found.kl.reduce((a, b) => a + b, 0);
  return chart({ label: `KL per unit of ${run.label}`, height: 200,
    x: { title: `unit, by KL${active === null ? "" : `; ${active} of ${found.kl.length} active`}`, range: [0, found.kl.length], log: false },
    y: { title: `KL per unit, ${figure(total)} nats in all`, range: [0, Math.max(...found.kl, 0.1) * 1.05], log: false } },
  (g, sx, sy) => {
    const step = sx(1) - sx(0), gap = Math.min(2, step * 0.2);
    found.kl.forEach((v, i) => g.append(el("rect", { x: sx(i) + gap / 2, width: Math.max(0.5, step - gap), y: sy(Math.max(v, 0)), height: Math.max(0, sy(0) - sy(Math.max(v, 0))),
      fill: found.active && !found.active[i] ? "var(--line)" : colourOf(run) })));
  });
}

function marginalChart(run, { density }) {
  const prior = data.grid.map((z) => Math.exp(-z * z / 2) / Math.sqrt(2 * Math.PI));
  const top = Math.min(1.6, Math.max(...density.flat(), ...prior)) * 1.05;
  return chart({ label: `Marginals of the aggregate posterior of ${run.label} against the prior`, height: 200,
    x: { title: `z, the ${density.length} units of largest KL; dashed: the prior`, range: [-4, 4], log: false }, y: { title: "density over all images", range: [0, top], log: false } },
  (g, sx, sy) => {
    density.forEach((d) => g.append(el("path", { d: linePath(d.map((v, i) => [sx(data.grid[i]), sy(v)])), fill: "none", stroke: colourOf(run), "stroke-width": 1.5, opacity: 0.75 })));
    g.append(el("path", { d: linePath(prior.map((v, i) => [sx(data.grid[i]), sy(v)])), fill: "none", stroke: "var(--ink)", "stroke-width": 1.5, "stroke-dasharray": "5 4" }));
  });
}

const LABEL_COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8f7f00", "#7f5fd0", "#8a8a8a", "#b03030"]; // after Okabe & Ito

function cloudChart(run, found) {
  const reach = Math.max(3.2, ...found.cloud.flat().map(Math.abs)) * 1.05;
  const node = chart({ label: `Codes of images of ${run.label} in the plane of largest variance, against the prior`, square: 380,
    x: { title: run.autoencoder ? "codes, first two principal directions" : "one code per image; circles: 68, 95, 99.7 % of the prior", range: [-reach, reach], log: false },
    y: { title: `variance ${found.variance.map((v) => figure(v, 2)).join(" and ")} (prior 1)`, range: [-reach, reach], log: false } },
  (g, sx, sy) => {
    if (!run.autoencoder) for (const r of [1.51, 2.45, 3.41]) {
      g.append(el("path", { d: linePath(Array.from({ length: 61 }, (_, i) => [sx(r * Math.cos(i * Math.PI / 30)), sy(r * Math.sin(i * Math.PI / 30))])), fill: "none", stroke: "var(--soft)", "stroke-dasharray": "5 4" }));
    }
    found.cloud.forEach(([x, y], i) => g.append(el("circle", { cx: sx(x), cy: sy(y), r: 2.4, opacity: 0.7, fill: found.labels ? LABEL_COLOURS[Math.abs(found.labels[i]) % LABEL_COLOURS.length] : colourOf(run) })));
  });
  return node;
}
