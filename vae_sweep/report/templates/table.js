// The run table: sort by a column, filter by words.

const sortKey = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();

function enliven() {
  const table = byId("table");
  if (!table) return;
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((h) => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const numeric = head.dataset.numeric === "1", sign = down ? -1 : 1;
    const rows = [...body.rows].map((row) => [sortKey(row, column), row]);
    rows.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === ""); // unknown values last, both ways
      return sign * (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
    });
    body.append(...rows.map(([, row]) => row));
  }));
  const filter = byId("filter"), counter = byId("filter-count");
  const texts = new Map([...body.rows].map((row) => [row, [...row.cells].slice(0, -1).map((c) => c.textContent).join(" ").toLowerCase()]));
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.rows) {
      row.hidden = !words.every((word) => texts.get(row).includes(word));
      shown += !row.hidden;
    }
    counter.textContent = `${shown} of ${body.rows.length} ${body.rows.length === 1 ? "run" : "runs"}`;
  });
}
