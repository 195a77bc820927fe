"use strict";

const STUDY = JSON.parse(document.getElementById("data").textContent);
const SPACE = `reader-study:${STUDY.study}:`;
const COLUMNS = ["study", "reader", "case", "map", "again", "criterion", "score", "scored_at"];
const NOTHING = "none";
const $ = (id) => document.getElementById(id);

// ---- what is kept, a record a reader

let memory = {};
let kept = true;

function readerNames() {
  const names = new Set(Object.keys(memory));
  try {
    for (let k = 0; k < localStorage.length; k += 1) {
      const name = localStorage.key(k);
      if (name.startsWith(SPACE)) names.add(name.slice(SPACE.length));
    }
  } catch { kept = false; }
  return [...names].sort();
}

function load(name) {
  const fresh = { scores: {}, at: 0, colours: Object.keys(STUDY.colours)[0] };
  if (!kept) return memory[name] || fresh; // what could not be written is newer than what was
  let text = null;
  try {
    text = localStorage.getItem(SPACE + name);
  } catch { kept = false; }
  if (!text) return memory[name] || fresh;
  try {
    return { ...fresh, ...JSON.parse(text) };
  } catch { // somebody else's hands: set aside, for whoever can read it
    localStorage.setItem(`unreadable:${SPACE}${name}`, text);
    return fresh;
  }
}

// what another window wrote meanwhile stays: only what changes here is written
function change(name, how) {
  const record = load(name);
  memory[name] = record;
  how(record);
  try {
    localStorage.setItem(SPACE + name, JSON.stringify(record));
  } catch { kept = false; }
  if (!kept) say("This browser keeps nothing: export your scores before you close or reload the page.");
  return record;
}

function say(text) {
  $("trouble").textContent = text;
  $("trouble").hidden = !text;
}

// ---- the order of a reader

function randomOf(text) {
  let seed = 2166136261;
  for (const letter of text) seed = Math.imul(seed ^ letter.codePointAt(0), 16777619);
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function shuffled(values, random) {
  const out = [...values];
  for (let k = out.length - 1; k > 0; k -= 1) {
    const other = Math.floor(random() * (k + 1));
    [out[k], out[other]] = [out[other], out[k]];
  }
  return out;
}

function stepsOf(name) {
  const random = randomOf(`${STUDY.study}:${name}`);
  const cases = shuffled(Object.keys(STUDY.cases).sort(), random);
  const again = shuffled([...STUDY.repeated].sort(), random);
  // no case twice in a row
  if (again.length && cases.length > 1 && cases[cases.length - 1] === again[0]) cases.unshift(cases.pop());
  const shown = [...cases.map((one) => [one, false]), ...again.map((one) => [one, true])];
  return shown.flatMap(([one, twice]) =>
    shuffled(Object.keys(STUDY.cases[one].maps).sort(), random).map((map) => ({ case: one, map, again: twice })));
}

// ---- state of the page

let reader = null;
let steps = [];
let at = 0;
let colours = Object.keys(STUDY.colours)[0];
const view = { zoom: 1, x: 0.5, y: 0.5 };

const keyOf = (step) => `${step.map}${step.again ? ":again" : ""}`;
const scoresOf = (record, step) => record.scores[keyOf(step)] || {};
const left = (record, step) => STUDY.criteria.filter((one) => !(one.name in scoresOf(record, step))).length;

// ---- pictures

const decoded = new Map();
const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const tables = Object.fromEntries(Object.entries(STUDY.colours).map(([name, text]) => [name, fromBase64(text)]));

async function levels(text) {
  if (!decoded.has(text)) {
    const stream = new Blob([fromBase64(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
    decoded.set(text, new Uint8Array(await new Response(stream).arrayBuffer()));
  }
  return decoded.get(text);
}

async function painted(text, width, height) {
  const values = await levels(text);
  const table = tables[colours];
  const image = new ImageData(width, height);
  for (let k = 0; k < values.length; k += 1) {
    for (let c = 0; c < 3; c += 1) image.data[4 * k + c] = table[3 * values[k] + c];
    image.data[4 * k + 3] = 255;
  }
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

let pictures = null;

async function prepare() {
  const step = steps[at];
  const held = STUDY.cases[step.case];
  const found = await Promise.all([held.reference, held.maps[step.map]].map((text) => painted(text, held.width, held.height)));
  if (steps[at] !== step) return;
  pictures = { found, held };
  draw();
}

function draw() {
  if (!pictures) return;
  const { width, height, aspect } = pictures.held;
  [$("reference"), $("map")].forEach((canvas, k) => {
    canvas.parentElement.dataset.left = pictures.held.left;
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (!w || !h) return;
    canvas.width = w;
    canvas.height = h;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    const scale = view.zoom * Math.min(w / width, h / (height * aspect));
    const [dx, dy] = [w / 2 - view.x * width * scale, h / 2 - view.y * height * aspect * scale];
    context.drawImage(pictures.found[k], dx, dy, width * scale, height * aspect * scale);
  });
}

function look(zoom, x, y) {
  view.zoom = Math.min(16, Math.max(1, zoom));
  const free = 0.5 - 0.5 / view.zoom;
  view.x = Math.min(0.5 + free, Math.max(0.5 - free, x));
  view.y = Math.min(0.5 + free, Math.max(0.5 - free, y));
  draw();
}

function listenToView() {
  const box = $("view");
  const step = () => 0.1 / view.zoom;
  const keys = {
    "+": () => look(view.zoom * 1.25, view.x, view.y), "=": () => look(view.zoom * 1.25, view.x, view.y),
    "-": () => look(view.zoom / 1.25, view.x, view.y), r: () => look(1, 0.5, 0.5), R: () => look(1, 0.5, 0.5),
    ArrowLeft: () => look(view.zoom, view.x - step(), view.y), ArrowRight: () => look(view.zoom, view.x + step(), view.y),
    ArrowUp: () => look(view.zoom, view.x, view.y - step()), ArrowDown: () => look(view.zoom, view.x, view.y + step()),
  };
  box.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  box.addEventListener("wheel", (event) => {
    event.preventDefault();
    look(view.zoom * Math.exp(-event.deltaY / 500), view.x, view.y);
  }, { passive: false });
  const fingers = new Map();
  box.addEventListener("pointerdown", (event) => {
    if (event.target.tagName !== "CANVAS") return;
    event.target.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, event);
  });
  box.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const size = event.target.clientWidth * view.zoom;
    if (fingers.size === 1) {
      look(view.zoom, view.x - (event.clientX - before.clientX) / size, view.y - (event.clientY - before.clientY) / size);
    } else {
      const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
      look(view.zoom * apart(event) / Math.max(1, apart(before)), view.x, view.y);
    }
    fingers.set(event.pointerId, event);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    box.addEventListener(name, (event) => fingers.delete(event.pointerId));
  }
  $("closer").addEventListener("click", keys["+"]);
  $("farther").addEventListener("click", keys["-"]);
  $("all").addEventListener("click", keys.r);
  window.addEventListener("resize", draw);
  $("colours").addEventListener("change", (event) => {
    colours = event.target.value;
    change(reader, (record) => { record.colours = colours; });
    prepare();
  });
}

// ---- scores

function makeCriteria() {
  STUDY.criteria.forEach((criterion, place) => {
    const set = document.createElement("fieldset");
    set.dataset.criterion = criterion.name;
    const legend = document.createElement("legend");
    legend.textContent = criterion.question;
    const choices = document.createElement("div");
    choices.className = "choices";
    const values = ["1", "2", "3", "4", "5", ...(criterion.optional ? [NOTHING] : [])];
    for (const value of values) {
      const label = document.createElement("label");
      const input = document.createElement("input");
      input.type = "radio";
      input.name = `criterion-${place}`;
      input.value = value;
      input.addEventListener("change", () => keep(criterion.name, value));
      label.append(input, value === NOTHING ? "none in the reference" : value);
      choices.append(label);
    }
    set.append(legend, choices);
    $("criteria").append(set);
  });
  $("study").addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.tagName === "SELECT") return;
    if (event.key === "Enter" && event.target.tagName === "INPUT") {
      event.preventDefault();
      go(at + 1);
      return;
    }
    const value = event.key === "0" ? NOTHING : event.key;
    const sets = [...$("criteria").children];
    const set = event.target.closest("fieldset") || sets.find((one) => !one.querySelector(":checked"));
    const input = set && [...set.querySelectorAll("input")].find((one) => one.value === value);
    if (!input) return;
    event.preventDefault();
    keep(set.dataset.criterion, value);
    const following = sets[sets.indexOf(set) + 1];
    (following ? following.querySelector(":checked") || following.querySelector("input") : $("next")).focus();
  });
  $("scores").addEventListener("submit", (event) => {
    event.preventDefault();
    go(at + 1);
  });
  $("before").addEventListener("click", () => go(at - 1));
  $("missing").addEventListener("click", () => {
    const record = load(reader);
    const order = [...steps.keys()].map((k) => (at + 1 + k) % steps.length);
    const next = order.find((k) => left(record, steps[k]));
    if (next !== undefined) go(next);
  });
}

// whether there is a tumour the reference says, so it holds for all maps of the case; a map that lost it gets a low score
function keep(criterion, score) {
  const step = steps[at];
  const now = { score, at: new Date().toISOString() };
  const record = change(reader, (one) => {
    for (const other of steps) {
      if (other.case !== step.case || other.again !== step.again) continue;
      const key = keyOf(other);
      const scores = { ...one.scores[key] };
      for (const { name, optional } of STUDY.criteria) {
        if (!optional) continue;
        if (score === NOTHING) scores[name] = now;
        else if (isOptional(criterion) && scores[name] && scores[name].score === NOTHING) delete scores[name];
      }
      if (other === step) scores[criterion] = now;
      one.scores[key] = scores;
    }
    one.at = at;
  });
  mark(record);
  tell(record);
}

const isOptional = (criterion) => STUDY.criteria.some((one) => one.name === criterion && one.optional);

function mark(record) {
  const scores = scoresOf(record, steps[at]);
  for (const set of $("criteria").children) {
    const found = scores[set.dataset.criterion];
    for (const input of set.querySelectorAll("input")) {
      input.checked = Boolean(found) && input.value === found.score;
      input.parentElement.classList.toggle("chosen", input.checked);
    }
  }
}

function go(place) {
  at = Math.min(steps.length - 1, Math.max(0, place));
  const record = change(reader, (one) => { one.at = at; });
  show(record);
  if (place >= steps.length) {
    $("done").scrollIntoView();
    $("export").focus();
    return;
  }
  const first = $("criteria").firstElementChild;
  (first.querySelector(":checked") || first.querySelector("input")).focus({ preventScroll: true });
  $("place").scrollIntoView({ block: "nearest" });
}

function show(record) {
  mark(record);
  $("before").disabled = at === 0;
  $("next").textContent = at === steps.length - 1 ? "Finish" : "Next map";
  $("place").textContent = `Map ${at + 1} of ${steps.length}`;
  tell(record);
  prepare();
}

function tell(record) {
  const step = steps[at];
  for (const set of $("criteria").children) {
    set.classList.toggle("scored", set.dataset.criterion in scoresOf(record, step));
  }
  const total = steps.length * STUDY.criteria.length;
  const missing = steps.reduce((sum, one) => sum + left(record, one), 0);
  $("progress").max = total;
  $("progress").value = total - missing;
  $("given").textContent = `${total - missing} of ${total} scores given`;
  $("missing").disabled = missing === 0;
  $("done").textContent = missing ? "" : "All scores are given. Export them and send the file to whoever runs the study.";
}

// ---- readers

function welcome() {
  reader = null;
  $("study").hidden = true;
  $("start").hidden = false;
  $("reader").hidden = true;
  const names = readerNames();
  $("known").hidden = names.length === 0;
  $("readers").replaceChildren(...names.map((name) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    const record = load(name);
    const given = Object.values(record.scores).reduce((sum, one) => sum + Object.keys(one).length, 0);
    button.type = "button";
    button.textContent = `${name} (${given} scores)`;
    button.addEventListener("click", () => enter(name));
    item.append(button);
    return item;
  }));
}

function enter(name) {
  reader = name;
  steps = stepsOf(name);
  const record = load(name);
  at = Math.min(record.at || 0, steps.length - 1);
  colours = record.colours in STUDY.colours ? record.colours : colours;
  $("colours").value = colours;
  $("start").hidden = true;
  $("study").hidden = false;
  $("reader").hidden = false;
  $("reader").textContent = `Reader: ${name}`;
  look(1, 0.5, 0.5);
  show(change(name, () => {}));
  const first = $("criteria").firstElementChild;
  (first.querySelector(":checked") || first.querySelector("input")).focus({ preventScroll: true });
}

// ---- files

const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

function exported(name) {
  const record = load(name);
  const rows = [];
  for (const step of stepsOf(name)) {
    const scores = scoresOf(record, step);
    for (const { name: criterion } of STUDY.criteria) {
      const found = scores[criterion];
      if (!found) continue;
      rows.push([STUDY.study, name, step.case, step.map, step.again ? "yes" : "no", criterion, found.score, found.at]);
    }
  }
  return [COLUMNS, ...rows].map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
}

function download(name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([exported(name)], { type: "text/csv" }));
  link.download = `scores_${STUDY.study}_${name.replace(/[^\p{L}\p{N}]+/gu, "_")}.csv`;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function rowsOf(text) {
  const rows = [];
  let row = [""];
  let inside = false;
  const body = text.replace(/^\ufeff/, "");
  for (let k = 0; k < body.length; k += 1) {
    const letter = body[k];
    if (inside) {
      if (letter !== '"') row[row.length - 1] += letter;
      else if (body[k + 1] === '"') { row[row.length - 1] += '"'; k += 1; } else inside = false;
    } else if (letter === '"') inside = true;
    else if (letter === ",") row.push("");
    else if (letter === "\n") { rows.push(row); row = [""]; } else if (letter !== "\r") row[row.length - 1] += letter;
  }
  if (row.length > 1 || row[0]) rows.push(row);
  return rows;
}

function takeIn(text) {
  const [head, ...rows] = rowsOf(text).filter((row) => row.length > 1 || row[0]);
  if (!head || head.join() !== COLUMNS.join()) throw new Error("it is no export of a reader study");
  if (!rows.length) throw new Error("it holds no scores");
  const names = new Set(rows.map((row) => row[1]));
  if (names.size !== 1 || !rows[0][1]) throw new Error("it is of several readers; give one file a reader");
  const allowed = Object.fromEntries(STUDY.criteria.map((one) => [one.name, ["1", "2", "3", "4", "5", ...(one.optional ? [NOTHING] : [])]]));
  const scores = {};
  rows.forEach((row, k) => {
    const [study, , one, map, again, criterion, score, scored] = row;
    if (study !== STUDY.study) throw new Error("it is of another study");
    const known = Object.hasOwn(STUDY.cases, one) && Object.hasOwn(STUDY.cases[one].maps, map) && (again === "no" || (again === "yes" && STUDY.repeated.includes(one)));
    if (row.length !== COLUMNS.length || !known || !Object.hasOwn(allowed, criterion) || !allowed[criterion].includes(score)) {
      throw new Error(`line ${k + 2} is not of this study`);
    }
    const key = keyOf({ map, again: again === "yes" });
    scores[key] = { ...scores[key], [criterion]: { score, at: scored } };
  });
  const [name] = names;
  let older = 0;
  change(name, (record) => {
    for (const [key, found] of Object.entries(scores)) {
      const own = { ...record.scores[key] };
      for (const [criterion, one] of Object.entries(found)) {
        if (own[criterion] && own[criterion].at > one.at) older += 1;
        else own[criterion] = one;
      }
      record.scores[key] = own;
    }
  });
  return `${rows.length - older} scores of ${name} were taken in${older ? `, ${older} were older than those here` : ""}.`;
}

// ---- begin

makeCriteria();
listenToView();
$("colours").append(...Object.keys(STUDY.colours).map((name) => new Option(name, name)));
$("nothing").hidden = !STUDY.criteria.some((one) => one.optional);
$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("name").value.trim();
  if (readerNames().includes(name)) {
    say(`${name} reads here already: choose "Go on as" above, or another name.`);
    return;
  }
  say("");
  $("name").value = "";
  if (name) enter(name);
});
$("import").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (!file) return;
  say("");
  $("imported").textContent = "";
  try {
    $("imported").textContent = takeIn(await file.text());
    welcome();
  } catch (error) {
    say(`${file.name}: ${error.message}.`);
  }
});
$("export").addEventListener("click", () => download(reader));
$("change").addEventListener("click", () => { welcome(); $("start-title").scrollIntoView(); });
if (!("DecompressionStream" in window)) say("This browser is too old to show the maps: use one of 2023 or later.");
welcome();
