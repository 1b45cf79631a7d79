// Draws /openapi.json. Text is only ever set as text: nothing in the description can become markup.

const METHODS = ["get", "post", "patch", "delete"];
let schemas = {};

function el(name, props = {}, ...children) {
  const node = Object.assign(document.createElement(name), props);
  node.append(...children.filter((child) => child != null));
  return node;
}

// Words in which `this` is code.
function prose(name, text) {
  return el(name, {}, ...text.split("`").map((part, n) => (n % 2 ? el("code", { textContent: part }) : part)));
}

const resolve = (schema) =>
  schema?.$ref ? { ...schemas[schema.$ref.split("/").pop()], ...(schema.description && { description: schema.description }) } : schema ?? {};

const nameOf = (schema) => schema?.$ref?.split("/").pop();

// What a value may be, in a word or two.
function kind(schema) {
  if (nameOf(schema) && !resolve(schema).enum) return nameOf(schema).replaceAll("_", " of ");
  schema = resolve(schema);
  const parts = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (parts) return parts.map(kind).join(" or ");
  if (schema.enum) return schema.enum.map((word) => JSON.stringify(word)).join(" | ");
  const types = [schema.type ?? "anything"].flat();
  const shown = types.map((type) => (type === "array" ? `list of ${kind(schema.items)}` : type));
  const bounds = [
    schema.format && schema.format !== "int64" ? schema.format : null,
    schema.minLength ?? schema.minimum != null ? `from ${schema.minLength ?? schema.minimum}` : null,
    schema.maxLength ?? schema.maximum != null ? `to ${schema.maxLength ?? schema.maximum}` : null,
    schema.pattern,
  ];
  return [shown.join(" or "), ...bounds.filter(Boolean)].join(", ");
}

// The object behind a schema, if there is one to open.
function inner(schema) {
  const whole = resolve(schema);
  if (whole.properties || whole.allOf) return schema;
  if (whole.items) return inner(whole.items);
  return (whole.oneOf ?? whole.anyOf ?? []).map(inner).find(Boolean);
}

function fields(schema, seen = []) {
  const whole = resolve(schema);
  const parts = [whole, ...(whole.allOf ?? []).map(resolve)];
  const rows = parts.flatMap((part) =>
    Object.entries(part.properties ?? {}).map(([name, property]) => {
      const must = (part.required ?? []).includes(name);
      const below = inner(property);
      const key = nameOf(below) ?? name;
      const words = resolve(property).description ?? property.description;
      return el("tr", {},
        el("th", { scope: "row" }, el("code", { textContent: name }), must ? el("span", { className: "must", textContent: " *" , title: "required" }) : null),
        el("td", {},
          el("span", { className: "kind", textContent: kind(property) }),
          words ? prose("div", words) : null,
          below && !seen.includes(key) ? open(`${key.replaceAll("_", " of ")} …`, () => fields(below, [...seen, key])) : null));
    }));
  return rows.length ? el("table", {}, el("tbody", {}, ...rows)) : el("p", { className: "kind", textContent: kind(schema) });
}

// Drawn when it is opened: schemas may hold each other.
function open(title, draw) {
  const box = el("details", {}, el("summary", { textContent: title }));
  box.addEventListener("toggle", () => box.childElementCount === 1 && box.append(draw()), { once: true });
  return box;
}

const pretty = (value) => el("pre", {}, el("code", { textContent: JSON.stringify(value, null, 2) }));

function curl(method, path, operation, example) {
  const isOpen = operation.security?.length === 1 && Object.keys(operation.security[0]).length === 0;
  const lines = [`curl${method === "get" ? "" : ` -X ${method.toUpperCase()}`} ${location.origin}${path}`];
  if (!isOpen) lines.push(`-H "Authorization: Bearer $KEY"`);
  if (example !== undefined) lines.push("-H 'Content-Type: application/json'", `-d '${JSON.stringify(example).replaceAll("'", "'\\''")}'`);
  return el("pre", {}, el("code", { textContent: lines.join(" \\\n  ") }));
}

function section(method, path, operation) {
  const id = operation.operationId;
  const parameters = operation.parameters ?? [];
  const body = Object.values(operation.requestBody?.content ?? {})[0];
  const node = el("section", { id },
    el("h3", {}, el("span", { className: `method ${method}`, textContent: method }), el("code", { textContent: path })),
    prose("p", [operation.summary, operation.description].filter(Boolean).join(" ")));
  if (parameters.length) {
    const rows = parameters.map((parameter) => el("tr", {},
      el("th", { scope: "row" }, el("code", { textContent: parameter.name }), parameter.required ? el("span", { className: "must", textContent: " *", title: "required" }) : null),
      el("td", {}, el("span", { className: "kind", textContent: `${parameter.in}, ${kind(parameter.schema)}` }), parameter.description ? prose("div", parameter.description) : null)));
    node.append(el("h4", { textContent: "Parameters" }), el("table", {}, el("tbody", {}, ...rows)));
  }
  if (body) {
    node.append(el("h4", { textContent: operation.requestBody.required ? "Body" : "Body, if any" }), fields(body.schema));
  }
  node.append(el("h4", { textContent: "For example" }), curl(method, path, operation, body?.example));
  node.append(el("h4", { textContent: "Answers" }));
  for (const [status, response] of Object.entries(operation.responses)) {
    const [type, content] = Object.entries(response.content ?? {})[0] ?? [];
    const title = `${status === "default" ? "otherwise" : status}: ${response.description}${type ? ` (${type})` : ""}`;
    node.append(content ? open(title, () => el("div", {}, content.schema ? fields(content.schema) : "", content.example ? pretty(content.example) : "")) : el("p", { textContent: title }));
  }
  return node;
}

async function draw() {
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error(`openapi.json: ${answer.status}`);
  const api = await answer.json();
  schemas = api.components.schemas;
  document.getElementById("version").textContent = api.info.version;
  const groups = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((method) => item[method])) {
      const tag = item[method].tags?.[0] ?? "others";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push([method, path, item[method]]);
    }
  }
  const main = document.getElementById("main");
  const routes = document.getElementById("routes");
  const entries = [];
  main.replaceChildren(prose("p", api.info.description));
  for (const [tag, operations] of groups) {
    const list = el("ul");
    const group = el("div", {}, el("h2", { textContent: tag }), list);
    for (const [method, path, operation] of operations) {
      const link = el("li", {}, el("a", { href: `#${operation.operationId}` }, el("span", { className: `method ${method}`, textContent: method }), path.replace("/api/v1", "")));
      const place = section(method, path, operation);
      entries.push({ link, place, group, words: `${method} ${path} ${operation.summary ?? ""} ${tag}`.toLowerCase() });
      list.append(link);
      main.append(place);
    }
    routes.append(group);
  }
  const filter = document.getElementById("filter");
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/);
    for (const entry of entries) {
      const fits = words.every((word) => entry.words.includes(word));
      entry.link.hidden = entry.place.hidden = !fits;
    }
    for (const group of routes.children) group.hidden = ![...group.querySelectorAll("li")].some((item) => !item.hidden);
  });
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

draw().catch((error) => {
  document.getElementById("state").textContent = `The description could not be read: ${error.message}`;
});
