"""The script of a page, which draws attention. It takes its data from the page, and writes them as text alone."""

ATTENTION = """
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("attention-data").textContent);
  const [layers, heads, size] = data.shape, tokens = data.tokens;
  const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const weights = bytes(data.weights);
  const keys = data.keys ? new Uint16Array(bytes(data.keys).buffer) : null;
  const special = data.special.map(Boolean);
  const ramp = [[255, 255, 255], [198, 219, 239], [107, 174, 214], [33, 113, 181], [8, 48, 107]];
  const at = name => document.getElementById("attention-" + name);
  const state = {layer: 0, head: heads - 2, to: false, skip: false, pinned: false};
  state.token = Math.max(1, tokens.indexOf(data.mask));  // the first word, where there is no mask
  let map = null, picture = null, scale = 1;

  // What a byte stands for is in packed_maps.py.
  function unpack(layer, head, skip) {
    const found = new Float32Array(size * size), first = (layer * heads + head) * size * data.kept;
    for (let query = 0; query < size; query++) {
      for (let i = 0; i < data.kept; i++) {
        const place = first + query * data.kept + i, key = keys ? keys[place] : i;
        if (!(skip && (special[key] || special[query]))) found[query * size + key] = (weights[place] / 255) ** 2;
      }
    }
    return found;
  }

  const largest = found => found.reduce((most, one) => Math.max(most, one), 0);
  // With special tokens, colours mean the same in all maps; without them, those of each map begin at its own largest.
  const scaleOf = (found, skip) => (skip && largest(found)) || 1;

  const colors = Array.from({length: 256}, (_, i) => {
    const place = Math.min(i / 255, 0.9999) * (ramp.length - 1), stop = Math.floor(place);
    return ramp[stop].map((low, channel) => Math.round(low + (place - stop) * (ramp[stop + 1][channel] - low)));
  });
  const color = part => colors[Math.round(255 * part)];

  // A picture of a map of at most so many points a side.
  function pixels(found, most) {
    const step = Math.ceil(size / most), side = Math.ceil(size / step), top = scaleOf(found, state.skip);
    const strongest = new Float32Array(side * side);  // of the weights that share a point
    for (let query = 0; query < size; query++)
      for (let key = 0; key < size; key++) {
        const place = Math.floor(query / step) * side + Math.floor(key / step), weight = found[query * size + key];
        if (weight > strongest[place]) strongest[place] = weight;
      }
    const image = new ImageData(side, side);
    strongest.forEach((weight, place) => {
      const [red, green, blue] = color(Math.sqrt(Math.min(1, weight / top)));
      image.data[4 * place] = red;
      image.data[4 * place + 1] = green;
      image.data[4 * place + 2] = blue;
      image.data[4 * place + 3] = 255;
    });
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = side;
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  const number = weight => weight < 0.001 ? "below 0.001" : weight.toFixed(3);

  // In quotes, and apart from what is around it: it may be of another direction.
  const named = i => "\\u201c\\u2068" + tokens[i] + "\\u2069\\u201d";

  function headName(head) {
    return head < heads - 2 ? "head " + head : head === heads - 2 ? "mean of all heads" : "rollout up to here";
  }

  // The attention of the chosen token to all, or of all to it.
  function paintTokens() {
    const found = tokens.map((_, i) => state.to ? map[i * size + state.token] : map[state.token * size + i]);
    tokenSpans.forEach((span, i) => {
      const part = Math.sqrt(Math.min(1, found[i] / scale));
      span.style.backgroundColor = part > 0.03 ? "rgb(" + color(part).join() + ")" : "";
      // White letters have a contrast of 4.5 on what is darker, black ones on what is lighter.
      span.style.color = part > 0.71 ? "#fff" : part > 0.03 ? "#000" : "";
      span.classList.toggle("chosen", i === state.token);
    });
    const order = found.map((weight, i) => [weight, i]).sort((a, b) => b[0] - a[0]).slice(0, 6);
    const best = order.filter(([weight]) => weight > 0).map(([weight, i]) => named(i) + " " + number(weight));
    at("reading").textContent = named(state.token) + (state.to ? " is attended by " : " attends to ") + best.join(", ");
  }

  function paintMatrix(query, key) {
    const canvas = at("matrix"), cell = Math.max(1, Math.min(22, Math.floor(620 / size)));
    const labelled = cell >= 9, margin = labelled ? 96 : 4, side = margin + cell * size + 2;
    const sharp = window.devicePixelRatio || 1;
    canvas.width = canvas.height = side * sharp;
    canvas.style.width = canvas.style.height = side + "px";
    const draw = canvas.getContext("2d");
    draw.scale(sharp, sharp);
    draw.imageSmoothingEnabled = false;
    draw.drawImage(picture, margin, margin, cell * size, cell * size);
    draw.strokeStyle = "#999";
    draw.strokeRect(margin - 0.5, margin - 0.5, cell * size + 1, cell * size + 1);
    if (query >= 0) {
      draw.strokeStyle = "#d55e00";
      draw.strokeRect(margin - 0.5, margin + query * cell - 0.5, cell * size + 1, cell + 1);
      draw.strokeRect(margin + key * cell - 0.5, margin - 0.5, cell + 1, cell * size + 1);
    }
    if (labelled) {
      draw.font = Math.min(13, cell) + "px " + getComputedStyle(document.body).fontFamily;
      draw.fillStyle = "#222";
      draw.textBaseline = "middle";
      tokens.forEach((token, i) => {
        draw.textAlign = "right";
        draw.fillText(token, margin - 6, margin + (i + 0.5) * cell, margin - 8);
        draw.save();
        draw.translate(margin + (i + 0.5) * cell, margin - 6);
        draw.rotate(-Math.PI / 2);
        draw.textAlign = "left";
        draw.fillText(token, 0, 0, margin - 8);
        draw.restore();
      });
    }
    canvas.place = {margin, cell};
  }

  function show() {
    map = unpack(state.layer, state.head, state.skip);
    scale = scaleOf(map, state.skip);
    picture = pixels(map, size);
    at("layer").value = state.layer;
    at("head").value = state.head;
    at("title").textContent = "Layer " + state.layer + ", " + headName(state.head);
    thumbnails.forEach(({button, layer, head}) =>
      button.setAttribute("aria-pressed", layer === state.layer && head === state.head));
    paintTokens();
    paintMatrix(-1, -1);
    at("cell").textContent = "Point at a square: its row is the token that attends, its column what it attends to.";
  }

  function drawThumbnails() {
    thumbnails.forEach(({canvas, layer, head}) => {
      const small = pixels(unpack(layer, head, state.skip), 64);
      canvas.width = canvas.height = small.width;
      canvas.getContext("2d").drawImage(small, 0, 0);
    });
  }

  function option(select, value, text) {
    const one = document.createElement("option");
    one.value = value;
    one.textContent = text;
    select.append(one);
  }

  const tokenSpans = tokens.map((token, i) => {
    const span = document.createElement("bdi");
    span.className = "token";
    span.tabIndex = 0;
    span.textContent = token;
    const choose = () => { if (!state.pinned) { state.token = i; paintTokens(); } };
    span.addEventListener("mouseenter", choose);
    span.addEventListener("focus", choose);
    span.addEventListener("click", () => {
      state.pinned = !(state.pinned && state.token === i);
      state.token = i;
      paintTokens();
    });
    at("tokens").append(span, " ");
    return span;
  });
  const thumbnails = [];
  for (let layer = 0; layer < layers; layer++) {
    const row = document.createElement("tr"), name = document.createElement("th");
    name.textContent = "layer " + layer;
    row.append(name);
    for (let head = 0; head < heads; head++) {
      const cell = document.createElement("td"), button = document.createElement("button");
      const canvas = document.createElement("canvas");
      button.title = "layer " + layer + ", " + headName(head);
      button.setAttribute("aria-label", button.title);
      button.append(canvas);
      button.addEventListener("click", () => { Object.assign(state, {layer, head}); show(); });
      cell.append(button);
      row.append(cell);
      thumbnails.push({button, canvas, layer, head});
    }
    at("grid").tBodies[0].append(row);
  }
  for (let head = 0; head < heads; head++) {
    const name = document.createElement("th");
    name.textContent = head < heads - 2 ? head : head === heads - 2 ? "mean" : "rollout";
    at("grid").tHead.rows[0].append(name);
    option(at("head"), head, headName(head));
  }
  for (let layer = 0; layer < layers; layer++) option(at("layer"), layer, "layer " + layer);

  at("layer").addEventListener("change", event => { state.layer = Number(event.target.value); show(); });
  at("head").addEventListener("change", event => { state.head = Number(event.target.value); show(); });
  at("to").addEventListener("change", event => { state.to = event.target.checked; paintTokens(); });
  at("skip").addEventListener("change", event => { state.skip = event.target.checked; drawThumbnails(); show(); });
  at("matrix").addEventListener("mousemove", event => {
    const {margin, cell} = at("matrix").place;
    const key = Math.floor((event.offsetX - margin) / cell), query = Math.floor((event.offsetY - margin) / cell);
    if (key < 0 || query < 0 || key >= size || query >= size) return;
    paintMatrix(query, key);
    const weight = map[query * size + key];
    at("cell").textContent = named(query) + " \\u2192 " + named(key) + ": "
      + (weight || !keys ? number(weight) : "not among the largest weights of this row");
  });
  drawThumbnails();
  show();
})();
"""
