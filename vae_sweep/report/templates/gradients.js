// The two gradients on the encoder: balanced, they cancel.

const normRatio = (run) => run.train.grad_norm_recon / (run.beta * run.train.grad_norm_kl);

function drawGradients(root) {
  const known = data.runs.filter((run) => run.train.grad_norm_recon !== null && run.train.grad_norm_kl !== null && run.beta);
  if (!known.length) return;
  root.append(el("h3", {}, "The two gradients on the encoder, at the end"),
    el("p", { class: "note" }, "Balanced they cancel: equal lengths, cosine −1, and β̂ = β, the diagonal. A run off the diagonal is still moving; one on it need not be at its optimum."));
  const columns = el("div", { class: "columns" });
  const betas = extent(known.map((r) => r.beta), true);
  const dots = (key) => (g, sx, sy) => known.forEach((run) => {
    const value = key(run);
    if (!(value > 0)) return;
    const node = el("path", { class: "mark", d: shape(data.matrix.columns.indexOf(run.family), 6), transform: `translate(${sx(run.beta)},${sy(value)})`, fill: colourOf(run) });
    node.append(el("title", {}, `${run.label}: ${figure(value)}`));
    g.append(node);
  });
  const hats = known.map((r) => r.train.beta_hat).filter((v) => v > 0);
  const both = extent([...known.map((r) => r.beta), ...hats], true);
  const atRest = { stroke: "var(--ink)", "stroke-dasharray": "6 4" };
  if (hats.length) {
    columns.append(chart({ label: "beta hat against beta", height: 280, x: { title: "β, the weight", range: both, log: true },
      y: { title: "β̂, where the gradients cancel", range: both, log: true } }, (g, sx, sy) => {
      g.append(el("line", { x1: sx(both[0]), y1: sy(both[0]), x2: sx(both[1]), y2: sy(both[1]), ...atRest }));
      dots((run) => run.train.beta_hat)(g, sx, sy);
    }));
  }
  const range = extent([...known.map(normRatio), 0.5, 2], true);
  columns.append(chart({ label: "ratio of the gradient norms against beta", height: 280, x: { title: "β, the weight", range: betas, log: true },
    y: { title: "‖∇ error‖ / ‖β ∇ KL‖, 1 balanced", range, log: true } }, (g, sx, sy) => {
    g.append(el("line", { x1: sx(betas[0]), x2: sx(betas[1]), y1: sy(1), y2: sy(1), ...atRest }));
    dots(normRatio)(g, sx, sy);
  }));
  root.append(columns, weightKey(), familyKey());
}

// Shapes of the curves, where there are several.
function familyKey() {
  const names = data.matrix.columns;
  if (names.length < 2) return "";
  return el("div", { class: "key", "aria-label": "Shapes of the curves" }, names.map((name, f) => el("span", {},
    el("svg", { viewBox: "-14 -9 28 18", "aria-hidden": "true" }, el("path", { d: shape(f, 6), fill: "var(--soft)" })), name)));
}
