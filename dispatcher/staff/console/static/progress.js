// A slider for the moment: it writes into the time field that stands there without it, and shows that moment's board at once.
"use strict";
(() => {
  const form = document.getElementById("moment");
  const slider = document.getElementById("slider");
  document.getElementById("alert")?.addEventListener("change", () => form.requestSubmit());
  if (!form || !slider) return;
  slider.hidden = false;
  const range = document.getElementById("range");
  const from = new Date(slider.dataset.from);
  let waiting = 0, asked = null;

  function clock(seconds) {
    // Japan's own time, whatever the browser's zone is.
    const parts = new Intl.DateTimeFormat("sv-SE", { timeZone: "Asia/Tokyo", dateStyle: "short", timeStyle: "medium" });
    return parts.format(new Date(from.getTime() + seconds * 1000));
  }
  async function show() {
    asked?.abort();
    asked = new AbortController();
    const address = `${form.action}?${new URLSearchParams(new FormData(form))}`;
    try {
      const answer = await fetch(address, { signal: asked.signal, redirect: "error" });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const id of ["then", "log"]) document.getElementById(id).innerHTML = fresh.getElementById(id).innerHTML;
      history.replaceState(null, "", address);
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    }
  }
  range.addEventListener("input", () => {
    const said = clock(Number(range.value));
    document.getElementById("at").value = Number(range.value) >= Number(range.max) ? "" : said;
    document.getElementById("range-said").textContent = said;
    range.setAttribute("aria-valuetext", said);
    clearTimeout(waiting);
    waiting = setTimeout(show, 120);
  });
})();
