// Keeps the page true: follows /events, fetches the page again when something has changed, and
// puts what differs into it. Sends forms to the API. Without it every page still works.
"use strict";

(() => {
  const main = document.getElementById("main");
  const live = document.getElementById("live");
  const toasts = document.getElementById("toasts");
  const CSRF = 'meta[name="csrf"]';
  const { root } = document.body.dataset; // the path below which a proxy serves the dashboard
  const csrf = () => document.querySelector(CSRF)?.content ?? "";
  const FEWEST_MS = 250; // between two refreshes
  const SURELY_MS = 15000; // without news, for what no event tells of
  const SHORTEST_MS = 1000; // before the first attempt to connect again; twice as long each time
  const LONGEST_MS = 30000;

  // --- times -----------------------------------------------------------------------------------

  function rough(seconds) {
    for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "m"]]) {
      if (seconds > 1.95 * size) return `${Math.round(seconds / size)}${unit}`;
    }
    return `${Math.round(seconds)}s`;
  }

  // how far the store's clock is ahead of this one, in milliseconds
  const ahead = new Date(document.querySelector('meta[name="now"]').content) - Date.now();

  function local(time) {
    const style = {
      year: "numeric", month: "short", day: "numeric", hour: "numeric", minute: "2-digit",
      second: "2-digit", timeZoneName: "short",
    };
    return new Date(time.dateTime).toLocaleString(undefined, style);
  }

  function tellTimes() {
    for (const time of main.querySelectorAll("time[data-rel]")) {
      const seconds = (new Date(time.dateTime) - Date.now() - ahead) / 1000;
      const told = Math.abs(seconds) < 1 ? "now"
        : seconds > 0 ? `in ${rough(seconds)}` : `${rough(-seconds)} ago`;
      if (time.textContent !== told) time.textContent = told;
      const title = local(time);
      if (time.title !== title) time.title = title;
    }
    for (const time of main.querySelectorAll("time[data-clock]")) {
      const style = {
        hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
        hourCycle: "h23",
      };
      const told = new Date(time.dateTime).toLocaleTimeString([], style);
      if (time.textContent !== told) time.textContent = told;
      const title = local(time);
      if (time.title !== title) time.title = title;
    }
    for (const time of main.querySelectorAll("time[data-at]")) {
      const told = local(time);
      if (time.textContent !== told) time.textContent = told;
    }
  }

  function tellChartTimes() {
    for (const text of main.querySelectorAll(".chart [data-at]")) {
      const day = text.closest("[data-long]") ? { weekday: "short" } : {};
      const style = { hour: "numeric", minute: "2-digit", ...day };
      const clock = new Date(text.dataset.at).toLocaleTimeString([], style);
      const { told } = text.dataset;
      text.textContent = told === undefined ? clock : `${clock} · ${told || "no runs"}`;
    }
  }

  // --- putting a fresh copy of the page into this one ------------------------------------------

  // by attribute: in a form `form.id` is its field of that name
  const attribute = (element, name) => Element.prototype.getAttribute.call(element, name);

  function same(one, other) {
    return one.nodeType === other.nodeType && one.nodeName === other.nodeName
      && (one.nodeType !== Node.ELEMENT_NODE
        || ["id", "data-key"].every((name) => attribute(one, name) === attribute(other, name)));
  }

  function morph(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    if (old.isEqualNode(fresh)) return;
    if (old.matches("time") && old.dateTime === fresh.dateTime) return;
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !(name === "open" && old.matches("details"))) {
        old.removeAttribute(name);
      }
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    let at = old.firstChild;
    for (const next of [...fresh.childNodes]) {
      let found = at;
      // text is no landmark: for the next one what stands before it would be taken away
      if (next.nodeType !== Node.ELEMENT_NODE && found && !same(found, next)) found = null;
      while (found && !same(found, next)) found = found.nextSibling;
      if (!found) {
        old.insertBefore(document.importNode(next, true), at);
        continue;
      }
      while (at !== found) {
        const gone = at;
        at = at.nextSibling;
        gone.remove();
      }
      morph(found, next);
      at = found.nextSibling;
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  let refreshing = null;
  let again = false;
  let refreshedAt = 0;

  // true when the page is as the dashboard has it now
  function refresh() {
    again = true;
    refreshing ??= refreshAll().finally(() => { refreshing = null; });
    return refreshing;
  }

  async function refreshAll() {
    try {
      while (again) {
        again = false;
        const wait = refreshedAt + FEWEST_MS - performance.now();
        if (wait > 0) await new Promise((done) => setTimeout(done, wait));
        refreshedAt = performance.now();
        await fetchPage();
      }
      return true;
    } catch (fault) {
      lose(fault.message === "Log in again" ? fault.message : undefined);
      return false;
    }
  }

  let have = { mark: "none", text: "" }; // the latest copy of the page, to be sent the changes alone

  // a list of new lines, and of pairs: so many lines of the copy from that number on
  function patched(parts) {
    const lines = have.text.split("\n");
    const piece = (part) => (typeof part === "string" ? part : lines.slice(part[0], part[0] + part[1]));
    return parts.flatMap(piece).join("\n");
  }

  async function fetchPage() {
    const headers = { accept: "text/html", "queuectl-base": have.mark };
    const answer = await fetch(location.href, { headers });
    if (answer.redirected && "wall" in document.body.dataset) throw new Error("Log in again");
    if (answer.redirected) {
      location.reload(); // it wants us to log in
      return;
    }
    const isChanges = answer.headers.get("content-type") === "application/json";
    const text = isChanges ? patched(await answer.json()) : await answer.text();
    have = { mark: answer.headers.get("queuectl-page") ?? "none", text };
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const copy = fresh.getElementById("main");
    // what does not come from the dashboard comes from a proxy whose dashboard is away
    if (!copy) throw new Error(`answered with ${answer.status}`);
    if (answer.status >= 500) {
      showLive("trouble", copy.querySelector("h1").textContent);
      return;
    }
    showFresh(fresh, copy);
  }

  function showFresh(fresh, copy) {
    const log = main.querySelector(".log");
    const follows = log && log.scrollTop + log.clientHeight > log.scrollHeight - 30;
    morph(main, copy);
    document.body.dataset.run = fresh.body.dataset.run ?? "";
    // whoever had logged in may have to do so again
    const [who, now] = [document.getElementById("who"), fresh.getElementById("who")];
    if (who && now) morph(who, now);
    document.querySelector(CSRF)?.remove();
    const mark = fresh.querySelector(CSRF);
    if (mark) document.head.append(document.importNode(mark, true));
    for (const toast of fresh.querySelectorAll(".toast")) tell(toast.textContent, toast.className);
    if (follows) main.querySelector(".log")?.scrollTo(0, 1e9);
    tellTimes();
    tellChartTimes();
  }

  // --- events ----------------------------------------------------------------------------------

  function showLive(state, word) {
    if (!live) return;
    if (live.dataset.state !== state) live.dataset.state = state;
    const place = live.querySelector(".word");
    if (place.textContent !== word) place.textContent = word;
  }

  let source = null;
  let followed = "";
  let version = Number(document.body.dataset.version);

  function address() {
    const { job, run } = document.body.dataset;
    const query = job && Number(run) ? `?job=${encodeURIComponent(job)}&run=${run}` : "";
    return `${root}/events${query}`;
  }

  function follow() {
    if (!("live" in document.body.dataset) || document.hidden) return;
    if (source && followed === address()) return;
    source?.close();
    followed = address();
    source = new EventSource(followed);
    source.addEventListener("look", async (event) => {
      const look = JSON.parse(event.data);
      failures = 0;
      if (look.trouble) showLive("trouble", look.trouble);
      else showLive("on", "Live");
      if (look.version !== version) {
        version = look.version;
        await refresh();
        follow(); // a job that has been started again has another log
      }
    });
    source.addEventListener("log", refresh);
    source.onerror = () => lose();
  }

  // By itself a browser connects again only where nobody answers, not after an answer of a proxy.
  let failures = 0;
  let reconnecting = 0;

  function leave() {
    clearTimeout(reconnecting);
    source?.close();
    source = null;
  }

  function lose(word = "Connection lost") {
    leave();
    showLive("trouble", word);
    if (!("live" in document.body.dataset) || document.hidden) return;
    const wait = Math.min(LONGEST_MS, SHORTEST_MS * 2 ** failures);
    failures += 1;
    reconnecting = setTimeout(reconnect, wait * (0.75 + Math.random() / 2)); // not all at once
  }

  async function reconnect() {
    clearTimeout(reconnecting);
    if (await refresh()) follow();
  }

  function rest() {
    leave();
    showLive("off", "Not live");
  }

  // --- forms -----------------------------------------------------------------------------------

  function tell(line, kind = "toast ok") {
    const toast = document.createElement("p");
    toast.className = kind.includes("toast") ? kind : `toast ${kind}`;
    toast.textContent = line;
    toasts.append(toast);
    setTimeout(() => toast.remove(), kind.includes("error") ? 12000 : 6000);
  }

  const KEPT_WHEN_EMPTY = ["as", "at", "in", "cron", "every", "tz"];

  function requestOf(form, button) {
    const body = {};
    let path = form.dataset.path.replace("{verb}", button?.dataset.verb ?? "");
    for (const [name, value] of new FormData(form)) {
      if (name.startsWith("_")) continue;
      if (value === "") {
        if ("empty" in form.dataset && !KEPT_WHEN_EMPTY.includes(name)) body[name] = null;
        continue;
      }
      if (path.includes(`{${name}}`)) path = path.replace(`{${name}}`, encodeURIComponent(value));
      else if (["ids", "label", "state"].includes(name)) (body[name] ??= []).push(value);
      else if ("words" in (form.elements[name]?.dataset ?? {})) {
        body[name] = value.split(",").map((word) => word.trim()).filter(Boolean);
      } else if (name === "all") body[name] = true;
      else if (name === "exit_code") body[name] = Number(value);
      else if ("flag" in (form.elements[name]?.dataset ?? {})) body[name] = value === "true";
      else if (form.elements[name]?.type === "number" || "number" in (form.elements[name]?.dataset ?? {})) body[name] = Number(value);
      else body[name] = value;
    }
    if (form.querySelector('input[name="value"]') && !("value" in body)) body.value = "";
    return { path, body };
  }

  // asks in a dialog of its own, which stays while the page follows the store
  function ask({ text, yes }) {
    const dialog = document.createElement("dialog");
    const form = document.createElement("form");
    form.method = "dialog";
    const line = document.createElement("p");
    line.textContent = text;
    line.id = "question";
    dialog.setAttribute("aria-labelledby", line.id);
    const [sure, no] = [document.createElement("button"), document.createElement("button")];
    Object.assign(sure, { value: "yes", textContent: yes, className: "danger solid" });
    Object.assign(no, { value: "", textContent: "No", autofocus: true });
    form.append(line, no, sure);
    dialog.append(form);
    document.body.append(dialog);
    dialog.showModal();
    return new Promise((done) => {
      dialog.addEventListener("close", () => {
        dialog.remove();
        done(dialog.returnValue === "yes");
      });
    });
  }

  async function isSure(form, button) {
    const fields = new URLSearchParams(new FormData(form));
    if (button?.name) fields.append(button.name, button.value);
    const answer = await fetch(`${root}/ask`, { method: "POST", body: fields });
    const question = await answer.json();
    if (!answer.ok) {
      tell(question.detail, "error");
      return false;
    }
    return !question.text || ask(question);
  }

  async function send(form, button) {
    const { path, body } = requestOf(form, button);
    if (form.dataset.needs && !body[form.dataset.needs]) {
      tell("Select some jobs first", "error");
      return false;
    }
    if ("asks" in form.dataset && !(await isSure(form, button))) return false;
    const answer = await fetch(path, {
      method: form.dataset.method,
      headers: { "content-type": "application/json", "x-csrf-token": csrf() },
      body: JSON.stringify(body),
    });
    const told = await answer.json();
    if (!answer.ok) {
      tell(told.detail + (told.hint ? ` (${told.hint})` : ""), "error");
      return false;
    }
    tell(decodeURIComponent(answer.headers.get("queuectl-message") ?? "Done"));
    return true;
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.dataset.path || !csrf()) return;
    event.preventDefault();
    const buttons = form.querySelectorAll("button");
    buttons.forEach((button) => { button.disabled = true; });
    try {
      if (await send(form, event.submitter)) {
        form.closest("details")?.removeAttribute("open");
        if (form.dataset.path === `${root}/api/jobs`) form.reset();
        if (form.dataset.next) {
          location.assign(form.dataset.next);
          return;
        }
      }
      await refresh();
    } catch {
      tell("The dashboard does not answer", "error");
    } finally {
      buttons.forEach((button) => { button.disabled = false; });
    }
  });

  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-all]")) return;
    const boxes = main.querySelectorAll('input[name="ids"]');
    boxes.forEach((box) => { box.checked = event.target.checked; });
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const open = document.activeElement?.closest("details[open]");
    open?.removeAttribute("open");
    open?.querySelector("summary").focus();
  });

  document.addEventListener("click", (event) => {
    for (const open of main.querySelectorAll("details[open]")) {
      if (!open.contains(event.target)) open.removeAttribute("open");
    }
  });

  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : reconnect()));
  window.addEventListener("online", reconnect);
  setInterval(tellTimes, 1000);
  setInterval(() => {
    if (source && performance.now() - refreshedAt > SURELY_MS) refresh();
  }, 1000);
  for (const toast of toasts.querySelectorAll(".toast")) setTimeout(() => toast.remove(), 8000);
  main.querySelector(".log")?.scrollTo(0, 1e9);
  // on a phone the row of pages is wider than the screen; scrollIntoView would move where Tab begins
  const current = document.querySelector("nav a[aria-current]");
  if (current) {
    const row = current.closest("nav");
    const [word, room] = [current.getBoundingClientRect(), row.getBoundingClientRect()];
    row.scrollLeft += word.left + word.width / 2 - (room.left + room.width / 2);
  }
  tellTimes();
  tellChartTimes();
  follow();
})();
