"use strict";

// One request asks with a low threshold; the slider then filters what came back. Suppression only
// ever drops a box for a better one, so the filtered boxes are those a higher threshold would give.
const LOW_THRESHOLD = 0.05;
const MARGIN = 0.05;
const COLOURS = 8;
const CATEGORIES = [
  ["tops", "Tops"], ["bottoms", "Bottoms"], ["dress", "Dress"],
  ["shoes", "Shoes"], ["bag", "Bag"], ["accessory", "Accessory"],
];
const SVG = "http://www.w3.org/2000/svg";

const $ = (id) => document.getElementById(id);
const api = (path) => new URL(path, document.baseURI).href;

const state = {
  photo: null,     // Blob
  name: "",
  drawable: false, // the browser can show it
  chosen: new Set(["tops", "bottoms", "shoes"]),
  items: [],
  asked: null,     // what the answer below answers: {options}
  answer: null,
  running: null,   // AbortController
};

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

function svg(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function say(text) { $("status").textContent = text; }

function showError(message, detail = "") {
  const box = $("error");
  box.replaceChildren(element("strong", {}, message), ...(detail ? [element("small", {}, detail)] : []));
  box.hidden = false;
  say("");
}

function clearError() { $("error").hidden = true; }

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const stem = () => (state.name.replace(/\.[^.]*$/, "") || "photo");
const slug = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "") || "item";

// ---- what to find -------------------------------------------------------------------------

function drawCategories() {
  $("categories").replaceChildren(...CATEGORIES.map(([word, label]) => element("button", {
    type: "button", class: "chip", "aria-pressed": String(state.chosen.has(word)), "data-category": word,
    onclick: (event) => {
      if (!state.chosen.delete(word)) state.chosen.add(word);
      event.currentTarget.setAttribute("aria-pressed", String(state.chosen.has(word)));
    },
  }, label)));
}

function drawTokens() {
  const box = $("tokens");
  box.querySelectorAll(".token").forEach((token) => token.remove());
  state.items.forEach((item, index) => {
    box.insertBefore(element("span", { class: "token" }, item, element("button", {
      type: "button", "aria-label": `Remove ${item}`,
      onclick: () => { state.items.splice(index, 1); drawTokens(); $("words").focus(); },
    }, "×")), $("words"));
  });
  $("words").placeholder = state.items.length ? "" : "navy blazer, pants";
}

function takeWords() {
  const words = $("words").value.split(/[,\n]/).map((word) => word.trim()).filter(Boolean);
  $("words").value = "";
  for (const word of words) if (!state.items.includes(word)) state.items.push(word);
  if (words.length) drawTokens();
}

function wanted() {
  const options = {};
  const categories = CATEGORIES.map(([word]) => word).filter((word) => state.chosen.has(word));
  if (state.items.length) options.items = [...state.items];
  if (categories.length) options.categories = categories;
  if (!$("model-field").hidden) options.model = $("model").value;
  return options.items || options.categories ? options : null;
}

// ---- the photo ----------------------------------------------------------------------------

function showPhoto(blob, name) {
  state.running?.abort();
  state.photo = blob;
  state.name = name || "photo.jpg";
  state.answer = null;
  clearError();
  $("results").hidden = true;
  $("overlay").replaceChildren();
  $("invite").hidden = true;
  $("stage").classList.remove("empty");
  $("photo-bar").hidden = false;
  $("photo-name").textContent = `${state.name}, ${Math.max(1, Math.round(blob.size / 1000))} kB`;

  const image = $("photo");
  if (image.src) URL.revokeObjectURL(image.src);
  state.drawable = false;
  const shown = new Promise((resolve) => {
    image.onload = () => resolve(true);
    image.onerror = () => resolve(false);
  });
  image.alt = `Your photo ${state.name}`;
  image.src = URL.createObjectURL(blob);
  return shown.then((drawable) => {
    state.drawable = drawable;
    $("image").hidden = !drawable;
    $("no-preview").hidden = drawable;
    takeWords();
    if (wanted()) find();
    else say("Choose what to find, then press Find items.");
  });
}

function firstImage(transfer) {
  return [...(transfer?.files ?? [])].find((file) =>
    file.type.startsWith("image/") || /\.(jpe?g|png|webp|tiff?|heic|heif|avif)$/i.test(file.name));
}

async function useSample() {
  try {
    const answer = await fetch(api("ui/sample.jpg"));
    if (!answer.ok) throw new Error();
    await showPhoto(await answer.blob(), "wardrobe.jpg");
  } catch {
    showError("The sample photo could not be loaded.");
  }
}

// ---- asking the server --------------------------------------------------------------------

function headers() {
  const key = $("key").value.trim();
  return key ? { Authorization: `Bearer ${key}` } : {};
}

class Refusal extends Error {
  constructor(status, message, detail, retryAfter) {
    super(message);
    Object.assign(this, { status, detail, retryAfter });
  }
}

async function refusal(answer) {
  let message = `The server answered ${answer.status}.`;
  let detail = answer.headers.get("X-Request-ID") ?? "";
  try {
    const body = await answer.json();
    message = body.error?.message ?? body.detail ?? message;
    detail = body.request_id ?? detail;
  } catch { /* not our JSON: the status has to do */ }
  return new Refusal(answer.status, message,
    `Status ${answer.status}${detail ? `, request ${detail}` : ""}`,
    Number(answer.headers.get("Retry-After")) || 1);
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); });
  });
}

/** Sends the photo; waits and tries again while the server is full. */
async function send(path, options, signal) {
  for (let attempt = 0; ; ++attempt) {
    const body = new FormData();
    body.append("options", JSON.stringify(options));
    body.append("image", state.photo, state.name);
    const answer = await fetch(api(path), { method: "POST", headers: headers(), body, signal });
    if (answer.ok) return answer;
    const problem = await refusal(answer);
    if (problem.status !== 429 || attempt === 3) throw problem;
    say(`The server is busy; trying again in ${problem.retryAfter} s…`);
    await pause(Math.min(problem.retryAfter, 30), signal);
  }
}

function report(problem) {
  if (problem.name === "AbortError") return say("Stopped.");
  if (problem instanceof Refusal) {
    showError(problem.message, problem.detail);
    if (problem.status === 401 || problem.status === 403 && problem.message.includes("key")) {
      $("key-box").open = true;
      $("key").focus();
    }
    return undefined;
  }
  return showError("The server cannot be reached.", "Is it still running?");
}

async function busy(label, work) {
  state.running?.abort();
  const control = new AbortController();
  state.running = control;
  clearError();
  $("working").hidden = false;
  say(label);
  try {
    await work(control.signal);
  } catch (problem) {
    if (state.running === control) report(problem);
  } finally {
    if (state.running === control) {
      state.running = null;
      $("working").hidden = true;
    }
  }
}

function find() {
  takeWords();
  if (!state.photo) {
    showError("Choose a photo first.");
    return;
  }
  const options = wanted();
  if (!options) {
    showError("Choose a category or type an item.");
    $("words").focus();
    return;
  }
  const asked = { ...options, threshold: LOW_THRESHOLD };
  busy("Looking…", async (signal) => {
    const started = performance.now();
    const answer = await (await send("v1/detect", asked, signal)).json();
    const image = answer.images[0];
    if (image.error) throw new Refusal(422, image.error.message, `Request ${answer.request_id}`);
    state.asked = options;
    state.answer = answer;
    state.seconds = (performance.now() - started) / 1000;
    $("results").hidden = false;
    draw();
    const model = image.timing_ms?.model;
    say(`${countWords(visible().length)} in ${state.seconds.toFixed(2)} s` +
      (model ? ` (model ${Math.round(model)} ms, ${answer.model} on ${answer.device})` : ""));
  });
}

function downloadAll() {
  const options = shownOptions();
  busy("Packing the crops…", async (signal) => {
    const answer = await send("v1/crop", { ...options, return: "zip" }, signal);
    save(await answer.blob(), `${stem()}-crops.zip`);
    say("The archive is downloaded.");
  });
}

// ---- the answer ---------------------------------------------------------------------------

const countWords = (count) => (count === 1 ? "1 item" : `${count} items`);

function visible() {
  if (!state.answer) return [];
  const threshold = Number($("threshold").value);
  const seen = new Set();
  return state.answer.images[0].detections.filter((found) => {
    if (found.score <= threshold) return false;
    if (!$("best").checked) return true;
    const first = !seen.has(found.item);
    seen.add(found.item);
    return first;
  });
}

function colourOf(item) {
  const items = [...new Set(state.answer.images[0].detections.map((found) => found.item))].sort();
  return items.indexOf(item) % COLOURS;
}

function shownOptions() {
  const options = { ...state.asked, threshold: Number($("threshold").value) };
  if ($("best").checked) options.count = 1;
  return options;
}

/** The box with its margin, in whole pixels inside the photo. */
function cropRectangle([x0, y0, x1, y1], width, height) {
  const dx = (x1 - x0) * MARGIN, dy = (y1 - y0) * MARGIN;
  const left = Math.max(0, Math.floor(x0 - dx)), top = Math.max(0, Math.floor(y0 - dy));
  return [left, top, Math.max(1, Math.min(width, Math.ceil(x1 + dx)) - left),
    Math.max(1, Math.min(height, Math.ceil(y1 + dy)) - top)];
}

function cropCanvas(found, limit = Infinity) {
  const image = $("photo");
  const [x, y, w, h] = cropRectangle(found.box, image.naturalWidth, image.naturalHeight);
  const scale = Math.min(1, limit / Math.max(w, h));
  const canvas = element("canvas", { width: Math.max(1, Math.round(w * scale)), height: Math.max(1, Math.round(h * scale)) });
  canvas.getContext("2d").drawImage(image, x, y, w, h, 0, 0, canvas.width, canvas.height);
  return canvas;
}

function saveCrop(found, index) {
  cropCanvas(found).toBlob((blob) => save(blob, `item${index + 1}_${slug(found.item)}_crop.jpg`), "image/jpeg", 0.95);
}

function heat(index, on) {
  $("overlay").classList.toggle("picking", on);
  document.querySelectorAll("[data-index]").forEach((node) => {
    const same = Number(node.dataset.index) === index;
    node.classList.toggle("hot", on && same);
    if (node.closest("#overlay")) node.classList.toggle("dimmed", on && !same);
  });
}

function drawOverlay(found) {
  const overlay = $("overlay");
  overlay.replaceChildren();
  if (!state.drawable) return;
  const { width, height } = state.answer.images[0];
  overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
  overlay.setAttribute("preserveAspectRatio", "none");
  const scale = width / (overlay.clientWidth || width);
  // Small boxes last, so that they stay within reach of the pointer.
  const area = ({ box: [x0, y0, x1, y1] }) => (x1 - x0) * (y1 - y0);
  const order = found.map((one, index) => [one, index]).sort((a, b) => area(b[0]) - area(a[0]));
  for (const [one, index] of order) {
    const [x0, y0, x1, y1] = one.box;
    const rectangle = { x: x0, y: y0, width: Math.max(1, x1 - x0), height: Math.max(1, y1 - y0), rx: 3 * scale };
    const group = svg("g", { class: `colour-${colourOf(one.item)}`, "data-index": index });
    const box = svg("rect", { ...rectangle, class: "box" });
    box.addEventListener("pointerenter", () => heat(index, true));
    box.addEventListener("pointerleave", () => heat(index, false));
    box.addEventListener("click", () => {
      const row = document.querySelector(`.found-row[data-index="${index}"]`);
      row?.scrollIntoView({ block: "nearest", behavior: "smooth" });
      row?.querySelector(".pick").focus({ preventScroll: true });
    });
    const tag = svg("text", { class: "tag" });
    tag.textContent = `${one.item} ${one.score.toFixed(2)}`;
    tag.style.fontSize = `${13 * scale}px`;
    group.append(svg("rect", { ...rectangle, class: "box-halo" }), box, tag);
    overlay.append(group);
    const wide = tag.getComputedTextLength() + 12 * scale, tall = 20 * scale;
    const left = Math.max(0, Math.min(x0, width - wide));
    const top = y0 >= tall ? y0 - tall : y0;
    tag.setAttribute("x", left + 6 * scale);
    tag.setAttribute("y", top + 14.5 * scale);
    group.insertBefore(svg("rect", { class: "tag-back", x: left, y: top, width: wide, height: tall, rx: 4 * scale }), tag);
  }
}

function saveIcon() {
  const icon = svg("svg", { viewBox: "0 0 24 24", width: 20, height: 20, "aria-hidden": "true" });
  icon.append(svg("path", { d: "M12 4v11m0 0-4.5-4.5M12 15l4.5-4.5M5 19h14", fill: "none", stroke: "currentColor", "stroke-width": 2, "stroke-linecap": "round", "stroke-linejoin": "round" }));
  return icon;
}

const crops = new WeakMap();  // detection -> its small canvas, so that the slider stays quick

function thumb(found) {
  if (!state.drawable) return element("span", { class: "thumb" });
  if (!crops.has(found)) {
    const canvas = cropCanvas(found, 180);
    canvas.className = "thumb";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Crop: ${found.item}`);
    crops.set(found, canvas);
  }
  return crops.get(found);
}

function drawList(found) {
  $("found").replaceChildren(...found.map((one, index) => {
    const words = one.description && one.description !== one.item ? `${one.item} (${one.description})` : one.item;
    return element("li", { class: `found-row colour-${colourOf(one.item)}`, "data-index": index,
      onpointerenter: () => heat(index, true), onpointerleave: () => heat(index, false) },
      thumb(one),
      element("button", { type: "button", class: "pick", onfocus: () => heat(index, true), onblur: () => heat(index, false),
        onclick: () => $("stage").scrollIntoView({ block: "nearest", behavior: "smooth" }) },
        element("b", {}, words),
        element("span", { class: "meter" }, element("meter", { min: 0, max: 1, value: one.score, "aria-hidden": "true" }), one.score.toFixed(2))),
      state.drawable ? element("button", { type: "button", class: "save", "aria-label": `Download the crop of ${one.item}`, onclick: () => saveCrop(one, index) }, saveIcon()) : null);
  }));
}

function missing(found) {
  const has = (word) => found.some((one) => one.item === word || one.category === word);
  return [...(state.asked.items ?? []), ...(state.asked.categories ?? [])].filter((word) => !has(word));
}

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curlText() {
  const lines = ["curl"];
  if ($("key").value.trim()) lines.push('-H "Authorization: Bearer $ITEMCROP_KEY"');
  // curl splits a form's file name at commas and semicolons unless it is quoted.
  const name = state.name.replace(/["\\]/g, "\\$&");
  lines.push(`-F ${shell(`image=@"${name}"`)}`);
  lines.push(`--form-string ${shell(`options=${JSON.stringify(shownOptions())}`)}`);
  return `${lines.join(" \\\n  ")} \\\n  ${shell(api("v1/detect"))}`;
}

function draw() {
  if (!state.answer) return;
  const found = visible();
  $("threshold-value").textContent = Number($("threshold").value).toFixed(2);
  $("count").textContent = found.length;
  drawOverlay(found);
  drawList(found);
  const lacking = missing(found);
  $("missing").hidden = !lacking.length;
  $("missing").textContent = lacking.length ? `Not found: ${lacking.join(", ")}` : "";
  $("download").disabled = !found.length;
  const image = { ...state.answer.images[0], detections: found };
  $("json").textContent = JSON.stringify({ ...state.answer, images: [image] }, null, 2);
  $("curl").textContent = curlText();
}

async function copy(button) {
  const text = $(button.dataset.copy).textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Plain http has no clipboard of its own; a selection can still be copied.
    getSelection().selectAllChildren($(button.dataset.copy));
    document.execCommand("copy");
    getSelection().removeAllRanges();
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

async function listModels() {
  try {
    const answer = await fetch(api("v1/models"), { headers: headers() });
    if (!answer.ok) {
      if (answer.status === 401) $("key-box").open = true;
      return;
    }
    const { models } = await answer.json();
    $("model").replaceChildren(...models.map((model) =>
      element("option", { value: model.name, selected: model.default, disabled: !model.ready }, model.name)));
    $("model-field").hidden = models.length < 2;
  } catch { /* the default model does */ }
}

// ---- wiring -------------------------------------------------------------------------------

function wire() {
  drawCategories();
  $("file").addEventListener("change", (event) => {
    const [file] = event.target.files;
    if (file) showPhoto(file, file.name);
    event.target.value = "";
  });
  $("sample").addEventListener("click", useSample);
  $("find").addEventListener("submit", (event) => { event.preventDefault(); find(); });
  $("words").addEventListener("keydown", (event) => {
    if (event.key === "," || event.key === "Enter" && event.target.value.trim()) {
      event.preventDefault();
      takeWords();
    } else if (event.key === "Backspace" && !event.target.value && state.items.length) {
      state.items.pop();
      drawTokens();
    }
  });
  $("words").addEventListener("blur", takeWords);
  $("words").addEventListener("paste", () => setTimeout(() => { if ($("words").value.includes(",")) takeWords(); }));
  $("tokens").addEventListener("click", (event) => { if (event.target === event.currentTarget) $("words").focus(); });
  $("key").addEventListener("change", listModels);
  $("threshold").addEventListener("input", draw);
  $("best").addEventListener("change", draw);
  $("download").addEventListener("click", downloadAll);
  document.querySelectorAll(".copy").forEach((button) => button.addEventListener("click", () => copy(button)));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") state.running?.abort(); });
  document.addEventListener("paste", (event) => {
    const file = firstImage(event.clipboardData);
    if (file) { event.preventDefault(); showPhoto(file, file.name); }
  });

  let depth = 0;
  const veil = (on) => { $("drop-veil").hidden = !on; };
  document.addEventListener("dragenter", (event) => {
    if ([...(event.dataTransfer?.types ?? [])].includes("Files")) { ++depth; veil(true); }
  });
  document.addEventListener("dragleave", () => { depth = Math.max(0, depth - 1); veil(depth > 0); });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    veil(false);
    const file = firstImage(event.dataTransfer);
    if (file) showPhoto(file, file.name);
    else if (event.dataTransfer?.files.length) showError("That is not a photo.", "JPEG, PNG, WebP, TIFF, HEIC or AVIF.");
  });
  new ResizeObserver(() => { if (state.answer) drawOverlay(visible()); }).observe($("image"));
  listModels();
}

wire();
