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
const HELP = "Point at the face, or use the arrow keys: orange is what that position attends to more than on average, blue less.";
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const colour = (byte) => (byte < 128 ? `rgb(0 62 116 / ${((127.5 - byte) / 255).toFixed(2)})` : `rgb(242 121 0 / ${((byte - 127.5) / 160).toFixed(2)})`);
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
  const nearest = (row, column) => chosen().positions
    .map(([y, x], i) => [Math.hypot(y - row, x - column), i]).sort(([a], [b]) => a - b)[0][1];
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
    at = nearest((event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width);
    draw();
  });
  svg.addEventListener("keydown", (event) => {
    const { positions } = chosen(), row = new Set(positions.map(([, x]) => x)).size;
    const step = { ArrowUp: -row, ArrowDown: row, ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    if (at + step in positions) at += step;
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
  at = nearest(0.77, 0.5);
  draw();
  figure.querySelector(".scroll").replaceWith(panel);
}
document.querySelectorAll("figure[data-touch]").forEach(touch);
