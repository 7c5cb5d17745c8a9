// An open page follows the site: when the node says that something changed, the page is fetched again and its live regions are
// put in. Focus and what is being selected are never moved: a region that somebody is in waits, and the page says so. Without this
// script, without the node or without a connection the page is what it was: reload it.
"use strict";
(() => {
  const root = new URL(".", document.currentScript.src);
  const said = document.getElementById("said");
  const ALONE_MS = 60000;
  let version = "", isWaiting = false, stream = null;

  async function renew() {
    let fresh;
    try {
      const answer = await fetch(location.href, { cache: "no-cache", credentials: "omit" });
      if (!answer.ok) return;
      fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    } catch {
      return;
    }
    let isNew = false;
    isWaiting = false;
    for (const old of document.querySelectorAll("[data-live]")) {
      const now = fresh.getElementById(old.id);
      if (!now || now.outerHTML === old.outerHTML) continue;
      if (isIn(old)) {
        isWaiting = true;
        continue;
      }
      for (const open of old.querySelectorAll("details")) {
        const same = [...now.querySelectorAll("details")].find((d) => d.firstElementChild.textContent === open.firstElementChild.textContent);
        if (same) same.open = open.open;
      }
      old.replaceWith(document.adoptNode(now));
      isNew = true;
    }
    document.title = fresh.title;
    // It was opened without a connection, and there is one now.
    const off = document.querySelector(".off");
    if (off && !fresh.querySelector(".off")) off.remove();
    if (isWaiting) {
      const again = document.createElement("a");
      again.href = "";
      again.textContent = said.dataset.changed;
      said.replaceChildren(again);
    } else if (isNew) said.textContent = said.dataset.renewed;
  }

  function isIn(region) {
    const selection = getSelection();
    return region.contains(document.activeElement) || (!selection.isCollapsed && selection.containsNode(region, true));
  }

  // One line to the node for as long as somebody looks at the page.
  function listen() {
    if (stream || document.hidden) return;
    stream = new EventSource(new URL("live", root));
    stream.addEventListener("changed", (event) => {
      const now = JSON.parse(event.data);
      const isNews = version && now.version !== version;
      version = now.version;
      if (isNews) setTimeout(renew, Math.random() * now.spread_ms);
    });
    stream.addEventListener("error", () => {
      // The browser tries again by itself, unless it was told that there is nothing here.
      if (stream.readyState === EventSource.CLOSED) {
        stream = null;
        setTimeout(listen, ALONE_MS * (1 + Math.random()));
      }
    });
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return listen();
    if (stream) stream.close();
    stream = null;
  });
  document.addEventListener("focusout", () => setTimeout(() => isWaiting && renew(), 0));
  // Where no node stands behind the site, look now and then.
  setInterval(() => {
    if (!document.hidden && (!stream || stream.readyState !== EventSource.OPEN)) renew();
  }, ALONE_MS * (1 + Math.random()));
  listen();

  if (!("serviceWorker" in navigator)) return;
  // What was shown is older than what has come since.
  navigator.serviceWorker.addEventListener("message", renew);
  navigator.serviceWorker.register(new URL("sw.js", root), { scope: root.pathname }).then(offerPush, () => {});

  // Web Push: on this device, only when somebody presses the button for it.
  async function offerPush(registration) {
    const place = document.getElementById("push");
    if (!place || !("PushManager" in window)) return;
    const answer = await fetch(new URL("push/key", root)).catch(() => null);
    if (!answer || !answer.ok) return;
    const key = (await answer.json()).key;
    const button = place.querySelector("button"), told = place.querySelector("[role=status]");
    const show = (subscription) => (button.textContent = subscription ? place.dataset.off : place.dataset.on);
    show(await registration.pushManager.getSubscription());
    place.hidden = false;
    button.addEventListener("click", async () => {
      try {
        const before = await registration.pushManager.getSubscription();
        const subscription = before || (await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key }));
        const done = await fetch(new URL(before ? "push/unsubscribe" : "push/subscribe", root), {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ ...subscription.toJSON(), language: document.documentElement.lang }),
        });
        if (before || !done.ok) await subscription.unsubscribe();
        if (done.status === 429 || done.status >= 500) return (told.textContent = place.dataset.busy);
        if (!done.ok) throw new Error(String(done.status));
        show(before ? null : subscription);
        told.textContent = before ? "" : place.dataset.done;
      } catch {
        told.textContent = place.dataset.no;
      }
    });
  }
})();
