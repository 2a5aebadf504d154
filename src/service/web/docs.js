"use strict";

// Draws /openapi.json: routes by tag, their parameters, bodies and answers, each with a form to try.

const here = (path) => new URL(path.replace(/^\//, ""), document.baseURI).href;
const METHODS = ["get", "post", "put", "patch", "delete", "head"];
let api = null;

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child != null));
  return node;
}

function resolve(thing) {
  for (let hops = 0; thing && thing.$ref && hops < 20; ++hops) {
    const found = thing.$ref.slice(2).split("/").reduce((at, key) => at?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], api);
    const { $ref, ...rest } = thing;
    thing = { ...found, ...rest, name_: $ref.split("/").pop(), ...(found?.name ? { name: found.name } : {}) };
  }
  return thing ?? {};
}

function text(words) {
  return String(words ?? "").split("\n\n").map((part) => element("p", {}, part.split(/(`[^`]+`)/).map((bit) =>
    (bit.startsWith("`") && bit.length > 2 ? element("code", {}, bit.slice(1, -1)) : bit))));
}

// ---- schemas ------------------------------------------------------------------------------

function typeWords(schema) {
  schema = resolve(schema);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const parts = [];
  if (schema.type === "array" || schema.items) {
    parts.push(schema.prefixItems ? `[${schema.prefixItems.map(typeWords).join(", ")}]` : `array of ${typeWords(schema.items ?? {})}`);
  } else if (schema.type) parts.push([schema.type].flat().join(" | "));
  else if (schema.oneOf) return [...new Set(schema.oneOf.map(typeWords))].filter(Boolean).join(" | ");
  else if (schema.properties) parts.push("object");
  const { minimum: low, maximum: high } = schema;
  if (low !== undefined && high !== undefined) parts.push(`${low} to ${high}`);
  else if (low !== undefined) parts.push(`at least ${low}`);
  else if (high !== undefined) parts.push(`at most ${high}`);
  if (schema.minItems !== undefined && schema.maxItems !== undefined && !schema.prefixItems) parts.push(`${schema.minItems} to ${schema.maxItems}`);
  else if (schema.maxItems !== undefined && !schema.prefixItems) parts.push(`up to ${schema.maxItems}`);
  if (schema.default !== undefined) parts.push(`default ${JSON.stringify(schema.default)}`);
  return parts.join(", ") || "any";
}

/** The object schema inside a schema, if there is one worth unfolding. */
function inner(schema) {
  schema = resolve(schema);
  if (schema.properties) return schema;
  if (schema.items) return inner(schema.items);
  for (const choice of schema.oneOf ?? []) {
    const found = inner(choice);
    if (found) return found;
  }
  return null;
}

function tree(schema, depth = 0) {
  const object = inner(schema);
  if (!object || depth > 6) return null;
  return element("ul", { class: "tree" }, Object.entries(object.properties).map(([name, property]) => {
    const full = resolve(property);
    const below = inner(full) ? tree(full, depth + 1) : null;
    const head = [element("code", {}, name), " ", element("span", { class: "type" }, typeWords(full)),
      object.required?.includes(name) ? element("span", { class: "must" }, " required") : null];
    return element("li", {}, below ? element("details", {}, element("summary", {}, head), below) : head,
      full.description ? element("div", { class: "quiet small" }, text(full.description)) : null);
  }));
}

function exampleOf(media) {
  if (media.example !== undefined) return media.example;
  const first = Object.values(media.examples ?? {})[0];
  return first ? resolve(first).value : undefined;
}

const pretty = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

// ---- try it -------------------------------------------------------------------------------

function field(label, input) {
  const id = `f${field.next = (field.next ?? 0) + 1}`;
  input.id = id;
  return element("div", { class: "field" }, element("label", { for: id, class: "small" }, label), input);
}

function tryForm(path, method, operation, parameters) {
  const inputs = parameters.map((parameter) => {
    const input = element("input", { type: "text", class: "plain", spellcheck: "false", autocomplete: "off",
      placeholder: parameter.schema?.default !== undefined ? String(parameter.schema.default) : "" });
    return { parameter, input, node: field(`${parameter.name} (${parameter.in}${parameter.required ? ", required" : ""})`, input) };
  });
  const content = resolve(operation.requestBody).content ?? {};
  const types = Object.keys(content);
  const choice = element("select", {}, types.map((type) => element("option", { value: type }, type)));
  const body = element("textarea", { spellcheck: "false" });
  const file = element("input", { type: "file", class: "plain", multiple: true });
  const bodyField = field("Body", body), fileField = field("Photo", file);
  const result = element("div", { role: "status", "aria-live": "polite" });
  const key = element("input", { type: "password", autocomplete: "off", "data-key": true });
  const needsKey = operation.security?.length !== 0;

  const arrange = () => {
    const type = choice.value;
    bodyField.hidden = !types.length || type.startsWith("image/");
    fileField.hidden = !types.length || type === "application/json";
    bodyField.querySelector("label").textContent = type === "multipart/form-data" ? "options" : "Body";
    const example = type === "multipart/form-data" ? { items: ["navy blazer", "pants"], threshold: 0.25 } : exampleOf(content[type] ?? {});
    body.value = example === undefined ? "" : pretty(example);
    for (const one of inputs) {
      one.node.hidden = one.parameter.in === "query" && types.length > 0 && !type.startsWith("image/");
    }
  };
  choice.addEventListener("change", arrange);
  if (types.length) arrange();

  const send = async () => {
    let target = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const { parameter, input, node } of inputs) {
      const value = input.value;
      if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, value.split("/").map(encodeURIComponent).join("/"));
      else if (value === "" || node.hidden) continue;
      else if (parameter.in === "query") query.append(parameter.name, value);
      else headers[parameter.name] = value;
    }
    if (needsKey && key.value.trim()) headers.Authorization = `Bearer ${key.value.trim()}`;
    const options = { method: method.toUpperCase(), headers };
    if (choice.value === "application/json") {
      headers["Content-Type"] = "application/json";
      options.body = body.value;
    } else if (choice.value === "multipart/form-data") {
      options.body = new FormData();
      options.body.append("options", body.value);
      for (const one of file.files) options.body.append("image", one, one.name);
    } else if (types.length) {
      if (!file.files[0]) throw new Error("Choose a photo first.");
      headers["Content-Type"] = file.files[0].type || "image/jpeg";
      options.body = file.files[0];
    }
    const started = performance.now();
    const answer = await fetch(here(target) + (query.size ? `?${query}` : ""), options);
    const type = answer.headers.get("Content-Type") ?? "";
    const head = element("p", {}, element("strong", {}, `${answer.status} ${answer.statusText}`), ` ${type}`);
    result.replaceChildren(head);
    const done = () => head.append(`, ${Math.round(performance.now() - started)} ms`);
    if (type.startsWith("text/event-stream")) return stream(answer, result);
    if (type.startsWith("image/")) {
      result.append(element("img", { src: URL.createObjectURL(await answer.blob()), alt: "The answer" }));
    } else if (/json|text/.test(type)) {
      let shown = await answer.text();
      if (type.includes("json")) try { shown = pretty(JSON.parse(shown)); } catch { /* shown as it came */ }
      if (shown) result.append(element("pre", { tabindex: 0, "aria-label": "The answer" }, shown));
    } else if (answer.status !== 304) {
      result.append(element("a", { href: URL.createObjectURL(await answer.blob()), download: "answer" }, "Save the answer"));
    }
    return done();
  };

  return element("details", { class: "try" }, element("summary", {}, "Try it"), element("form", {
    onsubmit: (event) => {
      event.preventDefault();
      result.replaceChildren("Sending…");
      send().catch((problem) => result.replaceChildren(element("p", { class: "error" },
        problem instanceof TypeError ? "The server cannot be reached." : problem.message)));
    } },
    types.length > 1 ? field("Content type", choice) : null,
    inputs.length ? element("div", { class: "two" }, inputs.map((one) => one.node)) : null,
    types.length ? [bodyField, fileField] : null,
    needsKey ? field("API key, if the server asks for one (kept in memory only)", key) : null,
    element("div", {}, element("button", { class: "button primary", type: "submit" }, "Send")), result));
}

async function stream(answer, result) {
  const out = element("pre", { tabindex: 0, "aria-label": "Events" });
  result.append(out);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    out.append(value);
  }
}

// ---- routes -------------------------------------------------------------------------------

function mediaBlocks(content) {
  return Object.entries(content ?? {}).map(([type, media]) => {
    const example = exampleOf(media);
    const fields = media.schema ? tree(media.schema) : null;
    return element("details", {}, element("summary", {}, element("code", {}, type)),
      media.schema && resolve(media.schema).description ? text(resolve(media.schema).description) : null, fields,
      example === undefined ? null : element("div", { class: "code" }, element("pre", { tabindex: 0, "aria-label": `Example of ${type}` }, pretty(example))));
  });
}

function operationBlock(path, method, operation, shared) {
  const parameters = [...shared, ...(operation.parameters ?? [])].map(resolve);
  const request = resolve(operation.requestBody);
  const section = (title, ...content) => element("section", {}, element("h3", {}, title), content);
  const block = element("details", { class: "op", id: operation.operationId },
    element("summary", {}, element("span", { class: `verb ${method}` }, method.toUpperCase()), element("code", {}, path),
      element("span", { class: "quiet small" }, operation.summary)));
  // The body is drawn when it is first opened: the page is quick then.
  block.addEventListener("toggle", () => {
    if (!block.open || block.querySelector(".op-body")) return;
    block.append(element("div", { class: "op-body" },
      operation.description ? element("div", {}, text(operation.description)) : null,
      parameters.length ? section("Parameters", element("table", { class: "rows" }, element("tbody", {}, parameters.map((parameter) =>
        element("tr", {}, element("th", { scope: "row" }, element("code", {}, parameter.name),
          parameter.required ? element("span", { class: "must" }, " required") : null),
          element("td", { class: "type" }, `${parameter.in}; ${typeWords(parameter.schema)}`), element("td", {}, text(parameter.description))))))) : null,
      request.content ? section("Request", mediaBlocks(request.content)) : null,
      section("Answers", element("table", { class: "rows" }, element("tbody", {}, Object.entries(operation.responses).map(([status, response]) => {
        const full = resolve(response);
        return element("tr", {}, element("th", { scope: "row" }, status), element("td", {}, text(full.description), /^2/.test(status) ? mediaBlocks(full.content) : null));
      })))),
      tryForm(path, method, operation, parameters)));
  });
  return block;
}

function openHash() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.classList.contains("op")) {
    target.open = true;
    target.scrollIntoView();
    target.querySelector("summary").focus({ preventScroll: true });
  }
}

async function start() {
  const answer = await fetch(here("openapi.json"));
  if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
  api = await answer.json();
  const groups = new Map(api.tags.map((tag) => [tag.name, { ...tag, operations: [] }]));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS) {
      if (item[method]) groups.get(item[method].tags[0]).operations.push([path, method, item[method], item.parameters ?? []]);
    }
  }
  const main = document.getElementById("api");
  main.replaceChildren(element("div", { class: "api-intro" }, element("h1", {}, `${api.info.title} API`), text(api.info.description)));
  const contents = element("details", { open: matchMedia("(min-width: 861px)").matches }, element("summary", {}, "Routes"));
  for (const group of groups.values()) {
    main.append(element("h2", { class: "api-group" }, group.name), element("div", { class: "quiet" }, text(group.description)),
      ...group.operations.map((operation) => operationBlock(...operation)));
    contents.append(element("h2", {}, group.name), element("ul", {}, group.operations.map(([path, method, operation]) =>
      element("li", {}, element("a", { href: `#${operation.operationId}` },
        element("span", { class: `verb ${method}` }, method === "delete" ? "DEL" : method.toUpperCase()), path)))));
  }
  document.getElementById("contents").replaceChildren(contents);
  addEventListener("hashchange", openHash);
  openHash();
}

start().catch((problem) => document.getElementById("api").replaceChildren(
  element("p", { class: "error", role: "alert" }, `The API's description could not be loaded. ${problem.message}`)));
