// A form whose page draws itself again while somebody writes: the same post as its button, and of the answer only the pieces that
// changed are put in. A piece is an element with an id and `data-swap`. Focus, selection and what is being typed stay where they are;
// without this script the button does the same.
"use strict";
(() => {
  // One at a time: what is typed meanwhile goes with the next, so a slow machine has one to draw and never a queue of them.
  const GIVEN_UP_MS = 10000;
  const KEEP_MS = 3000;
  const form = document.querySelector("form[data-live]");
  if (!form) return;
  let waiting = 0, keeping = 0, isDrawing = false, isBehind = false, isDirty = false;
  const said = document.getElementById("live-said");

  const body = () => new URLSearchParams([...new FormData(form)].filter(([, v]) => typeof v === "string"));

  function swap(fresh) {
    // First, while all of the answer is still in one piece.
    follow(fresh);
    for (const piece of fresh.querySelectorAll("[data-swap]")) {
      // A page within the page costs a browser as much as all the rest: the one before last is not opened.
      if (isBehind && piece.querySelector("iframe")) continue;
      const old = document.getElementById(piece.id);
      if (!old || old.outerHTML === piece.outerHTML || old.contains(document.activeElement) && old !== document.activeElement && old.querySelector("input,textarea,select")) continue;
      const open = [...old.querySelectorAll("details[open][id]")].map((d) => d.id);
      old.replaceWith(document.adoptNode(piece));
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    }
    document.dispatchEvent(new CustomEvent("swapped"));
  }

  // A field that still says what it was filled with takes the new filling; one that was typed in keeps its words.
  function follow(fresh) {
    for (const was of fresh.querySelectorAll("input[name^='_was.']")) {
      const mine = form.elements.namedItem(was.name);
      const field = form.elements.namedItem(was.name.slice(5));
      if (!mine || !field || field === document.activeElement) continue;
      if (field.value.trim() === mine.value.trim()) field.value = was.value;
      mine.value = was.value;
    }
    for (const field of form.querySelectorAll("[data-finds]")) {
      const other = fresh.querySelector(`[data-finds="${field.dataset.finds}"]`);
      for (const name of ["aria-invalid", "aria-describedby"])
        other?.hasAttribute(name) ? field.setAttribute(name, other.getAttribute(name)) : field.removeAttribute(name);
      field.classList.toggle("has-must", other?.classList.contains("has-must") ?? false);
    }
  }

  function tell(words, isBad = false) {
    if (!said) return;
    said.textContent = words;
    said.classList.toggle("is-bad", isBad);
  }

  async function draw() {
    isBehind = isDrawing;
    if (isDrawing) return;
    isDrawing = true;
    const began = performance.now();
    try {
      const answer = await fetch(form.dataset.live, { method: "POST", body: body(), signal: AbortSignal.timeout(GIVEN_UP_MS), redirect: "error" });
      if (answer.status === 401 || answer.status === 403) return tell(form.dataset.signedOut ?? "", true);
      if (answer.status >= 500) return tell(form.dataset.unreachable ?? "", true);
      swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
      form.dataset.drawnMs = Math.round(performance.now() - began);
    } catch {
      tell(form.dataset.unreachable ?? "", true);
    } finally {
      isDrawing = false;
      if (isBehind) draw();
    }
  }

  async function keep() {
    keeping = 0;
    if (!isDirty) return;
    isDirty = false;
    try {
      const answer = await fetch(form.dataset.keep, { method: "POST", body: body(), headers: { Accept: "application/json" }, redirect: "error" });
      if (!answer.ok) { isDirty = true; return tell(answer.status === 401 || answer.status === 403 ? form.dataset.signedOut : form.dataset.unreachable, true); }
      const kept = await answer.json();
      form.elements.namedItem("_kept").value = kept.kept;
      form.elements.namedItem("_key").value = kept.key;
      tell(kept.said);
    } catch { isDirty = true; tell(form.dataset.unreachable ?? "", true); }
  }

  form.addEventListener("input", (event) => {
    if (event.target.closest("[data-still]")) return;
    clearTimeout(waiting);
    // What an input method puts in at once is one.
    waiting = setTimeout(draw, 0);
    isDirty = true;
    if (form.dataset.keep && !keeping) keeping = setTimeout(keep, KEEP_MS);
  });
  // What is on its way to being kept goes along when the page is left.
  addEventListener("pagehide", () => {
    if (isDirty && form.dataset.keep) navigator.sendBeacon(form.dataset.keep, body());
  });
  form.addEventListener("submit", () => { isDirty = false; });
})();
