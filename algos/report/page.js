"use strict";
// Shows the nearest value when the pointer is over a plot. The page is complete without this script.
const SVG = "http://www.w3.org/2000/svg";
const format = value => value.toLocaleString("en-US", {maximumSignificantDigits: 4});

// Returns the point nearest to a place in the SVG's pixels. Horizontal distance counts twice: people point at a time or step.
function findNearest(series, x, y) {
  let best = null;
  for (const line of series) for (const point of line.points) {
    const distance = (point[0] - x) ** 2 + 0.25 * (point[1] - y) ** 2;
    if (!best || distance < best.distance) best = {distance, point, line};
  }
  return best;
}

for (const plot of document.querySelectorAll(".plot")) {
  const svg = plot.querySelector("svg"), data = plot.querySelector("script");
  if (!svg || !data) continue;
  const {x_label, series} = JSON.parse(data.textContent);
  const tip = plot.appendChild(Object.assign(document.createElement("div"), {className: "tip"}));
  const mark = document.createElementNS(SVG, "circle");
  mark.setAttribute("class", "here");
  mark.setAttribute("r", "4");
  const hide = () => { tip.classList.remove("on"); mark.remove(); };
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("pointermove", event => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const found = findNearest(series, at.x, at.y);
    if (!found) return;
    const {point: [px, py, x, y, name], line} = found, box = plot.getBoundingClientRect();
    mark.setAttribute("cx", px);
    mark.setAttribute("cy", py);
    mark.style.stroke = `var(--${line.color})`;
    svg.appendChild(mark);
    const there = new DOMPoint(px, py).matrixTransform(svg.getScreenCTM());
    tip.textContent = name || `${line.name}: ${format(y)} at ${format(x)} ${x_label}`;
    tip.classList.add("on");
    const half = tip.offsetWidth / 2 + 4;
    tip.style.left = `${Math.min(Math.max(there.x - box.left, half), box.width - half)}px`;
    tip.style.top = `${there.y - box.top}px`;
  });
}
