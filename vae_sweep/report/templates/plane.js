// The rate-distortion plane: its frame, its switches, its key; what is drawn into it lies in plane_marks.js.

function drawPlane() {
  const root = byId("plane-chart");
  const planes = Object.values(data.planes);
  if (!planes.some((p) => p.families.some((f) => f.spots.length) || p.multiRate.length)) {
    return nothing(root, "No finished VAE has both a rate and an error yet.");
  }
  const state = { split: data.split, x: "linear", y: "linear" }, holder = el("div");
  const draw = () => holder.replaceChildren(planeChart(state), planeKey(data.planes[state.split]));
  const set = (name) => (value) => { state[name] = value; draw(); };
  const known = ["train", "val"].filter((split) => data.planes[split].families.length || data.planes[split].multiRate.length);
  root.append(el("div", { class: "tools" },
    known.length > 1 && segments("Data", [["train", "training"], ["val", "held out"]], state.split, set("split")),
    segments("Rate", [["linear", "linear"], ["log", "log"]], state.x, set("x")),
    segments("Error", [["linear", "linear"], ["log", "log"]], state.y, set("y"))), holder);
  draw();
}

const spotsOf = (plane) => plane.families.flatMap((family, f) => family.spots.map((spot) => ({ ...spot, family, f })));
const isRecommended = (spot) => spot.runs.some((id) => data.recommended.runs.includes(id));

// The ranges of both axes: separate runs set the frame; a curve alone frames itself.
function frameOf(plane, spots, logX, logY) {
  const anchors = plane.families.map((f) => f.autoencoder).filter((v) => v !== null);
  const framed = spots.length ? [] : plane.multiRate.flatMap((curve) => curve.points);
  const rates = [...spots.flatMap((s) => [s.rate - s.rateSd, s.rate + s.rateSd]), ...framed.map((p) => p[1])];
  const errors = [...spots.flatMap((s) => [s.distortion - s.distortionSd, s.distortion + s.distortionSd]), ...anchors, ...framed.map((p) => p[2])];
  // The mean image belongs to the picture unless it would squeeze the runs into a fifth of it.
  const far = Math.max(0, ...plane.meanImages) > 5 * Math.max(...errors) && !logY;
  return { xRange: extent(logX ? rates : [0, ...rates], logX), yRange: extent(far ? errors : [...errors, ...plane.meanImages], logY), far, logX, logY };
}

function planeChart(state) {
  const plane = data.planes[state.split], spots = spotsOf(plane);
  const view = frameOf(plane, spots, state.x === "log", state.y === "log");
  const unit = data.squaredError ? "squared error per image" : "reconstruction term, nats per image";
  return chart({
    label: "Rate-distortion plane; use the arrow keys to move from run to run", interactive: true, clip: false,
    height: Math.min(560, Math.max(380, innerHeight * 0.6)), margin: { right: innerWidth < 720 ? 16 : 120 },
    x: { title: "rate: KL, nats per image →", range: view.xRange, log: view.logX }, y: { title: `error: ${unit}`, range: view.yRange, log: view.logY },
  }, (g, sx, sy, size) => {
    const space = { g, sx, sy, size, view };
    linearCurves(space, plane);
    autoencoderLines(space, plane);
    meanImages(space, plane);
    hulls(space, plane);
    multiRateCurves(space, plane);
    tangents(space, spots);
    walkable(g, spots.map((spot, i) => spotMark(space, spot, i)));
    weightLabels(space, plane);
  });
}

function planeKey(plane) {
  const mark = (shapes) => el("svg", { viewBox: "-14 -9 28 18", "aria-hidden": "true" }, shapes);
  const line = (attributes) => el("line", { x1: -13, x2: 13, ...attributes });
  const items = plane.families.length > 1 ? plane.families.map((f, i) => [[el("path", { d: shape(i, 6), fill: "var(--soft)" })], f.name]) : [];
  if (plane.multiRate.length) {
    items.push([[line({ stroke: "var(--soft)", "stroke-width": 1.5 }), el("circle", { r: 2.5, fill: "var(--paper)", stroke: "var(--soft)", "stroke-width": 1.25 })], "one model for all weights"]);
  }
  items.push([[el("circle", { r: 8, fill: "none", stroke: "var(--ink)", "stroke-width": 1.5 })], "recommended"],
    [[el("path", { d: shape(0, 6), fill: "var(--paper)", stroke: "var(--soft)", "stroke-width": 2 })], "dominated"],
    [[line({ y1: -5, y2: 5, stroke: "var(--w0)", "stroke-width": 2 })], "slope its weight asks for"],
    [[line({ stroke: "var(--ink)", opacity: 0.55 })], "hull: best of all mixtures"]);
  if (plane.linear.length) items.push([[line({ stroke: "var(--soft)", "stroke-dasharray": "2 4" })], "linear model, from the data alone"]);
  return el("div", { class: "key" }, items.map(([shapes, text]) => el("span", {}, mark(shapes), text)));
}
