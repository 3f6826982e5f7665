// The held-out error of every run, split four ways: one stacked bar per run.

const PART_NAMES = { capacity: "capacity", pressure: "KL pressure", sampling: "sampling noise", generalisation: "generalisation" };

function drawGaps() {
  const root = byId("gaps");
  if (!data.gaps.length) return nothing(root, "No run has been evaluated on both splits yet.");
  const sum = (gap) => data.gapParts.reduce((total, part) => total + Math.max(0, gap[part]), 0);
  const top = Math.max(...data.gaps.map(sum));
  const references = [...new Set(data.gaps.map((gap) => gap.reference))];
  const rows = data.gaps.map((gap) => {
    const run = runs.get(gap.run);
    const bars = data.gapParts.map((part) => el("span", { style: `width:${(100 * Math.max(0, gap[part])) / top}%;background:var(--gap-${part})`, title: `${PART_NAMES[part]}: ${figure(gap[part])}` }));
    const words = data.gapParts.map((part) => `${PART_NAMES[part]} ${figure(gap[part])}`).join(", ");
    const total = data.gapParts.reduce((t, part) => t + gap[part], 0);
    return el("div", { class: "bar-row", role: "img", "aria-label": `${run.label}: ${words}` }, el("span", { class: "bar-name" }, run.label), el("span", { class: "bar-track" }, bars), el("span", { class: "bar-total" }, figure(total)));
  });
  const bars = el("div", { class: "bars" }, rows);
  root.append(el("div", { class: "key" }, data.gapParts.map((part) => el("span", {}, el("i", { style: `--c:var(--gap-${part})` }), PART_NAMES[part]))));
  root.append(rows.length > 40 ? el("details", {}, el("summary", {}, `all ${rows.length} runs`), bars) : bars);
  root.append(el("p", { class: "note" }, `Summed squared error per held-out image. Capacity is the training error of: ${references.join("; ")}. Parts below zero are drawn as nothing.`));
}
