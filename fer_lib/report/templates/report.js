"use strict";
// Mark the section that is being read.
const links = [...document.querySelectorAll("nav a[href^='#']")];
function mark() {
  const passed = links.filter((a) => document.getElementById(a.hash.slice(1)).getBoundingClientRect().top < innerHeight / 3);
  const current = passed.at(-1) ?? links[0];
  for (const a of links) a.ariaCurrent = a === current ? "true" : null;
}
addEventListener("scroll", mark, { passive: true });
mark();

// Attention to touch: point at a face, or move with the arrow keys, and see what that position attends to.
const SIDE = 320;
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const HELP = "Point at the face, or use the arrow keys: orange is what that position attends to more than on average, blue less.";
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const colour = (byte) => (byte < 128 ? `rgb(0 62 116 / ${((127.5 - byte) / 255).toFixed(2)})` : `rgb(242 121 0 / ${((byte - 127.5) / 160).toFixed(2)})`);
const least = (items, cost) => items.reduce((best, item, i) => (cost(item) < cost(items[best]) ? i : best), 0);
const fill = (select, items) => select.replaceChildren(...items.map((item, i) => new Option(item.name, i)));

function add(parent, name, attributes = {}, text = "") {
  const element = document.createElementNS(name === "svg" ? "http://www.w3.org/2000/svg" : parent.namespaceURI, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(text);
  return parent.appendChild(element);
}

function touch(figure) {
  const { faces, networks } = JSON.parse(figure.dataset.touch);
  const panel = document.createElement("div"), form = add(panel, "form");
  const [network, block, face] = ["Network ", "Block ", "Face "].map((label) => add(add(form, "label", {}, label), "select"));
  add(panel, "p", {}, HELP);
  const svg = add(panel, "svg", { viewBox: `0 0 ${SIDE} ${SIDE}`, tabindex: 0, role: "img", class: "touch" });
  const status = add(panel, "p", { "aria-live": "polite" });
  const chosen = () => networks[network.value].blocks[block.value];
  let at = 0;

  function draw() {
    const { positions, keys: [rows, columns], maps } = chosen(), size = rows * columns;
    const start = (face.value * positions.length + at) * size, map = bytes(maps).subarray(start, start + size);
    svg.replaceChildren();
    add(svg, "image", { href: faces[face.value].image, width: SIDE, height: SIDE, preserveAspectRatio: "none" });
    const [width, height] = [SIDE / columns, SIDE / rows];
    map.forEach((byte, i) => add(svg, "rect", { x: (i % columns) * width, y: Math.floor(i / columns) * height, width, height, fill: colour(byte) }));
    positions.forEach(([y, x], i) => {
      if (positions.length < 10 || i === at) add(svg, "circle", { cx: x * SIDE, cy: y * SIDE, r: 9, class: i === at ? "query" : "other" });
    });
    const strongest = map.indexOf(Math.max(...map)), row = Math.floor(strongest / columns) + 1;
    const place = map[strongest] ? `most to row ${row} of ${rows}, column ${(strongest % columns) + 1} of ${columns}` : "to nothing";
    const [y, x] = positions[at].map((part) => Math.round(100 * part));
    status.textContent = `The position ${x} % from the left and ${y} % from the top attends ${place}.`;
    svg.ariaLabel = `${faces[face.value].name}, ${networks[network.value].name}, ${chosen().name}. ${status.textContent}`;
  }

  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const [row, column] = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
    at = least(chosen().positions, ([y, x]) => Math.hypot(y - row, x - column));
    draw();
  });
  svg.addEventListener("keydown", (event) => {
    if (!(event.key in STEPS)) return;
    event.preventDefault();
    const [down, right] = STEPS[event.key], { positions } = chosen(), here = positions[at];
    // The nearest position that lies in the direction of the key.
    const cost = (position) => {
      const [dy, dx] = [position[0] - here[0], position[1] - here[1]], along = dy * down + dx * right;
      return along > 1e-6 ? along + 2 * Math.abs(dy * right + dx * down) : Infinity;
    };
    const next = least(positions, cost);
    if (cost(positions[next]) < Infinity) at = next;
    draw();
  });
  form.addEventListener("change", (event) => {
    if (event.target === network) fill(block, networks[network.value].blocks);
    if (event.target !== face) at = 0;
    draw();
  });
  fill(network, networks);
  fill(block, networks[0].blocks);
  fill(face, faces);
  at = least(chosen().positions, ([y, x]) => Math.hypot(y - 0.77, x - 0.5));
  draw();
  figure.querySelector(".scroll").replaceWith(panel);
}
document.querySelectorAll("figure[data-touch]").forEach(touch);
