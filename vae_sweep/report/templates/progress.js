// Pictures over the training: a row per run, a slider over the steps; above everything else while runs still train.

const MOST_ROWS = 12;

function drawProgress() {
  const known = data.runs.filter((run) => run.pictures.includes("progress"));
  if (!known.length) return;
  const now = known.filter((run) => run.status === "running");
  if (now.length) whenSeen(byId("progress-now"), () => progressRows(byId("progress-now"), now, "While it trains"));
  whenSeen(byId("progress"), () => progressRows(byId("progress"), known, "Pictures over the training"));
}

function progressRows(root, known, title) {
  const shown = spread(known, MOST_ROWS), at = el("span", { role: "status" });
  const rows = shown.map((run) => ({ run, found: sheetsOf(run.id).progress, canvas: el("canvas", { role: "img", "aria-label": `${run.label} while training` }), step: el("small") }));
  const last = Math.max(...rows.map(({ found }) => found.steps.at(-1)));
  const range = el("input", { type: "range", min: 0, max: last, step: "any", value: last, "aria-label": "Step of the training", oninput: () => show(Number(range.value)) });
  const show = (step) => {
    at.textContent = `up to step ${Math.round(step)}`;
    rows.forEach((row) => showStep(row, step));
  };
  const first = el("canvas", { role: "img", "aria-label": "Originals" });
  sheetRow(first, rows[0].found.originals, 0);
  root.append(el("h3", {}, title), el("div", { class: "tools steps" }, el("label", {}, "Step", range), at),
    el("div", { class: "progress" }, el("span", {}, el("b", {}, "original")), first,
      rows.flatMap(({ run, canvas, step }) => [el("span", { style: `--c:${colourOf(run)}` }, el("b", {}, run.autoencoder ? "no KL" : weightName(run)), el("br"), run.family, step), canvas])));
  show(last);
}

// The last picture that a run had made by then.
function showStep({ found, canvas, step }, wanted) {
  const row = Math.max(0, found.steps.findLastIndex((s) => s <= wanted));
  step.textContent = ` step ${found.steps[row]}`;
  sheetRow(canvas, found.recon, row);
}

function sheetRow(canvas, sheet, row) {
  const ticket = canvas.ticket = {};
  return whenDecoded([sheet], () => {
    if (canvas.ticket !== ticket) return;
    const places = Array.from({ length: sheet.columns }, (_, column) => ({ sheet, row, column }));
    layStrip(canvas, sheet.tile, places, []);
  });
}
