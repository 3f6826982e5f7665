// Every run's pictures: a row per weight, a column per curve, a model for all weights as a column of its own.

function drawMatrix() {
  const root = byId("matrix");
  if (!data.originals.length) return nothing(root, "No picture to show.");
  new Matrix(root).fill();
}

class Matrix {
  constructor(root) {
    this.root = root;
    this.kind = "mean";
    this.seed = data.matrix.seeds[0];
    this.first = 0;
    this.models = pictured();
    this.weights = data.weights.length ? data.weights : this.models.length ? spread(sheetsOf(this.models[0].id).curve.weights, 8).toReversed() : [];
    this.count = Math.min(...data.originals.map((sheet) => sheet.count), ...this.models.map((run) => sheetsOf(run.id).curve.recon.columns));
    this.columns = [...data.matrix.columns.map((name, j) => this.separate(name, j)), ...this.models.map((run) => this.oneModel(run))]
      .filter((column) => column.known);
    if (!this.columns.length) this.columns = [this.separate("", 0)];
    if (this.columns.length > 1 && !this.columns[0].name) this.columns[0].name = "separate runs";
    this.grid = el("div", { class: "matrix" });
    root.append(this.tools(), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Pictures of every run" }, this.grid));
  }

  // A column: its name, a run or weight whose originals it shows, and its pictures at a weight and without KL.
  separate(name, j) {
    const { cells, autoencoders } = data.matrix, anchors = autoencoders[j] || [];
    const all = [...Object.values(cells).flatMap((row) => row[j]), ...anchors];
    return { name, known: all.find(hasPictures) || all[0], at: (i) => this.ofSeed((cells[i] || {})[j] || []), anchor: () => this.ofSeed(anchors) };
  }

  oneModel(run) {
    const { weights } = sheetsOf(run.id).curve;
    const at = (i) => { const k = weights.findIndex((w) => near(w, this.weights[i])); return k < 0 ? null : `${run.id}@${k}`; };
    return { name: this.models.length > 1 ? run.label : "one model for all weights", known: run.id, at, anchor: () => null };
  }

  ofSeed(ids) { return ids.find((id) => String(runs.get(id).seed) === this.seed) || ids[0] || null; }

  tools() {
    const { seeds } = data.matrix;
    const set = (name) => (value) => { this[name] = value; this.fill(); };
    return el("div", { class: "tools" }, segments("Show", [...KINDS, ["all", "all three"], ...SAMPLED], this.kind, set("kind")),
      seeds.length > 1 && picker("Seed", seeds.map((s) => [s, s]), this.seed, set("seed")),
      this.count > this.fits && el("button", { class: "plain", onclick: () => { this.first = (this.first + this.fits) % this.count; this.fill(); } }, "other images"));
  }

  // How many images a cell has room for.
  get fits() {
    const wide = (this.root.clientWidth || 800) / this.columns.length / (innerWidth < 720 ? 62 : 110);
    return Math.max(1, Math.min(this.count, Math.floor(wide)));
  }

  fill() {
    const narrow = innerWidth < 720, { columns, fits } = this;
    this.grid.style.gridTemplateColumns = `${narrow ? "5.6rem" : "8.5rem"} repeat(${columns.length}, minmax(${fits * (narrow ? 56 : 72)}px, 1fr))`;
    const titles = columns.length > 1 || columns[0].name ? [el("div", { class: "head" }, data.matrix.columnTitle), ...columns.map((c) => el("div", { class: "head" }, el("b", {}, c.name)))] : [];
    const truth = (of) => columns.map(({ known }) => (hasPictures(known) ? of(known) : null));
    refill(this.grid, ...titles, ...this.row("original", "held out", truth(originalOf)),
      ...(data.originals.some((sheet) => sheet.hasMean) ? this.row("mean image", "zero nats", truth(meanImageOf)) : []),
      ...this.weights.flatMap((weight, i) => this.row(figure(weight, 4), "KL weight", columns.map((c) => c.at(i)), data.weights.length ? `var(--w${i})` : null)),
      ...(data.matrix.autoencoders.some((a) => a.length) ? this.row("no KL", "autoencoder", columns.map((c) => c.anchor())) : []));
  }

  row(title, words, sources, colour) {
    const indices = Array.from({ length: this.fits }, (_, i) => (this.first + i) % this.count);
    return [el("div", { class: "row", style: colour ? `--c:${colour}` : null }, el("b", {}, title), el("span", {}, words)),
      ...sources.map((source) => (source ? cell(source, indices, this.kind) : el("div", { class: "empty" }, "no run")))];
  }
}

function cell(source, indices, kind) {
  const run = runOf(source);
  if (run && !hasPictures(source)) return el("div", { class: "empty" }, `${run.status}: no pictures here`);
  if (run && SAMPLED.some(([name]) => name === kind) && !locate(source, kind, 0)) return el("div", { class: "empty" }, noSamples(kind));
  const kinds = run && kind === "all" ? ["mean", "noisy", "residual"] : [kindFor(source, kind)];
  const [w, h] = tileSize(source);
  const canvases = kinds.map(() => el("canvas", { width: indices.length * w, height: h }));
  const words = cellWords(source), name = sourceName(source);
  const node = el("button", { class: "cell", "data-run": source, "aria-label": `Enlarge ${name}${words && `, ${words}`}` },
    canvases.map((canvas) => el("div", { class: "strip" }, canvas)), words && el("small", {}, words));
  node.addEventListener("click", (event) => {
    const box = node.getBoundingClientRect();
    const share = event.clientX ? (event.clientX - box.left) / box.width : 0;
    openViewer(source, indices[Math.min(indices.length - 1, Math.max(0, Math.floor(share * indices.length)))]);
  });
  whenSeen(node, () => canvases.forEach((canvas, i) => strip(canvas, source, kindFor(source, kinds[i]), indices)));
  return node;
}

function cellWords(source) {
  const run = runOf(source);
  if (!run) return "";
  const [id, at] = source.split("@");
  if (!at) return run.autoencoder ? quality(run) : `${figure(run.val.kl)} nats, ${quality(run)}`;
  const own = curvePlace(run, "val", sheetsOf(id).curve.weights[at]);
  return own ? `${figure(own.rate)} nats, error ${figure(own.distortion)}` : "";
}
