// The run table: sort by a column, filter by settings and words, open a run's whole configuration.

const sortKey = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();

function enliven() {
  const table = byId("table");
  if (!table) return;
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sortBy(heads, body, column)));
  const filter = byId("filter"), counter = byId("filter-count");
  const known = new Map([...body.rows].map((row) => [row, fieldsOf(heads, row)]));
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const [row, fields] of known) row.hidden = !words.every((word) => matches(word, fields));
    const shown = [...known.keys()].filter((row) => !row.hidden).length;
    counter.textContent = `${shown} of ${known.size} ${known.size === 1 ? "run" : "runs"}`;
  });
  body.addEventListener("click", (event) => {
    const button = event.target.closest("button.detail");
    if (button) openDetail(button.closest("tr").dataset.run);
  });
}

function sortBy(heads, body, column) {
  const head = heads[column], down = head.getAttribute("aria-sort") === "ascending";
  heads.forEach((h) => h.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const numeric = head.dataset.numeric === "1", sign = down ? -1 : 1;
  const rows = [...body.rows].map((row) => [sortKey(row, column), row]).toSorted(([a], [b]) => {
    if (a === "" || b === "") return (a === "") - (b === ""); // unknown values last, both ways
    return sign * (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
  });
  body.append(...rows.map(([, row]) => row));
}

// What a filter looks at: the settings by name, exactly; the words of the status and the verdict.
function fieldsOf(heads, row) {
  const settings = new Map();
  let words = "";
  heads.forEach((head, column) => {
    const text = row.cells[column].textContent.trim().toLowerCase();
    if (head.dataset.setting) settings.set(head.dataset.setting.toLowerCase(), text);
    else if (head.dataset.words) words += ` ${text}`;
  });
  return { settings, words };
}

// "kl_weight=0.1" and "0.1" want a setting of that very value; another word is looked for in settings, status and verdict.
function matches(word, { settings, words }) {
  const [name, value] = word.split(/=(.*)/s);
  if (value !== undefined) return [...settings].some(([key, own]) => (key === name || key.endsWith(`.${name}`)) && same(own, value));
  if (Number.isFinite(Number(word))) return [...settings.values()].some((own) => same(own, word));
  return words.includes(word) || [...settings.values()].some((own) => own.includes(word));
}

const same = (own, wanted) => own === wanted || (own !== "" && wanted !== "" && Number(own) === Number(wanted));

// A run's whole configuration and where it lies, those settings first that tell it from other runs.
function openDetail(id) {
  const dialog = byId("detail"), run = runs.get(id), { common, own } = data.settings;
  const lines = (settings) => el("dl", { class: "provenance" }, Object.entries(settings).map(([key, value]) =>
    el("div", {}, el("dt", {}, el("code", {}, key)), el("dd", {}, el("code", {}, value === null ? "null" : String(value))))));
  refill(dialog, el("div", { class: "bar" }, el("h2", {}, run.label), el("button", { class: "plain", onclick: () => dialog.close() }, "close")),
    el("p", {}, `${run.status}: ${run.verdict}`), run.kept ? el("p", {}, run.kept) : null, el("p", {}, el("code", {}, run.folder)),
    el("h3", {}, "What tells it from the other runs"), lines(own[id] || {}), el("h3", {}, "The same in all runs"), lines(common));
  dialog.showModal();
}

byId("detail").addEventListener("click", (event) => { if (event.target === byId("detail")) byId("detail").close(); });
