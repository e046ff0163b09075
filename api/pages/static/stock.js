// Has a CSV file priced by the service, part by part; the file itself stays in the browser.
const at = (id) => document.getElementById(id);
const form = at("stock");
const told = form.dataset;
const FIELDS = new Map(Object.entries(JSON.parse(told.fields)));
const REQUIRED = ["make", "model", "year", "odometer"];
const MOST_BYTES = 64e6;
const TRIES = 5;
const SHOWN_PROBLEMS = 20;
const ASKED = ["priceToMarket", "deal", "dealReason", "percentile"];
const PRICES = ["predictedPrice", "priceLow", "priceHigh"];
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

async function readFile(file) {
  if (file.size === 0) throw new Refused("The file is empty.");
  if (file.size > MOST_BYTES) throw new Refused("The file has more than 64 MB; cut it into several.");
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await file.arrayBuffer());
  } catch {
    throw new Refused("The file is not UTF-8 text; save it as CSV in UTF-8. A workbook is not read here.");
  }
  const hasMark = text.startsWith("\ufeff");
  text = hasMark ? text.slice(1) : text;
  const delimiter = delimiterOf(text.split(/[\r\n]/, 1)[0]);
  const [first, ...records] = read(text, delimiter);
  if (!first) throw new Refused("The file is empty.");
  const header = first.cells.map((name) => name.trim());
  const columns = columnsOf(header);
  const most = Number(told.mostRows);
  if (!records.length) throw new Refused("The file has a header, and no row below it.");
  if (records.length > most) {
    throw new Refused(`The file has ${count(records.length)} rows; cut it into files of ${count(most)} at most.`);
  }
  return { header, columns, records, delimiter, hasMark };
}

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
    const seen = header.map((name) => name || "(empty)").slice(0, 20).join(", ");
    throw new Refused(`The file has no column ${missing.join(", ")}; its columns are ${seen}.`);
  }
  return columns;
}

// Cuts the rows into bodies that the service takes; a row of another width than the header is in none.
function* parts(stock) {
  const places = [...stock.columns.values()];
  const header = [...stock.columns.keys()].join(",") + "\r\n";
  const encoder = new TextEncoder();
  let rows = [], lines = [], bytes = header.length;
  for (const row of stock.records) {
    if (row.cells.length !== stock.header.length) {
      row.problem = `the row has ${row.cells.length} cells, the header ${stock.header.length}`;
      continue;
    }
    const cells = places.map((place) => quote(row.cells[place], ","));
    const line = cells.join(",") + "\r\n";
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

async function ask(part, signal) {
  const headers = { "Content-Type": "text/csv", Accept: "application/json" };
  if (at("key")) headers["X-API-Key"] = at("key").value;
  for (let tries = 1; ; tries++) {
    let answer, content;
    try {
      answer = await fetch(told.batch, { method: "POST", headers, body: part.body, signal });
      content = await answer.json();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused("The service does not answer; try again.");
    }
    if (answer.ok) return content;
    const isBusy = answer.status === 429 || answer.status === 503;
    if (!isBusy || tries === TRIES) {
      throw new Refused(`From line ${part.rows[0].line} on: ${content.detail || answer.status}`);
    }
    const seconds = Math.min(Math.max(Number(answer.headers.get("Retry-After")) || 1, 1), 60);
    at("status").textContent = `The service is busy; asking again in ${seconds} seconds.`;
    await sleep(seconds);
    signal.throwIfAborted();
  }
}

async function priceAll(stock, signal) {
  const bar = at("progress"), total = stock.records.length;
  const digests = new Set();
  let done = 0;
  bar.max = total;
  bar.value = 0;
  for (const part of parts(stock)) {
    const content = await ask(part, signal);
    digests.add(content.modelDigest);
    part.rows.forEach((row, place) => {
      const { price, problem } = content.rows[place];
      row.problem = problem ? problem.detail : "";
      row.price = price;
      row.about = { currency: content.currency, modelVersion: content.modelVersion };
    });
    done += part.rows.length;
    bar.value = done;
    at("status").textContent = `${count(done)} of ${count(total)} rows done.`;
  }
  return digests;
}

function asked(row) {
  return row.price && row.price.deal ? row.price.predictedPrice + row.price.deal.difference : null;
}

function answerCells(row, hasAsked) {
  const price = row.price || {}, deal = price.deal || {};
  const ratio = price.deal && price.predictedPrice ? (asked(row) / price.predictedPrice).toFixed(4) : "";
  const ofDeal = [ratio, deal.label ?? "", deal.reason ? deal.reason.message : "", deal.percentile ?? ""];
  const about = row.about || {};
  return [
    ...PRICES.map((name) => price[name] ?? ""),
    ...(hasAsked ? ofDeal : []),
    row.price ? about.currency : "",
    price.valuationDate ?? "",
    row.price ? about.modelVersion : "",
    (price.warnings || []).map((one) => one.message).join("; "),
    row.problem || "",
  ];
}

function priced(stock) {
  const hasAsked = stock.columns.has("askingPrice");
  const added = [...PRICES, ...(hasAsked ? ASKED : []), ...TOLD];
  const kept = stock.header.map((name, place) => place).filter((place) => !added.includes(stock.header[place]));
  const write = (cells) => cells.map((cell) => quote(harmless(String(cell)), stock.delimiter)).join(stock.delimiter);
  const lines = [write([...kept.map((place) => stock.header[place]), ...added])];
  for (const row of stock.records) {
    lines.push(write([...kept.map((place) => row.cells[place] ?? ""), ...answerCells(row, hasAsked)]));
  }
  return new Blob([stock.hasMark ? "\ufeff" : "", lines.join("\r\n"), "\r\n"], { type: "text/csv;charset=utf-8" });
}

function median(values) {
  const sorted = [...values].sort((one, other) => one - other), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function summaryRow(name, rows) {
  const withAsked = rows.filter((row) => asked(row) !== null);
  const shown = (values, write) => (values.length ? write(median(values)) : "–");
  return [
    name,
    count(rows.length),
    count(withAsked.length),
    shown(withAsked.map(asked), money),
    shown(rows.map((row) => row.price.predictedPrice), money),
    shown(withAsked.map((row) => asked(row) / row.price.predictedPrice), ratio),
  ];
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

function show(stock, digests, name) {
  const good = stock.records.filter((row) => row.price);
  const bad = stock.records.filter((row) => !row.price);
  const makes = new Map();
  for (const row of good) {
    const make = row.cells[stock.columns.get("make")].trim(), key = make.toLowerCase();
    if (!makes.has(key)) makes.set(key, { make, rows: [] });
    makes.get(key).rows.push(row);
  }
  const byRows = [...makes.values()].sort((one, other) => other.rows.length - one.rows.length);
  const unread = stock.header.filter((column, place) => ![...stock.columns.values()].includes(place));
  const notes = [`${count(good.length)} of ${count(stock.records.length)} rows priced.`];
  if (bad.length) notes.push(`${count(bad.length)} rows could not be priced; the column problem says why.`);
  if (unread.length) notes.push(`Not sent, and not used for prices: ${unread.map((one) => one || "(empty)").join(", ")}.`);
  if (!stock.columns.has("askingPrice")) notes.push("There is no column askingPrice or price, so that nothing is compared.");
  if (digests.size > 1) notes.push("The service took another model while the file was priced; price it again for one model.");
  at("notes").replaceChildren(...notes.map((note) => {
    const item = document.createElement("li");
    item.textContent = note;
    return item;
  }));
  const titles = ["make", "cars", "asked", "median asked", "median predicted", "median price to market"];
  const summary = [summaryRow("all", good), ...byRows.map((one) => summaryRow(one.make, one.rows))];
  const tables = good.length ? [table(`Medians by make, ${told.currency}`, titles, summary)] : [];
  const labelled = good.filter((row) => row.price.deal);
  if (labelled.length) {
    const counts = DEALS.map((label) => [label, count(labelled.filter((row) => row.price.deal.label === label).length)]);
    tables.push(table("Whether the prices asked are good", ["deal", "cars"], counts));
  }
  if (bad.length) {
    const caption = bad.length > SHOWN_PROBLEMS ? `The first ${SHOWN_PROBLEMS} problems` : "Problems";
    const rows = bad.slice(0, SHOWN_PROBLEMS).map((row) => [count(row.line), row.problem]);
    tables.push(table(caption, ["line", "problem"], rows, true));
  }
  at("tables").replaceChildren(...tables);
  const link = at("download");
  if (link.href) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(priced(stock));
  link.download = `${name.replace(/\.[^.]*$/, "")}-priced.csv`;
  at("result").hidden = false;
  at("result-title").focus();
}

let stopping = null;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const file = at("file").files[0];
  at("error").textContent = at("status").textContent = "";
  at("result").hidden = true;
  at("price").disabled = true;
  stopping = new AbortController();
  try {
    const stock = await readFile(file);
    at("working").hidden = at("stop").hidden = false;
    const digests = await priceAll(stock, stopping.signal);
    show(stock, digests, file.name);
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
});
at("stop").addEventListener("click", () => stopping.abort());
form.hidden = false;
