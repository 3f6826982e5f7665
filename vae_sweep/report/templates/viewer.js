// Two pictures of one image under a wipe.

function openViewer(source, index) {
  new Viewer(source, index).show();
}

class Viewer {
  constructor(source, index) {
    const own = data.runs.filter((run) => hasPictures(run.id) && run.data === dataOf(source)).map((run) => run.id);
    this.original = originalOf(source);
    this.count = imageCount(source);
    const known = [this.original, ...(data.originals[dataOf(source)].hasMean ? [meanImageOf(source)] : []), ...own];
    this.options = known.map((id) => [id, sourceName(id)]);
    if (source.includes("@")) this.options.push([source, sourceName(source)]);
    this.sides = this.against(source, own);
    this.image = index;
    this.kind = "mean";
    this.canvases = { a: el("canvas"), b: el("canvas") };
    this.tags = { a: el("span", { class: "tag a" }), b: el("span", { class: "tag b" }) };
    this.wipe = el("div", { class: "wipe" }, Object.values(this.canvases), el("div", { class: "edge" }), Object.values(this.tags));
    this.range = el("input", { type: "range", min: 0, max: 100, step: 1, value: 50, "aria-label": "Wipe between the two pictures",
      id: "wipe-slider", oninput: () => this.cut(Number(this.range.value)) });
    this.place = el("span", { role: "status" });
  }

  // Against the recommended run; that one, and where there is none any, against the original.
  against(source, own) {
    const best = data.recommended.runs.find((id) => own.includes(id));
    if (!runOf(source)) return { a: source, b: best || data.hero.runs.findLast((id) => own.includes(id)) || own.at(-1) };
    return { a: best && best !== source ? best : this.original, b: source };
  }

  show() {
    const dialog = byId("viewer");
    this.wipe.addEventListener("pointerdown", (event) => { this.wipe.setPointerCapture(event.pointerId); this.drag(event); });
    this.wipe.addEventListener("pointermove", (event) => event.buttons && this.drag(event));
    refill(dialog, el("div", { onkeydown: (event) => this.key(event) }, this.bar(dialog), this.wipe,
      el("div", { class: "foot" }, this.range),
      el("div", { class: "foot" }, this.button("previous", () => this.step(-1)), this.button("next", () => this.step(1)), this.place)));
    this.cut(50);
    this.draw();
    dialog.showModal();
    this.range.focus();
  }

  bar(dialog) {
    const side = (label, name) => picker(label, this.options, this.sides[name], (value) => { this.sides[name] = value; this.draw(); });
    return el("div", { class: "bar" }, side("left", "a"), side("right", "b"),
      segments("", KINDS, this.kind, (value) => { this.kind = value; this.draw(); }),
      this.button("close", () => dialog.close()));
  }

  button(text, onclick) { return el("button", { class: "plain", onclick }, text); }

  cut(share) {
    this.wipe.style.setProperty("--cut", `${share}%`);
    this.range.value = share;
  }

  drag(event) {
    const box = this.wipe.getBoundingClientRect();
    this.cut(Math.round(Math.min(100, Math.max(0, (100 * (event.clientX - box.left)) / box.width))));
  }

  key(event) {
    if (event.target === this.range || event.target.tagName === "SELECT" || event.target.type === "radio") return;
    if (event.key === "ArrowLeft") this.step(-1);
    if (event.key === "ArrowRight") this.step(1);
  }

  step(by) {
    this.image = (this.image + by + this.count) % this.count;
    this.draw();
  }

  draw() {
    for (const [side, source] of Object.entries(this.sides)) {
      strip(this.canvases[side], source, kindFor(source, this.kind), [this.image]);
      this.tags[side].textContent = sourceName(source);
    }
    const known = [["left", this.sides.a], ["right", this.sides.b]].filter(([, id]) => runs.has(id));
    this.place.textContent = [`image ${this.image + 1} of ${this.count}`,
      ...known.map(([side, id]) => `${side}: ${quality(runs.get(id))} over all held-out images`)].join("; ");
  }
}

byId("viewer").addEventListener("click", (event) => { if (event.target === byId("viewer")) byId("viewer").close(); });
