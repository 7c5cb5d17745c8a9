// A banner for the city's own site: <script src="https://THIS-SITE/embed.js" defer></script>, with data-lang="en" for another
// language than the page's. It shows what is in force now and links to it; with nothing in force there is nothing. It reads
// alerts.json from where it came from, keeps to a shadow of its own, sets text and never markup, and asks for no cookie.
"use strict";
(() => {
  const script = document.currentScript;
  const root = new URL(".", script.src);
  const WORDS = "@WORDS@";
  const EVERY_MS = 30000;
  const COLOURS = { 5: ["#0c000c", "#fff"], 4: ["#aa00aa", "#fff"], 3: ["#ff2800", "#0c000c"], 2: ["#f2e700", "#0c000c"], 1: ["#fff", "#0c000c"], 0: ["#15171b", "#fff"] };
  const asked = script.dataset.lang || document.documentElement.lang || "ja";
  const language = WORDS[asked] ? asked : WORDS[asked.split("-")[0]] ? asked.split("-")[0] : "en";
  const words = WORDS[language];
  const host = document.createElement("div");
  const shadow = host.attachShadow({ mode: "open" });
  const rules =
      ":host{all:initial;display:block}a{display:block;padding:12px 16px;min-height:44px;font:700 18px/1.5 sans-serif;border:3px solid;text-decoration:none}" +
      "a span{text-decoration:underline}a:focus-visible{outline:3px solid #15171b;outline-offset:2px;box-shadow:0 0 0 2px #fff}" +
      Object.entries(COLOURS).map(([level, [ground, ink]]) => `.l${level}{background:${ground};color:${ink};border-color:${ink}}`).join("");
  // A sheet made by script stands under whatever policy the city's site has; Safari before 16.4 has none, and gets its styles one by one.
  const isSheeted = "adoptedStyleSheets" in shadow;
  if (isSheeted) {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(rules);
    shadow.adoptedStyleSheets = [sheet];
  }
  function styled(link, at) {
    const [ground, ink] = COLOURS[at];
    Object.assign(link.style, { display: "block", padding: "12px 16px", minHeight: "44px", font: "700 18px/1.5 sans-serif", border: "3px solid", background: ground, color: ink });
  }
  const place = document.createElement("div");
  place.setAttribute("role", "status");
  shadow.append(place);
  if (script.parentElement && script.parentElement !== document.head) script.before(host);
  else addEventListener("DOMContentLoaded", () => document.body.prepend(host));

  const kind = (tag) => tag.split("-")[0];
  const said = (alert) => alert.said.find((s) => s.language === language) || alert.said.find((s) => kind(s.language) === kind(language) && s.language !== "ja-x-easy") || alert.said[0];
  const level = (alert) => Number(said(alert).level) || 0;

  async function look() {
    let alerts;
    try {
      const answer = await fetch(new URL("alerts.json", root), { cache: "no-cache", credentials: "omit", referrerPolicy: "no-referrer" });
      if (!answer.ok) return;
      alerts = (await answer.json()).alerts;
    } catch {
      return;
    }
    // What holds is the site's word: a telephone's clock may be a day off.
    const active = alerts.filter((a) => a.is_active);
    active.sort((a, b) => level(b) - level(a));
    const links = active.map((alert) => {
      const it = said(alert), link = document.createElement("a"), head = document.createElement("span");
      link.href = new URL(alert.page, root).href;
      link.className = `l${Math.min(level(alert), 5)}`;
      if (!isSheeted) styled(link, Math.min(level(alert), 5));
      link.lang = it.language;
      link.append(level(alert) ? `${words.level}${level(alert)} ` : "", head, " ", it.place);
      head.textContent = it.headline;
      return link;
    });
    const text = (nodes) => nodes.map((n) => n.href + n.textContent).join("\n");
    if (text(links) === text([...place.children]) || place.contains(shadow.activeElement)) return;
    place.replaceChildren(...links);
  }

  look();
  setInterval(() => document.hidden || look(), EVERY_MS * (0.8 + 0.4 * Math.random()));
  document.addEventListener("visibilitychange", () => document.hidden || look());
})();
