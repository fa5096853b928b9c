"use strict";
(() => {
  const { output, genes, letters } = JSON.parse(document.getElementById("data").textContent);
  if (!genes.length) return;
  const DNA = letters.input === "dna", LETTERS = letters.rows, ROWS = LETTERS.length, UNKNOWN = -32768;
  const ROW = DNA ? 17 : 13, MAP = ROWS * ROW;  // pixels
  const COMPLEMENT = { A: "T", C: "G", G: "C", T: "A", N: "N" };
  const find = (id) => document.getElementById(id);
  const main = find("main"), overview = find("overview"), tip = find("tip");
  const LEFT = 74, RIGHT = 10, NEAREST = 24, LETTERS_FROM = 7;  // pixels, pixels, letters, pixels a letter
  const TAP = 5;  // pixels by which a finger may move and still tap
  let gene, view, colours, queued = false, dragged = null, pressed = 0, hovered = null;

  const number = (value) => value.toLocaleString("en-US").replace("-", "−");
  const place = (value) => (DNA && value > 0 ? "+" : "") + number(value);
  const effect = (value) => (value > 0 ? "+" : "") + (value === 0 ? "0" : value.toPrecision(3)).replace("-", "−");

  function decode(stored) {
    if (stored.support) return stored;
    const bytes = Uint8Array.from(atob(stored.deltas), (one) => one.charCodeAt(0));
    const steps = new DataView(bytes.buffer), length = stored.letters.length;
    stored.effects = new Float64Array(ROWS * length);
    stored.support = new Float64Array(length);
    for (let at = 0; at < ROWS * length; at++) {
      const step = steps.getInt16(2 * at, true);
      stored.effects[at] = step === UNKNOWN ? NaN : step * stored.scale;
    }
    for (let at = 0; at < length; at++) {
      let sum = 0;
      for (let row = 0; row < ROWS; row++) sum += stored.effects[ROWS * at + row];
      stored.support[at] = -sum / (LETTERS.includes(stored.letters[at]) ? ROWS - 1 : ROWS);
    }
    return stored;
  }

  // The first and last base, from 1 on, of letters from..to on the + strand; null outside a linear contig. On a
  // circular one the first may lie behind the last.
  function genomic(from, to) {
    const { start, end, strand, contig, circular } = gene.place;
    const first = strand === "+" ? start + from : end - 1 - to, last = first + to - from;
    if (circular) {
      const round = (value) => ((value % contig) + contig) % contig + 1;
      return last - first + 1 < contig ? [round(first), round(last)] : [1, contig];
    }
    const inside = [Math.max(first, 0) + 1, Math.min(last, contig - 1) + 1];
    return inside[0] <= inside[1] ? inside : null;
  }

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    colours = {};
    for (const name of ["text", "soft", "line", "grid", "up", "down", "mark", "mid", "card", "a", "c", "g", "t"]) {
      colours[name] = style.getPropertyValue(`--${name}`).trim();
    }
  }

  function prepare(canvas) {
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = '12px system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif';
    return { pen, width, height };
  }

  function extremes(start, end) {
    let low = 0, high = 0;
    for (let at = Math.max(0, Math.floor(start)); at < Math.min(gene.letters.length, Math.ceil(end)); at++) {
      const value = gene.support[at];
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return low === 0 && high === 0 ? [0, 1] : [low, high];
  }

  // Highest and lowest of what falls on each pixel, so that no peak is lost.
  function bars(pen, start, end, left, width, y, least) {
    const scale = width / (end - start), base = y(0);
    if (scale >= 1) {
      for (let at = Math.max(0, Math.floor(start)); at < Math.min(gene.letters.length, Math.ceil(end)); at++) {
        const value = gene.support[at];
        if (!value) continue;
        pen.fillStyle = value > 0 ? colours.up : colours.down;
        const top = y(value), from = left + (at - start) * scale;
        pen.fillRect(from, Math.min(top, base), Math.max(scale - (scale > 3 ? 1 : 0), 0.7), Math.abs(base - top));
      }
      return;
    }
    for (let pixel = 0; pixel < width; pixel++) {
      const [low, high] = pixelExtremes(start + pixel / scale, start + (pixel + 1) / scale);
      if (high > 0) {
        pen.fillStyle = colours.up;
        pen.fillRect(left + pixel, y(high), 1, Math.max(base - y(high), least));
      }
      if (low < 0) {
        pen.fillStyle = colours.down;
        pen.fillRect(left + pixel, base, 1, Math.max(y(low) - base, least));
      }
    }
  }

  function pixelExtremes(start, end) {
    let low = 0, high = 0;
    for (let at = Math.max(0, Math.floor(start)); at < Math.min(gene.letters.length, Math.ceil(end)); at++) {
      const value = gene.support[at];
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return [low, high];
  }

  function glyph(pen, letter, left, width, from, to) {
    const measured = pen.measureText(letter);
    const across = measured.actualBoundingBoxLeft + measured.actualBoundingBoxRight;
    const up = measured.actualBoundingBoxAscent, high = up + measured.actualBoundingBoxDescent;
    if (letter === "I") {  // as wide as others it would be a block
      left += width / 3;
      width /= 3;
    }
    pen.save();
    pen.translate(left, from);
    pen.scale(width / across, (to - from) / high);
    pen.fillText(letter, measured.actualBoundingBoxLeft, up);
    pen.restore();
  }

  function step(span, most) {
    const rough = span / most, power = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 5, 10].map((times) => times * power).find((one) => one >= rough);
  }

  function mix(value, largest) {
    const share = Math.min(1, Math.abs(value) / largest);
    const parse = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
    const from = parse(colours.mid), to = parse(value > 0 ? colours.up : colours.down);
    const rgb = from.map((one, index) => Math.round(one + (to[index] - one) * Math.sqrt(share)));
    return `rgb(${rgb.join(",")})`;
  }

  function drawOverview() {
    const { pen, width, height } = prepare(overview);
    const inner = width - LEFT - RIGHT, length = gene.letters.length;
    const [low, high] = extremes(0, length);
    const y = (value) => 3 + (height - 6) * (high - value) / (high - low);
    const x = (at) => LEFT + at / length * inner;
    pen.fillStyle = colours.mid;
    pen.fillRect(LEFT, 0, inner, height);
    bars(pen, 0, length, LEFT, inner, y, 0.5);
    pen.strokeStyle = colours.mark;
    pen.strokeRect(LEFT + 0.5, 0.5, inner - 1, height - 1);
    if (DNA && gene.first <= 0 && -gene.first <= length) {
      pen.setLineDash([4, 3]);
      pen.strokeStyle = colours.text;
      pen.beginPath();
      pen.moveTo(x(-gene.first), 0);
      pen.lineTo(x(-gene.first), height);
      pen.stroke();
      pen.setLineDash([]);
    }
    pen.fillStyle = colours.mark;
    pen.globalAlpha = 0.28;
    pen.fillRect(x(view[0]), 0, Math.max(x(view[1]) - x(view[0]), 3), height);
    pen.globalAlpha = 1;
    pen.strokeStyle = colours.text;
    pen.strokeRect(x(view[0]) + 0.5, 0.5, Math.max(x(view[1]) - x(view[0]), 3) - 1, height - 1);
    pen.fillStyle = colours.soft;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    pen.fillText("region", LEFT - 8, height / 2);
  }

  function drawMain() {
    const { pen, width, height } = prepare(main);
    const inner = width - LEFT - RIGHT, [start, end] = view, scale = inner / (end - start);
    const heat = height - MAP - 30, track = heat - 14, top = 8;
    const [low, high] = extremes(start, end), room = 0.06 * (high - low);
    const y = (value) => top + (track - top) * (high + room - value) / (high - low + 2 * room);
    const x = (at) => LEFT + (at - start) * scale;
    const first = Math.max(0, Math.floor(start)), last = Math.min(gene.letters.length, Math.ceil(end));
    // Axes and their grid.
    pen.lineWidth = 1;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    const high_step = step(high - low || 1, 8);
    for (let value = Math.ceil(low / high_step) * high_step; value <= high + 1e-12; value += high_step) {
      const shown = Math.abs(value) < high_step / 2 ? 0 : value, at = Math.round(y(shown)) + 0.5;
      pen.strokeStyle = colours.grid;
      pen.beginPath();
      pen.moveTo(LEFT, at);
      pen.lineTo(LEFT + inner, at);
      pen.stroke();
      pen.fillStyle = colours.soft;
      const digits = Math.max(0, -Math.floor(Math.log10(high_step)));
      pen.fillText(shown.toFixed(digits).replace("-", "−"), LEFT - 8, at);
    }
    pen.textAlign = "center";
    pen.textBaseline = "top";
    const wide = Math.max(1, step(end - start, Math.max(2, inner / 75)));
    for (let value = Math.ceil((start + gene.first) / wide) * wide; value - gene.first < end; value += wide) {
      const at = x(value - gene.first + (scale > 3 ? 0.5 : 0));
      pen.strokeStyle = colours.grid;
      pen.beginPath();
      pen.moveTo(Math.round(at) + 0.5, top);
      pen.lineTo(Math.round(at) + 0.5, heat + MAP + 4);
      pen.stroke();
      pen.fillStyle = colours.soft;
      const half = pen.measureText(place(value)).width / 2;
      pen.fillText(value ? place(value) : "0", Math.max(LEFT + half, Math.min(at, width - half - 1)), heat + MAP + 8);
    }
    pen.save();
    pen.beginPath();
    pen.rect(LEFT, 0, inner, height);
    pen.clip();
    if (scale >= LETTERS_FROM) {
      pen.save();
      pen.font = 'bold 100px "DejaVu Sans", Verdana, Arial, sans-serif';
      pen.textAlign = "left";
      pen.textBaseline = "alphabetic";
      for (let at = first; at < last; at++) {
        const value = gene.support[at], letter = gene.letters[at];
        if (!value || Math.abs(y(value) - y(0)) < 0.3) continue;
        pen.fillStyle = colours[letters.colours[letter] ?? "text"];
        glyph(pen, letter, x(at) + 0.04 * scale, 0.92 * scale, Math.min(y(value), y(0)), Math.max(y(value), y(0)));
      }
      pen.restore();
    } else {
      bars(pen, start, end, LEFT, inner, y, 0.5);
    }
    pen.strokeStyle = colours.mark;
    pen.beginPath();
    pen.moveTo(LEFT, Math.round(y(0)) + 0.5);
    pen.lineTo(LEFT + inner, Math.round(y(0)) + 0.5);
    pen.stroke();
    heatMap(pen, x, scale, first, last, heat, inner);
    if (DNA && gene.first <= 0 && -gene.first <= gene.letters.length) {
      pen.setLineDash([5, 4]);
      pen.strokeStyle = colours.text;
      pen.beginPath();
      pen.moveTo(x(-gene.first), top);
      pen.lineTo(x(-gene.first), heat + MAP);
      pen.stroke();
      pen.setLineDash([]);
      pen.fillStyle = colours.text;
      pen.textAlign = "left";
      pen.textBaseline = "top";
      pen.fillText("TSS →", x(-gene.first) + 5, top - 4);
    }
    if (hovered !== null) {
      pen.fillStyle = colours.text;
      pen.globalAlpha = 0.12;
      pen.fillRect(x(hovered), top, Math.max(scale, 1), heat + MAP - top);
      pen.globalAlpha = 1;
    }
    pen.restore();
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    pen.fillStyle = colours.text;
    if (!DNA) pen.font = pen.font.replace("12px", "11px");
    for (let row = 0; row < ROWS; row++) pen.fillText(LETTERS[row], LEFT - 8, heat + (row + 0.5) * ROW);
    pen.save();
    pen.translate(11, (top + track) / 2);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "center";
    pen.fillStyle = colours.soft;
    pen.fillText("support", 0, 0);
    pen.restore();
    pen.save();
    pen.translate(11, heat + MAP / 2);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "center";
    pen.fillStyle = colours.soft;
    pen.fillText("change", 0, 0);
    pen.restore();
  }

  function heatMap(pen, x, scale, first, last, heat, inner) {
    let largest = 0;
    for (let at = ROWS * first; at < ROWS * last; at++) largest = Math.max(largest, Math.abs(gene.effects[at]) || 0);
    pen.fillStyle = colours.mid;
    pen.fillRect(LEFT, heat, inner, MAP);
    if (!largest) return;
    const paint = (row, left, width, value) => {
      pen.fillStyle = mix(value, largest);
      pen.fillRect(left, heat + row * ROW, width, ROW - (scale > 4 ? 1 : 0));
    };
    for (let row = 0; row < ROWS; row++) {
      if (scale >= 1) {
        for (let at = first; at < last; at++) {
          const value = gene.effects[ROWS * at + row];
          if (Number.isNaN(value)) continue;
          paint(row, x(at), Math.max(scale - (scale > 4 ? 1 : -0.3), 1), value);
          if (gene.letters[at] === LETTERS[row] && scale >= 4) {
            pen.fillStyle = colours.soft;
            pen.beginPath();
            pen.arc(x(at + 0.5), heat + (row + 0.5) * ROW, Math.min(2.5, scale / 4), 0, 2 * Math.PI);
            pen.fill();
          }
        }
      } else {
        for (let pixel = 0; pixel < inner; pixel++) {
          let value = 0;
          const from = Math.max(first, Math.floor(view[0] + pixel / scale));
          for (let at = from; at < Math.min(last, view[0] + (pixel + 1) / scale); at++) {
            const one = gene.effects[ROWS * at + row];
            if (Math.abs(one) > Math.abs(value)) value = one;
          }
          if (value) paint(row, LEFT + pixel, 1, value);
        }
      }
    }
  }

  function draw() {
    queued = false;
    drawOverview();
    drawMain();
    const from = Math.max(0, Math.round(view[0])), to = Math.min(gene.letters.length, Math.round(view[1])) - 1;
    let said = `${place(gene.first + from) || "0"} to ${place(gene.first + to)}`;
    said = DNA ? `${said} from the TSS` : `residues ${said}`;
    if (gene.place) {
      const { chrom, strand } = gene.place, ends = genomic(from, to);
      said += ends ? `, ${chrom}:${number(ends[0])}-${number(ends[1])}` : `, outside the contig ${chrom}`;
      if (ends && ends[0] > ends[1]) said += " over the origin";
      const outside = gene.place.circular || !ends ? 0 : to - from - (ends[1] - ends[0]);
      said += ` (${strand === "-" ? "−" : "+"}${outside ? `; ${number(outside)} outside the contig` : ""})`;
    }
    find("where").textContent = said;
  }

  function redraw() {
    if (!queued) {
      queued = true;
      requestAnimationFrame(draw);
    }
  }

  function show(start, end) {
    const length = gene.letters.length, span = Math.min(length, Math.max(Math.min(NEAREST, length), end - start));
    const middle = (start + end) / 2;
    const left = Math.min(Math.max(0, middle - span / 2), length - span);
    view = [left, left + span];
    tip.hidden = true;
    hovered = null;
    redraw();
  }

  function zoom(times, around) {
    const [start, end] = view, fixed = around ?? (start + end) / 2;
    const length = gene.letters.length, span = Math.min(length, Math.max(Math.min(NEAREST, length), (end - start) * times));
    const left = fixed - (fixed - start) * span / (end - start);
    show(left, left + span);
  }

  const shift = (by) => show(view[0] + by, view[1] + by);
  const perPixel = () => (view[1] - view[0]) / (main.clientWidth - LEFT - RIGHT);
  const under = (event) => view[0] + (event.clientX - main.getBoundingClientRect().left - LEFT) * perPixel();

  function choose(index) {
    gene = decode(genes[index]);
    const level = gene.level === null ? "" : `: predicted ${output} ${gene.level.toPrecision(4).replace("-", "−")}`;
    find("about").textContent = `${gene.name}${level}. Changes are in the same unit.`;
    if (DNA) find("tss").disabled = gene.first > 0 || -gene.first > gene.letters.length;
    show(0, gene.letters.length);
  }

  function tell(event) {
    const at = Math.floor(under(event));
    const inside = event.clientX - main.getBoundingClientRect().left >= LEFT && at >= 0 && at < gene.letters.length;
    if (!inside) return hush();
    hovered = at;
    const letter = gene.letters[at], rows = [];
    const strand = gene.place && gene.place.strand === "-" ? ` (${COMPLEMENT[letter]} on +)` : "";
    tip.replaceChildren();
    const title = document.createElement("strong");
    title.textContent = `${letter} at ${place(gene.first + at)}`;
    tip.append(title);
    if (gene.place) {
      const where = document.createElement("div");
      const base = genomic(at, at);
      where.textContent = base ? `${gene.place.chrom}:${number(base[0])}${strand}` : "outside the contig";
      tip.append(where);
    }
    if (Number.isNaN(gene.support[at])) {
      rows.push(["not known", ""]);
    } else {
      for (let row = 0; row < ROWS; row++) {
        if (LETTERS[row] !== letter) rows.push([`${letter} → ${LETTERS[row]}`, effect(gene.effects[ROWS * at + row])]);
      }
      rows.push(["support", effect(gene.support[at])]);
    }
    const table = document.createElement("table"), lines = rows.length > 8 ? Math.ceil(rows.length / 2) : rows.length;
    rows.forEach(([name, value], index) => {
      const line = index < lines ? table.insertRow() : table.rows[index - lines];
      line.insertCell().textContent = name;
      line.insertCell().textContent = value;
    });
    tip.append(table);
    tip.hidden = false;
    const box = main.parentElement.getBoundingClientRect(), beside = event.clientX - box.left + 16;
    const left = beside + tip.offsetWidth > box.width ? beside - tip.offsetWidth - 32 : beside;
    tip.style.left = `${Math.max(0, left)}px`;
    tip.style.top = `${event.clientY - box.top + 14}px`;
    redraw();
  }

  function hush() {
    tip.hidden = true;
    if (hovered !== null) {
      hovered = null;
      redraw();
    }
  }

  main.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) shift(event.deltaX * perPixel());
    else zoom(Math.exp(Math.max(-100, Math.min(100, event.deltaY)) * 0.004), under(event));
    tell(event);
  }, { passive: false });
  main.addEventListener("pointerdown", (event) => {
    dragged = pressed = event.clientX;
    main.setPointerCapture(event.pointerId);
    main.classList.add("dragged");
  });
  main.addEventListener("pointermove", (event) => {
    if (dragged === null) return tell(event);
    shift((dragged - event.clientX) * perPixel());
    dragged = event.clientX;
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    main.addEventListener(kind, (event) => {
      dragged = null;
      main.classList.remove("dragged");
      if (kind === "pointerup" && Math.abs(event.clientX - pressed) < TAP) tell(event);
    });
  }
  // A finger leaves as soon as it is lifted, and what it tapped on stays.
  main.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hush());
  main.addEventListener("dblclick", (event) => {
    zoom(0.35, under(event));
    tell(event);
  });
  main.addEventListener("keydown", (event) => {
    const span = view[1] - view[0];
    const action = {
      ArrowLeft: () => shift(-span / 5), ArrowRight: () => shift(span / 5), Home: () => show(0, gene.letters.length),
      "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6),
    }[event.key];
    if (action) {
      event.preventDefault();
      action();
    }
  });
  let moving = false;
  const goTo = (event) => {
    const inner = overview.clientWidth - LEFT - RIGHT, half = (view[1] - view[0]) / 2;
    const at = (event.clientX - overview.getBoundingClientRect().left - LEFT) / inner * gene.letters.length;
    show(at - half, at + half);
  };
  overview.addEventListener("pointerdown", (event) => {
    moving = true;
    overview.setPointerCapture(event.pointerId);
    goTo(event);
  });
  overview.addEventListener("pointermove", (event) => moving && goTo(event));
  overview.addEventListener("pointerup", () => { moving = false; });

  find("whole").addEventListener("click", () => show(0, gene.letters.length));
  find("tss")?.addEventListener("click", () => show(-gene.first - 60, -gene.first + 60));
  find("in").addEventListener("click", () => zoom(0.6));
  find("out").addEventListener("click", () => zoom(1 / 0.6));
  find("strongest").addEventListener("click", () => {
    const sum = (start) => gene.support.slice(start, start + 60).reduce((all, one) => all + (Math.abs(one) || 0), 0);
    const best = gene.strongest.reduce((one, other) => (sum(other) > sum(one) ? other : one));
    show(best - 10, best + 70);
  });
  find("gene")?.addEventListener("change", (event) => choose(Number(event.target.value)));
  window.addEventListener("resize", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); redraw(); });
  if (!DNA) main.style.height = `${320 + MAP}px`;
  readColours();
  choose(0);
})();
