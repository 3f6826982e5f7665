// Every run's pictures: a row per weight, a column per curve.

function drawMatrix() {
  const root = byId("matrix"), { matrix } = data;
  if (!data.originals.length) return nothing(root, "No picture to show.");
  let kind = "mean", seed = matrix.seeds[0], first = 0;
  const columns = matrix.columns, count = Math.min(...data.originals.map((sheet) => sheet.count));
  const fits = () => Math.max(1, Math.min(count, Math.floor((root.clientWidth || 800) / columns.length / (innerWidth < 720 ? 62 : 110))));
  const grid = el("div", { class: "matrix" });
  const tools = el("div", { class: "tools" }, segments("Show", [...KINDS, ["all", "all three"]], kind, (value) => { kind = value; fill(); }));
  if (matrix.seeds.length > 1) tools.append(picker("Seed", matrix.seeds.map((s) => [s, s]), seed, (value) => { seed = value; fill(); }));
  if (count > fits()) {
    tools.append(el("button", { class: "plain", onclick: () => { first = (first + fits()) % count; fill(); } }, "other images"));
  }
  root.append(tools, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Reconstructions of every run" }, grid));

  function fill() {
    const m = fits();
    const indices = Array.from({ length: Math.min(m, count) }, (_, i) => (first + i) % count);
    const narrow = innerWidth < 720;
    grid.style.gridTemplateColumns = `${narrow ? "5.6rem" : "8.5rem"} repeat(${columns.length}, minmax(${narrow ? m * 56 : m * 72}px, 1fr))`;
    const cells = [];
    if (columns.length > 1 || columns[0]) cells.push(el("div", { class: "head" }, matrix.columnTitle), ...columns.map((c) => el("div", { class: "head" }, el("b", {}, c))));
    const line = (title, words, sources, colour) => {
      cells.push(el("div", { class: "row", style: colour ? `--c:${colour}` : null }, el("b", {}, title), el("span", {}, words)));
      sources.forEach((source) => cells.push(source ? cell(source, indices, kind) : el("div", { class: "empty" }, "no run")));
    };
    const known = columns.map((_, j) => [...Object.values(matrix.cells).flatMap((row) => row[j]), ...matrix.autoencoders[j]].find(hasPictures));
    line("original", "held out", known.map((id) => id && originalOf(id)));
    if (data.originals.some((sheet) => sheet.hasMean)) line("mean image", "zero nats", known.map((id) => id && meanImageOf(id)));
    data.weights.forEach((weight, i) => line(figure(weight, 4), "weight", columns.map((_, j) => chooseSeed(matrix.cells[i][j], seed)), `var(--w${i})`));
    if (matrix.autoencoders.some((a) => a.length)) line("no KL", "autoencoder", columns.map((_, j) => chooseSeed(matrix.autoencoders[j], seed)));
    grid.replaceChildren(...cells);
  }
  fill();
}

const chooseSeed = (ids, seed) => ids.find((id) => String(runs.get(id).seed) === seed) || ids[0] || null;

function cell(source, indices, kind) {
  const run = runs.get(source);
  if (run && !hasPictures(source)) return el("div", { class: "empty" }, `${run.status}: no pictures`);
  const kinds = !run ? ["mean"] : kind === "all" ? ["mean", "sampled", "residual"] : [kind];
  const canvases = kinds.map(() => {
    const [w, h] = tileSize(source);
    return el("canvas", { width: indices.length * w, height: h });
  });
  const name = sourceName(source);
  const words = run ? `${figure(run.val.kl)} nats, ${quality(run)}` : "";
  const node = el("button", { class: "cell", "data-run": source, "aria-label": `Enlarge ${name}${words && `, ${words}`}` },
    canvases.map((canvas) => el("div", { style: "margin-bottom:2px" }, canvas)), run && el("small", {}, run.autoencoder ? quality(run) : words));
  node.addEventListener("click", (event) => {
    const box = node.getBoundingClientRect();
    const share = event.clientX ? (event.clientX - box.left) / box.width : 0;
    openViewer(source, indices[Math.min(indices.length - 1, Math.max(0, Math.floor(share * indices.length)))]);
  });
  whenSeen(node, () => canvases.forEach((canvas, i) => strip(canvas, source, kindFor(source, kinds[i]), indices)));
  return node;
}
