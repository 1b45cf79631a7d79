// The virtual phone: writes through /sandbox/api, and asks it twice a second what has happened.

const STATIONS = ["received", "stored", "routed", "turn", "asked", "answered", "sent", "delivered", "read"];
const EVERY_MS = 500;
const SVG = "http://www.w3.org/2000/svg";

const $ = (id) => document.getElementById(id);
const [name, from, number, chat, text] = ["name", "from", "number", "chat", "text"].map($);

/** The message whose way is shown, when the reader chose one; else it is the newest. */
let chosen = null;
/** What each bubble on the screen was drawn from, by message ID. */
let drawn = new Map();
let asking = false;

// ---- small helpers -------------------------------------------------------------------------------------

function make(tag, className, content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (content !== undefined) element.textContent = content;
  return element;
}

function shape(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

const digits = () => from.value.replace(/\D/g, "");
const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

function duration(ms) {
  if (ms < 1000) return `${ms} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(2)} s` : `${(ms / 60_000).toFixed(1)} min`;
}

function notice(words) {
  $("notice").hidden = !words;
  $("notice").textContent = words;
}

async function call(path, options) {
  const response = await fetch(`/sandbox/api/${path}`, options);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error || "The server could not do that.");
  return answer;
}

// ---- WhatsApp's formatting, as nodes: text never becomes markup -----------------------------------------

const FORMAT =
  /```([\s\S]+?)```|`([^`\n]+)`|(?<![\p{L}\p{N}])([*_~])(?=\S)([^\n]*?\S)\3(?![\p{L}\p{N}])/u;
const TAGS = { "*": "strong", "_": "em", "~": "s" };

function format(words, into) {
  for (let rest = words; rest; ) {
    const found = FORMAT.exec(rest);
    if (!found) {
      into.append(rest);
      return into;
    }
    into.append(rest.slice(0, found.index));
    const [whole, block, inline, mark, inner] = found;
    if (block !== undefined) into.append(make("code", "block", block.replace(/^\n|\n$/g, "")));
    else if (inline !== undefined) into.append(make("code", "", inline));
    else into.append(format(inner, make(TAGS[mark])));
    rest = rest.slice(found.index + whole.length);
  }
  return into;
}

// ---- the chat ------------------------------------------------------------------------------------------

function ticks(state) {
  const icon = shape("svg", { class: `ticks ${state}`, viewBox: "0 0 18 12", "aria-hidden": "true" });
  icon.append(shape("path", { d: "M2 6.5 5 9.5 11 2.5" }));
  if (state === "delivered" || state === "read") icon.append(shape("path", { d: "M8 8.8 8.7 9.5 15 2.5" }));
  return icon;
}

const SAYS = { sending: "on its way", accepted: "accepted", sent: "sent", delivered: "delivered", read: "read" };

function bubble({ id, mine, text: words, atMs, state }) {
  const item = make("li", `bubble ${mine ? "mine" : "theirs"}`);
  item.dataset.id = id;
  const spoken = make("div", "words");
  spoken.dir = "auto";
  item.append(make("span", "sr", mine ? "You: " : "Answer: "), format(words, spoken));
  const meta = make(mine ? "button" : "div", "meta");
  meta.append(make("span", "", clock(atMs)));
  if (state === "refused") meta.append(make("span", "refused", "not accepted"));
  else if (state !== "sending") meta.append(ticks(state));
  meta.append(make("span", "sr", SAYS[state] || ""));
  if (mine) {
    meta.type = "button";
    meta.title = "Show this message's way";
    meta.append(make("span", "sr", ". Show this message's way"));
    item.addEventListener("click", () => {
      if (String(getSelection())) return;
      chosen = id;
      ask();
    });
  }
  item.append(meta);
  return item;
}

function typing() {
  const item = make("li", "bubble theirs turned");
  item.id = "typing";
  const dots = make("div", "dots");
  dots.append(make("i"), make("i"), make("i"));
  item.append(make("span", "sr", "typing"), dots);
  return item;
}

function drawChat({ bubbles, typing: isTyping, wamid }) {
  const atEnd = chat.scrollHeight - chat.scrollTop - chat.clientHeight < 80;
  let added = false;
  const now = new Map();
  let before = null;
  for (const [at, it] of bubbles.entries()) {
    const signature = JSON.stringify(it);
    let { element, signature: last } = drawn.get(it.id) || {};
    if (signature !== last) {
      const fresh = bubble(it);
      if (element) {
        const focused = element.contains(document.activeElement);
        element.replaceWith(fresh);
        if (focused) fresh.querySelector("button")?.focus();
      } else {
        added = true;
      }
      element = fresh;
    }
    element.classList.toggle("turned", at > 0 && bubbles[at - 1].mine !== it.mine);
    element.classList.toggle("shown", it.id === wamid && bubbles.filter((other) => other.mine).length > 1);
    const place = before ? before.nextSibling : chat.firstChild;
    if (place !== element) chat.insertBefore(element, place);
    before = element;
    now.set(it.id, { element, signature });
  }
  for (const [id, { element }] of drawn) if (!now.has(id)) element.remove();
  drawn = now;

  const dots = $("typing");
  if (isTyping && !dots) chat.append(typing());
  if (!isTyping && dots) dots.remove();
  $("presence").textContent = isTyping ? "typing…" : "online";
  $("ideas").hidden = bubbles.length > 0;
  if (added || (isTyping && !dots)) {
    if (atEnd || bubbles.at(-1)?.mine) chat.scrollTop = chat.scrollHeight;
  }
}

// ---- the river -----------------------------------------------------------------------------------------

const wrong = (station) => /fail|dead|unroutable|refused|unknown|cancel/i.test(station.name);

/** Stations the message came by, then those still ahead: none after a bad end. */
function stationsToShow(reached) {
  const names = new Set(reached.map((station) => station.name));
  const ended = reached.some(wrong);
  const ahead = ended ? [] : STATIONS.filter((station) => !names.has(station));
  return [...reached, ...ahead.map((ahead) => ({ name: ahead, ahead: true }))];
}

let riverDrawn = "";

function drawRiver({ stations, wamid, bubbles }) {
  const message = bubbles.find((it) => it.id === wamid);
  $("which").textContent = message ? message.text : "Nothing is under way yet.";
  const first = stations[0]?.atMs;
  const sent = stations.find((station) => station.name === "sent");
  $("total").hidden = !sent;
  if (sent) $("total-value").textContent = duration(Math.max(0, sent.atMs - first));

  const signature = JSON.stringify([wamid, stations]);
  if (signature === riverDrawn) return;
  riverDrawn = signature;
  const all = stationsToShow(stations);
  $("stations").replaceChildren(
    ...all.map((station) => {
      const item = make("li", station.ahead ? "ahead" : wrong(station) ? "wrong" : "");
      const line = make("div", "station");
      line.append(make("b", "", station.name.replaceAll("_", " ")));
      if (station.ahead) {
        line.append(make("span", "sr", "not yet"));
      } else {
        line.append(make("time", "", station.atMs === first ? "0 ms" : `+${duration(Math.max(0, station.atMs - first))}`));
      }
      item.append(line);
      if (station.detail) {
        const detail = make("div", "detail", station.detail);
        detail.dir = "auto";
        detail.title = station.detail;
        item.append(detail);
      }
      return item;
    }),
  );
  drawWater(all, stations.length);
}

/** A river that bends a little at every station, filled as far as the message has come. */
function drawWater(all, reached) {
  const water = $("water");
  const row = Number.parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row"));
  const points = all.map((_, at) => ({ x: 26 + (at % 2 ? 9 : -9), y: at * row + 14 }));
  const path = points.reduce((line, { x, y }, at) => {
    if (at === 0) return `M${x} ${y}`;
    const { x: px, y: py } = points[at - 1];
    return `${line} C${px} ${py + row * 0.5} ${x} ${y - row * 0.5} ${x} ${y}`;
  }, "");
  let flow = water.querySelector(".flow");
  if (!flow) {
    flow = shape("path", { class: "flow", pathLength: "100", "stroke-dashoffset": "100" });
    water.append(shape("path", { class: "bed" }), flow, shape("g", {}));
  }
  water.setAttribute("height", all.length * row);
  water.querySelector(".bed").setAttribute("d", path);
  flow.setAttribute("d", path);
  // The bends are all alike, so the share of stations is the share of the way.
  const share = reached > 1 ? ((reached - 1) / (all.length - 1)) * 100 : 0;
  flow.style.strokeDashoffset = reached > 1 ? 100 - share : 100.5;
  water.querySelector("g").replaceChildren(
    ...points.map(({ x, y }, at) => {
      const states = [];
      if (at < reached) states.push("reached");
      if (at === reached - 1) states.push("newest");
      if (at === reached - 1 && reached < all.length) states.push("under-way");
      if (at < reached && wrong(all[at])) states.push("wrong");
      return shape("circle", { cx: x, cy: y, r: 7, class: states.join(" ") });
    }),
  );
}

// ---- asking and writing --------------------------------------------------------------------------------

async function ask() {
  if (asking || !number.value) return;
  asking = true;
  const query = new URLSearchParams({ phoneNumberId: number.value, from: digits() });
  if (chosen) query.set("wamid", chosen);
  try {
    const answer = await call(`chat?${query}`);
    // An answer about a chat that was left meanwhile is of no use.
    if (query.get("phoneNumberId") === number.value && query.get("from") === digits()) {
      drawChat(answer);
      drawRiver(answer);
    }
    if ($("notice").dataset.kind === "away") notice("");
  } catch {
    $("notice").dataset.kind = "away";
    notice("The server does not answer. Trying again…");
  } finally {
    asking = false;
  }
}

async function write(words) {
  chosen = null;
  const draft = { phoneNumberId: number.value, from: digits(), name: name.value, text: words };
  try {
    const sending = call("messages", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(draft),
    });
    setTimeout(ask, 30);
    await sending;
    $("notice").dataset.kind = "";
    notice("");
  } catch (error) {
    $("notice").dataset.kind = "draft";
    notice(error.message);
    if (!text.value) text.value = words;
  }
  ask();
}

function turnTo() {
  chosen = null;
  const label = number.selectedOptions[0]?.textContent || "";
  $("avatar").textContent = [...label.trim()][0]?.toUpperCase() || "?";
  from.setAttribute("aria-invalid", String(digits().length < 5 || digits().length > 15));
  localStorage.setItem("sandbox", JSON.stringify({ name: name.value, from: from.value, number: number.value }));
  ask();
}

$("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  const words = text.value.trim();
  if (!words) return;
  text.value = "";
  write(words);
});

text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("compose").requestSubmit();
  }
});

for (const idea of document.querySelectorAll(".idea")) {
  idea.addEventListener("click", () => {
    text.focus();
    write(idea.textContent);
  });
}

$("somebody").addEventListener("click", () => {
  const names = ["Ann", "Bilal", "Chiara", "Dewi", "Emre", "Farah", "Goran", "Hana", "Ines", "Jun"];
  name.value = names[Math.floor(Math.random() * names.length)];
  from.value = `1555${String(Math.floor(Math.random() * 1e7)).padStart(7, "0")}`;
  turnTo();
  text.focus();
});

for (const field of [name, from, number]) field.addEventListener("change", turnTo);

async function begin() {
  let remembered = {};
  try {
    remembered = JSON.parse(localStorage.getItem("sandbox")) || {};
  } catch {
    // What cannot be read is not remembered.
  }
  try {
    const numbers = await call("numbers");
    number.replaceChildren(
      ...numbers.map(({ phoneNumberId, label }) => {
        const option = make("option", "", label);
        option.value = phoneNumberId;
        return option;
      }),
    );
    if (numbers.length === 0) notice("There is no number to write to yet.");
  } catch {
    notice("The server does not answer. Trying again…");
    setTimeout(begin, 1500);
    return;
  }
  notice("");
  if (remembered.name) name.value = remembered.name;
  if (remembered.from) from.value = remembered.from;
  if ([...number.options].some((option) => option.value === remembered.number)) number.value = remembered.number;
  turnTo();
  drawRiver({ stations: [], wamid: null, bubbles: [] });
  setInterval(() => document.hidden || ask(), EVERY_MS);
}

begin();
