// Training curves: all runs together, then every run on its own axes.

const MANY = 8; // above this, runs' own panels wait to be asked for

function drawCurves() {
  const root = byId("curves");
  const shown = data.runs.filter((run) => Object.keys(data.curves[run.id] || {}).length);
  if (!shown.length) return nothing(root, "No run has logged a row yet.");
  const terms = Object.keys(data.charts);
  let log = false, shared = true;
  const overview = el("div"), panels = el("div", { class: "panels" });
  const sides = segments("Axes of the panels", [["shared", "the same"], ["own", "each its own"]], "shared", (value) => { shared = value === "shared"; draw(); });
  root.append(el("div", { class: "tools" }, segments("Axes", [["linear", "linear"], ["log", "log"]], "linear", (value) => { log = value === "log"; draw(); }),
    el("span", { class: "note", style: "margin:0" }, "solid: training, dotted: held out; hover a line to name its run")), overview);
  const own = el("details", { open: shown.length <= MANY ? true : null }, el("summary", {}, el("b", {}, `Each of the ${shown.length} runs by itself`)), el("div", { class: "tools" }, sides), panels);
  root.append(own);
  drawGradients(root);

  function draw() {
    const charts = (names) => names.map((term) => termChart(term, shown, log)).filter(Boolean);
    refill(overview, el("div", { class: "columns" }, charts(terms)), ...charts(["weight"]), weightKey());
    const same = shared && Object.fromEntries(terms.map((term) => [term, rangesOf(shown.flatMap((run) => linesOf(run, term).map(([, line]) => line)), log)]));
    refill(panels, ...shown.map((run) => {
      const panel = el("div", { class: "panel", style: `--c:${colourOf(run)}` }, el("h3", {}, run.label));
      whenSeen(panel, () => panel.append(...terms.map((term) => ownChart(run, term, log, same && same[term])).filter(Boolean)));
      return panel;
    }));
  }
  draw();
}

function titleOf(term) {
  return term === "weight" ? "weight in force" : data.charts[term];
}

// The weight in force is a line only where it moves.
function linesOf(run, term) {
  const found = data.curves[run.id][term];
  if (!found || (term === "weight" && new Set(found[1]).size < 2)) return [];
  return term === "weight" ? [["weight", found]] : Object.entries(found);
}

function termChart(term, shown, log) {
  const lines = shown.flatMap((run) => linesOf(run, term).map(([split, line]) => ({ run, split, steps: line[0], values: line[1] })));
  if (!lines.length) return null;
  const x = extent(lines.flatMap((l) => l.steps), false), y = extent(lines.flatMap((l) => robust(l.values)), log);
  return chart({
    label: `${titleOf(term)} of every run over the steps`, height: term === "weight" ? 150 : 300,
    x: { title: "optimiser step", range: [0, x[1]], log: false }, y: { title: titleOf(term), range: y, log },
  }, (g, sx, sy) => {
    const many = lines.length > 80;
    const paths = lines.map((line) => el("path", {
      d: curvePath(line.steps, line.values, sx, sy, log), fill: "none", stroke: colourOf(line.run), "stroke-linejoin": "round",
      "stroke-width": many ? 1 : line.split === "val" ? 1.5 : 2, "stroke-dasharray": line.split === "val" ? "1.5 3.5" : null, opacity: many ? 0.6 : null,
    }));
    g.append(...paths);
    const svg = g.parentNode;
    const show = (chosen) => paths.forEach((path, i) => path.classList.toggle("faint", chosen !== null && lines[i].run !== chosen));
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const line = nearestLine(lines, event.clientX - box.left, event.clientY - box.top, sx, sy);
      show(line && line.run);
      if (!line) return hideTip();
      const at = { left: event.clientX, right: event.clientX, top: event.clientY, bottom: event.clientY };
      showTip({ getBoundingClientRect: () => at }, el("b", {}, line.run.label), el("div", {}, line.run.verdict));
    });
    svg.addEventListener("pointerleave", () => { show(null); hideTip(); });
  });
}

// The line that passes nearest below the pointer, within 16 pixels; null if none does.
function nearestLine(lines, x, y, sx, sy) {
  let best = null, least = 16;
  for (const line of lines) {
    const i = line.steps.findIndex((step) => sx(step) >= x);
    if (i < 0) continue;
    const distance = Math.abs(sy(line.values[i]) - y);
    if (distance < least) [best, least] = [line, distance];
  }
  return best;
}

// The first tenth of a curve may tower over the rest: the axis ignores what only that reaches.
function robust(values) {
  return values.length > 20 ? values.slice(Math.ceil(values.length * 0.05)) : values;
}

// Ranges of both axes around lines, each [steps, values].
function rangesOf(lines, log) {
  return { x: extent(lines.flatMap(([steps]) => steps), false), y: extent(lines.flatMap(([, values]) => robust(values)), log) };
}

function ownChart(run, term, log, same) {
  const lines = linesOf(run, term);
  if (!lines.length) return null;
  const [[, weight] = []] = linesOf(run, "weight");
  const { x, y } = same || rangesOf(lines.map(([, line]) => line), log);
  const top = weight ? Math.max(...weight[1]) : 0;
  return chart({
    label: `${run.label}: ${titleOf(term)}`, height: 130, margin: { bottom: 24, left: 46, right: weight ? 40 : 10 },
    x: { title: "", range: [0, x[1]], log: false }, y: { title: titleOf(term), range: y, log },
  }, (g, sx, sy, size) => {
    if (weight && top) {
      const sw = scale(0, top * 1.05, size.height - size.margin.bottom, size.margin.top, false);
      g.append(el("path", { d: linePath(weight[0].map((s, i) => [sx(s), sw(weight[1][i])])), fill: "none", stroke: "var(--soft)", "stroke-width": 1 }));
      g.append(el("title", {}, `grey: the weight in force, up to ${figure(top)}`));
      g.parentNode.append(el("text", { x: size.width - size.margin.right + 4, y: sw(top) + 4 }, figure(top)));
    }
    for (const [split, [steps, values]] of lines) {
      const held = split === "val";
      g.append(el("path", { d: curvePath(steps, values, sx, sy, log), fill: "none", stroke: colourOf(run),
        "stroke-width": held ? 1.5 : 2, "stroke-dasharray": held ? "1.5 3.5" : null }));
    }
  });
}

function weightKey() {
  const named = spread(data.weights.map((w, i) => i), 12);
  const items = named.map((i) => el("span", {}, el("i", { style: `--c:var(--w${i})` }), figure(data.weights[i], 4)));
  if (data.runs.some((r) => r.multiRate)) items.push(el("span", {}, el("i", { style: "--c:var(--soft)" }), "all weights (training: their mean)"));
  if (data.runs.some((r) => r.autoencoder)) items.push(el("span", {}, el("i", { style: "--c:var(--soft)" }), "autoencoder"));
  return el("div", { class: "key", "aria-label": "Colours of the weights" }, "weight", items);
}
