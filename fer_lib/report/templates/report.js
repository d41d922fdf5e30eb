"use strict";
// Sort a table by a click on a header; a cell without a value comes last.
const number = (text) => parseFloat(text.replaceAll(/[,<\s]/g, "").replace("−", "-"));
const compare = (a, b, sign) => (isNaN(a) ? 1 : isNaN(b) ? -1 : sign * (a - b));
const order = (a, b, sign) => sign * a.localeCompare(b, "en", { numeric: true });
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const th = button.parentElement, body = th.closest("table").tBodies[0];
    const sign = th.getAttribute("aria-sort") === "ascending" ? -1 : 1, numeric = th.classList.contains("number");
    for (const other of th.parentElement.cells) other.removeAttribute("aria-sort");
    th.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const text = (row) => row.cells[th.cellIndex].textContent.trim();
    const by = (a, b) => (numeric ? compare(number(text(a)), number(text(b)), sign) : order(text(a), text(b), sign));
    body.append(...[...body.rows].sort(by));
  });
}
// A figure's full size, from the page itself: the file need not be beside it.
const dialog = document.querySelector("dialog");
dialog?.addEventListener("click", () => dialog.close());
for (const link of document.querySelectorAll("a.zoom")) {
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const { src, alt } = link.querySelector("img");
    Object.assign(dialog.querySelector("img"), { src, alt });
    dialog.showModal();
  });
}
