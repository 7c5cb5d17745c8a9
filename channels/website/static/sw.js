// What was seen last opens without a connection, with the time when it was so. Always from the network first: a page that is kept
// is shown only where none can be had. Pages that belong to one person (answers, registration) are never kept.
"use strict";
const OFFLINE = "@WORDS@";
const KEPT = "site-1";
const WAIT_MS = 5000;
const ROOT = new URL("./", self.location);
const START = ["./", "easy.html", "en.html", "zh.html", "ko.html", "shelters/index.html", "live.js", "icon.svg"];
const PAGE = /^(|[a-z]+\.html|live\.js|icon\.svg|alerts\.json|shelters\.json|shelters\/([a-z]+\.html)?|alerts\/[A-Za-z0-9._-]+\/([a-z]+(-\d+)?\.html)?)$/;

self.addEventListener("install", (event) => {
  event.waitUntil(
    (async () => {
      const kept = await caches.open(KEPT);
      await Promise.allSettled(START.map((name) => kept.add(new Request(new URL(name, ROOT), { cache: "no-cache" }))));
      await self.skipWaiting();
    })(),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      for (const name of await caches.keys()) if (name !== KEPT) await caches.delete(name);
      await self.clients.claim();
    })(),
  );
});

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== ROOT.origin || !url.pathname.startsWith(ROOT.pathname)) return;
  if (url.search || !PAGE.test(url.pathname.slice(ROOT.pathname.length))) return;
  event.respondWith(newest(event));
});

async function newest(event) {
  const request = event.request;
  const kept = await caches.open(KEPT);
  const asked = fetch(request, { cache: "no-cache" }).then(
    (answer) => {
      if (answer.ok) event.waitUntil(kept.put(request.url, answer.clone()));
      return answer;
    },
    () => null,
  );
  let answer = await Promise.race([asked, new Promise((late) => setTimeout(late, WAIT_MS))]);
  if (answer === undefined) {
    // A slow line: what is kept is shown now and what comes is put into the open page; with nothing kept, there is only waiting.
    const shown = await old(kept, request);
    if (shown) {
      event.waitUntil(asked.then((came) => came && came.ok && tell(event.resultingClientId)));
      return shown;
    }
    answer = await asked;
  }
  return answer && answer.status < 500 ? answer : (await old(kept, request)) || answer || Response.error();
}

async function tell(page) {
  const open = page && (await self.clients.get(page));
  if (open) open.postMessage("renew");
}

async function old(kept, request) {
  const answer = await kept.match(request.url);
  if (!answer || !(answer.headers.get("Content-Type") || "").startsWith("text/html")) return answer;
  const html = await answer.text();
  const language = (/<html lang="([^"]+)"/.exec(html) || [])[1] || "ja";
  const at = new Date(answer.headers.get("Date") || 0);
  const time = at.toLocaleString(language === "ja-x-easy" ? "ja" : language, { timeZone: "Asia/Tokyo", dateStyle: "medium", timeStyle: "short" });
  const words = OFFLINE[language] || OFFLINE[language.split("-")[0]] || OFFLINE.en;
  const said = `<p class="off" role="status"><b>${words} <time datetime="${at.toISOString()}">${time}</time></b></p>`;
  return new Response(html.replace("<!--offline-->", said), { headers: answer.headers });
}

self.addEventListener("push", (event) => {
  let said;
  try {
    said = event.data.json();
  } catch {
    return;
  }
  event.waitUntil(
    self.registration.showNotification(said.title, { body: said.body, tag: said.tag, lang: said.lang, data: said.page, renotify: true, icon: "icon.svg" }),
  );
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const page = new URL(event.notification.data || "./", ROOT);
  if (page.origin === ROOT.origin) event.waitUntil(self.clients.openWindow(page));
});
