// Shows /v3/api-docs as a page and lets a reader try each call. No library, no other host.
"use strict";
let token = "";
const byId = (id) => document.getElementById(id);

const element = (name, props = {}, ...children) => {
  const node = Object.assign(document.createElement(name), props);
  node.append(...children);
  return node;
};

const resolve = (schema, document) => {
  const name = schema && schema.$ref && schema.$ref.split("/").pop();
  return name ? document.components.schemas[name] : schema;
};

// An example value for a schema, three levels deep. What may be left out is null, so that the example
// can be sent after filling in what must be there.
const example = (schema, document, depth = 0) => {
  const known = resolve(schema, document);
  if (!known || depth > 3) return null;
  if (known.example !== undefined) return known.example;
  const type = known.type;
  if (Array.isArray(type) && type.includes("null")) return null;
  if (known.oneOf) {
    if (known.oneOf.some((it) => it.type === "null")) return null;
    return example(known.oneOf[0], document, depth);
  }
  if (known.allOf) return Object.assign({}, ...known.allOf.map((it) => example(it, document, depth)));
  if (type === "array") return [example(known.items, document, depth + 1)];
  if (known.properties) {
    const entries = Object.entries(known.properties);
    return Object.fromEntries(entries.map(([k, v]) => [k, example(v, document, depth + 1)]));
  }
  return { string: "", integer: 0, number: 0, boolean: false, object: {} }[type] ?? null;
};

const send = async (method, path, operation, inputs, body, output) => {
  const query = new URLSearchParams();
  let target = path;
  for (const parameter of operation.parameters || []) {
    const value = inputs[parameter.name].value;
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value !== "") query.set(parameter.name, value);
  }
  if ([...query].length) target += `?${query}`;
  const headers = token ? { "X-Authorization": `Bearer ${token}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  const started = performance.now();
  const response = await fetch(target, { method, headers, body: body ? body.value : undefined });
  const text = await response.text();
  let shown = text;
  try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown as it is */ }
  const took = Math.round(performance.now() - started);
  output.textContent = `${response.status} ${response.statusText} in ${took} ms\n${target}\n\n${shown}`;
};

const operationView = (method, path, operation, document) => {
  const inputs = {};
  const fields = (operation.parameters || []).map((parameter) => {
    const input = element("input", { required: parameter.required === true });
    inputs[parameter.name] = input;
    const mark = parameter.required ? " *" : "";
    const about = element("span", { className: "quiet", textContent: ` ${parameter.description || ""}` });
    return element("label", {}, `${parameter.name}${mark} `, input, about);
  });
  const content = operation.requestBody && operation.requestBody.content["application/json"];
  const body = content && element("textarea", {
    value: JSON.stringify(example(content.schema, document) ?? {}, null, 2), spellcheck: false,
  });
  const output = element("pre", { hidden: true });
  const form = element("form", {}, ...fields, ...(body ? [body] : []), element("button", {}, "Send"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    output.hidden = false;
    output.textContent = "...";
    try { await send(method, path, operation, inputs, body, output); } catch (fault) {
      output.textContent = String(fault);
    }
  });
  const head = element("summary", {}, element("span", { className: "method" }, method),
    element("code", {}, path), element("span", { className: "quiet" }, ` ${operation.summary}`));
  const view = element("details", {}, head, element("p", { className: "quiet" }, operation.description || ""),
    form, output);
  view.dataset.words = `${method} ${path} ${operation.summary}`.toLowerCase();
  return view;
};

const show = (document) => {
  byId("about").textContent = `${document.info.version}: ${document.info.description}`;
  const chapters = new Map();
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags[0];
      if (!chapters.has(tag)) chapters.set(tag, []);
      chapters.get(tag).push(operationView(method.toUpperCase(), path, operation, document));
    }
  }
  const names = [...chapters.keys()].sort();
  byId("operations").replaceChildren(...names.map((name) =>
    element("section", {}, element("h2", {}, name), ...chapters.get(name))));
};

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ username: byId("username").value, password: byId("password").value });
  const headers = { "Content-Type": "application/json" };
  try {
    const response = await fetch("/api/auth/login", { method: "POST", headers, body });
    const answer = await response.json();
    token = response.ok ? answer.token : "";
    byId("state").textContent = response.ok ? "signed in" : answer.message;
  } catch (fault) {
    byId("state").textContent = String(fault);
  }
});

byId("filter").addEventListener("input", () => {
  const wanted = byId("filter").value.toLowerCase();
  for (const view of document.querySelectorAll("details")) {
    view.hidden = !view.dataset.words.includes(wanted);
  }
  for (const chapter of document.querySelectorAll("section")) {
    chapter.hidden = !chapter.querySelector("details:not([hidden])");
  }
});

fetch("/v3/api-docs").then((response) => response.json()).then(show).catch((fault) => {
  byId("about").textContent = `The description did not arrive: ${fault}`;
});
