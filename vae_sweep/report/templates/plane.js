// The rate-distortion plane: its frame, its switches, its key; what is drawn into it lies in plane_marks.js.

function drawPlane() {
  const root = byId("plane-chart");
  const known = Object.keys(data.planes).filter((split) => hasPlane(data.planes[split]));
  if (!known.length) return nothing(root, "No VAE has both a rate and an error yet.");
  const state = { split: known.includes(data.split) ? data.split : known[0], frame: "runs", x: "linear", y: "linear", hidden: new Set() };
  const holder = el("div");
  const draw = () => refill(holder, planeChart(state), planeKey(state, draw));
  const set = (name) => (value) => { state[name] = value; draw(); };
  root.append(el("div", { class: "tools" },
    known.length > 1 && segments("Images", [["train", "training"], ["val", "held out"]], state.split, set("split")),
    segments("Frame", [["runs", "the runs"], ["zero", "from zero"]], state.frame, set("frame")),
    segments("Rate", [["linear", "linear"], ["log", "log"]], state.x, set("x")),
    segments("Error", [["linear", "linear"], ["log", "log"]], state.y, set("y"))), holder);
  draw();
}

const hasPlane = (plane) => plane.families.some((f) => f.spots.length) || plane.multiRate.length > 0 || plane.provisional.length > 0;

// Beside the slider: held-out images where there are any, no switches.
function smallPlane() {
  const split = hasPlane(data.planes.val) ? "val" : "train";
  if (!hasPlane(data.planes[split])) return el("p", { class: "note" }, "No run has a place yet.");
  return el("div", {}, planeChart({ split, frame: "runs", x: "linear", y: "linear", hidden: new Set(), small: true }),
    el("p", { class: "note small" }, `Ring: where the slider stands. Right: more information in the code. Down: less error.${data.planes[split].linear.length ? " Dotted: the linear model." : ""}`));
}

const spotsOf = (plane, hidden) => plane.families.flatMap((family, f) => (hidden.has(f) ? [] : family.spots.map((spot) => ({ ...spot, family, f }))));
const isRecommended = (spot) => spot.runs.some((id) => data.recommended.runs.includes(id));

// The ranges of both axes: around everything that is drawn of the runs; on request with zero and the mean image.
function frameOf(plane, spots, { frame, x, y, hidden }) {
  const logX = x === "log", logY = y === "log", whole = frame === "zero";
  const anchors = plane.families.filter((_, f) => !hidden.has(f)).map((f) => f.autoencoder).filter((v) => v !== null);
  const points = [...plane.multiRate.flatMap((curve) => curve.points.map(([, r, d]) => [r, d])), ...plane.provisional.map((p) => [p.rate, p.distortion])];
  const rates = [...spots.flatMap((s) => [s.rate - s.rateSd, s.rate + s.rateSd]), ...points.map(([r]) => r)];
  const errors = [...spots.flatMap((s) => [s.distortion - s.distortionSd, s.distortion + s.distortionSd]), ...points.map(([, d]) => d), ...anchors];
  const xRange = extent(whole && !logX ? [0, ...rates] : rates, logX, whole);
  const yRange = extent(whole ? [...errors, ...plane.meanImages, ...(logY ? [] : [0])] : errors, logY, whole);
  return { xRange, yRange, logX, logY };
}

function planeChart(state) {
  const plane = data.planes[state.split], spots = spotsOf(plane, state.hidden), view = frameOf(plane, spots, state);
  const height = state.small ? 280 : Math.min(560, Math.max(380, innerHeight * 0.6));
  return chart({
    label: state.small ? "The slider's place in the rate-distortion plane" : "Rate-distortion plane; use the arrow keys to move from run to run",
    interactive: !state.small, clip: false, height, margin: { top: 38, right: state.small || innerWidth < 720 ? 16 : 120 },
    x: { title: "information in the code: KL, nats per image →", range: view.xRange, log: view.logX },
    y: { title: `${data.errorName} per image, ${state.split === "val" ? "held out" : "training"}`, range: view.yRange, log: view.logY },
  }, (g, sx, sy, size) => {
    const space = { g, sx, sy, size, view, hidden: state.hidden };
    linearCurves(space, plane);
    autoencoderLines(space, plane);
    meanImages(space, plane);
    hulls(space, plane);
    multiRateCurves(space, plane);
    tangents(space, spots, state.small ? 26 : 44);
    provisionalMarks(space, plane);
    const nodes = spots.map((spot, i) => spotMark(space, spot, state.small ? null : i ? -1 : 0));
    if (!state.small) walkable(g, nodes);
    weightLabels(space, plane);
    placeMark(space, state.split);
  });
}

// What the marks mean; of several curves each can be switched off.
function planeKey(state, draw) {
  const plane = data.planes[state.split];
  const mark = (shapes) => el("svg", { viewBox: "-14 -9 28 18", "aria-hidden": "true" }, shapes);
  const line = (attributes) => el("line", { x1: -13, x2: 13, ...attributes });
  const dot = () => el("circle", { r: 2.5, fill: "var(--paper)", stroke: "var(--soft)", "stroke-width": 1.25 });
  const toggle = (f) => { if (!state.hidden.delete(f)) state.hidden.add(f); draw(); };
  const families = plane.families.length > 1 ? plane.families.map((family, f) => el("label", {},
    el("input", { type: "checkbox", checked: !state.hidden.has(f), onchange: () => toggle(f) }), mark([el("path", { d: shape(f, 6), fill: "var(--soft)" })]), family.name)) : [];
  const items = [
    spotsOf(plane, state.hidden).some(isRecommended) && [[el("circle", { r: 8, fill: "none", stroke: "var(--ink)", "stroke-width": 1.5 })], "recommended"],
    plane.families.length && [[el("path", { d: shape(0, 6), fill: "var(--paper)", stroke: "var(--soft)", "stroke-width": 2 })], "hollow: another run has less error for fewer nats"],
    plane.families.length && [[line({ y1: -5, y2: 5, stroke: "var(--w0)", "stroke-width": 2 })], "the exchange rate its weight asks for"],
    plane.families.length && [[line({ stroke: "var(--ink)", opacity: 0.55 })], "the best that mixes of runs reach"],
    plane.multiRate.length && [[line({ stroke: "var(--soft)", "stroke-width": 1.5 }), dot()], "one model for all weights"],
    plane.linear.length && [[line({ stroke: "var(--soft)", "stroke-dasharray": "2 4" })], "linear model, from the data alone"],
    plane.provisional.length && [[line({ stroke: "var(--soft)" }), el("circle", { r: 5, fill: "var(--paper)", stroke: "var(--w0)", "stroke-width": 2, "stroke-dasharray": "2 2" })], "still training"],
    [[el("circle", { class: "place", r: 8 })], "where the slider stands"],
  ].filter(Boolean);
  return el("div", { class: "key" }, families, items.map(([shapes, text]) => el("span", {}, mark(shapes), text)));
}
