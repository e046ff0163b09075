// The page without reloading: the form's answer is the page that the server draws, of which the
// form and the answer are taken. Names are typed ahead, and numbers written as the reader's language does.
const KEY = "carprice-key";
const say = document.getElementById("status");
const keyForm = document.getElementById("key");
const locales = navigator.languages?.length ? navigator.languages : undefined;
let vocabulary = null;
let asked = 0;
let shownAt = location.pathname + location.search;

const key = () => sessionStorage.getItem(KEY) ?? "";
const headers = (accept) => ({ Accept: accept, ...(key() && { "X-API-Key": key() }) });

function localise(root) {
  const signs = (one) => ("signed" in one.dataset ? { signDisplay: "exceptZero" } : {});
  for (const one of root.querySelectorAll("[data-money]")) {
    const value = Number(one.dataset.money);
    const digits = value !== 0 && Math.abs(value) < 100 ? 2 : 0;
    const style = { style: "currency", currency: one.dataset.currency, ...signs(one) };
    try {
      one.textContent = new Intl.NumberFormat(locales, {
        ...style, minimumFractionDigits: digits, maximumFractionDigits: digits,
      }).format(value);
    } catch {
      break; // a currency that is no code: the server's words stay
    }
  }
  for (const one of root.querySelectorAll("[data-number]")) {
    const digits = Number(one.dataset.digits);
    const style = { minimumFractionDigits: digits, maximumFractionDigits: digits, ...signs(one) };
    one.textContent = new Intl.NumberFormat(locales, style).format(Number(one.dataset.number));
  }
  for (const one of root.querySelectorAll("[data-day]")) {
    const day = new Date(`${one.dataset.day}T00:00:00Z`);
    one.textContent = day.toLocaleDateString(locales, { dateStyle: "long", timeZone: "UTC" });
  }
}

async function makes() {
  const form = document.getElementById("car");
  if (form.dataset.keys && !key()) return {};
  vocabulary ??= fetch(form.dataset.vocabulary, { headers: headers("application/json") })
    .then((answer) => (answer.ok ? answer.json() : Promise.reject(answer.status)))
    .then((answer) => answer.makes)
    .catch(() => { vocabulary = null; return {}; });
  return vocabulary;
}

const like = (known, name) => known[Object.keys(known).find((one) => one.toLowerCase() === name.trim().toLowerCase())];

async function suggest(field) {
  const every = await makes();
  const typed = (name) => document.getElementById(`f-${name}`)?.value ?? "";
  const models = like(every, typed("make")) ?? {};
  const known = {
    make: Object.keys(every),
    model: Object.keys(models),
    variant: like(models, typed("model")) ?? [],
  }[field.name];
  const options = known.slice(0, 500).map((name) => Object.assign(document.createElement("option"), { value: name }));
  field.list.replaceChildren(...options);
}

function refuse(words) {
  say.textContent = words;
  const place = document.createElement("p");
  place.className = "notice";
  place.textContent = words;
  document.getElementById("answer").replaceChildren(place);
}

function wrongKey(words) {
  const error = document.getElementById("key-error");
  error.textContent = words;
  error.hidden = !words;
  if (words) document.getElementById("api-key").focus();
}

async function load(address, keep) {
  const turn = ++asked;
  say.textContent = "Asking for the price";
  let answer;
  try {
    answer = await fetch(address, { headers: headers("text/html") });
  } catch {
    return refuse("The service cannot be reached; try again.");
  }
  const text = await answer.text();
  if (turn !== asked) return undefined;
  if (!answer.headers.get("Content-Type")?.startsWith("text/html")) {
    const { detail } = JSON.parse(text);
    if (answer.status !== 401 || !keyForm) return refuse(detail);
    sessionStorage.removeItem(KEY);
    say.textContent = "";
    return wrongKey("This key is not valid.");
  }
  const page = new DOMParser().parseFromString(text, "text/html");
  if (!page.getElementById("answer")) return refuse(page.querySelector("main p").textContent);
  if (keyForm && key()) wrongKey("");
  const isOpen = document.querySelector("#car details").open;
  for (const id of ["car", "answer"]) {
    document.getElementById(id).replaceWith(document.adoptNode(page.getElementById(id)));
  }
  if (isOpen) document.querySelector("#car details").open = true;
  document.title = page.title;
  if (keep) history.pushState(null, "", address);
  shownAt = location.pathname + location.search;
  localise(document);
  const problems = document.getElementById("problems");
  say.textContent = document.getElementById("summary")?.textContent ?? problems?.innerText ?? "";
  if (problems) (document.querySelector("#car [aria-invalid]") ?? problems).focus();
  else document.getElementById("answer-title")?.focus();
  return undefined;
}

document.addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.target === keyForm) {
    vocabulary = null;
    sessionStorage.setItem(KEY, document.getElementById("api-key").value.trim());
    load(location.href, false);
    return;
  }
  const given = [...new FormData(event.target)].filter(([, text]) => text.trim());
  load(`${event.target.getAttribute("action")}?${new URLSearchParams(given)}`, true);
});
document.addEventListener("focusin", ({ target }) => target.list && suggest(target));
addEventListener("popstate", () => {
  if (location.pathname + location.search !== shownAt) load(location.href, false);
});

localise(document);
if (keyForm) {
  keyForm.hidden = false;
  if (key() && document.getElementById("answer").dataset.lacksKey) load(location.href, false);
}
