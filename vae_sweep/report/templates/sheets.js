// Pictures: tiles of sprite sheets, decoded when first drawn, painted into canvases.

const sheetScripts = new Map([...document.querySelectorAll("script.sheets")].map((node) => [node.dataset.run, node]));
const sheetCache = new Map();
const imageCache = new Map();

function sheetsOf(id) {
  if (!sheetCache.has(id)) sheetCache.set(id, sheetScripts.has(id) ? JSON.parse(sheetScripts.get(id).textContent) : {});
  return sheetCache.get(id);
}

function imageOf(sheet) {
  if (!imageCache.has(sheet)) {
    const image = new Image();
    image.src = sheet.uri;
    imageCache.set(sheet, { image, decoded: image.decode() });
  }
  return imageCache.get(sheet);
}

// draw() at once if every sheet has been loaded, since printing does not wait; else when they are.
function whenDecoded(sheets, draw) {
  const found = sheets.map(imageOf);
  if (found.every(({ image }) => image.complete)) return draw();
  return Promise.all(found.map(({ decoded }) => decoded)).then(draw);
}

// Loads every sheet while nobody waits, so that a page can be printed that nobody has scrolled through.
function loadAhead(ids = [...sheetScripts.keys()]) {
  if (!ids.length) return;
  const later = window.requestIdleCallback || ((work) => setTimeout(work, 50));
  later(() => {
    const found = Object.values(sheetsOf(ids[0])).flatMap((sheet) => [sheet, sheet.recon, sheet.prior, sheet.originals]);
    found.filter((sheet) => sheet && sheet.uri).forEach(imageOf);
    loadAhead(ids.slice(1));
  });
}

// A source of pictures: a run's id; a weight of a multi-rate run, "id@3"; the originals or the mean image of a data set,
// "original:0", "mean image:0".
const runOf = (source) => runs.get(source.split("@")[0]);
const isOriginal = (source) => source.startsWith("original:");
const dataOf = (source) => (runOf(source) ? runOf(source).data : Number(source.split(":")[1]));
const originalOf = (source) => `original:${dataOf(source)}`;
const meanImageOf = (source) => `mean image:${dataOf(source)}`;
const imageCount = (source) => data.originals[dataOf(source)].count;
const tileSize = (source) => data.originals[dataOf(source)].tile;
const hasPictures = (id) => Boolean(id) && Boolean(runOf(id)) && runOf(id).pictures.includes("recon") && runOf(id).data !== null;

function quality(run) {
  const decibels = run.val.psnr_mean ?? run.val.psnr;
  return `${Number.isFinite(decibels) ? decibels.toFixed(1) : figure(decibels)} dB`;
}

// A run's error as on the axes: ["squared error", "62.7"] or ["reconstruction term", "77.2 nats"]
function errorOf(source, value) {
  const [name, unit] = runOf(source).error.split(", ");
  return [name, [figure(value), unit].filter(Boolean).join(" ")];
}

function sourceName(source) {
  if (!runOf(source)) return source.split(":")[0];
  const [id, at] = source.split("@");
  return at ? `${figure(sheetsOf(id).curve.weights[at], 4)}, one model for all weights` : runOf(source).label;
}

const KINDS = [["mean", "mean code"], ["noisy", "noisy code"], ["residual", "error ×3"]];
const SAMPLED = [["prior", "samples from the prior"], ["fitted", "samples from the codes"]]
  .filter(([kind]) => data.runs.some((run) => run.pictures.includes(kind)));
const noSamples = (kind) => (kind === "prior" ? "An autoencoder has no prior to sample from." : "No sampler was fitted to the codes here.");
const RESIDUAL_GAIN = 3;

// Where a tile lies: {sheet, row, column}, or null if there is no such picture. kind: "mean" | "noisy" | "prior" | "fitted"
function locate(source, kind, index) {
  if (!runOf(source)) {
    const sheet = data.originals[dataOf(source)];
    if (isOriginal(source)) return { sheet, row: 0, column: index };
    return sheet.hasMean ? { sheet, row: 0, column: sheet.count } : null;
  }
  const [id, at] = source.split("@"), sheets = sheetsOf(id);
  if (at) return onCurve(sheets.curve, Number(at), kind, index);
  if (kind === "prior" || kind === "fitted") {
    const sheet = sheets[kind];
    return sheet ? { sheet, row: Math.floor(index / sheet.columns), column: index % sheet.columns } : null;
  }
  const row = kind === "noisy" ? 1 : 0;
  return sheets.recon && row < sheets.recon.rows && index < sheets.recon.columns ? { sheet: sheets.recon, row, column: index } : null;
}

function onCurve({ weights, recon, prior }, at, kind, index) {
  if (kind === "fitted") return null;
  const sheet = kind === "prior" ? prior : recon;
  return index < sheet.columns ? { sheet, row: kind === "noisy" ? weights.length + at : at, column: index } : null;
}

// What stands in for a kind that a source has not: an original has neither code nor error, an autoencoder's code no noise.
function kindFor(source, kind) {
  if (!runOf(source)) return "mean";
  return kind === "noisy" && !locate(source, "noisy", 0) ? "mean" : kind;
}

function paint(context, { sheet, row, column }, x, y, w, h) {
  const [tw, th] = sheet.tile, place = row * sheet.columns + column;
  context.drawImage(imageOf(sheet).image, (place % sheet.across) * tw, Math.floor(place / sheet.across) * th, tw, th, x, y, w, h);
}

// A row of tiles into a canvas. kind: "mean" | "noisy" | "prior" | "fitted" | "residual" (three times |x - xhat|, black is no error)
function strip(canvas, source, kind, indices) {
  const places = indices.map((index) => locate(source, kind, index));
  const truths = kind === "residual" ? indices.map((index) => locate(originalOf(source), "", index)) : [];
  const ticket = canvas.ticket = {}; // a canvas may be asked for another strip before this one is decoded
  return whenDecoded([...places, ...truths].filter(Boolean).map((place) => place.sheet), () => {
    if (canvas.ticket === ticket) layStrip(canvas, tileSize(source), places, truths);
  });
}

function layStrip(canvas, [w, h], places, truths) {
  const gap = places.length > 1 ? Math.max(1, Math.round(w / 24)) : 0;
  canvas.width = places.length * (w + gap) - gap;
  canvas.height = h;
  const context = canvas.getContext("2d", { willReadFrequently: truths.length > 0 });
  places.forEach((place, k) => {
    if (!place) return;
    const x = k * (w + gap);
    paint(context, place, x, 0, w, h);
    if (truths.length) residual(context, truths[k], x, w, h);
  });
  sharpen(canvas);
}

function residual(context, truth, x, w, h) {
  const shown = context.getImageData(x, 0, w, h);
  paint(context, truth, x, 0, w, h);
  const original = context.getImageData(x, 0, w, h);
  for (let i = 0; i < shown.data.length; i++) {
    shown.data[i] = i % 4 === 3 ? 255 : RESIDUAL_GAIN * Math.abs(shown.data[i] - original.data[i]);
  }
  context.putImageData(shown, x, 0);
}

// A whole sheet (samples, traversals), tiles separated by a gap.
function wholeSheet(canvas, sheet) {
  return whenDecoded([sheet], () => {
    const [w, h] = sheet.tile;
    const gap = Math.max(1, Math.round(w / 24));
    canvas.width = sheet.columns * (w + gap) - gap;
    canvas.height = sheet.rows * (h + gap) - gap;
    const context = canvas.getContext("2d");
    for (let row = 0; row < sheet.rows; row++) {
      for (let column = 0; column < sheet.columns; column++) paint(context, { sheet, row, column }, column * (w + gap), row * (h + gap), w, h);
    }
    sharpen(canvas);
  });
}

// An enlarged picture shows its pixels (nearest neighbour); one that is made smaller is averaged, or it would flicker.
const enlarged = new ResizeObserver((entries) => entries.forEach(({ target, contentRect }) => {
  target.classList.toggle("enlarged", contentRect.width > target.width);
}));

// The observer tells of another size on the page by itself, but not of other pixels.
function sharpen(canvas) {
  if (canvas.sharpened === canvas.width) return;
  canvas.sharpened = canvas.width;
  enlarged.unobserve(canvas);
  enlarged.observe(canvas);
}
