// Pictures: tiles of sprite sheets, decoded when first drawn, painted into canvases.

const sheetScripts = new Map([...document.querySelectorAll("script.sheets")].map((node) => [node.dataset.run, node]));
const sheetCache = new Map();
const imageCache = new Map();

function sheetsOf(id) {
  if (!sheetCache.has(id)) sheetCache.set(id, sheetScripts.has(id) ? JSON.parse(sheetScripts.get(id).textContent) : {});
  return sheetCache.get(id);
}

function decoded(sheet) {
  if (!imageCache.has(sheet)) {
    const image = new Image();
    image.src = sheet.uri;
    imageCache.set(sheet, image.decode().then(() => image));
  }
  return imageCache.get(sheet);
}

// A source of pictures is a run's id, or the originals or the mean image of a data set: "original:0", "mean image:0".
const isRun = (source) => runs.has(source);
const isOriginal = (source) => source.startsWith("original:");
const dataOf = (source) => (isRun(source) ? runs.get(source).data : Number(source.split(":")[1]));
const originalOf = (source) => `original:${dataOf(source)}`;
const meanImageOf = (source) => `mean image:${dataOf(source)}`;
const imageCount = (source) => data.originals[dataOf(source)].count;
const tileSize = (source) => data.originals[dataOf(source)].tile;
const sourceName = (source) => (isRun(source) ? runs.get(source).label : source.split(":")[0]);

// Where a tile lies: {sheet, row, column}, or null if that picture does not exist. kind: "mean" | "sampled"
function locate(source, kind, index) {
  if (!isRun(source)) {
    const sheet = data.originals[dataOf(source)];
    if (isOriginal(source)) return { sheet, row: 0, column: index };
    return sheet.hasMean ? { sheet, row: 0, column: sheet.count } : null;
  }
  const sheet = sheetsOf(source).recon;
  if (!sheet) return null;
  const row = kind === "sampled" ? 1 : 0;
  return row < sheet.rows && index < sheet.columns ? { sheet, row, column: index } : null;
}

async function paint(context, place, x, y, w, h) {
  const image = await decoded(place.sheet);
  const [tw, th] = place.sheet.tile;
  context.drawImage(image, place.column * tw, place.row * th, tw, th, x, y, w, h);
}

const RESIDUAL_GAIN = 3;

// A row of tiles into a canvas. kind: "mean" | "sampled" | "residual" (three times |x - xhat|, black is no error)
async function strip(canvas, source, kind, indices) {
  const [w, h] = tileSize(source);
  const gap = indices.length > 1 ? Math.max(1, Math.round(w / 24)) : 0;
  const scratch = el("canvas", { width: indices.length * (w + gap) - gap, height: h });
  const context = scratch.getContext("2d", { willReadFrequently: kind === "residual" });
  for (const [k, index] of indices.entries()) {
    const x = k * (w + gap);
    const place = locate(source, kind, index);
    if (!place) continue;
    await paint(context, place, x, 0, w, h);
    if (kind === "residual") {
      const shown = context.getImageData(x, 0, w, h);
      await paint(context, locate(originalOf(source), "", index), x, 0, w, h);
      const truth = context.getImageData(x, 0, w, h);
      for (let i = 0; i < shown.data.length; i++) {
        shown.data[i] = i % 4 === 3 ? 255 : RESIDUAL_GAIN * Math.abs(shown.data[i] - truth.data[i]);
      }
      context.putImageData(shown, x, 0);
    }
  }
  canvas.width = scratch.width;
  canvas.height = scratch.height;
  canvas.getContext("2d").drawImage(scratch, 0, 0);
}

// A whole sheet (samples, traversals), tiles separated by a gap.
async function wholeSheet(canvas, sheet) {
  const image = await decoded(sheet);
  const [w, h] = sheet.tile;
  const gap = Math.max(1, Math.round(w / 24));
  canvas.width = sheet.columns * (w + gap) - gap;
  canvas.height = sheet.rows * (h + gap) - gap;
  const context = canvas.getContext("2d");
  for (let r = 0; r < sheet.rows; r++) {
    for (let c = 0; c < sheet.columns; c++) context.drawImage(image, c * w, r * h, w, h, c * (w + gap), r * (h + gap), w, h);
  }
}

const KINDS = [["mean", "mean"], ["sampled", "sampled"], ["residual", "error ×3"]];
const hasPictures = (id) => runs.has(id) && runs.get(id).pictures.includes("recon") && runs.get(id).data !== null;
const quality = (run) => `${figure(run.val.psnr_mean ?? run.val.psnr)} dB`;

// An autoencoder has no sampled code, an original neither code nor error: they stand as they are.
const kindFor = (source, kind) => (isOriginal(source) || (kind === "sampled" && !locate(source, "sampled", 0)) ? "mean" : kind);
