// node --test examples/js      (a mock of the service; the real one is tested by tests/service)

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";

const SCRIPT = fileURLToPath(new URL("test_deployment.mjs", import.meta.url));
const IMAGE = Buffer.alloc(500, 1);

let server, base, folder, mock;

function detection(item) {
  return { item, score: 0.5, box: [0, 0, 10, 10], scores: { [item]: 0.5 } };
}

function answer(request, body) {
  const path = new URL(request.url, base).pathname;
  if (path === "/") return [200, { status: "online", cropper_available: true, endpoint: "/crop" }];
  if (path === "/debug") return [200, { cropper_available: true }];
  if (path === "/healthz" || path === "/readyz") return [200, { status: "ok" }];
  if (path === "/v1/models") return [200, { models: [{ name: "wardrobe", device: "cpu", precision: "fp32" }] }];
  if (path === "/ui/sample.jpg" || path.startsWith("/files/")) return [200, IMAGE];
  if (path === "/analyze") return [422, { error: { code: "invalid_argument", message: "imageUrl is missing" }, detail: "", request_id: "1" }];
  if (path === "/crop") return [200, { croppedImageUrl: "/files/a.jpg", items: [], request_id: "1" }];
  if (path.startsWith("/v1/")) {
    if (body === "{") return [400, { error: { code: "invalid_argument", message: "not JSON" }, detail: "not JSON", request_id: "1" }];
    if (mock.failing?.(body)) return [500, { error: { code: "internal", message: "a bug" }, detail: "a bug", request_id: "1" }];
    const found = { ...detection("t-shirt"), crop: { [body.includes('"base64"') && body.includes('"return":"base64"') ? "base64" : "url"]: body.includes('"return":"base64"') ? IMAGE.toString("base64") : "/files/a.jpg" } };
    return [200, { request_id: "1", model: "wardrobe", device: "cpu", precision: "fp32", images: [{ id: "0", detections: [found], not_found: mock.forgetful ? [] : ["pants", "shoes"], error: null }] }];
  }
  return [404, { error: { code: "not_found", message: "no such path" }, detail: "", request_id: "1" }];
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "itemcrop-js-"));
  for (let index = 0; index < 6; ++index) await writeFile(join(folder, `photo${index}.jpg`), `photo ${index}`);
  await writeFile(join(folder, "notes.txt"), "not a photo");
  server = createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      mock.running = (mock.running ?? 0) + 1;
      mock.most = Math.max(mock.most ?? 0, mock.running);
      setTimeout(() => {
        --mock.running;
        mock.keys.push(request.headers.authorization);
        if (request.url.startsWith("/v1/crop") && mock.busy-- > 0) {
          response.writeHead(429, { "Retry-After": "1", "Content-Type": "application/json" });
          response.end('{"error":{"code":"overloaded","message":"full"}}');
          return;
        }
        const [status, content] = answer(request, Buffer.concat(parts).toString("latin1"));
        const image = Buffer.isBuffer(content);
        response.writeHead(status, { "Content-Type": image ? "image/jpeg" : "application/json" });
        response.end(image ? content : JSON.stringify(content));
      }, 10);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${server.address().port}`;
});

beforeEach(() => { mock = { busy: 0, keys: [] }; });

after(async () => {
  server.close();
  server.closeAllConnections();
  await rm(folder, { recursive: true });
});

function run(...words) {
  return new Promise((resolve) => {
    execFile(process.execPath, [SCRIPT, ...words], (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }));
  });
}

test("a healthy deployment passes every check", async () => {
  const { code, stdout } = await run(base, "--key", "secret");
  assert.equal(code, 0, stdout);
  assert.match(stdout, /All \d+ checks passed/);
  assert.doesNotMatch(stdout, /FAIL|secret/);
  assert.ok(mock.keys.includes("Bearer secret"));
});

test("an item that is neither found nor missing fails the test", async () => {
  mock.forgetful = true;
  const { code, stdout } = await run(base);
  assert.equal(code, 1);
  assert.match(stdout, /FAIL.*"pants" is neither found nor in not_found/);
});

test("a server that is not there fails at once", async () => {
  const { code, stdout } = await run("http://127.0.0.1:9");
  assert.equal(code, 1);
  assert.match(stdout, /1 of 1 checks FAILED/);
});

test("a batch sends every photo, bounded, and waits when told to", async () => {
  mock.busy = 2;
  const out = join(folder, "results.json");
  const { code, stdout } = await run(base, "--batch", folder, "--concurrency", "2", "--json", out);
  assert.equal(code, 0, stdout);
  const { summary } = JSON.parse(await readFile(out));
  assert.deepEqual([summary.photos, summary.succeeded, summary.failed, summary.waits], [6, 6, 0, 2]);
  assert.ok(mock.most <= 2, `${mock.most} at once`);
  assert.ok(summary.seconds >= 1, "Retry-After was not honoured");
});

test("a batch repeats a small folder and goes through the old route", async () => {
  const { code, stdout } = await run(base, "--batch", folder, "--limit", "10", "--repeat", "--legacy");
  assert.equal(code, 0, stdout);
  assert.match(stdout, /10 of 10 answered, 0 failed, 10 crops/);
});

test("a failed photo is counted, named and fails the batch", async () => {
  mock.failing = (body) => body.includes("photo 3");
  const { code, stdout } = await run(base, "--batch", folder);
  assert.equal(code, 1);
  assert.match(stdout, /FAIL {2}photo3.jpg: .*500: a bug/);
  assert.match(stdout, /5 of 6 answered, 1 failed/);
});

test("a server that stays full ends in failure, not in waiting for ever", async () => {
  mock.busy = 1000;
  const { code, stdout } = await run(base, "--batch", folder, "--retries", "0");
  assert.equal(code, 1);
  assert.match(stdout, /0 of 6 answered, 6 failed/);
});

test("help and wrong usage", async () => {
  assert.match((await run("--help")).stdout, /^Usage:/);
  for (const words of [[], ["ftp://x"], [base, "--concurrency", "0"], [base, "--no-such"]]) {
    const { code, stderr } = await run(...words);
    assert.equal(code, 2);
    assert.match(stderr, /Usage:/);
  }
  assert.equal((await run(base, "--batch", "/nonexistent")).code, 1);
});
