// A small chart: two axes, linear or log, drawn again whenever its width changes.

function scale(low, high, from, to, log) {
  const f = log ? Math.log10 : (v) => v;
  const [a, b] = [f(low), f(high)];
  return (value) => from + ((f(value) - a) / (b - a || 1)) * (to - from);
}

function ticks(low, high, log, most) {
  if (log) {
    const found = [];
    const decades = Math.log10(high / low);
    const steps = decades > 3 ? [1] : decades > 1.2 ? [1, 3] : [1, 2, 3, 5, 7];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) {
      for (const s of steps) if (s * 10 ** e >= low * 0.999 && s * 10 ** e <= high * 1.001) found.push(s * 10 ** e);
    }
    return found;
  }
  const rough = (high - low) / most || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((s) => s * power).find((s) => s >= rough);
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step) found.push(Math.abs(v) < step * 1e-6 ? 0 : v);
  return found;
}

// The range of some values, padded a little; from zero if it starts near there and `zero`; positive ones only for a log axis.
function extent(values, log, zero = true) {
  const known = values.filter((v) => Number.isFinite(v) && (!log || v > 0));
  if (!known.length) return log ? [0.1, 1] : [0, 1];
  const high = known.reduce((a, b) => Math.max(a, b)); // a call takes no hundred thousand arguments
  let low = known.reduce((a, b) => Math.min(a, b));
  if (log) return low === high ? [low / 2, high * 2] : [low / 1.08, high * 1.08];
  if (zero && low > 0 && low < 0.35 * high) low = 0;
  const pad = (high - low || Math.abs(high) || 1) * 0.05;
  return [low === 0 ? 0 : low - pad, high + pad];
}

// options: {label, height, x: {title, range, log}, y: {...}, margin}; draw(g, sx, sy, size) adds the marks.
function chart(options, draw) {
  const node = el("div", { class: "chart" });
  let last = 0;
  const render = () => {
    const width = Math.min(Math.round(node.clientWidth), options.square || Infinity);
    if (!width || width === last) return;
    last = width;
    refill(node, svgChart(options, width, draw));
  };
  new ResizeObserver(render).observe(node);
  node.redraw = () => { last = 0; render(); };
  return node;
}

function svgChart(options, width, draw) {
  const { x, y } = options;
  const margin = { top: 26, right: 14, bottom: x.hidden ? 10 : 40, left: 52, ...options.margin };
  const height = options.square ? width - margin.left - margin.right + margin.top + margin.bottom : options.height || 260;
  const sx = scale(...x.range, margin.left, width - margin.right, x.log);
  const sy = scale(...y.range, height - margin.bottom, margin.top, y.log);
  const svg = el("svg", { viewBox: `0 0 ${width} ${height}`, height, style: options.square ? `width:${width}px` : null, role: options.interactive ? "group" : "img", "aria-label": options.label });
  const grid = el("g", { class: "grid" }), axis = el("g", { class: "axis" });
  for (const v of ticks(...y.range, y.log, Math.max(2, height / 55))) {
    grid.append(el("line", { x1: margin.left, x2: width - margin.right, y1: sy(v), y2: sy(v) }));
    axis.append(el("text", { x: margin.left - 6, y: sy(v) + 4, "text-anchor": "end" }, figure(v)));
  }
  if (!x.hidden) {
    for (const v of ticks(...x.range, x.log, Math.max(2, width / 110))) {
      axis.append(el("line", { x1: sx(v), x2: sx(v), y1: height - margin.bottom, y2: height - margin.bottom + 4 }));
      axis.append(el("text", { x: sx(v), y: height - margin.bottom + 17, "text-anchor": "middle" }, figure(v)));
    }
    axis.append(el("text", { x: width - margin.right, y: height - 4, "text-anchor": "end" }, x.title));
  }
  axis.append(el("line", { x1: margin.left, x2: width - margin.right, y1: height - margin.bottom, y2: height - margin.bottom }));
  axis.append(el("text", { class: "title", x: Math.max(0, margin.left - 46), y: 14 }, y.title));
  const clip = `clip${(svgChart.count = (svgChart.count || 0) + 1)}`;
  const box = document.createElementNS("http://www.w3.org/2000/svg", "clipPath");
  box.id = clip;
  box.append(el("rect", { x: margin.left, y: margin.top - 8, width: Math.max(0, width - margin.left - margin.right + 8), height: height - margin.top - margin.bottom + 9 }));
  const marks = el("g", options.clip === false ? {} : { "clip-path": `url(#${clip})` });
  svg.append(box, grid, axis, marks);
  draw(marks, sx, sy, { width, height, margin, clip: `url(#${clip})` });
  return svg;
}

const linePath = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");

// Steps and values -> path data; values that a log axis cannot show are left out.
function curvePath(steps, values, sx, sy, log) {
  return linePath(steps.map((s, i) => [s, values[i]]).filter(([, v]) => !log || v > 0).map(([s, v]) => [sx(s), sy(v)]));
}

const SHAPES = [
  (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0`,
  (r) => `M${-r},${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (r) => `M0,${-1.25 * r}L${1.15 * r},${0.85 * r}H${-1.15 * r}z`,
  (r) => `M0,${-1.35 * r}L${1.35 * r},0L0,${1.35 * r}L${-1.35 * r},0z`,
  (r) => `M0,${1.25 * r}L${1.15 * r},${-0.85 * r}H${-1.15 * r}z`,
  (r) => crossPath(r, 0.4),
  (r) => starPath(r * 1.35, 5),
  (r) => `M${-r},${-r}H${r}L${-r},${r}H${r}z`,
  (r) => starPath(r * 1.3, 4),
];

function crossPath(r, arm) {
  const a = r * arm;
  return `M${-a},${-r}H${a}V${-a}H${r}V${a}H${a}V${r}H${-a}V${a}H${-r}V${-a}H${-a}z`;
}

function starPath(r, points) {
  const corner = (i) => { const turn = (i * Math.PI) / points, reach = i % 2 ? r * 0.45 : r; return `${(reach * Math.sin(turn)).toFixed(2)},${(-reach * Math.cos(turn)).toFixed(2)}`; };
  return `M${Array.from({ length: 2 * points }, (_, i) => corner(i)).join("L")}z`;
}

const shape = (number, r) => SHAPES[number % SHAPES.length](r);
