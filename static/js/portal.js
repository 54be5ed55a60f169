// What a page gains where scripts run. Nothing depends on it: every page works without.

/** Keeps the empty parts of a filter form out of the address, so that what is shared stays short. */
function shortenAddress(event) {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !form.matches("form[data-shorten]")) return;
  const left = [...form.elements].filter((control) => control.name && control.value === "" && !control.disabled);
  for (const control of left) control.disabled = true;
  // Back on, for whoever returns to this page by the browser's history.
  setTimeout(() => left.forEach((control) => { control.disabled = false; }), 0);
}

/** Opens what is folded before printing: paper has no pointer. */
function unfold() {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    details.dataset.folded = "";
  }
}

function fold() {
  for (const details of document.querySelectorAll("details[data-folded]")) {
    details.open = false;
    delete details.dataset.folded;
  }
}

// --- The list, where a new one replaces it ---

const LIST = "results";
let before = null;

/** Remembers where the person is in the list and whether what narrows it down is unfolded. */
function remember(event) {
  const list = event.detail.target;
  if (list?.id !== LIST) return;
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  before = { focused: focused !== null, choice: focused?.dataset.choice, isOpen: list.querySelector(".facets")?.open };
}

/** Takes the person back to the same choice, or to the heading where it is gone, and tells what was found. */
function goOn(event) {
  const list = document.getElementById(LIST);
  if (before === null || event.target !== list) return;
  const { focused, choice, isOpen } = before;
  before = null;
  const facets = list.querySelector(".facets");
  if (facets && isOpen) facets.open = true;
  const heading = document.getElementById(`${LIST}-heading`);
  const same = choice && list.querySelector(`[data-choice="${CSS.escape(choice)}"]`);
  if (focused) (same || heading).focus({ preventScroll: true });
  document.getElementById(`${LIST}-told`).textContent = heading.textContent.trim();
}

document.addEventListener("submit", shortenAddress);
document.addEventListener("htmx:beforeSwap", remember);
document.addEventListener("htmx:afterSwap", goOn);
document.addEventListener("click", (event) => {
  if (event.target instanceof Element && event.target.closest("[data-print]")) window.print();
});
window.addEventListener("beforeprint", unfold);
window.addEventListener("afterprint", fold);
for (const button of document.querySelectorAll("[data-print]")) button.hidden = false;
