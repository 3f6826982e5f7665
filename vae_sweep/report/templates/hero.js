// The same images through every weight, beside the answer.

function drawHero() {
  const root = byId("hero");
  const shown = data.hero.runs.filter(hasPictures);
  const anchor = hasPictures(data.hero.autoencoder) ? data.hero.autoencoder : null;
  const stops = pictured().filter((run) => run.id === data.hero.model).flatMap((run) => modelStops(run).toReversed());
  if (!shown.length && !anchor && !stops.length) return;
  const chosen = shown.find((id) => data.recommended.runs.includes(id));
  const columns = spread(shown, 6, chosen);
  const original = originalOf(shown[0] || anchor || stops[0].source), indices = [0, 1, 2].filter((i) => i < imageCount(original));
  const add = (source, title, words, options = {}) => {
    const figures = indices.map((index) => {
      const canvas = el("canvas");
      strip(canvas, source, "mean", [index]);
      return el("button", { "aria-label": `Enlarge image ${index + 1}: ${title}`, onclick: () => openViewer(source, index) }, canvas);
    });
    root.append(el("figure", { class: options.chosen ? "chosen" : null, style: options.colour ? `--c:${options.colour}` : null },
      el("figcaption", {}, el("b", {}, title), words.map((line) => el("span", {}, line))), el("div", {}, figures)));
  };
  root.className = "hero";
  add(original, "original", ["held out"]);
  for (const id of columns) {
    const run = runs.get(id);
    add(id, weightName(run), [quality(run), `${figure(run.val.kl ?? run.train.kl)} nats`],
      { chosen: id === chosen, colour: colourOf(run) });
  }
  for (const stop of spread(stops, 6, stops.find(isAdvised))) {
    const { rate, distortion } = stop.at.val || {};
    add(stop.source, stop.name, [errorOf(stop.source, distortion).join(" "), `${figure(rate)} nats`], { chosen: isAdvised(stop), colour: stop.colour });
  }
  if (anchor) add(anchor, "no KL", [quality(runs.get(anchor)), "autoencoder"]);
}
