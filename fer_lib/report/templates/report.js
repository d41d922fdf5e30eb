"use strict";
// Mark the section that is being read.
const links = new Map([...document.querySelectorAll("nav a[href^='#']")].map((a) => [a.hash.slice(1), a]));
const mark = () => {
  const passed = [...links.keys()].filter((id) => document.getElementById(id).getBoundingClientRect().top < innerHeight / 3);
  for (const [id, a] of links) id === (passed.at(-1) ?? "help") ? a.setAttribute("aria-current", "true") : a.removeAttribute("aria-current");
};
if (links.size) addEventListener("scroll", mark, { passive: true }), mark();

// Attention to touch: point at a face, or move with the arrow keys, and see what that position attends to.
const SIDE = 320, NS = "http://www.w3.org/2000/svg";
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const colour = (byte) => (byte < 128 ? `rgb(0 62 116 / ${((127.5 - byte) / 255).toFixed(2)})` : `rgb(242 121 0 / ${((byte - 127.5) / 160).toFixed(2)})`);

function select(form, label, names) {
  const element = document.createElement("select"), wrapper = document.createElement("label");
  wrapper.append(`${label} `, element);
  form.append(wrapper);
  const fill = (texts) => element.replaceChildren(...texts.map((text, i) => new Option(text, i)));
  fill(names);
  return Object.assign(element, { fill });
}

function shape(svg, name, attributes) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  svg.append(element);
  return element;
}

function touch(figure) {
  const { faces, networks } = JSON.parse(figure.dataset.touch);
  const form = document.createElement("form"), status = document.createElement("p"), svg = document.createElementNS(NS, "svg");
  const network = select(form, "Network", networks.map((n) => n.name));
  const block = select(form, "Block", networks[0].blocks.map((b) => b.name));
  const face = select(form, "Face", faces.map((f) => f.name));
  let at = 0;
  for (const [key, value] of Object.entries({ viewBox: `0 0 ${SIDE} ${SIDE}`, tabindex: 0, role: "img", class: "touch" })) svg.setAttribute(key, value);
  status.setAttribute("aria-live", "polite");
  const help = document.createElement("p");
  help.textContent = "Point at the face, or use the arrow keys: orange is what that position attends to more than on average, blue less.";
  const chosen = () => networks[network.value].blocks[block.value];

  function draw() {
    const { positions, keys: [rows, columns], maps } = chosen(), size = rows * columns;
    const start = (face.value * positions.length + at) * size, map = bytes(maps).subarray(start, start + size);
    svg.replaceChildren();
    shape(svg, "image", { href: faces[face.value].image, width: SIDE, height: SIDE, preserveAspectRatio: "none" });
    map.forEach((byte, i) => shape(svg, "rect", {
      x: ((i % columns) * SIDE) / columns, y: (Math.floor(i / columns) * SIDE) / rows,
      width: SIDE / columns, height: SIDE / rows, fill: colour(byte),
    }));
    const few = positions.length < 10;
    positions.forEach(([y, x], i) => (few || i === at) && shape(svg, "circle", { cx: x * SIDE, cy: y * SIDE, r: 9, class: i === at ? "query" : "other" }));
    const strongest = map.indexOf(Math.max(...map)), row = Math.floor(strongest / columns) + 1;
    const [y, x] = positions[at].map((part) => Math.round(100 * part));
    status.textContent = map.some((byte) => byte > 0)
      ? `The position ${x} % from the left and ${y} % from the top attends most to row ${row} of ${rows}, column ${(strongest % columns) + 1} of ${columns}.`
      : `The position ${x} % from the left and ${y} % from the top attends to nothing.`;
    svg.setAttribute("aria-label", `${faces[face.value].name}, ${networks[network.value].name}, ${chosen().name}. ${status.textContent}`);
  }

  const nearest = (y, x) => chosen().positions.reduce((best, p, i, all) =>
    Math.hypot(p[0] - y, p[1] - x) < Math.hypot(all[best][0] - y, all[best][1] - x) ? i : best, 0);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    at = nearest((event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width);
    draw();
  });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    // The nearest position that lies in the direction of the key.
    const here = chosen().positions[at], ahead = chosen().positions.map((p, i) => {
      const [dy, dx] = [p[0] - here[0], p[1] - here[1]], along = dy * step[0] + dx * step[1];
      return [along > 1e-6 ? along + 2 * Math.abs(dy * step[1] + dx * step[0]) : Infinity, i];
    }).sort((a, b) => a[0] - b[0])[0];
    if (ahead[0] < Infinity) at = ahead[1];
    draw();
  });
  network.addEventListener("change", () => { block.fill(networks[network.value].blocks.map((b) => b.name)); at = 0; draw(); });
  block.addEventListener("change", () => { at = 0; draw(); });
  face.addEventListener("change", draw);
  at = nearest(0.77, 0.5);
  draw();
  const still = document.createElement("details"), summary = document.createElement("summary");
  summary.textContent = "The static figure";
  const picture = figure.querySelector(".scroll");
  picture.replaceWith(form, help, svg, status, still);
  still.append(summary, picture);
}
document.querySelectorAll("figure[data-touch]").forEach(touch);
