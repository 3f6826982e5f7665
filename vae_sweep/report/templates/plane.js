// The rate-distortion plane: runs, tangents of slope -beta, hull, the linear model's curve and the two anchors.

function drawPlane() {
  const root = byId("plane-chart");
  const state = { split: data.split, x: "linear", y: "linear" };
  const total = Object.values(data.planes).flatMap((p) => p.families).flatMap((f) => f.spots).length;
  const curves = Object.values(data.planes).flatMap((p) => p.multiRate).length;
  if (!total && !curves) return nothing(root, "No finished VAE has both a rate and an error yet.");
  const holder = el("div");
  const known = ["train", "val"].filter((split) => data.planes[split].families.length || data.planes[split].multiRate.length);
  root.append(el("div", { class: "tools" },
    known.length > 1 && segments("Data", [["train", "training"], ["val", "held out"]], state.split, (value) => { state.split = value; draw(); }),
    segments("Rate", [["linear", "linear"], ["log", "log"]], state.x, (value) => { state.x = value; draw(); }),
    segments("Error", [["linear", "linear"], ["log", "log"]], state.y, (value) => { state.y = value; draw(); })),
  holder);

  function draw() {
    const plane = data.planes[state.split], logX = state.x === "log", logY = state.y === "log";
    const spots = plane.families.flatMap((family, f) => family.spots.map((spot) => ({ ...spot, family, f })));
    const anchors = plane.families.map((f) => f.autoencoder).filter((v) => v !== null);
    // Separate runs set the frame; a curve alone frames itself.
    const framed = spots.length ? [] : plane.multiRate.flatMap((curve) => curve.points);
    const rates = spots.flatMap((s) => [s.rate - s.rateSd, s.rate + s.rateSd]).concat(framed.map((p) => p[1]));
    const xRange = extent(logX ? rates : [0, ...rates], logX);
    // The mean image belongs to the picture unless it would squeeze the runs into a fifth of it.
    const errors = spots.flatMap((s) => [s.distortion - s.distortionSd, s.distortion + s.distortionSd]).concat(anchors, framed.map((p) => p[2]));
    const means = plane.meanImages, far = Math.max(0, ...means) > 5 * Math.max(...errors);
    const yRange = extent(far && !logY ? errors : [...errors, ...means], logY);
    const unit = data.squaredError ? "squared error per image" : "reconstruction term, nats per image";
    holder.replaceChildren(chart({
      label: "Rate-distortion plane; use the arrow keys to move from run to run", interactive: true, clip: false,
      height: Math.min(560, Math.max(380, innerHeight * 0.6)), margin: { right: innerWidth < 720 ? 16 : 120 },
      x: { title: "rate: KL, nats per image →", range: xRange, log: logX }, y: { title: `error: ${unit}`, range: yRange, log: logY },
    }, (g, sx, sy, size) => marks(g, sx, sy, size, plane, spots, { xRange, yRange, far: far && !logY, logX, logY })), key(plane));
  }

  function marks(g, sx, sy, size, plane, spots, view) {
    const inside = (r, d) => r >= view.xRange[0] && r <= view.xRange[1] && d >= view.yRange[0] && d <= view.yRange[1];
    for (const curve of plane.linear) {
      const points = (curve.rate || []).map((r, i) => [r, curve.distortion[i]]).filter(([r, d]) => inside(r, d)).map(([r, d]) => [sx(r), sy(d)]);
      g.append(el("path", { d: linePath(points), fill: "none", stroke: "var(--soft)", "stroke-width": 1, "stroke-dasharray": "2 4" }));
    }
    const right = size.width - size.margin.right;
    const label = (y, text) => size.margin.right > 50
      ? el("text", { x: right + 8, y: y + 4 }, text)
      : el("text", { x: right, y: y - 5, "text-anchor": "end" }, text);
    plane.families.forEach((family) => {
      if (family.autoencoder === null) return;
      const y = sy(family.autoencoder);
      g.append(el("line", { x1: size.margin.left, x2: right, y1: y, y2: y, stroke: "var(--ink)", "stroke-dasharray": "6 4" }),
        label(y, plane.families.length > 1 && family.latent ? `no KL, d ${family.latent}` : "autoencoder"));
    });
    if (view.far) {
      g.append(el("text", { x: size.width - size.margin.right, y: size.margin.top + 4, "text-anchor": "end" }, `↑ mean image ${plane.meanImages.map((v) => figure(v)).join(", ")}`));
    } else if (!view.logX) {
      for (const mean of plane.meanImages) {
        g.append(el("path", { d: SHAPES[3](6), transform: `translate(${sx(0)},${sy(mean)})`, fill: "var(--ink)" }),
          el("text", { x: sx(0) + 12, y: sy(mean) + 4 }, "mean image"));
      }
    }
    for (const family of plane.families) {
      g.append(el("path", { d: linePath(family.hull.map(([r, d]) => [sx(r), sy(d)])), fill: "none", stroke: "var(--ink)", "stroke-width": 1.25, opacity: 0.55 }));
    }
    for (const curve of plane.multiRate) {
      const points = curve.points.filter(([, r, d]) => inside(r, d)).map(([weight, r, d]) => ({ weight, r, d, x: sx(r), y: sy(d) }));
      g.append(el("path", { d: linePath(points.map((p) => [p.x, p.y])), fill: "none", stroke: "var(--soft)", "stroke-width": 1.5 }));
      for (const p of points) {
        const dot = el("circle", { cx: p.x, cy: p.y, r: 2.5, fill: "var(--paper)", stroke: "var(--soft)", "stroke-width": 1.25 });
        dot.addEventListener("pointerenter", () => showTip(dot, el("b", {}, `weight ${figure(p.weight, 4)}`), el("div", {}, curve.name),
          el("div", {}, `${figure(p.r)} nats, error ${figure(p.d)}`)));
        dot.addEventListener("pointerleave", hideTip);
        g.append(dot);
      }
    }
    const half = 44, tangents = el("g", { "clip-path": size.clip });
    g.append(tangents);
    for (const spot of spots) {
      if (spot.beta === null) continue;
      const [x, y] = [sx(spot.rate), sy(spot.distortion)];
      const e = (view.xRange[1] - view.xRange[0]) * 1e-3; // the tangent's direction on these axes, log or not
      const [dx, dy] = [sx(spot.rate + e) - x, sy(Math.max(spot.distortion - spot.beta * e, 1e-9)) - y];
      const n = half / Math.hypot(dx, dy);
      tangents.append(el("line", { x1: x - dx * n, y1: y - dy * n, x2: x + dx * n, y2: y + dy * n, stroke: `var(--w${spot.colour})`, "stroke-width": 2, opacity: 0.65 }));
    }
    const nodes = spots.map((spot, i) => {
      const [x, y] = [sx(spot.rate), sy(spot.distortion)];
      if (spot.seeds.length) {
        g.append(el("path", { d: `M${sx(spot.rate - spot.rateSd)},${y}H${sx(spot.rate + spot.rateSd)}M${x},${sy(spot.distortion - spot.distortionSd)}V${sy(spot.distortion + spot.distortionSd)}`, stroke: "var(--ink)", "stroke-width": 1.25 }));
        spot.seeds.forEach(([r, d]) => g.append(el("circle", { cx: sx(r), cy: sy(d), r: 1.8, fill: "var(--soft)" })));
      }
      const chosen = spot.runs.some((id) => data.recommended.runs.includes(id));
      if (chosen) g.append(el("circle", { cx: x, cy: y, r: 13, fill: "none", stroke: "var(--ink)", "stroke-width": 1.5 }));
      const node = el("path", {
        class: "mark", d: shape(spot.f, 7), transform: `translate(${x},${y})`, tabindex: i ? -1 : 0, role: "img",
        fill: spot.dominated ? "var(--paper)" : `var(--w${spot.colour})`, style: spot.dominated ? `stroke:var(--w${spot.colour})` : null,
        "aria-label": `weight ${figure(spot.weight, 4)}${spot.family.name ? `, ${spot.family.name}` : ""}: rate ${figure(spot.rate)} nats, error ${figure(spot.distortion)}${spot.dominated ? ", dominated" : ""}${chosen ? ", recommended" : ""}`,
      });
      node.addEventListener("pointerenter", () => hover(node, spot));
      node.addEventListener("focus", () => hover(node, spot));
      node.addEventListener("pointerleave", hideTip);
      node.addEventListener("blur", hideTip);
      node.addEventListener("click", () => hasPictures(spot.runs[0]) && openViewer(spot.runs[0], 0));
      g.append(node);
      return node;
    });
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
    // Weights beside the recommended curve only: more would be a thicket.
    const labelled = plane.families.find((f) => f.spots.some((s) => s.runs.some((id) => data.recommended.runs.includes(id)))) || plane.families[0];
    const named = new Set(labelled ? spread(labelled.spots, 9) : []);
    for (const spot of labelled ? labelled.spots : []) {
      const last = sx(spot.rate) + 50 > size.width;
      if (named.has(spot)) g.append(el("text", { x: sx(spot.rate) + (last ? -8 : 10), y: sy(spot.distortion) - 9, "text-anchor": last ? "end" : "start", style: "fill:var(--ink);font-weight:600" }, figure(spot.weight, 4)));
    }
  }

  function hover(node, spot) {
    const id = spot.runs.find(hasPictures);
    const content = [el("b", {}, `weight ${figure(spot.weight, 4)}`), spot.family.name && el("div", {}, spot.family.name),
      el("div", {}, `${figure(spot.rate)} nats, error ${figure(spot.distortion)}${spot.seeds.length ? ` ± ${figure(spot.distortionSd, 2)} (${spot.seeds.length} seeds)` : ""}`),
      el("div", {}, runs.get(spot.runs[0]).verdict), spot.dominated && el("div", {}, "dominated: another run is better in both")].filter(Boolean);
    if (id) {
      const indices = [0, 1, 2, 3].filter((i) => i < imageCount(id));
      const [truth, own] = [el("canvas"), el("canvas")];
      Promise.all([strip(truth, originalOf(id), "mean", indices), strip(own, id, "mean", indices)]).then(() => !tip.hidden && showTip(node, ...content, truth, own));
      content.push(truth, own);
    }
    showTip(node, ...content);
  }

  function key(plane) {
    const mark = (draw) => { const svg = el("svg", { viewBox: "-14 -9 28 18", "aria-hidden": "true" }); svg.append(...draw); return svg; };
    const items = plane.families.length > 1 ? plane.families.map((f, i) => [[el("path", { d: shape(i, 6), fill: "var(--soft)" })], f.name]) : [];
    if (plane.multiRate.length) items.push([[el("line", { x1: -13, x2: 13, stroke: "var(--soft)", "stroke-width": 1.5 }), el("circle", { r: 2.5, fill: "var(--paper)", stroke: "var(--soft)", "stroke-width": 1.25 })], "one model for all weights"]);
    items.push([[el("circle", { r: 8, fill: "none", stroke: "var(--ink)", "stroke-width": 1.5 })], "recommended"]);
    items.push([[el("path", { d: shape(0, 6), fill: "var(--paper)", stroke: "var(--soft)", "stroke-width": 2 })], "dominated"]);
    items.push([[el("line", { x1: -12, x2: 12, y1: -5, y2: 5, stroke: "var(--w0)", "stroke-width": 2 })], "slope its weight asks for"]);
    items.push([[el("line", { x1: -13, x2: 13, stroke: "var(--ink)", opacity: 0.55 })], "hull: best of all mixtures"]);
    if (plane.linear.length) items.push([[el("line", { x1: -13, x2: 13, stroke: "var(--soft)", "stroke-dasharray": "2 4" })], "linear model, from the data alone"]);
    return el("div", { class: "key" }, items.map(([draw, text]) => el("span", {}, mark(draw), text)));
  }
  draw();
}
