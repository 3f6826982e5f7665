// The slider through the weights. Moving it moves one image's pictures, samples from the prior, the marked point in the
// plane and the read-out, from the largest weight to no KL at all.

function drawSlider() {
  const root = byId("slider");
  if (!data.originals.length) return nothing(root, "No run has written its pictures yet.");
  const curves = [...separateCurves(), ...oneModelCurves()];
  if (!curves.length) return nothing(root, "No VAE has written its pictures yet.");
  root.append(...new Slider(curves).parts);
}

const PANES = [["original", "original"], ["mean", "from its code's mean"], ["noisy", "from its noisy code"], ["residual", "error of the mean, ×3"]];
const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -Infinity, End: Infinity };
const SAMPLES = 8;
// A run, or a model of all weights ("<run>@<place>") at the weight that is named; that one has three digits.
const isAdvised = ({ source, weight }) => data.recommended.runs.some((id) => source === id
  || (source.startsWith(`${id}@`) && Math.abs(Math.log(weight / data.recommended.weight)) < 0.006));

class Slider {
  constructor(curves) {
    this.curves = curves;
    this.curve = curves.find((c) => c.stops.some(isAdvised)) || curves[0];
    this.position = Math.max(0, this.curve.stops.findIndex(isAdvised));
    this.image = 0;
    this.thumbs = el("div", { class: "thumbs", role: "group", "aria-label": "Held-out images" });
    this.panes = PANES.map(([kind, title]) => ({ kind, canvas: el("canvas", { role: "img", "aria-label": title }), title }));
    this.samples = Array.from({ length: SAMPLES }, (_, i) => ({ index: i, canvas: el("canvas", { role: "img", "aria-label": `Sample ${i + 1}` }) }));
    this.sampled = "prior";
    this.range = el("input", { type: "range", min: 0, step: "any", "aria-label": "KL weight", id: "weight-slider",
      oninput: () => this.move(Number(this.range.value)), onkeydown: (event) => this.key(event) });
    this.ticks = el("div", { class: "ticks", "aria-hidden": "true" });
    this.readout = el("p", { class: "readout", id: "readout", role: "status" });
    this.sampleGrid = el("div", { class: "samples" }, this.samples.map((s) => s.canvas));
    this.none = el("p", { class: "note" });
    this.parts = [el("div", { class: "ruler" }, this.range, this.ticks, this.readout), this.tools(),
      el("div", { class: "article" },
        el("div", { class: "stage" }, this.panes.map((p) => el("figure", {}, p.canvas, el("figcaption", {}, p.title)))),
        el("div", {}, el("h3", {}, "Its place in the trade-off"), smallPlane(),
          el("h3", {}, "Samples at this weight"), this.sampleTools(), this.none, this.sampleGrid))];
    this.lay();
  }

  get last() { return this.curve.stops.length - 1; }

  tools() {
    const { curves } = this;
    return el("div", { class: "tools" }, this.thumbs,
      curves.length > 1 && picker("Curve", curves.map((c, i) => [String(i), c.name]), String(curves.indexOf(this.curve)),
        (value) => { this.curve = curves[value]; this.lay(); }),
      this.last > 0 && this.player(),
      el("button", { class: "plain", onclick: () => openViewer(this.shown.from, this.image) }, "compare under a wipe"),
      pixelSwitch());
  }

  // Draws of the prior, or of a sampler that was fitted to the codes of training images afterwards.
  sampleTools() {
    const names = { prior: "from the prior", fitted: "by a sampler fitted to the codes" };
    return el("div", { class: "tools" }, SAMPLED.length > 1
      ? segments("drawn", SAMPLED.map(([kind]) => [kind, names[kind]]), this.sampled, (value) => { this.sampled = value; this.update(); })
      : el("span", { class: "note small" }, "draws of the prior, decoded"));
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
    this.range.parentNode.classList.toggle("one", this.last < 1);
    const { source } = this.curve.stops[0], original = originalOf(source);
    this.count = Math.min(imageCount(original), source.includes("@") ? sheetsOf(source.split("@")[0]).curve.recon.columns : Infinity);
    this.image = Math.min(this.image, this.count - 1);
    refill(this.thumbs, ...Array.from({ length: this.count }, (_, index) => {
      const canvas = el("canvas");
      strip(canvas, original, "mean", [index]);
      return el("button", { "aria-label": `Image ${index + 1}`, onclick: () => { this.image = index; this.update(); } }, canvas);
    }));
    this.layTicks();
    this.move(this.position);
  }

  layTicks() {
    const { stops } = this.curve, phone = innerWidth < 500;
    const crowded = stops.length > 14 || (phone && stops.length > 7);
    const named = new Set(crowded ? spread(stops, phone ? 5 : 10) : stops);
    refill(this.ticks, ...stops.map((stop, i) => el("span",
      { style: `left:${(100 * i) / Math.max(1, this.last)}%;--c:${stop.colour}` }, named.has(stop) ? stop.name : "\u00a0")));
  }

  update() {
    const shown = this.shown = showing(this.curve, this.position);
    this.range.value = this.position;
    this.range.setAttribute("aria-valuetext", shown.spoken);
    [...this.thumbs.children].forEach((t, i) => t.setAttribute("aria-pressed", String(i === this.image)));
    refill(this.readout, ...shown.words.map(([name, value]) => el("span", {}, name, value && el("b", {}, value))));
    this.panes.forEach((pane) => blend(pane, shown, this.image));
    const known = locate(shown.from, this.sampled, 0) !== null;
    this.none.hidden = known;
    this.none.textContent = noSamples(this.sampled);
    this.sampleGrid.hidden = !known;
    if (known) this.samples.forEach(({ canvas, index }) => blend({ kind: this.sampled, canvas }, shown, index));
    moveTo(shown.at);
  }
}

// One picture: that of `from`, and over it, at `share` of its strength, that of `to`.
function blend({ kind, canvas }, { from, to, share }, index) {
  const sources = (share ? [from, to] : [from]).map((source) => (kind === "original" ? originalOf(from) : source));
  const layers = canvas.layers ??= [el("canvas"), el("canvas")];
  const drawn = sources.map((source, i) => strip(layers[i], source, kindFor(source, kind), [index]));
  const lay = () => {
    const [w, h] = tileSize(from), context = canvas.getContext("2d");
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    sources.forEach((_, i) => {
      context.globalAlpha = i ? share : 1;
      context.drawImage(layers[i], 0, 0);
    });
    sharpen(canvas);
  };
  const ticket = canvas.ticket = {};
  if (drawn.every((later) => later === undefined)) lay();
  else Promise.all(drawn).then(() => canvas.ticket === ticket && lay());
}

function pixelSwitch() {
  return el("label", {}, el("input", { type: "checkbox", id: "smooth", onchange: (event) => document.body.classList.toggle("smooth", event.target.checked) }), "smooth pixels");
}
