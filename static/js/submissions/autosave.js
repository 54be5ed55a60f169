// Saves the guided form while the person types, and never loses what was typed.
//
// The form is sent as it stands, by the same POST that its Save button makes. The answer holds the pieces
// of the page that changed (marked data-piece): what the rules say, the steps, which version was seen.
// The fields themselves are never replaced. What could not be saved stays on the page, is tried again,
// and is kept in the browser until it is saved.

const WAIT = 900;
const RETRY = 8000;
const TIMEOUT = 20000;

class Autosave {
  constructor(form) {
    this.form = form;
    this.state = document.getElementById("save-state");
    this.key = `unsaved:${location.pathname}`;
    this.edits = 0;
    this.saved = 0;
    this.timer = 0;
    this.sending = false;
    form.addEventListener("input", () => this.edited());
    form.addEventListener("change", () => this.edited());
    form.addEventListener("submit", () => {
      this.leaving = true;
      this.forget();
    });
    addEventListener("beforeunload", (event) => this.warn(event));
    addEventListener("online", () => this.soon(0));
    addEventListener("pagehide", () => this.keep());
    this.restore();
  }

  get isDirty() {
    return this.edits !== this.saved;
  }

  edited() {
    this.edits += 1;
    if (!this.failing) this.say("Not saved yet…", "");
    this.soon(WAIT);
  }

  soon(wait) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.save(), wait);
  }

  say(words, tone) {
    if (this.state.textContent !== words) this.state.textContent = words;
    this.state.className = tone ? `save-state save-state--${tone}` : "save-state";
  }

  async save() {
    if (!this.isDirty) return;
    if (this.sending) {
      this.soon(WAIT);
      return;
    }
    this.sending = true;
    const edits = this.edits;
    this.say("Saving…", "");
    try {
      const answer = await fetch(location.pathname, {
        method: "POST",
        body: new FormData(this.form),
        headers: { "X-Autosave": "1" },
        credentials: "same-origin",
        redirect: "manual",
        signal: AbortSignal.timeout(TIMEOUT),
      });
      await this.take(answer, edits);
    } catch {
      this.fail("Not saved: the portal cannot be reached. What you typed stays here and is tried again.");
    } finally {
      this.sending = false;
    }
  }

  async take(answer, edits) {
    if (answer.type === "opaqueredirect") {
      this.fail("Not saved: you are signed out. Sign in in another window, then this page goes on saving.");
    } else if (answer.status === 403) {
      await this.renewToken();
    } else if ([200, 409, 422].includes(answer.status)) {
      this.replacePieces(await answer.text());
      if (answer.status === 200) {
        this.succeed(edits);
      } else {
        this.fail("Not everything was saved: see the notes beside your text.", false);
      }
    } else {
      this.fail(`Not saved: the portal answered with an error (${answer.status}). It is tried again.`);
    }
  }

  // Whoever signed in again has a new token against forged requests; a fresh copy of the page carries it.
  async renewToken() {
    const answer = await fetch(location.pathname, { credentials: "same-origin", signal: AbortSignal.timeout(TIMEOUT) });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const token = fresh.querySelector("form[data-autosave] [name=csrfmiddlewaretoken]");
    const own = this.form.elements.csrfmiddlewaretoken;
    if (token && own && token.value !== own.value && !this.renewed) {
      this.renewed = true;
      own.value = token.value;
      this.soon(0);
    } else {
      this.fail("Not saved: you may not change this any more. Copy what you typed before you leave the page.", false);
    }
  }

  replacePieces(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    for (const piece of fresh.querySelectorAll("[data-piece][id]")) {
      const old = document.getElementById(piece.id);
      if (!old || old.innerHTML === piece.innerHTML) continue;
      const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
      old.replaceWith(document.importNode(piece, true));
      if (focused) document.getElementById(focused)?.focus();
    }
  }

  succeed(edits) {
    this.renewed = false;
    this.saved = edits;
    this.failing = false;
    if (this.isDirty) {
      this.soon(WAIT);
      return;
    }
    this.forget();
    const time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    this.say(`Saved ${time}`, "good");
  }

  fail(words, again = true) {
    this.failing = true;
    this.say(words, "bad");
    this.keep();
    if (again) this.soon(RETRY);
  }

  warn(event) {
    if (this.isDirty && !this.leaving) event.preventDefault();
  }

  // What was typed and not saved, kept in this browser.

  // With the text goes which version it was typed over, so that newer words of others are not overwritten.
  fields() {
    return [...this.form.elements].filter((field) =>
      field.type === "hidden"
        ? field.name.endsWith("seen")
        : field.name && !["submit", "button", "file"].includes(field.type),
    );
  }

  keep() {
    if (!this.isDirty || this.leaving) return;
    const values = this.fields()
      .filter((field) => field.type !== "radio" || field.checked)
      .filter((field) => field.type !== "checkbox")
      .map((field) => [field.name, field.value]);
    try {
      localStorage.setItem(this.key, JSON.stringify(values));
    } catch {
      // A browser that stores nothing still shows the text and warns before leaving.
    }
  }

  forget() {
    try {
      localStorage.removeItem(this.key);
    } catch {
      // As above.
    }
  }

  restore() {
    let values;
    try {
      values = JSON.parse(localStorage.getItem(this.key) || "null");
    } catch {
      return;
    }
    if (!Array.isArray(values)) return;
    let differs = false;
    for (const [name, value] of values) {
      for (const field of this.fields().filter((candidate) => candidate.name === name)) {
        if (field.type === "radio") {
          const wanted = field.value === value;
          differs ||= field.checked !== wanted;
          field.checked = wanted;
        } else if (field.value !== value) {
          field.value = value;
          differs ||= field.type !== "hidden";
        }
      }
    }
    if (!differs) {
      this.forget();
      return;
    }
    this.edits += 1;
    this.failing = true;
    this.say("Text that was not saved last time is back in its fields. Look at it; it is saved when you go on.", "warn");
  }
}

for (const form of document.querySelectorAll("form[data-autosave]")) new Autosave(form);
