// The held-out error, split four ways: one stacked bar per weight, one group per curve.

const PART_NAMES = { capacity: "capacity", pressure: "KL pressure", sampling: "sampling noise", generalisation: "generalisation" };

function drawGaps() {
  const root = byId("gaps");
  if (!data.gaps.length) return nothing(root, "No run has been evaluated on both splits yet.");
  const all = data.gaps.flatMap((group) => group.bars);
  const top = Math.max(...all.map((bar) => data.gapParts.reduce((total, part) => total + Math.max(0, bar[part]), 0)));
  root.append(el("div", { class: "key" }, data.gapParts.map((part) => el("span", {}, el("i", { style: `--c:var(--gap-${part})` }), PART_NAMES[part]))),
    el("div", { class: "columns" }, data.gaps.map((group) => el("div", {}, group.name && el("h3", {}, group.name), el("div", { class: "bars" }, group.bars.map((bar) => gapBar(bar, top)))))));
  const references = [...new Set(all.map((bar) => bar.reference))];
  const negative = all.some((bar) => data.gapParts.some((part) => bar[part] < 0));
  root.append(el("p", { class: "note" }, `Summed squared error per held-out image, mean over the seeds. Capacity is the training error of ${references.join("; ")}.`,
    negative ? " A part below zero is drawn as nothing; point at the bar for its figure." : ""));
}

function gapBar(bar, top) {
  const name = bar.weight === null ? "no KL" : figure(bar.weight, 4);
  const words = data.gapParts.map((part) => `${PART_NAMES[part]} ${figure(bar[part])}`).join(", ");
  const colour = bar.weight === null ? "var(--soft)" : `var(--w${data.weights.indexOf(bar.weight)})`;
  const total = data.gapParts.reduce((sum, part) => sum + bar[part], 0);
  const track = el("span", { class: "bar-track" }, data.gapParts.map((part) => el("span", { style: `width:${(100 * Math.max(0, bar[part])) / top}%;background:var(--gap-${part})` })));
  const node = el("div", { class: "bar-row", role: "img", "aria-label": `${name}: ${words}; ${figure(total)} in all` },
    el("span", { class: "bar-name", style: `--c:${colour}` }, name), track, el("span", { class: "bar-total" }, figure(total)));
  node.addEventListener("pointerenter", () => showTip(track, el("b", {}, name), data.gapParts.map((part) => el("div", {}, `${PART_NAMES[part]} ${figure(bar[part])}`))));
  node.addEventListener("pointerleave", hideTip);
  return node;
}
