// The stops of the slider: the runs of a curve, or the weights of a multi-rate model; and what it shows between them.

// A stop: {source, name, weight (null without KL), colour, at: {train, val: {rate, distortion}}, words}
function runStop(run) {
  const at = Object.fromEntries(["train", "val"].map((split) => [split, placeOf(run, split)]));
  const [error, value] = errorOf(run.id, run.val.distortion);
  const units = run.val.active_units === null ? "–" : `${run.val.active_units}/${run.latent}`;
  const words = [[run.autoencoder ? "no KL " : "KL weight ", weightName(run)], ["code ", `${figure(run.val.kl)} nats`],
    [`held-out ${error} `, value], ["", quality(run)], ["units in use ", units]];
  return { source: run.id, name: run.autoencoder ? "no KL" : weightName(run), weight: run.weight, colour: colourOf(run), at, words };
}

const placeOf = (run, split) => ({ rate: run.autoencoder ? null : run[split].kl, distortion: run[split].distortion });

// Runs along the weights for every family and seed, the autoencoder as the end.
function separateCurves() {
  const found = new Map();
  for (const run of data.runs) {
    if (run.autoencoder || run.weight === null || !hasPictures(run.id)) continue;
    const key = JSON.stringify([run.family, run.seed]);
    if (!found.has(key)) found.set(key, { family: run.family, seed: run.seed, runs: [] });
    found.get(key).runs.push(run);
  }
  const several = data.matrix.seeds.length > 1;
  return [...found.values()].map(({ family, seed, runs: own }) => {
    const anchors = (data.matrix.autoencoders[data.matrix.columns.indexOf(family)] || []).filter(hasPictures).map((id) => runs.get(id));
    const anchor = anchors.find((run) => run.seed === seed) || anchors[0];
    const name = [family, several ? `seed ${seed}` : ""].filter(Boolean).join(", ") || "separate runs";
    return { name, stops: [...own, anchor].filter(Boolean).map(runStop), model: modelBetween(family) };
  });
}

// Multi-rate models with pictures of their own, each a curve by itself.
const pictured = () => data.runs.filter((run) => run.multiRate && run.pictures.includes("curve"));

function oneModelCurves() {
  const models = pictured();
  return models.map((run) => ({ name: models.length > 1 ? run.label : "one model for all weights", stops: modelStops(run).toReversed(), model: null }));
}

// The stops of the multi-rate model of a family, rising; null if there is none.
function modelBetween(family) {
  const run = pictured().find((r) => r.family === family);
  return run ? modelStops(run) : null;
}

function modelStops(run) {
  return sheetsOf(run.id).curve.weights.map((weight, k) => {
    const at = Object.fromEntries(["train", "val"].map((split) => [split, curvePlace(run, split, weight)]));
    const [error, value] = errorOf(run.id, at.val && at.val.distortion);
    const words = [["KL weight ", figure(weight, 4)], ["code ", `${figure(at.val && at.val.rate)} nats`],
      [`held-out ${error} `, value], ["one model for all weights, its own pictures", ""]];
    return { source: `${run.id}@${k}`, name: figure(weight, 3), weight, colour: nearestColour(weight), at, words };
  });
}

// The colour of the separate run whose weight is nearest, in equal ratios.
function nearestColour(weight) {
  if (!data.weights.length) return "var(--soft)";
  const apart = data.weights.map((w) => Math.abs(Math.log(w / weight)));
  return `var(--w${apart.indexOf(Math.min(...apart))})`;
}

const near = (a, b) => Math.abs(Math.log(a / b)) < 1e-3;

function curvePlace(run, split, weight) {
  const curve = data.planes[split].multiRate.find((c) => c.run === run.id);
  const row = curve && curve.points.find(([w]) => near(w, weight));
  return row ? { rate: row[1], distortion: row[2] } : null;
}

// At a position: the stop itself; between two, the model for all weights if there is one, else a blend that says so.
function showing({ stops, model }, position) {
  const here = Math.floor(position), share = position - here;
  const [a, b] = [stops[here], stops[Math.min(here + 1, stops.length - 1)]];
  if (share < 0.02 || share > 0.98) return alone(share < 0.5 ? a : b);
  const own = model && a.weight !== null && b.weight !== null && modelAt(model, a.weight, b.weight, share);
  return own ? alone(own) : blended(a, b, share);
}

const alone = (stop) => ({ from: stop.source, to: stop.source, share: 0, at: stop.at, words: stop.words, spoken: stop.weight === null ? "no KL" : `weight ${stop.name}` });

// The model's stop nearest to the weight at `share` of the way, in equal ratios, if it lies between the two.
function modelAt(model, high, low, share) {
  const wanted = Math.log(high) + share * (Math.log(low) - Math.log(high));
  const between = model.filter(({ weight }) => weight < high * 0.999 && weight > low * 1.001);
  return between.reduce((best, stop) => (best && Math.abs(Math.log(best.weight) - wanted) <= Math.abs(Math.log(stop.weight) - wanted) ? best : stop), null);
}

function blended(a, b, share) {
  const at = Object.fromEntries(["train", "val"].map((split) => [split, midway(a.at[split], b.at[split], share)]));
  const words = [["between ", a.name], ["and ", b.name], ["a blend for the eye: no run was trained here", ""]];
  return { from: a.source, to: b.source, share, at, words, spoken: `between ${a.name} and ${b.name}` };
}

function midway(a, b, share) {
  if (!a || !b) return a || b;
  const mix = (name) => (a[name] === null || b[name] === null ? a[name] : a[name] + share * (b[name] - a[name]));
  return { rate: mix("rate"), distortion: mix("distortion") };
}
