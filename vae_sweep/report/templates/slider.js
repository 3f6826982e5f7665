// The slider through the weights: pictures, error and read-out of one image, from the largest weight to no KL.

function drawSlider() {
  const root = byId("morph");
  if (!data.originals.length) return nothing(root, "No run has written its pictures yet.");
  const curves = sequences();
  if (!curves.length) return nothing(root, "No VAE has written its pictures yet.");
  root.append(...new Slider(curves).parts);
}

// Runs along the weights for every family and seed, the autoencoder as the end.
function sequences() {
  const found = new Map();
  for (const run of data.runs) {
    if (run.autoencoder || run.weight === null || !hasPictures(run.id)) continue;
    const key = JSON.stringify([run.family, run.seed]);
    if (!found.has(key)) found.set(key, { family: run.family, seed: run.seed, runs: [] });
    found.get(key).runs.push(run.id);
  }
  const several = data.matrix.seeds.length > 1;
  return [...found.values()].map((g) => {
    const column = data.matrix.columns.indexOf(g.family);
    const anchors = (data.matrix.autoencoders[column] || []).filter(hasPictures);
    const anchor = anchors.find((id) => runs.get(id).seed === g.seed) || anchors[0];
    return { name: [g.family, several ? `seed ${g.seed}` : ""].filter(Boolean).join(", ") || "all", runs: anchor ? [...g.runs, anchor] : g.runs };
  });
}

const PANES = [["original", "original"], ["mean", "from the mean of the code"], ["sampled", "from a sampled code"], ["residual", "error of the mean, ×3"]];
const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -Infinity, End: Infinity };

class Slider {
  constructor(curves) {
    this.curves = curves;
    this.curve = curves.find((g) => g.runs.some((id) => data.recommended.runs.includes(id))) || curves[0];
    this.position = Math.max(0, this.curve.runs.findIndex((id) => data.recommended.runs.includes(id)));
    this.image = 0;
    this.drawing = Promise.resolve();
    this.thumbs = el("div", { class: "thumbs", role: "group", "aria-label": "Held-out images" });
    this.panes = PANES.map(([kind, title]) => ({ kind, title, canvas: el("canvas", { role: "img", "aria-label": title }) }));
    this.range = el("input", { type: "range", min: 0, step: "any", "aria-label": "KL weight", id: "weight-slider",
      oninput: () => this.move(Number(this.range.value)), onkeydown: (event) => this.key(event) });
    this.ticks = el("div", { class: "ticks", "aria-hidden": "true" });
    this.readout = el("p", { class: "readout", id: "readout", role: "status" });
    this.parts = [this.tools(), this.thumbs,
      el("div", { class: "stage" }, this.panes.map((p) => el("figure", {}, p.canvas, el("figcaption", {}, p.title)))),
      el("div", { class: "ruler", hidden: this.curve.runs.length < 2 }, this.range, this.ticks), this.readout];
    this.lay();
  }

  get last() { return this.curve.runs.length - 1; }

  tools() {
    const { curves } = this;
    return el("div", { class: "tools" },
      curves.length > 1 && picker("Curve", curves.map((g, i) => [String(i), g.name]), String(curves.indexOf(this.curve)),
        (value) => { this.curve = curves[value]; this.lay(); }),
      this.last > 0 && this.player());
  }

  player() {
    let timer = null, direction = 1;
    const stop = () => { clearInterval(timer); timer = null; button.textContent = "play"; };
    const start = () => {
      button.textContent = "pause";
      timer = setInterval(() => {
        const next = this.position + direction * 0.04;
        if (next >= this.last || next <= 0) direction = -direction;
        this.move(next);
      }, 40);
    };
    const button = el("button", { class: "plain", onclick: () => (timer ? stop() : start()) }, "play");
    return button;
  }

  key(event) {
    const step = STEPS[event.key];
    if (step === undefined) return;
    event.preventDefault();
    this.move((step > 0 ? Math.floor(this.position + 1e-9) : Math.ceil(this.position - 1e-9)) + step);
  }

  move(position) {
    this.position = Math.min(this.last, Math.max(0, position));
    this.update();
  }

  // Another curve: its images and its ticks.
  lay() {
    this.range.max = this.last;
    const original = originalOf(this.curve.runs[0]);
    this.image = Math.min(this.image, imageCount(original) - 1);
    this.thumbs.replaceChildren(...Array.from({ length: imageCount(original) }, (_, index) => {
      const canvas = el("canvas");
      strip(canvas, original, "mean", [index]);
      return el("button", { "aria-label": `Image ${index + 1}`, onclick: () => { this.image = index; this.update(); } }, canvas);
    }));
    this.layTicks();
    this.move(this.position);
  }

  layTicks() {
    const { runs: ids } = this.curve, phone = innerWidth < 500;
    const crowded = ids.length > 14 || (phone && ids.length > 7);
    const named = new Set(crowded ? spread(ids, phone ? 5 : 10) : ids);
    this.ticks.replaceChildren(...ids.map((id, i) => el("span",
      { style: `left:${(100 * i) / Math.max(1, this.last)}%;--c:${colourOf(runs.get(id))}` },
      named.has(id) ? (runs.get(id).autoencoder ? "no KL" : weightName(runs.get(id))) : "\u00a0")));
  }

  update() {
    this.range.value = this.position;
    [...this.thumbs.children].forEach((t, i) => t.setAttribute("aria-pressed", String(i === this.image)));
    const ids = this.curve.runs, here = Math.floor(this.position), share = this.position - here;
    const run = runs.get(ids[Math.round(this.position)]);
    this.range.setAttribute("aria-valuetext", `weight ${weightName(run)}`);
    const between = share > 0.02 && share < 0.98;
    this.readout.replaceChildren(...(between ? blendWords(ids[here], ids[here + 1]) : runWords(run)));
    const ends = [ids[here], ids[Math.min(here + 1, this.last)]], { image } = this;
    this.drawing = this.drawing.then(() => Promise.all(this.panes.map((pane) => blend(pane, ends, share, image))));
  }
}

function blendWords(from, to) {
  const name = (id) => el("b", {}, weightName(runs.get(id)));
  return [el("span", {}, "between ", name(from), " and ", name(to), ": a blend for the eye")];
}

function runWords(run) {
  const units = run.val.active_units === null ? "–" : `${run.val.active_units}/${run.latent}`;
  const said = [["weight ", weightName(run)], ["rate ", `${figure(run.val.kl)} nats`],
    ["held-out error ", figure(run.val.sse ?? run.val.recon)], ["", quality(run)], ["units ", units]];
  return said.map(([name, value]) => el("span", {}, name, el("b", {}, value)));
}

// One pane at `share` of the way from one run to the next: both pictures, the second over the first.
async function blend({ kind, canvas }, ends, share, image) {
  const [w, h] = tileSize(ends[0]);
  const layers = await Promise.all(ends.slice(0, share ? 2 : 1).map(async (id) => {
    const source = kind === "original" ? originalOf(ends[0]) : id, layer = el("canvas");
    await strip(layer, source, kindFor(source, kind), [image]);
    return layer;
  }));
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d");
  layers.forEach((layer, i) => {
    context.globalAlpha = i ? share : 1;
    context.drawImage(layer, 0, 0);
  });
}
