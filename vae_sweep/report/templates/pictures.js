// The hero row, the morph through the weights, the matrix, and the viewer that compares two pictures under a wipe.

const KINDS = [["mean", "mean"], ["sampled", "sampled"], ["residual", "error ×3"]];
const hasPictures = (id) => runs.has(id) && runs.get(id).pictures.includes("recon") && runs.get(id).data !== null;
const quality = (run) => `${figure(run.val.psnr_mean ?? run.val.psnr)} dB`;

function nothing(node, text) { node.append(el("p", { class: "note" }, text)); }

// --- hero ------------------------------------------------------------------------------------------------------------

function drawHero() {
  const root = byId("hero");
  const shown = data.hero.runs.filter(hasPictures);
  const anchor = hasPictures(data.hero.autoencoder) ? data.hero.autoencoder : null;
  if (!shown.length && !anchor) return;
  const chosen = shown.find((id) => data.recommended.runs.includes(id));
  const columns = spread(shown, 6, chosen);
  const keep = new Set([columns[0], columns.at(-1), chosen]);
  const original = originalOf(shown[0] || anchor), indices = [0, 1, 2].filter((i) => i < imageCount(original));
  const add = (source, title, words, options = {}) => {
    const figures = indices.map((index) => {
      const canvas = el("canvas");
      strip(canvas, source, "mean", [index]);
      return el("button", { "aria-label": `Enlarge image ${index + 1}: ${title}`, onclick: () => openViewer(source, index) }, canvas);
    });
    root.append(el("figure", { class: `${options.chosen ? "chosen" : ""} ${options.extra ? "extra" : ""}`, style: options.colour ? `--c:${options.colour}` : null },
      el("figcaption", {}, el("b", {}, title), words), el("div", {}, figures)));
  };
  root.className = "hero";
  add(original, "original", "held out");
  for (const id of columns) {
    const run = runs.get(id);
    add(id, weightName(run), `${quality(run)}, ${figure(run.val.kl ?? run.train.kl)} nats`,
      { chosen: id === chosen, extra: columns.length > 3 && !keep.has(id), colour: colourOf(run) });
  }
  if (anchor) add(anchor, "no KL", `${quality(runs.get(anchor))}, autoencoder`);
}

// At most `most` of a list, evenly, with both ends and `needed`.
function spread(list, most, needed) {
  if (list.length <= most) return list;
  const kept = new Set(Array.from({ length: most }, (_, i) => Math.round((i * (list.length - 1)) / (most - 1))));
  const at = list.indexOf(needed);
  if (at >= 0 && !kept.has(at)) {
    const nearest = [...kept].filter((i) => i > 0 && i < list.length - 1).sort((a, b) => Math.abs(a - at) - Math.abs(b - at))[0];
    kept.delete(nearest);
    kept.add(at);
  }
  return [...kept].sort((a, b) => a - b).map((i) => list[i]);
}

// --- morph -----------------------------------------------------------------------------------------------------------

function drawMorph() {
  const root = byId("morph");
  if (!data.originals.length) return nothing(root, "No run has written its pictures yet.");
  const groups = sequences();
  if (!groups.length) return nothing(root, "No VAE has written its pictures yet.");
  let group = groups.find((g) => g.runs.some((id) => data.recommended.runs.includes(id))) || groups[0];
  let image = 0, position = Math.max(0, group.runs.findIndex((id) => data.recommended.runs.includes(id)));
  let thumbs = [];
  const thumbRow = el("div", { class: "thumbs", role: "group", "aria-label": "Held-out images" });
  const panes = [["original", "original"], ["mean", "from the mean of the code"], ["sampled", "from a sampled code"], ["residual", "error of the mean, ×3"]]
    .map(([kind, title]) => ({ kind, canvas: el("canvas", { role: "img", "aria-label": title }), title }));
  const range = el("input", { type: "range", min: 0, step: "any", "aria-label": "KL weight", id: "weight-slider", oninput: () => { position = Number(range.value); update(); } });
  range.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -Infinity, End: Infinity }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    position = Math.min(group.runs.length - 1, Math.max(0, (move > 0 ? Math.floor(position + 1e-9) : Math.ceil(position - 1e-9)) + move));
    update();
  });
  const tickRow = el("div", { class: "ticks", "aria-hidden": "true" });
  const readout = el("p", { class: "readout", id: "readout", role: "status" });
  const play = el("button", { class: "plain", onclick: () => (timer ? stop() : start()) }, "play");
  let timer = null, direction = 1;
  const stop = () => { clearInterval(timer); timer = null; play.textContent = "play"; };
  const start = () => {
    play.textContent = "pause";
    timer = setInterval(() => {
      position += direction * 0.04;
      if (position >= group.runs.length - 1 || position <= 0) direction = -direction;
      position = Math.min(group.runs.length - 1, Math.max(0, position));
      update();
    }, 40);
  };
  const tools = el("div", { class: "tools" });
  if (groups.length > 1) {
    tools.append(picker("Curve", groups.map((g, i) => [String(i), g.name]), String(groups.indexOf(group)), (value) => { group = groups[value]; lay(); }));
  }
  if (group.runs.length > 1) tools.append(play);
  root.append(tools, thumbRow,
    el("div", { class: "stage" }, panes.map((p) => el("figure", {}, p.canvas, el("figcaption", {}, p.title)))),
    el("div", { class: "ruler", hidden: group.runs.length < 2 }, range, tickRow), readout);

  function lay() {
    range.max = group.runs.length - 1;
    position = Math.min(position, group.runs.length - 1);
    const original = originalOf(group.runs[0]);
    image = Math.min(image, imageCount(original) - 1);
    thumbs = Array.from({ length: imageCount(original) }, (_, index) => {
      const canvas = el("canvas");
      strip(canvas, original, "mean", [index]);
      return el("button", { "aria-label": `Image ${index + 1}`, onclick: () => { image = index; update(); } }, canvas);
    });
    thumbRow.replaceChildren(...thumbs);
    const crowded = group.runs.length > 14 || innerWidth < 500 && group.runs.length > 7;
    const named = new Set(crowded ? spread(group.runs, innerWidth < 500 ? 5 : 10) : group.runs);
    tickRow.replaceChildren(...group.runs.map((id, i) => el("span", { style: `left:${(100 * i) / Math.max(1, group.runs.length - 1)}%;--c:${colourOf(runs.get(id))}` },
      named.has(id) ? (runs.get(id).autoencoder ? "no KL" : weightName(runs.get(id))) : "\u00a0")));
    update();
  }
  let drawing = Promise.resolve();
  function update() {
    range.value = position;
    thumbs.forEach((t, i) => t.setAttribute("aria-pressed", String(i === image)));
    const here = Math.floor(position), share = position - here;
    const run = runs.get(group.runs[Math.round(position)]);
    const between = share > 0.02 && share < 0.98;
    range.setAttribute("aria-valuetext", `weight ${weightName(run)}`);
    readout.replaceChildren(...(between
      ? [el("span", {}, "between ", el("b", {}, weightName(runs.get(group.runs[here]))), " and ", el("b", {}, weightName(runs.get(group.runs[here + 1]))), ": a blend for the eye")]
      : [["weight ", weightName(run)], ["rate ", `${figure(run.val.kl)} nats`], ["held-out error ", figure(run.val.sse ?? run.val.recon)], ["", quality(run)], ["units ", run.val.active_units === null ? "–" : `${run.val.active_units}/${run.latent}`]]
          .map(([name, value]) => el("span", {}, name, el("b", {}, value)))));
    const [from, to] = [group.runs[here], group.runs[Math.min(here + 1, group.runs.length - 1)]];
    const original = originalOf(from), [w, h] = tileSize(from);
    drawing = drawing.then(async () => {
      for (const { kind, canvas } of panes) {
        const [a, b] = [el("canvas"), el("canvas")];
        const one = kind === "original" ? original : from, two = kind === "original" ? original : to;
        await strip(a, one, kindFor(one, kind), [image]);
        if (share) await strip(b, two, kindFor(two, kind), [image]);
        if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
        const context = canvas.getContext("2d");
        context.globalAlpha = 1;
        context.drawImage(a, 0, 0);
        if (share) { context.globalAlpha = share; context.drawImage(b, 0, 0); }
      }
    });
  }
  lay();
}

// An autoencoder has no sampled code, an original neither code nor error: they stand as they are.
const kindFor = (source, kind) => (isOriginal(source) || (kind === "sampled" && !locate(source, "sampled", 0)) ? "mean" : kind);

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

// --- matrix ----------------------------------------------------------------------------------------------------------

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

// --- viewer ----------------------------------------------------------------------------------------------------------

function openViewer(source, index) {
  const dialog = byId("viewer");
  const original = originalOf(source), count = imageCount(source);
  const own = data.runs.filter((run) => hasPictures(run.id) && run.data === dataOf(source)).map((run) => run.id);
  const options = [original, ...(data.originals[dataOf(source)].hasMean ? [meanImageOf(source)] : []), ...own].map((id) => [id, sourceName(id)]);
  const state = { a: original, b: source, image: index, kind: "mean", cut: 50 };
  if (isOriginal(source)) state.b = data.hero.runs.filter((id) => own.includes(id)).at(-1) || own.at(-1);
  const [a, b] = [el("canvas"), el("canvas")];
  const tags = [el("span", { class: "tag a" }), el("span", { class: "tag b" })];
  const wipe = el("div", { class: "wipe" }, a, b, el("div", { class: "edge" }), tags);
  const range = el("input", { type: "range", min: 0, max: 100, step: 1, value: 50, "aria-label": "Wipe between the two pictures", id: "wipe-slider", oninput: () => { state.cut = Number(range.value); cut(); } });
  const place = el("span", { role: "status" });
  const cut = () => { wipe.style.setProperty("--cut", `${state.cut}%`); range.value = state.cut; };
  const drag = (event) => {
    if (event.type === "pointermove" && !event.buttons) return;
    const box = wipe.getBoundingClientRect();
    state.cut = Math.round(Math.min(100, Math.max(0, (100 * (event.clientX - box.left)) / box.width)));
    cut();
  };
  wipe.addEventListener("pointerdown", (event) => { wipe.setPointerCapture(event.pointerId); drag(event); });
  wipe.addEventListener("pointermove", drag);
  const draw = () => {
    strip(a, state.a, kindFor(state.a, state.kind), [state.image]);
    strip(b, state.b, kindFor(state.b, state.kind), [state.image]);
    tags[0].textContent = sourceName(state.a);
    tags[1].textContent = sourceName(state.b);
    const known = [["left", state.a], ["right", state.b]].filter(([, id]) => runs.has(id));
    place.textContent = [`image ${state.image + 1} of ${count}`, ...known.map(([side, id]) => `${side}: ${quality(runs.get(id))} over all held-out images`)].join("; ");
    cut();
  };
  const step = (by) => { state.image = (state.image + by + count) % count; draw(); };
  dialog.replaceChildren(
    el("div", { class: "bar" },
      picker("left", options, state.a, (value) => { state.a = value; draw(); }),
      picker("right", options, state.b, (value) => { state.b = value; draw(); }),
      segments("", KINDS, state.kind, (value) => { state.kind = value; draw(); }),
      el("button", { class: "plain", onclick: () => dialog.close() }, "close")),
    wipe,
    el("div", { class: "foot" }, range),
    el("div", { class: "foot" }, el("button", { class: "plain", onclick: () => step(-1) }, "previous"), el("button", { class: "plain", onclick: () => step(1) }, "next"), place));
  dialog.onkeydown = (event) => {
    if (event.target === range || event.target.tagName === "SELECT" || event.target.type === "radio") return;
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  };
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
  draw();
  dialog.showModal();
  range.focus();
}
