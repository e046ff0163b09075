// Has the CSV files of a stock priced by the service, part by part; the files themselves stay in the browser.
const at = (id) => document.getElementById(id);
const form = at("stock");
const told = form.dataset;
const FIELDS = new Map(Object.entries(JSON.parse(told.fields)));
const EQUIPMENT = new Map(Object.entries(JSON.parse(told.equipment)));
const FLAGS = new Map(Object.entries(JSON.parse(told.flags)));
const WORKBOOK = /\.(xlsx?|xlsm|xlsb|ods)$/i;
const REQUIRED = ["make", "model", "year", "odometer"];
const MOST_BYTES = 64e6;
const TRIES = 5;
const BUSY = [429, 502, 503, 504];
const SHOWN_PROBLEMS = 20;
const ASKED = ["priceToMarket", "deal", "dealReason", "percentile", "comparablesRank"];
const REASONS = [1, 2, 3].flatMap((number) => [`reason${number}`, `reason${number}Amount`]);
const SEEN = ["firstSeen", "lastSeen", "daysListed", "priceDrops", "priceDropTotal"];
const PRICES = ["predictedPrice", "priceLow", "priceHigh"];
const LONGEST = 100;
const TOLD = ["currency", "valuationDate", "modelVersion", "warnings", "problem"];
const DEALS = ["great", "good", "fair", "high", "overpriced", "none"];

class Refused extends Error {}

const plain = (name) => name.replace(/[\s_-]/g, "").toLowerCase();
const count = (number) => number.toLocaleString();
const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

function money(value) {
  const digits = value !== 0 && Math.abs(value) < 100 ? 2 : 0;
  return value.toLocaleString(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

const ratio = (value) =>
  value.toLocaleString(undefined, { minimumFractionDigits: 3, maximumFractionDigits: 3 });

// Reads delimited text: its records, each with the line that it begins on. Blank lines are none.
function read(text, delimiter) {
  const records = [];
  let cells = [], cell = "", line = 1, begins = 1, quoted = false, wasQuoted = false;
  const endCell = () => { cells.push(cell); cell = ""; wasQuoted = false; };
  const endRecord = () => {
    endCell();
    if (cells.length > 1 || cells[0] !== "") records.push({ cells, line: begins });
    cells = [];
  };
  for (let i = 0; i < text.length; i++) {
    const sign = text[i];
    if (sign === "\n") line += 1;
    if (quoted) {
      if (sign !== '"') cell += sign;
      else if (text[i + 1] === '"') { cell += sign; i += 1; }
      else { quoted = false; wasQuoted = true; }
    } else if (sign === delimiter) endCell();
    else if (sign === "\n" || sign === "\r") {
      if (sign === "\r" && text[i + 1] === "\n") { i += 1; line += 1; }
      endRecord();
      begins = line;
    } else if (sign === '"' && cell === "" && !wasQuoted) quoted = true;
    else if (wasQuoted) throw new Refused(`Line ${line} is not CSV: something follows a closing quote.`);
    else cell += sign;
  }
  if (quoted) throw new Refused(`The quote that opens at line ${begins} is not closed.`);
  if (cell !== "" || cells.length || wasQuoted) endRecord();
  return records;
}

const delimiterOf = (line) =>
  [",", ";", "\t"].reduce((best, one) => (line.split(one).length > line.split(best).length ? one : best));

const quote = (cell, delimiter) =>
  /["\r\n]/.test(cell) || cell.includes(delimiter) ? `"${cell.replaceAll('"', '""')}"` : cell;

// What a spreadsheet would take for a formula begins with an apostrophe.
function harmless(cell) {
  const isFormula = /^[=+\-@\t\r\n＝＋－＠]/.test(cell) && !/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(cell);
  return isFormula ? `'${cell}` : cell;
}

async function readFile(file, id) {
  const refuse = (message) => { throw new Refused(`${file.name}: ${message}`); };
  if (file.size === 0) refuse("The file is empty.");
  const isPacked = (await file.slice(0, 4).text()) === "PK\u0003\u0004";
  if (isPacked || WORKBOOK.test(file.name)) {
    refuse("A workbook is not read here. Save its sheet as CSV UTF-8, or have it priced by carprice stock, which reads it as it is.");
  }
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await file.arrayBuffer());
  } catch {
    refuse("The file is not UTF-8 text; save it as CSV in UTF-8.");
  }
  const hasMark = text.startsWith("\ufeff");
  text = hasMark ? text.slice(1) : text;
  const delimiter = delimiterOf(text.split(/[\r\n]/, 1)[0]);
  try {
    const [first, ...records] = read(text, delimiter);
    if (!first) throw new Refused("The file is empty.");
    const header = first.cells.map((name) => name.trim());
    const columns = columnsOf(header);
    const idPlace = id ? header.indexOf(id) : -1;
    if (id && idPlace < 0) {
      throw new Refused(`The file has no column ${id}, which is to name each car; its columns are ${shown(header)}.`);
    }
    if (!records.length) throw new Refused("The file has a header, and no row below it.");
    const flags = columns.has("features") ? new Map() : flagsOf(header);
    const own = { name: file.name, header, columns, flags, records, delimiter, hasMark, idPlace };
    for (const row of records) {
      row.file = own;
      if (row.cells.length !== header.length) {
        row.problem = `the row has ${row.cells.length} cells, the header ${header.length}`;
      } else if (flags.size) readFlags(row);
    }
    return own;
  } catch (error) {
    if (error instanceof Refused) refuse(error.message);
    throw error;
  }
}

async function readFiles(files, id) {
  if (files.reduce((bytes, file) => bytes + file.size, 0) > MOST_BYTES) {
    throw new Refused("There are more than 64 MB; cut the stock into several.");
  }
  const found = [];
  for (const file of files) found.push(await readFile(file, id));
  const most = Number(told.mostRows), rows = found.reduce((sum, file) => sum + file.records.length, 0);
  if (rows > most) {
    throw new Refused(`There are ${count(rows)} rows; cut the stock into files of ${count(most)} at most.`);
  }
  const lacking = found.find((file) => !file.columns.has("askingPrice"));
  const full = found.find((file) => file.columns.has("askingPrice"));
  if (lacking && full) {
    throw new Refused(`${lacking.name} has no column askingPrice or price, and ${full.name} has one.`);
  }
  return found;
}

const shown = (header) => header.map((name) => name || "(empty)").slice(0, 20).join(", ");

// Finds which field each column is; what is no field is not sent.
function columnsOf(header) {
  const columns = new Map();
  const isTold = header.some((name) => plain(name) === "askingprice");
  header.forEach((name, place) => {
    const field = FIELDS.get(plain(name));
    if (!field || (field === "askingPrice" && isTold && plain(name) !== "askingprice")) return;
    if (columns.has(field)) {
      throw new Refused(`The columns ${header[columns.get(field)]} and ${name} are both read as ${field}; leave one out.`);
    }
    columns.set(field, place);
  });
  const missing = REQUIRED.filter((field) => !columns.has(field));
  if (missing.length) {
    throw new Refused(`The file has no column ${missing.join(", ")}; its columns are ${shown(header)}.`);
  }
  return columns;
}

// Finds the 0/1 columns of equipment, by its names.
function flagsOf(header) {
  const named = header.map((name, place) => [EQUIPMENT.get(plain(name)), place]);
  return new Map(named.filter(([name]) => name));
}

// Reads a row's 0/1 columns as carprice stock does: words for yes and no, and any number but 0 is yes.
function readFlags(row) {
  const has = [];
  for (const [name, place] of row.file.flags) {
    const word = row.cells[place].trim().toLowerCase().normalize("NFC");
    const flag = FLAGS.has(word) ? FLAGS.get(word) : Number(word);
    if (Number.isNaN(flag)) row.problem = `${name}: must be 0 or 1, or no or yes (found ${word.slice(0, LONGEST)})`;
    if (flag) has.push(name);
  }
  row.features = has.join("|");
}

// Returns a function that tells the place of a text among those it was given; of "" null.
function places() {
  const known = new Map();
  return (text) => {
    if (text && !known.has(text)) known.set(text, known.size);
    return known.get(text) ?? null;
  };
}

// Has the service tell which rows are the stock or gone from it, and what snapshots say of each.
async function tellDays(files, hasIds, signal) {
  const good = (file) => file.records.filter((row) => !row.problem);
  const nameOf = places();
  const cell = (row, field) => {
    const text = row.cells[row.file.columns.get(field)] ?? "";
    return text.length > LONGEST ? "" : text; // so long is no day, and no price
  };
  const cars = files.flatMap((file, number) => good(file).map((row) => [
    number, nameOf((row.cells[file.idPlace] ?? "").trim()), cell(row, "listedOn"), cell(row, "askingPrice"),
  ]));
  const body = JSON.stringify({ hasIds, files: files.map((file) => file.name), cars });
  const found = await ask("days", body, "", signal);
  const newest = found.days.at(-1);
  files.flatMap(good).forEach((row, number) => {
    const history = found.cars[number];
    [row.isGone, ...row.seen] = history ?? [false];
    row.isTold = history !== null;
  });
  files.forEach((file, number) => {
    file.day = found.fileDays[number];
    for (const row of file.records) {
      if (row.problem) row.isTold = !newest || !file.day || file.day === newest;
    }
  });
  const rows = files.flatMap((file) => file.records).filter((row) => row.isTold);
  return { files, rows, days: found.days, notes: found.notes, digests: new Set() };
}

const isLeft = (row) => !row.told && !row.problem;

// Cuts the rows that are left into bodies that the service takes; one that has a problem is in none.
function* parts(stock) {
  const fields = new Set(stock.files.flatMap((file) => [...file.columns.keys()]));
  if (stock.files.some((file) => file.day)) fields.add("listedOn");
  if (stock.files.some((file) => file.flags.size)) fields.add("features");
  const header = [...fields].join(",") + "\r\n";
  const valueOf = (row, field) => {
    if (field === "listedOn" && row.file.day) return row.file.day;
    if (field === "features" && row.file.flags.size) return row.features;
    return row.cells[row.file.columns.get(field)] ?? "";
  };
  const encoder = new TextEncoder();
  let rows = [], lines = [], bytes = header.length;
  for (const row of stock.rows.filter(isLeft)) {
    const line = [...fields].map((field) => quote(valueOf(row, field), ",")).join(",") + "\r\n";
    const size = encoder.encode(line).length;
    if (rows.length && (rows.length >= Number(told.rows) || bytes + size > Number(told.bytes))) {
      yield { rows, body: header + lines.join("") };
      [rows, lines, bytes] = [[], [], header.length];
    }
    rows.push(row);
    lines.push(line);
    bytes += size;
  }
  if (rows.length) yield { rows, body: header + lines.join("") };
}

// Asks the service for one of what it tells of a stock; where names what is sent, for the reader.
async function ask(what, body, where, signal) {
  const headers = { "Content-Type": what === "rows" ? "text/csv" : "application/json", Accept: "application/json" };
  if (at("key")) headers["X-API-Key"] = at("key").value;
  for (let tries = 1; ; tries++) {
    let answer, content;
    try {
      answer = await fetch(`${told.stock}/${what}`, { method: "POST", headers, body, signal });
      content = await answer.text();
      content = answer.ok || content.startsWith("{") ? JSON.parse(content) : {};
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused(`${where}the service does not answer, or its answer was cut off; try again.`);
    }
    if (answer.ok) return content;
    const why = content.detail || `the service answers with the status ${answer.status}; try again later.`;
    if (!BUSY.includes(answer.status) || tries === TRIES) throw new Refused(`${where}${why}`);
    const seconds = Math.min(Math.max(Number(answer.headers.get("Retry-After")) || 1, 1), 60);
    at("status").textContent = `The service is busy; asking again in ${seconds} seconds.`;
    await sleep(seconds);
    signal.throwIfAborted();
  }
}

async function priceAll(stock, signal) {
  const bar = at("progress"), total = stock.rows.length;
  let done = total - stock.rows.filter(isLeft).length;
  bar.max = total;
  bar.value = done;
  for (const part of parts(stock)) {
    const [first] = part.rows;
    const content = await ask("rows", part.body, `${first.file.name}, from line ${first.line} on: `, signal);
    stock.digests.add(content.modelDigest);
    part.rows.forEach((row, place) => {
      row.told = content.rows[place];
      row.price = row.told.price;
      row.problem = row.told.problem;
      row.about = { currency: content.currency, modelVersion: content.modelVersion };
    });
    done += part.rows.length;
    bar.value = done;
    at("status").textContent = `${count(done)} of ${count(total)} rows done.`;
  }
}

// Returns the rows of a summary; where it fails none, and a note: what was priced is not lost.
async function sumUp(stock, signal) {
  const makes = [], placeOf = places();
  const cars = stock.rows.filter((row) => row.price).map((row) => {
    const make = row.cells[row.file.columns.get("make")].trim(), place = placeOf(make.toLowerCase());
    makes[place] ??= make;
    const [, last, days] = row.seen, { age, askingPrice } = row.told;
    return [place, age, askingPrice ?? null, row.price.predictedPrice, days, last, row.isGone];
  });
  try {
    return (await ask("summary", JSON.stringify({ days: stock.days, makes, cars }), "", signal)).rows;
  } catch (error) {
    const isStopped = error.name === "AbortError";
    if (!(isStopped || error instanceof Refused)) throw error;
    stock.notes.push(`There is no summary, but all rows are in the download: ${isStopped ? "it was stopped." : error.message}`);
    return [];
  }
}

function answerCells(row, seen) {
  const found = row.told || {}, price = found.price || {}, deal = price.deal || {}, about = row.about || {};
  const own = Object.fromEntries(SEEN.map((name, place) => [name, (row.seen || [])[place]]));
  const cells = {
    ...Object.fromEntries(PRICES.map((name) => [name, price[name]])),
    priceToMarket: found.priceToMarket,
    deal: deal.label,
    dealReason: deal.reason && deal.reason.message,
    percentile: deal.percentile,
    comparablesRank: found.rank,
    ...Object.fromEntries((found.reasons || []).flat().map((value, place) => [REASONS[place], value])),
    ...own,
    currency: row.price ? about.currency : "",
    valuationDate: price.valuationDate,
    modelVersion: row.price ? about.modelVersion : "",
    warnings: (price.warnings || []).map((one) => one.message).join("; "),
    problem: isLeft(row) ? "not priced: the service was not asked, or did not answer" : row.problem,
    quoteId: found.quoteId,
  };
  return seen.map((name) => cells[name] ?? "");
}

// Returns which columns are added to some rows: prices, then what is known of the stock.
function addedTo(rows, stock, isGone) {
  const hasAsked = stock.files[0].columns.has("askingPrice");
  const seen = SEEN.filter((name, place) => {
    if (stock.days.length) return name !== "lastSeen" || isGone;
    return name === "daysListed" && rows.some((row) => row.seen && row.seen[place] !== null);
  });
  const ids = rows.some((row) => row.told?.quoteId) ? ["quoteId"] : [];
  return [...PRICES, ...(hasAsked ? ASKED : []), ...REASONS, ...seen, ...TOLD, ...ids];
}

// Returns the files' own columns, each with its place in each file; columns of one name one by one.
function keptFrom(files, added) {
  const columns = new Map();
  for (const file of files) {
    const times = new Map();
    file.header.forEach((name, place) => {
      if (added.includes(name)) return;
      times.set(name, (times.get(name) ?? 0) + 1);
      const key = `${times.get(name)} ${name}`;
      if (!columns.has(key)) columns.set(key, { name, places: new Map() });
      columns.get(key).places.set(file, place);
    });
  }
  return [...columns.values()];
}

function priced(stock, isGone) {
  const rows = stock.rows.filter((row) => Boolean(row.isGone) === isGone);
  const files = [...new Set(rows.map((row) => row.file))];
  const { delimiter, hasMark } = files[0] ?? stock.files[0];
  const added = addedTo(rows, stock, isGone), kept = keptFrom(files, added);
  const write = (cells) => cells.map((cell) => quote(harmless(String(cell)), delimiter)).join(delimiter);
  const lines = [write([...kept.map((column) => column.name), ...added])];
  for (const row of rows) {
    const own = kept.map((column) => row.cells[column.places.get(row.file)] ?? "");
    lines.push(write([...own, ...answerCells(row, added)]));
  }
  return new Blob([hasMark ? "\ufeff" : "", lines.join("\r\n"), "\r\n"], { type: "text/csv;charset=utf-8" });
}

// Returns the tables of a summary: by make, age band and price band, each with all cars above.
function summaryTables(rows) {
  const orDash = (value, write) => (value === null || value === undefined ? "–" : write(value));
  const columns = [
    ["cars", "cars", count],
    ["asked", "asked", count],
    ["medianAskingPrice", "asking price", money],
    ["medianPredictedPrice", "predicted", money],
    ["medianPriceToMarket", "price to market", ratio],
    ["medianDaysListed", "days listed", count],
    ["gone", "gone", count],
    ["supplyDays", "supply, days", count],
  ].filter(([name]) => name in rows[0]);
  return ["make", "age", "price"].map((by) => {
    const own = rows.filter((row) => row.by === by || row.by === "all");
    const cells = own.map((row) => [row.group || "all", ...columns.map(([name, , write]) => orDash(row[name], write))]);
    return table(`Medians by ${by}, ${told.currency}`, [by, ...columns.map(([, title]) => title)], cells);
  });
}

function table(caption, titles, rows, isText = false) {
  const make = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    Object.entries(attributes).forEach((one) => made.setAttribute(...one));
    return made;
  };
  const region = make("div", undefined, { class: "wide", role: "region", "aria-label": caption, tabindex: "0" });
  const whole = make("table"), top = make("tr"), head = make("thead"), body = make("tbody");
  const classOf = (place) => (place && !isText ? { class: "n" } : {});
  titles.forEach((title, place) => top.append(make("th", title, { scope: "col", ...classOf(place) })));
  head.append(top);
  for (const [name, ...cells] of rows) {
    const line = make("tr");
    line.append(make("th", name, { scope: "row" }));
    cells.forEach((cell, place) => line.append(make("td", cell, classOf(place + 1))));
    body.append(line);
  }
  whole.append(make("caption", caption), head, body);
  region.append(whole);
  return region;
}

function offer(link, blob, name) {
  if (link.href) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(blob);
  link.download = name;
}

// Shows what is priced; why says what keeps the rest from being so.
function show(stock, summary, why = "") {
  const here = stock.rows.filter((row) => !row.isGone), gone = stock.rows.length - here.length;
  const good = here.filter((row) => row.price), bad = here.filter((row) => row.problem);
  const left = stock.rows.filter(isLeft);
  const hasAsked = stock.files[0].columns.has("askingPrice");
  const unread = new Set(stock.files.flatMap((file) => {
    const used = [...file.columns.values(), ...file.flags.values(), file.idPlace];
    return file.header.filter((column, place) => !used.includes(place));
  }));
  const notes = [`${count(good.length)} of ${count(here.length)} rows priced.`, ...stock.notes];
  if (left.length) {
    const [{ file, line }] = left;
    notes.unshift(`Not all is priced: ${why} ${count(left.length)} rows are left, from ${file.name}, line ${line}, on; go on with these, or download what is done.`);
  }
  if (bad.length) notes.push(`${count(bad.length)} rows could not be priced; the column problem says why.`);
  if (unread.size) notes.push(`Not sent, and not used for prices: ${[...unread].map((one) => one || "(empty)").join(", ")}.`);
  if (!hasAsked) notes.push("There is no column askingPrice or price, so that nothing is compared.");
  if (stock.digests.size > 1) notes.push("The service took another model while the file was priced; price it again for one model.");
  at("notes").replaceChildren(...notes.map((note) => {
    const item = document.createElement("li");
    item.textContent = note;
    return item;
  }));
  const tables = summary.length ? summaryTables(summary) : [];
  const labelled = good.filter((row) => row.price.deal);
  if (labelled.length) {
    const counts = DEALS.map((label) => [label, count(labelled.filter((row) => row.price.deal.label === label).length)]);
    tables.push(table("Whether the prices asked are good", ["deal", "cars"], counts));
  }
  if (bad.length) {
    const caption = bad.length > SHOWN_PROBLEMS ? `The first ${SHOWN_PROBLEMS} problems` : "Problems";
    const rows = bad.slice(0, SHOWN_PROBLEMS).map((row) => [count(row.line), row.file.name, row.problem]);
    tables.push(table(caption, ["line", "file", "problem"], rows, true));
  }
  at("tables").replaceChildren(...tables);
  const name = (here[0] ?? stock.rows[0]).file.name.replace(/\.[^.]*$/, "");
  offer(at("download"), priced(stock, false), `${name}-priced.csv`);
  at("resume").hidden = !left.length;
  at("gone").hidden = !gone;
  if (gone) offer(at("gone"), priced(stock, true), `${name}-gone.csv`);
  at("result").hidden = false;
  at("result-title").focus();
}

let stopping = null, half = null;

// Does some work that the reader may stop, and says what goes wrong.
async function work(task) {
  at("error").textContent = at("status").textContent = "";
  at("result").hidden = true;
  at("price").disabled = true;
  stopping = new AbortController();
  try {
    await task(stopping.signal);
  } catch (error) {
    if (error.name === "AbortError") at("status").textContent = "Stopped; nothing was kept.";
    else {
      at("status").textContent = "";
      at("error").textContent = error instanceof Refused ? error.message : `The file cannot be read: ${error.message}`;
    }
  } finally {
    at("price").disabled = false;
    at("working").hidden = at("stop").hidden = true;
  }
}

// Prices the rows that are left. What is done is shown even where the rest fails, and can be gone on with.
async function priceRest(stock, signal) {
  at("working").hidden = at("stop").hidden = false;
  half = stock;
  try {
    await priceAll(stock, signal);
  } catch (error) {
    const isStopped = error.name === "AbortError";
    if (!(isStopped || error instanceof Refused) || !stock.rows.some((row) => row.told)) throw error;
    at("status").textContent = "";
    show(stock, [], isStopped ? "it was stopped." : error.message);
    return;
  }
  show(stock, await sumUp(stock, signal));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const id = at("id").value.trim();
  work(async (signal) => {
    const files = await readFiles([...at("file").files], id);
    at("working").hidden = at("stop").hidden = false;
    await priceRest(await tellDays(files, id !== "", signal), signal);
  });
});
at("stop").addEventListener("click", () => stopping.abort());
at("resume").addEventListener("click", () => work((signal) => priceRest(half, signal)));
form.hidden = false;
