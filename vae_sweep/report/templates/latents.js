// The code of two runs side by side on the same axes: per-unit KL, aggregate posterior against the prior, samples,
// interpolations, traversals.

function drawLatents() {
  const root = byId("latent-panels");
  const shown = data.runs.filter((run) => (data.latents[run.id] || {}).cloud || run.pictures.includes("prior"));
  if (!shown.length) return nothing(root, "No run has written its latents yet.");
  const options = shown.map((run) => [run.id, run.label]);
  const chosen = twoRuns(shown), bodies = chosen.map(() => el("div"));
  const draw = () => {
    const axes = sharedAxes(chosen);
    bodies.forEach((body, side) => refill(body, ...latentPanel(runs.get(chosen[side]), axes)));
  };
  const choose = (side) => (id) => { chosen[side] = id; draw(); };
  root.append(el("div", { class: "columns" }, bodies.map((body, side) =>
    el("div", {}, el("div", { class: "tools" }, picker("Run", options, chosen[side], choose(side))), body))));
  draw();
}

// The recommended run, or the first; and the one of its network at the largest weight.
function twoRuns(shown) {
  const first = data.recommended.runs.find((id) => shown.some((r) => r.id === id)) || shown[0].id;
  const others = shown.filter((r) => r.id !== first && !r.autoencoder && r.family === runs.get(first).family);
  const second = others.find((r) => r.weight === data.weights[0]) || others.at(-1) || shown.find((r) => r.id !== first);
  return [first, second && second.id].filter(Boolean);
}

const most = (least, values) => values.flat(Infinity).reduce((a, b) => Math.max(a, b), least);

// The largest value of each axis among the runs that are compared.
function sharedAxes(ids) {
  const found = ids.map((id) => data.latents[id] || {});
  return {
    kl: most(0.1, found.map(({ kl }) => kl || [])) * 1.05,
    density: Math.min(1.6, most(0.4, found.map(({ marginals }) => (marginals ? marginals.density : [])))) * 1.05,
    reach: most(3.5, found.map(({ cloud }) => farOut(cloud || []))) * 1.05,
  };
}

// How far all but the outermost of twenty codes lie; a few far ones would leave a dot of all others and the prior.
function farOut(cloud) {
  const far = cloud.map(([x, y]) => Math.max(Math.abs(x), Math.abs(y))).toSorted((a, b) => a - b);
  return far.length ? far[Math.ceil(0.95 * far.length) - 1] : 0;
}

function latentPanel(run, axes) {
  const found = data.latents[run.id] || {}, sheets = sheetsOf(run.id);
  const sheet = (name, caption) => {
    if (!sheets[name]) return null;
    const canvas = el("canvas", { role: "img", "aria-label": caption });
    wholeSheet(canvas, sheets[name]);
    return el("figure", { class: "sheet" }, el("figcaption", {}, caption), canvas);
  };
  const parts = [found.kl && klBars(run, found, axes), found.marginals && marginalChart(run, found.marginals, axes), found.cloud && cloudChart(run, found, axes),
    sheet("prior", "Samples from the prior, decoded"), sheet("interpolations", "Between two held-out images, through the code"),
    sheets.traversals && sheet("traversals", traversalWords(sheets.traversals))].filter(Boolean);
  return parts.length ? parts : [el("p", { class: "note" }, "This run has no latents to show.")];
}

function traversalWords({ units, values, start }) {
  const range = !values.length ? "" : Array.isArray(values[0]) ? " set from three deviations of all codes below their mean to three above"
    : ` set from ${figure(values[0])} to ${figure(values.at(-1))}`;
  const from = start.length ? "Held-out image 1 with one unit of its code" : "The prior's mean with one unit";
  const own = start.length ? `, where the image has ${start.map((v) => figure(v, 2)).join(", ")}` : "";
  return `${from}${range}; a row per unit, the one with most information first: units ${units.join(", ")}${own}`;
}

function klBars(run, found, axes) {
  const active = found.active ? found.active.filter(Boolean).length : null;
  const total = found.kl.reduce((a, b) => a + b, 0);
  return chart({ label: `KL per unit of ${run.label}`, height: 200,
    x: { title: `unit, by KL${active === null ? "" : `; ${active} of ${found.kl.length} in use, the others grey`}`, range: [0, found.kl.length], log: false },
    y: { title: `KL per unit, ${figure(total)} nats in all`, range: [0, axes.kl], log: false } },
  (g, sx, sy) => {
    const step = sx(1) - sx(0), gap = Math.min(2, step * 0.2);
    found.kl.forEach((v, i) => g.append(el("rect", { x: sx(i) + gap / 2, width: Math.max(0.5, step - gap), y: sy(Math.max(v, 0)), height: Math.max(0, sy(0) - sy(Math.max(v, 0))),
      fill: found.active && !found.active[i] ? "var(--line)" : colourOf(run) })));
  });
}

function marginalChart(run, { density }, axes) {
  const prior = data.grid.map((z) => Math.exp(-z * z / 2) / Math.sqrt(2 * Math.PI));
  return chart({ label: `Marginals of the aggregate posterior of ${run.label} against the prior`, height: 200,
    x: { title: `z, the ${density.length} units of largest KL; dashed: the prior`, range: [-4, 4], log: false }, y: { title: "density over all images", range: [0, axes.density], log: false } },
  (g, sx, sy) => {
    density.forEach((d) => g.append(el("path", { d: linePath(d.map((v, i) => [sx(data.grid[i]), sy(v)])), fill: "none", stroke: colourOf(run), "stroke-width": 1.5, opacity: 0.75 })));
    g.append(el("path", { d: linePath(prior.map((v, i) => [sx(data.grid[i]), sy(v)])), fill: "none", stroke: "var(--ink)", "stroke-width": 1.5, "stroke-dasharray": "5 4" }));
  });
}

const LABEL_COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8f7f00", "#7f5fd0", "#8a8a8a", "#b03030"]; // after Okabe & Ito
const labelColour = (label) => LABEL_COLOURS[Math.abs(label) % LABEL_COLOURS.length];
const isHollow = (label) => Math.floor(Math.abs(label) / LABEL_COLOURS.length) % 2 === 1; // the colours come round again

function cloudChart(run, found, { reach }) {
  const [inside, count] = [(v) => Math.min(reach, Math.max(-reach, v)), found.cloud.filter((code) => code.some((v) => Math.abs(v) > reach)).length];
  const node = chart({ label: `Codes of images of ${run.label} in the plane of largest variance, against the prior`, square: 380,
    x: { title: run.autoencoder ? "codes, first two principal directions" : "one code per image; circles: 68, 95, 99.7 % of the prior", range: [-reach, reach], log: false },
    y: { title: `variance ${found.variance.map((v) => figure(v, 2)).join(" and ")} (prior 1)${count ? `; ${count} at the edge lie beyond` : ""}`, range: [-reach, reach], log: false } },
  (g, sx, sy) => {
    found.cloud.forEach(([x, y], i) => g.append(codeDot(sx(inside(x)), sy(inside(y)), run, found.labels && found.labels[i])));
    if (!run.autoencoder) for (const r of [1.51, 2.45, 3.41]) {
      const circle = Array.from({ length: 61 }, (_, i) => [sx(r * Math.cos(i * Math.PI / 30)), sy(r * Math.sin(i * Math.PI / 30))]);
      g.append(el("path", { d: linePath(circle), fill: "none", stroke: "var(--ink)", "stroke-dasharray": "5 4" }));
    }
  });
  if (!found.labels) return node;
  const labels = [...new Set(found.labels)].toSorted((a, b) => a - b);
  return el("div", {}, node, el("div", { class: "key" }, "label", labels.slice(0, 20).map((label) => el("span", {}, el("i", { class: isHollow(label) ? "hollow" : null, style: `--c:${labelColour(label)}` }), String(label)))));
}

function codeDot(cx, cy, run, label) {
  const colour = label === undefined || label === null ? colourOf(run) : labelColour(label), hollow = isHollow(label || 0);
  return el("circle", { cx, cy, r: hollow ? 2 : 2.4, opacity: 0.7, fill: hollow ? "none" : colour, stroke: hollow ? colour : null });
}
