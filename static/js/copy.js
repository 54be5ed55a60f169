// Buttons that copy a piece of code. Without scripts they stay hidden; one click selects the whole code.

const SAID_SECONDS = 2;

/** Puts the text on the clipboard; where the browser keeps that from us, it is selected for the person to copy. */
async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  // The words come from the page, which knows its language.
  let said = button.dataset.copied ?? "Copied";
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    getSelection().selectAllChildren(source);
    said = button.dataset.selected ?? "Selected: copy it now";
  }
  const label = button.dataset.label ?? button.textContent;
  button.dataset.label = label;
  button.textContent = said;
  setTimeout(() => { button.textContent = label; }, SAID_SECONDS * 1000);
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", () => copy(button));
}
