// Asks for the page again, with the key that the reader gives; it is kept nowhere.
const form = document.getElementById("key-form");
const status = document.getElementById("status");
form.hidden = false;
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  status.textContent = "Asking …";
  try {
    const headers = { "X-API-Key": document.getElementById("key").value };
    const answer = await fetch(location.href, { headers });
    if (!(answer.headers.get("Content-Type") || "").startsWith("text/html")) {
      status.textContent = (await answer.json()).detail;
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.title = page.title;
    const main = document.adoptNode(page.getElementById("main"));
    document.getElementById("main").replaceWith(main);
    main.focus();
  } catch {
    status.textContent = "The key cannot be sent, or the service does not answer; try again.";
  }
});
