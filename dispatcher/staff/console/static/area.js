// The map is pressable and a large one can be drawn on. It only ticks the boxes and fills the fields that stand there without it.
"use strict";
(() => {
  const form = document.getElementById("area-form");
  if (!form) return;
  const changed = (box) => box.dispatchEvent(new Event("input", { bubbles: true }));

  function toggle(code) {
    const box = document.getElementById(`c${code}`);
    if (!box) return;
    box.checked = !box.checked;
    const group = box.closest("details");
    if (group) group.open = true;
    changed(box);
  }
  form.querySelector(".map")?.addEventListener("click", (event) => {
    const shape = event.target.closest("path[id^=m],text[id^=n]");
    if (shape) toggle(shape.id.slice(1));
  });
  form.classList.add("has-script");

  function count() {
    for (const group of form.querySelectorAll("details[data-group]")) {
      const boxes = [...group.querySelectorAll("input[name=area]")];
      const words = group.querySelector("[data-count]");
      words.textContent = words.textContent.replace(/^\d+ \/ \d+/, `${boxes.filter((b) => b.checked).length} / ${boxes.length}`);
    }
  }
  form.addEventListener("input", count);

  // Buttons that only tick boxes need no new page.
  form.addEventListener("click", (event) => {
    const button = event.target.closest("button[name=_change]");
    if (!button) return;
    const [what, group] = button.value.split(":");
    const boxes = [...form.querySelectorAll("input[name=area]")];
    const some = { all: boxes, none: boxes, group: boxes.filter((b) => b.closest("details").dataset.group === group), ungroup: boxes.filter((b) => b.closest("details").dataset.group === group) }[what];
    if (!some) return;
    event.preventDefault();
    for (const box of some) box.checked = what === "all" || what === "group";
    changed(boxes[0]);
  });

  // -- the large map ---------------------------------------------------------------------------------------------------
  const opener = document.getElementById("open-large");
  if (!opener) return;
  opener.hidden = false;
  let map, layer, drawn, kind = "polygon", points = [];

  const load = (tag, from) => new Promise((done, failed) => {
    const element = document.createElement(tag);
    Object.assign(element, tag === "link" ? { rel: "stylesheet", href: from } : { src: from });
    element.onload = done;
    element.onerror = failed;
    document.head.append(element);
  });

  opener.addEventListener("click", async () => {
    const large = document.getElementById("large");
    large.hidden = !large.hidden;
    opener.setAttribute("aria-expanded", String(!large.hidden));
    if (map || large.hidden) return;
    await Promise.all([load("link", opener.dataset.css), load("script", opener.dataset.js)]);
    const cells = await (await fetch(opener.dataset.geojson)).json();
    map = L.map("large-map", { attributionControl: false, zoomSnap: 0.25, doubleClickZoom: false });
    layer = L.geoJSON(cells, { style: style, onEachFeature: (cell, shape) => shape.bindTooltip(cell.properties.name) }).addTo(map);
    map.fitBounds(layer.getBounds());
    map.on("click", (event) => add(event.latlng));
    layer.on("click", (event) => { L.DomEvent.stop(event); add(event.latlng); });
    form.addEventListener("input", () => layer.setStyle(style));
  });

  function style(cell) {
    const isOn = document.getElementById(`c${cell.id}`)?.checked;
    return { className: isOn ? "cell on" : "cell", weight: 1, fillOpacity: isOn ? 0.75 : 0.25, color: "#4a4f58", fillColor: isOn ? "#15171b" : "#c2c6cc" };
  }
  const said = (p) => `${p.lat.toFixed(6)},${p.lng.toFixed(6)}`;

  function add(point) {
    if (kind === "circle" && points.length === 2) points = [];
    points.push(point);
    show();
  }
  function show() {
    drawn?.remove();
    const ink = { color: "#a1101d", weight: 3, fill: false };
    if (kind === "polygon") {
      drawn = (points.length > 2 ? L.polygon(points, ink) : L.polyline(points, ink)).addTo(map);
      const field = document.getElementById("polygon");
      field.value = points.map(said).join("\n");
      field.closest("details").open = true;
    } else if (points.length) {
      const radius = points.length === 2 ? Math.max(1, Math.round(map.distance(points[0], points[1]))) : Number(document.getElementById("radius_m").value) || 500;
      drawn = L.circle(points[0], { ...ink, radius }).addTo(map);
      const centre = document.getElementById("centre");
      let option = [...centre.options].find((o) => o.value.includes(","));
      if (!option) centre.append((option = new Option()));
      option.value = option.textContent = said(points[0]);
      option.selected = true;
      document.getElementById("radius_m").value = radius;
      centre.closest("details").open = true;
    }
  }
  document.getElementById("large").addEventListener("click", (event) => {
    const what = event.target.closest("[data-draw]")?.dataset.draw;
    if (!what) return;
    if (what === "undo") { points.pop(); return show(); }
    kind = what;
    points = [];
    for (const button of document.querySelectorAll("[data-draw][aria-pressed]")) button.setAttribute("aria-pressed", String(button.dataset.draw === kind));
    show();
  });
})();
