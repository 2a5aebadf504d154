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

// The longest side of what the server makes of a photo that the browser cannot show.
const PREVIEW = 1600;
// Of one archive; the server takes 16 photos and 64 MB in a request.
const ARCHIVE_PHOTOS = 8;
const ARCHIVE_BYTES = 48e6;

const state = {
  photos: [],      // see newPhoto()
  shown: null,     // one of them
  models: [],      // GET /v1/models
  chosen: new Set(["tops", "bottoms", "shoes"]),
  preset: true,    // nobody has touched the categories
  items: [],
  running: null,   // AbortController
};

/** A photo and what became of it. `status`: waiting, running, done or failed. */
function newPhoto(blob, name) {
  return {
    blob,
    name: name || "photo.jpg",
    url: URL.createObjectURL(blob),  // later perhaps the server's preview
    drawable: null,                  // null: not tried yet
    isPreview: false,
    status: "waiting",
    asked: null,                     // the options that `answer` answers
    answer: null,
    problem: null,
    seconds: 0,
  };
}

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

const stem = (name) => (name.replace(/\.[^.]*$/, "") || "photo");
const slug = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "") || "item";

// ---- what to find -------------------------------------------------------------------------

/** Those that the chosen model can know. */
function categories() {
  const known = chosenModel()?.categories;
  return CATEGORIES.filter(([word]) => !known || known.includes(word));
}

function drawCategories() {
  $("categories").replaceChildren(...categories().map(([word, label]) => element("button", {
    type: "button", class: "chip", "aria-pressed": String(state.chosen.has(word)), "data-category": word,
    onclick: (event) => {
      state.preset = false;
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
  if (!words.length) return;
  drawTokens();
  // Whoever names items wants those, not also what was pressed before anybody came.
  if (state.preset && state.chosen.size) {
    state.chosen.clear();
    drawCategories();
  }
  state.preset = false;
}

function wanted() {
  const options = {};
  const pressed = categories().map(([word]) => word).filter((word) => state.chosen.has(word));
  if (state.items.length) options.items = [...state.items];
  if (pressed.length) options.categories = pressed;
  if (!$("model-field").hidden) options.model = $("model").value;
  return options.items || options.categories ? options : null;
}

// ---- the photos ---------------------------------------------------------------------------

const IMAGE_NAME = /\.(jpe?g|png|webp|gif|tiff?|heic|heif|avif)$/i;
const isImage = (file) => file.type.startsWith("image/") || IMAGE_NAME.test(file.name);
const imagesOf = (transfer) => [...(transfer?.files ?? [])].filter(isImage);

/** Takes the place of the photos there are, and looks for what is chosen. */
async function takePhotos(files) {
  const images = files.filter(isImage);
  const others = files.filter((file) => !isImage(file));
  if (!images.length) {
    if (others.length) showError(`${others[0].name} is not a photo.`, "JPEG, PNG, WebP, TIFF, GIF, HEIC or AVIF.");
    return;
  }
  state.running?.abort();
  for (const photo of state.photos) if (!photo.isPreview) URL.revokeObjectURL(photo.url);
  state.photos = images.map((file) => newPhoto(file, file.name));
  clearError();
  $("invite").hidden = true;
  $("stage").classList.remove("empty");
  $("photo-bar").hidden = false;
  await show(state.photos[0]);
  if (others.length) showError(`${others[0].name} is not a photo, and is left out.`);
  takeWords();
  if (wanted()) find();
  else say("Choose what to find, then press Find items.");
}

/** Whether the browser can show it. */
async function tryToDraw(photo) {
  if (photo.drawable === null) {
    const image = new Image();
    image.src = photo.url;
    photo.drawable = await image.decode().then(() => true, () => false);
  }
  return photo.drawable;
}

/** Puts one photo, with what is known of it, into view. */
async function show(photo) {
  state.shown = photo;
  $("overlay").replaceChildren();
  $("photo-name").textContent = `${photo.name}, ${Math.max(1, Math.round(photo.blob.size / 1000))} kB`;
  drawStrip();
  await tryToDraw(photo);
  if (state.shown !== photo) return;
  $("image").hidden = !photo.drawable;
  $("no-preview").hidden = photo.drawable;
  $("no-preview").textContent = photo.problem
    ? "This photo cannot be shown."
    : "This browser cannot show this format; the server's preview follows.";
  if (photo.drawable) {
    const image = $("photo");
    image.alt = `Your photo ${photo.name}`;
    image.src = photo.url;
    await image.decode().catch(() => {});
    if (state.shown !== photo) return;
  }
  $("working").hidden = photo.status !== "running";
  $("results").hidden = !photo.answer;
  if (photo.problem) report(photo.problem, photo);
  else clearError();
  draw();
}

const WORDS_OF_STATUS = {
  waiting: () => "waiting",
  running: () => "looking…",
  failed: () => "failed",
  done: (photo) => countWords(visible(photo).length),
};

/** The row of photos, where there are several. */
function drawStrip() {
  const strip = $("photos");
  strip.hidden = state.photos.length < 2;
  if (strip.hidden) return strip.replaceChildren();
  if (strip.children.length !== state.photos.length || strip.photos !== state.photos) {
    strip.photos = state.photos;
    strip.replaceChildren(...state.photos.map((photo) => element("li", {},
      element("button", { type: "button", class: "strip-photo", onclick: () => show(photo) },
        element("img", { alt: "", loading: "lazy", width: 72, height: 72 }),
        element("b", {}, photo.name), element("span", { class: "quiet" })))));
  }
  state.photos.forEach((photo, index) => {
    const button = strip.children[index].firstChild;
    button.dataset.status = photo.status;
    if (photo === state.shown) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    const image = button.querySelector("img");
    if (photo.drawable !== false && image.getAttribute("src") !== photo.url) image.src = photo.url;
    button.querySelector("span").textContent = WORDS_OF_STATUS[photo.status](photo);
  });
  return undefined;
}

async function useSample() {
  try {
    const answer = await fetch(api("ui/sample.jpg"));
    if (!answer.ok) throw new Error();
    await takePhotos([new File([await answer.blob()], "wardrobe.jpg", { type: "image/jpeg" })]);
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

/** Sends photos; waits and tries again while the server is full. */
async function send(path, options, photos, signal) {
  for (let attempt = 0; ; ++attempt) {
    const body = new FormData();
    body.append("options", JSON.stringify(options));
    for (const photo of photos) body.append("image", photo.blob, photo.name);
    const answer = await fetch(api(path), { method: "POST", headers: headers(), body, signal });
    if (answer.ok) return answer;
    const problem = await refusal(answer);
    if (problem.status !== 429 || attempt === 3) throw problem;
    say(`The server is busy; trying again in ${problem.retryAfter} s…`);
    await pause(Math.min(problem.retryAfter, 30), signal);
  }
}

const needsKey = (problem) =>
  problem instanceof Refusal && (problem.status === 401 || problem.status === 403 && problem.message.includes("key"));

function report(problem, photo = null) {
  if (problem.name === "AbortError") return say("Stopped.");
  const where = photo && state.photos.length > 1 ? `${photo.name}: ` : "";
  if (problem instanceof Refusal) {
    showError(where + problem.message, problem.detail);
    if (needsKey(problem)) {
      $("key-box").open = true;
      $("key").focus();
    }
    return undefined;
  }
  return showError(`${where}The server cannot be reached.`, "Is it still running?");
}

async function busy(label, work) {
  state.running?.abort();
  const control = new AbortController();
  state.running = control;
  clearError();
  say(label);
  try {
    await work(control.signal);
  } catch (problem) {
    if (state.running === control) report(problem);
  } finally {
    if (state.running === control) {
      state.running = null;
      $("working").hidden = true;
      drawStrip();
    }
  }
}

/** One photo of the queue. Throws what would fail the others too. */
async function findIn(photo, options, signal) {
  photo.status = "running";
  if (photo === state.shown) $("working").hidden = false;
  drawStrip();
  const started = performance.now();
  try {
    const asked = { ...options, threshold: LOW_THRESHOLD };
    if (!await tryToDraw(photo)) asked.preview = PREVIEW;
    const answer = await (await send("v1/detect", asked, [photo], signal)).json();
    const [image] = answer.images;
    if (image.error) throw new Refusal(422, image.error.message, `Request ${answer.request_id}`);
    if (image.preview) {
      URL.revokeObjectURL(photo.url);
      photo.url = `data:${image.preview.content_type};base64,${image.preview.base64}`;
      photo.drawable = true;
      photo.isPreview = true;
      delete image.preview;
    }
    Object.assign(photo, { status: "done", answer, asked: options, seconds: (performance.now() - started) / 1000 });
  } catch (problem) {
    if (signal.aborted || needsKey(problem)) {
      photo.status = "waiting";
      throw problem;
    }
    photo.status = "failed";
    photo.problem = problem;
  }
  if (signal.aborted) return;
  if (photo === state.shown) await show(photo);
  else drawStrip();
}

function find() {
  takeWords();
  if (!state.photos.length) {
    showError("Choose a photo first.");
    return;
  }
  const options = wanted();
  if (!options) {
    showError("Choose a category or type an item.");
    $("words").focus();
    return;
  }
  const photos = state.photos;
  busy("Looking…", async (signal) => {
    const started = performance.now();
    for (const photo of photos) Object.assign(photo, { status: "waiting", answer: null, problem: null });
    $("results").hidden = true;
    let ended = 0;
    for (const photo of photos) {
      await findIn(photo, options, signal);
      signal.throwIfAborted();
      ++ended;
      if (photos.length > 1) say(`${ended} of ${photos.length} photos`);
      if (photo === state.shown) bringResultsIntoView();
    }
    summarise(photos, (performance.now() - started) / 1000);
  });
}

function summarise(photos, seconds) {
  const failed = photos.filter((photo) => photo.problem).length;
  if (photos.length > 1) {
    const found = photos.reduce((sum, photo) => sum + visible(photo).length, 0);
    say(`${countWords(found)} in ${photos.length} photos, ${failed ? `${failed} failed, ` : ""}${seconds.toFixed(1)} s`);
    return;
  }
  if (failed) return;
  const [{ answer, seconds: own }] = photos;
  const model = answer.images[0].timing_ms?.model;
  say(`${countWords(visible().length)} in ${own.toFixed(2)} s` +
    (model ? ` (model ${Math.round(model)} ms, ${answer.model} on ${answer.device})` : ""));
}

/** On a narrow screen the results are below the photo and the form. */
function bringResultsIntoView() {
  if (!matchMedia("(max-width: 860px)").matches) return;
  const target = $("results").hidden ? $("error") : $("results");
  target.scrollIntoView({ block: "start" });
  if (!$("results").hidden) $("found-title").focus({ preventScroll: true });
}

function downloadAll() {
  const photos = state.photos.filter((photo) => photo.answer);
  const archives = [];
  let bytes = 0;
  for (const photo of photos) {
    const last = archives.at(-1);
    if (!last || last.length === ARCHIVE_PHOTOS || bytes + photo.blob.size > ARCHIVE_BYTES) {
      archives.push([photo]);
      bytes = photo.blob.size;
    } else {
      last.push(photo);
      bytes += photo.blob.size;
    }
  }
  busy("Packing the crops…", async (signal) => {
    for (const [index, some] of archives.entries()) {
      const answer = await send("v1/crop", { ...shownOptions(some[0]), return: "zip" }, some, signal);
      const number = archives.length > 1 ? `-${index + 1}` : "";
      save(await answer.blob(), photos.length > 1 ? `crops${number}.zip` : `${stem(photos[0].name)}-crops.zip`);
    }
    say(archives.length > 1 ? `${archives.length} archives are downloaded.` : "The archive is downloaded.");
  });
}

// ---- the answer ---------------------------------------------------------------------------

const countWords = (count) => (count === 1 ? "1 item" : `${count} items`);

function visible(photo = state.shown) {
  if (!photo?.answer) return [];
  const threshold = Number($("threshold").value);
  const seen = new Set();
  return photo.answer.images[0].detections.filter((found) => {
    if (found.score <= threshold) return false;
    if (!$("best").checked) return true;
    const first = !seen.has(found.item);
    seen.add(found.item);
    return first;
  });
}

function colourOf(item) {
  const items = [...new Set(state.shown.answer.images[0].detections.map((found) => found.item))].sort();
  return items.indexOf(item) % COLOURS;
}

function shownOptions(photo = state.shown) {
  const options = { ...photo.asked, threshold: Number($("threshold").value) };
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
  // A preview has fewer pixels than the photo that the box is in.
  const shrunk = image.naturalWidth / state.shown.answer.images[0].width;
  const [x, y, w, h] = cropRectangle(found.box.map((edge) => edge * shrunk), image.naturalWidth, image.naturalHeight);
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
  if (!state.shown.drawable) return;
  const { width, height } = state.shown.answer.images[0];
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
  if (!state.shown.drawable) return element("span", { class: "thumb" });
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
      state.shown.drawable && !state.shown.isPreview ? element("button", { type: "button", class: "save", "aria-label": `Download the crop of ${one.item}`, onclick: () => saveCrop(one, index) }, saveIcon()) : null);
  }));
}

function missing(found) {
  const has = (word) => found.some((one) => one.item === word || one.category === word);
  const { asked } = state.shown;
  return [...(asked.items ?? []), ...(asked.categories ?? [])].filter((word) => !has(word));
}

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curlText() {
  const lines = ["curl"];
  if ($("key").value.trim()) lines.push('-H "Authorization: Bearer $ITEMCROP_KEY"');
  // curl splits a form's file name at commas and semicolons unless it is quoted.
  const name = state.shown.name.replace(/["\\]/g, "\\$&");
  lines.push(`-F ${shell(`image=@"${name}"`)}`);
  lines.push(`--form-string ${shell(`options=${JSON.stringify(shownOptions())}`)}`);
  return `${lines.join(" \\\n  ")} \\\n  ${shell(api("v1/detect"))}`;
}

function draw() {
  const { answer } = state.shown ?? {};
  drawStrip();
  if (!answer) return;
  const found = visible();
  $("threshold-value").textContent = Number($("threshold").value).toFixed(2);
  $("count").textContent = found.length;
  drawOverlay(found);
  drawList(found);
  const lacking = missing(found);
  $("missing").hidden = !lacking.length;
  $("missing").textContent = lacking.length ? `Not found: ${lacking.join(", ")}` : "";
  const hints = answer.hints ?? [];
  $("hints").hidden = !hints.length;
  $("hints").replaceChildren(...hints.map((hint) => element("li", {}, hint)));
  $("download").disabled = !state.photos.some((photo) => visible(photo).length);
  const image = { ...answer.images[0], detections: found };
  $("json").textContent = JSON.stringify({ ...answer, images: [image] }, null, 2);
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

const chosenModel = () =>
  state.models.find((model) => (state.models.length > 1 ? model.name === $("model").value : model.default));

async function listModels() {
  try {
    const answer = await fetch(api("v1/models"), { headers: headers() });
    if (!answer.ok) {
      if (answer.status === 401) $("key-box").open = true;
      return;
    }
    ({ models: state.models } = await answer.json());
    $("model").replaceChildren(...state.models.map((model) =>
      element("option", { value: model.name, selected: model.default, disabled: !model.ready }, model.name)));
    $("model-field").hidden = state.models.length < 2;
    drawCategories();
  } catch { /* the default model does */ }
}

// ---- wiring -------------------------------------------------------------------------------

function wire() {
  drawCategories();
  $("file").addEventListener("change", (event) => {
    takePhotos([...event.target.files]);
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
  $("model").addEventListener("change", drawCategories);
  $("threshold").addEventListener("input", draw);
  $("best").addEventListener("change", draw);
  $("download").addEventListener("click", downloadAll);
  document.querySelectorAll(".copy").forEach((button) => button.addEventListener("click", () => copy(button)));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") state.running?.abort(); });
  document.addEventListener("paste", (event) => {
    const files = imagesOf(event.clipboardData);
    if (files.length) { event.preventDefault(); takePhotos(files); }
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
    takePhotos([...(event.dataTransfer?.files ?? [])]);
  });
  new ResizeObserver(() => { if (state.shown?.answer) drawOverlay(visible()); }).observe($("image"));
  listModels();
}

wire();
