// What lies in the plane. space: {g, sx, sy, size, view} of the chart that is drawn.

const within = ({ view }, r, d) => r >= view.xRange[0] && r <= view.xRange[1] && d >= view.yRange[0] && d <= view.yRange[1];

function linearCurves(space, plane) {
  for (const curve of plane.linear) {
    const points = (curve.rate || []).map((r, i) => [r, curve.distortion[i]]).filter(([r, d]) => within(space, r, d));
    space.g.append(el("path", { d: linePath(points.map(([r, d]) => [space.sx(r), space.sy(d)])), fill: "none", stroke: "var(--soft)", "stroke-width": 1, "stroke-dasharray": "2 4" }));
    for (const [beta, rate, distortion] of curve.marks.filter((mark) => within(space, mark[1], mark[2]))) {
      const dot = el("circle", { cx: space.sx(rate), cy: space.sy(distortion), r: 2, fill: "var(--soft)" });
      dot.append(el("title", {}, `linear model, ${curve.latent} latents, beta ${figure(beta)}: ${figure(rate)} nats, error ${figure(distortion)}`));
      space.g.append(dot);
    }
  }
}

function autoencoderLines({ g, sy, size, hidden }, plane) {
  const right = size.width - size.margin.right;
  const beside = size.margin.right > 50, x = beside ? right + 8 : size.margin.left + 4, taken = [];
  const free = (at) => at < size.height - size.margin.bottom - (beside ? -8 : 4) && taken.every((other) => Math.abs(other - at) > 12);
  const label = (y, text) => {
    const at = (beside ? [y + 4] : [y + 14, y - 5]).find(free);
    if (at === undefined) return "";
    taken.push(at);
    return el("text", { x, y: at }, text);
  };
  for (const [f, family] of plane.families.entries()) {
    if (family.autoencoder === null || hidden.has(f)) continue;
    const y = sy(family.autoencoder);
    g.append(el("line", { x1: size.margin.left, x2: right, y1: y, y2: y, stroke: "var(--ink)", "stroke-dasharray": "6 4" }),
      label(y, plane.families.length > 1 && family.latent ? `no KL, d ${family.latent}` : "autoencoder"));
  }
}

function meanImages({ g, sx, sy, size, view }, plane) {
  const [shown, above] = [plane.meanImages.filter((v) => v <= view.yRange[1]), plane.meanImages.filter((v) => v > view.yRange[1])];
  if (above.length) {
    const named = above.map((v) => figure(v)).join(", ");
    g.append(el("text", { x: size.width - size.margin.right, y: size.margin.top + 4, "text-anchor": "end" }, `↑ mean image ${named}`));
  }
  if (view.logX || view.xRange[0] > 0) return;
  for (const mean of shown) {
    g.append(el("path", { d: SHAPES[3](6), transform: `translate(${sx(0)},${sy(mean)})`, fill: "var(--ink)" }),
      el("text", { x: sx(0) + 12, y: sy(mean) + 4 }, "mean image"));
  }
}

function hulls({ g, sx, sy, hidden }, plane) {
  for (const family of plane.families.filter((_, f) => !hidden.has(f))) {
    g.append(el("path", { d: linePath(family.hull.map(([r, d]) => [sx(r), sy(d)])), fill: "none", stroke: "var(--ink)", "stroke-width": 1.25, opacity: 0.55 }));
  }
}

function multiRateCurves(space, plane) {
  const { g, sx, sy } = space;
  for (const curve of plane.multiRate) {
    const points = curve.points.filter(([, r, d]) => within(space, r, d)).map(([weight, r, d]) => ({ weight, r, d, x: sx(r), y: sy(d) }));
    g.append(el("path", { d: linePath(points.map((p) => [p.x, p.y])), fill: "none", stroke: "var(--soft)", "stroke-width": 1.5 }));
    for (const p of points) {
      const dot = el("circle", { cx: p.x, cy: p.y, r: 2.5, fill: "var(--paper)", stroke: "var(--soft)", "stroke-width": 1.25 });
      dot.addEventListener("pointerenter", () => showTip(dot, el("b", {}, `weight ${figure(p.weight, 4)}`), el("div", {}, curve.name),
        el("div", {}, `${figure(p.r)} nats, error ${figure(p.d)}`)));
      dot.addEventListener("pointerleave", hideTip);
      g.append(dot);
    }
  }
}

// A short line of slope -beta through every run, in the direction that it has on these axes, log or not.
function tangents({ g, sx, sy, size, view }, spots, half) {
  const lines = el("g", { "clip-path": size.clip });
  for (const spot of spots) {
    if (spot.beta === null) continue;
    const [x, y] = [sx(spot.rate), sy(spot.distortion)];
    const e = (view.xRange[1] - view.xRange[0]) * 1e-3;
    const [dx, dy] = [sx(spot.rate + e) - x, sy(Math.max(spot.distortion - spot.beta * e, 1e-9)) - y];
    const n = half / Math.hypot(dx, dy);
    lines.append(el("line", { x1: x - dx * n, y1: y - dy * n, x2: x + dx * n, y2: y + dy * n, stroke: `var(--w${spot.colour})`, "stroke-width": 2, opacity: 0.65 }));
  }
  g.append(lines);
}

// Runs that still train: where they stand, and the way they came.
function provisionalMarks(space, plane) {
  const { g, sx, sy } = space;
  for (const run of plane.provisional) {
    const way = run.trail.filter(([r, d]) => within(space, r, d)).map(([r, d]) => [sx(r), sy(d)]);
    const mark = el("circle", { cx: sx(run.rate), cy: sy(run.distortion), r: 6, fill: "var(--paper)", stroke: `var(--w${run.colour})`, "stroke-width": 2, "stroke-dasharray": "2 2" });
    mark.append(el("title", {}, `${runs.get(run.run).label}: still training`));
    g.append(el("path", { d: linePath(way), fill: "none", stroke: `var(--w${run.colour})`, opacity: 0.5 }), mark,
      el("text", { x: sx(run.rate) + 10, y: sy(run.distortion) - 8 }, weightName(runs.get(run.run))));
  }
}

// A run, or the mean of its seeds with their spread; returns what can be pointed at.
function spotMark({ g, sx, sy }, spot, tabindex) {
  const [x, y] = [sx(spot.rate), sy(spot.distortion)], chosen = isRecommended(spot);
  if (spot.seeds.length) {
    const bars = `M${sx(spot.rate - spot.rateSd)},${y}H${sx(spot.rate + spot.rateSd)}M${x},${sy(spot.distortion - spot.distortionSd)}V${sy(spot.distortion + spot.distortionSd)}`;
    g.append(el("path", { d: bars, stroke: "var(--ink)", "stroke-width": 1.25 }),
      ...spot.seeds.map(([r, d]) => el("circle", { cx: sx(r), cy: sy(d), r: 1.8, fill: "var(--soft)" })));
  }
  if (chosen) g.append(el("circle", { cx: x, cy: y, r: 13, fill: "none", stroke: "var(--ink)", "stroke-width": 1.5 }));
  const name = `weight ${figure(spot.weight, 4)}${spot.family.name ? `, ${spot.family.name}` : ""}`;
  const node = el("path", {
    class: "mark", d: shape(spot.f, 7), transform: `translate(${x},${y})`, tabindex, role: "img",
    fill: spot.dominated ? "var(--paper)" : `var(--w${spot.colour})`, style: spot.dominated ? `stroke:var(--w${spot.colour})` : null,
    "aria-label": `${name}: rate ${figure(spot.rate)} nats, error ${figure(spot.distortion)}${spot.dominated ? ", another run has less error for fewer nats" : ""}${chosen ? ", recommended" : ""}`,
    onpointerenter: () => spotTip(node, spot), onfocus: () => spotTip(node, spot), onpointerleave: hideTip, onblur: hideTip,
    onclick: () => hasPictures(spot.runs[0]) && openViewer(spot.runs[0], 0),
  });
  g.append(node);
  return node;
}

// One of the marks is in the order of tabs; the arrow keys go from there to the others.
function walkable(g, nodes) {
  g.addEventListener("keydown", (event) => {
    const at = nodes.indexOf(event.target);
    const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (at < 0) return;
    if (event.key === "Enter") nodes[at].dispatchEvent(new Event("click"));
    if (event.key === "Escape") hideTip();
    if (!move) return;
    event.preventDefault();
    const next = nodes[(at + move + nodes.length) % nodes.length];
    nodes[at].setAttribute("tabindex", -1);
    next.setAttribute("tabindex", 0);
    next.focus();
  });
}

// Weights beside the recommended curve only: more would be a thicket. Above the mark, else below it, else not at all.
function weightLabels({ g, sx, sy, size, hidden }, plane) {
  const shown = plane.families.filter((_, f) => !hidden.has(f));
  const labelled = shown.find((f) => f.spots.some(isRecommended)) || shown[0];
  const taken = [], spots = labelled ? spread(labelled.spots, 9) : [];
  for (const spot of new Set([...spots.slice(0, 1), ...spots.slice(-1), ...spots])) { // its two ends first
    const text = figure(spot.weight, 4), width = 8 * text.length, last = sx(spot.rate) + 50 > size.width;
    const x = sx(spot.rate) + (last ? -8 - width : 10);
    const free = (at) => at < size.height - size.margin.bottom && taken.every(([left, right, y]) => left > x + width || right < x || Math.abs(y - at) > 13);
    const y = [sy(spot.distortion) - 9, sy(spot.distortion) + 19].find(free);
    if (y === undefined) continue;
    taken.push([x, x + width, y]);
    g.append(el("text", { x: last ? x + width : x, y, "text-anchor": last ? "end" : "start", style: "fill:var(--ink);font-weight:600" }, text));
  }
}

function spotTip(node, spot) {
  const id = spot.runs.find(hasPictures);
  const seeds = spot.seeds.length ? ` ± ${figure(spot.distortionSd, 2)} (${spot.seeds.length} seeds)` : "";
  const content = [el("b", {}, `weight ${figure(spot.weight, 4)}`), spot.family.name && el("div", {}, spot.family.name),
    el("div", {}, `${figure(spot.rate)} nats, error ${figure(spot.distortion)}${seeds}`),
    el("div", {}, runs.get(spot.runs[0]).verdict), spot.dominated && el("div", {}, "another run has less error for fewer nats")];
  if (!id) return showTip(node, ...content);
  const indices = [0, 1, 2, 3].filter((i) => i < imageCount(id)), pictures = [el("canvas"), el("canvas")];
  const drawn = [originalOf(id), id].map((source, i) => strip(pictures[i], source, "mean", indices));
  const ticket = showTip(node, ...content, ...pictures);
  Promise.all(drawn).then(() => tip.ticket === ticket && showTip(node, ...content, ...pictures)); // they have their size now
}
