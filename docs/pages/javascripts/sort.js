// Sort the tables inside an element of the class "sortable" by a click on a column's title.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll(".sortable table")) {
    table.querySelectorAll("th").forEach((title, column) => {
      title.tabIndex = 0;
      const sort = () => {
        const descending = title.getAttribute("aria-sort") === "ascending";
        table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
        title.setAttribute("aria-sort", descending ? "descending" : "ascending");
        const value = (row) => {
          const text = row.cells[column].textContent.trim();
          const number = Number.parseFloat(text.replace(/,/g, ""));
          return Number.isNaN(number) ? text : number;
        };
        const compare = (a, b) =>
          typeof a === "string" && typeof b === "string"
            ? a.localeCompare(b)
            : (typeof a === "string") - (typeof b === "string") || a - b; // "-" after numbers
        const body = table.tBodies[0];
        const rows = [...body.rows].sort((a, b) => compare(value(a), value(b)));
        body.append(...(descending ? rows.reverse() : rows));
      };
      title.addEventListener("click", sort);
      title.addEventListener("keydown", (event) => event.key === "Enter" && sort());
    });
  }
});
