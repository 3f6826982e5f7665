// Data, elements, numbers and pictures: what every other part of the page uses.

const data = JSON.parse(document.getElementById("data").textContent);
const runs = new Map(data.runs.map((run) => [run.id, run]));
const byId = (id) => document.getElementById(id);

// el("p", {class: "note"}, "text", child): text is always text, never markup.
function el(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "line", "path", "circle", "text", "rect", "title"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...present(children));
  return node;
}

// The DOM would write null, undefined and false out as words.
const present = (children) => children.flat().filter((child) => child !== null && child !== undefined && child !== false);

// Children, as of el(), in place of all that a node held.
function refill(node, ...children) {
  node.replaceChildren(...present(children));
  forgetRemoved();
}

// 152.3 -> "152", 0.0631 -> "0.0631", 1234567 -> "1.23e+6", null -> "–": the same rule as words.figure
function figure(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const rounded = Number(value.toPrecision(digits)), size = Math.abs(rounded);
  if (size >= 1000 && size < 1e6) return Math.round(value).toLocaleString("en");
  return size >= 1e6 || (size && size < 1e-4) ? rounded.toExponential() : String(rounded);
}

const colourOf = (run) => (run && run.colour !== null ? `var(--w${run.colour})` : "var(--soft)");
const weightName = (run) => (run.autoencoder ? "autoencoder" : run.multiRate ? "all weights" : figure(run.weight, 4));

// One choice of several, as radio buttons that look like one control.
function segments(legend, options, chosen, onchange) {
  const name = `s${(segments.count = (segments.count || 0) + 1)}`;
  const labels = options.map(([value, text]) =>
    el("label", {}, el("input", { type: "radio", name, value, checked: value === chosen, onchange: () => onchange(value) }), text));
  return el("fieldset", {}, el("legend", {}, legend), el("div", { class: "segments" }, labels));
}

function picker(label, options, chosen, onchange) {
  const select = el("select", { onchange: () => onchange(select.value) },
    options.map(([value, text]) => el("option", { value, selected: value === chosen }, text)));
  return el("label", {}, label, select);
}

// Draw when it comes near the screen, once; and before printing. A node that leaves the page waits no more.
const waiting = new Map();
const nearScreen = new IntersectionObserver((entries) => entries.forEach(({ isIntersecting, target }) => isIntersecting && drawNow(target)), { rootMargin: "400px" });

function whenSeen(node, draw) {
  waiting.set(node, draw);
  nearScreen.observe(node);
  return node;
}

function drawNow(node) {
  const draw = waiting.get(node);
  forget(node);
  if (draw) draw();
}

function forget(node) {
  nearScreen.unobserve(node);
  waiting.delete(node);
}

function forgetRemoved() { [...waiting.keys()].filter((node) => !node.isConnected).forEach(forget); }

function nothing(node, text) { node.append(el("p", { class: "note" }, text)); }

// At most `most` of a list, evenly, with both ends and `needed`.
function spread(list, most, needed) {
  if (list.length <= most) return list;
  const kept = new Set(Array.from({ length: most }, (_, i) => Math.round((i * (list.length - 1)) / (most - 1))));
  const at = list.indexOf(needed);
  if (at >= 0 && !kept.has(at)) {
    const nearest = [...kept].filter((i) => i > 0 && i < list.length - 1).toSorted((a, b) => Math.abs(a - at) - Math.abs(b - at))[0];
    kept.delete(nearest);
    kept.add(at);
  }
  return [...kept].toSorted((a, b) => a - b).map((i) => list[i]);
}
