#!/usr/bin/env node
// Tests a running itemcrop service from end to end, or sends it a folder of photos.
// Node 18 or later, no packages.

import { readFile, readdir, writeFile } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const HELP = `Usage:
  node test_deployment.mjs BASE_URL [options]               end-to-end test of a deployment
  node test_deployment.mjs BASE_URL --batch FOLDER [options]  send every photo of a folder

  --image FILE        photo for the test (default: the service's own /ui/sample.jpg)
  --image-url URL     also test fetching by URL: /crop and /analyze with this address
  --items LIST        what to find, separated by commas   (default: "t-shirt, pants, shoes")
  --categories LIST   categories for the old /crop        (default: "tops,bottoms,shoes")
  --batch FOLDER      jpg, jpeg, png, webp, tif, tiff, heic, avif; subfolders are left out
  --limit N           at most N photos of the folder      (default: 64)
  --repeat            use the folder's photos again until there are --limit
  --concurrency N     requests at once in a batch         (default: 8)
  --retries N         tries again after what is passing, waiting as Retry-After says (default: 8)
  --legacy            batch through the old /crop instead of /v1/crop
  --timeout SECONDS   for each request                    (default: 120)
  --key KEY           API key (or the variable ITEMCROP_KEY)
  --json FILE         write the results as JSON too
  --help

Exit code: 0 all passed, 1 something failed, 2 wrong usage.`;

const PHOTOS = new Set([".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".heic", ".heif", ".avif"]);
const MOST_WAIT_SECONDS = 60;

const list = (words) => words.split(",").map((word) => word.trim()).filter(Boolean);
const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const seconds = (milliseconds) => (milliseconds / 1000).toFixed(2);

export class Client {
  constructor(base, { key, timeout = 120, retries = 8 } = {}) {
    this.base = base.replace(/\/+$/, "");
    this.timeout = timeout;
    this.retries = retries;
    this.headers = key ? { Authorization: `Bearer ${key}` } : {};
    this.waits = 0; // how often a full server made us wait
  }

  /** One request; tries again after what is passing. Returns {status, headers, bytes, json?, ms}. */
  async send(path, { method = "GET", body, headers = {} } = {}) {
    for (let attempt = 0; ; ++attempt) {
      const started = performance.now();
      const answer = await fetch(path.startsWith("http") ? path : this.base + path, {
        method,
        body,
        headers: { ...this.headers, ...headers },
        signal: AbortSignal.timeout(this.timeout * 1000),
      });
      const bytes = Buffer.from(await answer.arrayBuffer());
      // The old contract has 502 for photos that are not there too.
      const passing = path.startsWith("/v1/") ? [408, 429, 502, 503, 504] : [429, 503];
      if (passing.includes(answer.status) && attempt < this.retries) {
        ++this.waits;
        const told = Number(answer.headers.get("retry-after"));
        // A little apart, so that those who were refused together do not come back together.
        await wait(Math.min(told > 0 ? told : 2 ** attempt * 0.5, MOST_WAIT_SECONDS) + Math.random() * 0.25);
        continue;
      }
      const result = { status: answer.status, headers: answer.headers, bytes, ms: performance.now() - started };
      if ((answer.headers.get("content-type") ?? "").includes("json")) {
        result.json = JSON.parse(bytes.toString("utf8"));
      }
      return result;
    }
  }

  async ok(path, options) {
    const answer = await this.send(path, options);
    if (answer.status !== 200) {
      const reason = answer.json?.error?.message ?? answer.json?.detail ?? answer.bytes.toString("utf8", 0, 200);
      throw new Error(`${options?.method ?? "GET"} ${path} answered ${answer.status}: ${reason}`);
    }
    return answer;
  }

  post(path, body) {
    return this.ok(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  }
}

function must(condition, message) {
  if (!condition) throw new Error(message);
}

const isBox = (box) => Array.isArray(box) && box.length === 4 && box.every(Number.isFinite) && box[0] < box[2] && box[1] < box[3];

function urlsOf(answer) {
  return answer.croppedImageUrls ?? (answer.croppedImageUrl ? [answer.croppedImageUrl] : []);
}

/** The end-to-end checks: [name, async function] in order. */
function checks(client, settings) {
  const items = list(settings.items);
  const categories = list(settings.categories);
  let photo = null;
  const base64 = () => photo.toString("base64");

  async function isImage(url) {
    const absolute = new URL(url, `${client.base}/`).href;
    const answer = await fetch(absolute, { signal: AbortSignal.timeout(client.timeout * 1000) });
    must(answer.status === 200, `${absolute} answered ${answer.status}`);
    must((answer.headers.get("content-type") ?? "").startsWith("image/"), `${absolute} is not an image`);
    const bytes = Buffer.from(await answer.arrayBuffer());
    must(bytes.length > 100, `${absolute} is empty`);
    return bytes;
  }

  function checkDetections(answer, withCrops) {
    must(answer.images?.length === 1, "images: one entry expected");
    const [image] = answer.images;
    must(image.error === null, `the photo failed: ${image.error?.message}`);
    for (const found of image.detections) {
      must(isBox(found.box), `a detection's box is wrong: ${JSON.stringify(found.box)}`);
      must(found.score > 0 && found.score <= 1, `a score is wrong: ${found.score}`);
      must(!withCrops || found.crop, "a detection has no crop");
    }
    const answered = new Set([...image.detections.map((found) => found.item), ...image.not_found]);
    for (const item of items) must(answered.has(item), `"${item}" is neither found nor in not_found`);
    return `${image.detections.length} found, ${image.not_found.length} not (${answer.model} on ${answer.device})`;
  }

  const all = [
    ["GET /", async () => {
      const { json } = await client.ok("/");
      must(json.status === "online" && json.endpoint === "/crop", "not the expected status");
      return `cropper_available ${json.cropper_available}`;
    }],
    ["GET /debug", async () => {
      const { json } = await client.ok("/debug");
      must(typeof json.cropper_available === "boolean", "cropper_available is no boolean");
      return "";
    }],
    ["GET /healthz", async () => { await client.ok("/healthz"); return ""; }],
    ["GET /readyz", async () => { await client.ok("/readyz"); return ""; }],
    ["GET /v1/models", async () => {
      const { json } = await client.ok("/v1/models");
      must(json.models?.length > 0, "no models");
      return json.models.map((model) => `${model.name} (${model.device}, ${model.precision})`).join(", ");
    }],
    ["a photo", async () => {
      photo = settings.image ? await readFile(settings.image) : (await client.ok("/ui/sample.jpg")).bytes;
      return `${Math.round(photo.length / 1000)} kB`;
    }],
    ["POST /v1/detect, JSON", async () => checkDetections((await client.post("/v1/detect", { image: { base64: base64() }, items })).json, false)],
    ["POST /v1/detect, form", async () => {
      const form = new FormData();
      form.append("image", new Blob([photo]), "photo.jpg");
      form.append("options", JSON.stringify({ items }));
      return checkDetections((await client.ok("/v1/detect", { method: "POST", body: form })).json, false);
    }],
    ["POST /v1/crop, base64", async () => {
      const { json } = await client.post("/v1/crop", { image: { base64: base64() }, items, return: "base64" });
      const words = checkDetections(json, true);
      for (const found of json.images[0].detections) {
        must(Buffer.from(found.crop.base64, "base64").length > 100, "a crop is empty");
      }
      return words;
    }],
    ["POST /v1/crop, url", async () => {
      const { json } = await client.post("/v1/crop", { image: { base64: base64() }, items, return: "url" });
      const words = checkDetections(json, true);
      for (const found of json.images[0].detections) await isImage(found.crop.url);
      return words;
    }],
    ["POST /crop (old contract)", async () => {
      const { json } = await client.post("/crop", { imageBase64: `data:image/jpeg;base64,${base64()}`, categories });
      must("croppedImageUrl" in json || "croppedImageUrls" in json, "neither croppedImageUrl nor croppedImageUrls");
      if (json.fallback) return "nothing found (fallback)";
      for (const url of urlsOf(json)) await isImage(url);
      return `${urlsOf(json).length} crops`;
    }],
  ];
  if (settings["image-url"]) {
    all.push(["POST /crop by URL", async () => {
      const { json } = await client.post("/crop", { imageUrl: settings["image-url"], categories });
      return json.fallback ? "nothing found (fallback)" : `${urlsOf(json).length} crops`;
    }], ["POST /analyze", async () => {
      const { json } = await client.post("/analyze", { imageUrl: settings["image-url"] });
      must(Array.isArray(json.items) && typeof json.cached === "boolean", "not the expected shape");
      must(typeof json.timing?.total_seconds === "number", "timing.total_seconds is missing");
      for (const item of json.items) must("groundingdino_prompt" in item && "croppedImageUrl" in item, "an item lacks a field");
      return `${json.items.length} items, cached ${json.cached}, ${json.timing.total_seconds} s`;
    }]);
  } else {
    all.push(["POST /analyze answers a missing photo", async () => {
      const answer = await client.send("/analyze", { method: "POST", body: "{}", headers: { "Content-Type": "application/json" } });
      must(answer.status >= 400 && answer.status < 500, `expected a 4xx, got ${answer.status}`);
      return `${answer.status}; give --image-url for the whole test`;
    }]);
  }
  all.push(["a mistake is answered as one", async () => {
    const answer = await client.send("/v1/detect", { method: "POST", body: "{", headers: { "Content-Type": "application/json" } });
    must(answer.status === 400, `broken JSON answered ${answer.status}`);
    must(answer.json?.error?.message && answer.json?.request_id, "the error has no message or request_id");
    return answer.json.error.message;
  }]);
  return all;
}

/** Runs every check; a failed one does not stop the others. */
export async function testDeployment(client, settings, print = console.log) {
  const results = [];
  for (const [name, run] of checks(client, settings)) {
    const started = performance.now();
    let passed = true, words;
    try {
      words = await run();
    } catch (problem) {
      passed = false;
      words = problem.cause?.message ? `${problem.message} (${problem.cause.message})` : problem.message;
    }
    const ms = performance.now() - started;
    results.push({ name, passed, ms: Math.round(ms), words });
    print(`${passed ? "ok  " : "FAIL"}  ${seconds(ms).padStart(7)} s  ${name}${words ? `: ${words}` : ""}`);
    // Without a connection or a photo the rest would only say the same again.
    if (!passed && (name === "GET /" && !words.includes("answered") || name === "a photo")) break;
  }
  const failed = results.filter((result) => !result.passed).length;
  print(failed ? `\n${failed} of ${results.length} checks FAILED` : `\nAll ${results.length} checks passed`);
  return { passed: failed === 0, results };
}

async function photosOf(folder, limit, repeat) {
  const names = (await readdir(folder)).filter((name) => PHOTOS.has(extname(name).toLowerCase())).sort();
  if (!names.length) throw new Error(`There are no photos in ${folder}.`);
  const count = repeat ? limit : Math.min(limit, names.length);
  return Array.from({ length: count }, (_, index) => join(folder, names[index % names.length]));
}

function percentile(sorted, share) {
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] : 0;
}

/** Sends a folder, `concurrency` photos at a time. */
export async function sendFolder(client, settings, print = console.log) {
  const photos = await photosOf(settings.batch, Number(settings.limit), settings.repeat);
  const items = list(settings.items), categories = list(settings.categories);
  const results = new Array(photos.length);
  const started = performance.now();
  let next = 0, done = 0, lastLine = 0;

  async function one(index) {
    const photo = photos[index];
    const begun = performance.now();
    try {
      const bytes = await readFile(photo);
      let crops;
      if (settings.legacy) {
        const { json } = await client.post("/crop", { imageBase64: bytes.toString("base64"), categories });
        crops = json.fallback ? 0 : urlsOf(json).length;
      } else {
        const form = new FormData();
        form.append("image", new Blob([bytes]), basename(photo));
        form.append("options", JSON.stringify({ items }));
        const { json } = await client.ok("/v1/crop", { method: "POST", body: form });
        const [image] = json.images;
        if (image.error) throw new Error(image.error.message);
        crops = image.detections.length;
      }
      results[index] = { photo: basename(photo), ok: true, crops, ms: Math.round(performance.now() - begun) };
    } catch (problem) {
      results[index] = { photo: basename(photo), ok: false, error: problem.message, ms: Math.round(performance.now() - begun) };
      print(`FAIL  ${basename(photo)}: ${problem.message}`);
    }
    ++done;
    if (performance.now() - lastLine > 5000) {
      lastLine = performance.now();
      print(`${done} of ${photos.length}, ${seconds(lastLine - started)} s`);
    }
  }

  const workers = Array.from({ length: Math.min(Number(settings.concurrency), photos.length) }, async () => {
    while (next < photos.length) await one(next++);
  });
  await Promise.all(workers);

  const took = performance.now() - started;
  const answered = results.filter((result) => result.ok);
  const times = answered.map((result) => result.ms).sort((a, b) => a - b);
  const summary = {
    photos: photos.length,
    succeeded: answered.length,
    failed: photos.length - answered.length,
    crops: answered.reduce((sum, result) => sum + result.crops, 0),
    waits: client.waits,
    seconds: Number(seconds(took)),
    photos_per_second: Number((answered.length / (took / 1000)).toFixed(2)),
    p50_ms: percentile(times, 0.5),
    p99_ms: percentile(times, 0.99),
  };
  print(`\n${summary.succeeded} of ${summary.photos} answered, ${summary.failed} failed, ${summary.crops} crops, ${summary.seconds} s`);
  print(`${summary.photos_per_second} photos/s; p50 ${summary.p50_ms} ms, p99 ${summary.p99_ms} ms (waits included); waited ${summary.waits} times`);
  return { passed: summary.failed === 0, summary, results };
}

async function main() {
  let parsed;
  try {
    parsed = parseArgs({
      allowPositionals: true,
      options: {
        image: { type: "string" },
        "image-url": { type: "string" },
        items: { type: "string", default: "t-shirt, pants, shoes" },
        categories: { type: "string", default: "tops,bottoms,shoes" },
        batch: { type: "string" },
        limit: { type: "string", default: "64" },
        repeat: { type: "boolean", default: false },
        concurrency: { type: "string", default: "8" },
        retries: { type: "string", default: "8" },
        legacy: { type: "boolean", default: false },
        timeout: { type: "string", default: "120" },
        key: { type: "string", default: process.env.ITEMCROP_KEY },
        json: { type: "string" },
        help: { type: "boolean", default: false },
      },
    });
    for (const name of ["limit", "concurrency", "retries", "timeout"]) {
      const value = Number(parsed.values[name]);
      if (!Number.isInteger(value) || value < (name === "retries" ? 0 : 1)) throw new Error(`--${name} must be a whole number, and is ${parsed.values[name]}`);
    }
    if (!parsed.values.help) {
      if (parsed.positionals.length !== 1) throw new Error("one BASE_URL is needed");
      if (!/^https?:\/\//.test(parsed.positionals[0])) throw new Error(`BASE_URL must begin with http:// or https://, and is ${parsed.positionals[0]}`);
    }
  } catch (problem) {
    console.error(`${problem.message}\n\n${HELP}`);
    return 2;
  }
  const { values, positionals } = parsed;
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const client = new Client(positionals[0], { key: values.key, timeout: Number(values.timeout), retries: Number(values.retries) });
  try {
    const outcome = await (values.batch ? sendFolder : testDeployment)(client, values);
    if (values.json) await writeFile(values.json, `${JSON.stringify(outcome, null, 2)}\n`);
    return outcome.passed ? 0 : 1;
  } catch (problem) {
    console.error(problem.message);
    return 1;
  }
}

if (process.argv[1] && fileURLToPath(import.meta.url) === process.argv[1]) process.exitCode = await main();
