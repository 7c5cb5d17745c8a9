/* What the console adds by script, on every page: times that run, the alarm that sounds, figures that move, passkeys.
   Every page is complete without it. It never moves the focus, never changes what the pointer is on, and never sends a message. */
"use strict";
(() => {
  const english = document.documentElement.lang === "en";
  const say = (ja, en) => (english ? en : ja);
  const each = (selector, act, root = document) => root.querySelectorAll(selector).forEach(act);

  /* -- times. The node's clock counts, not this machine's: the page says what time it was when it was made. -- */
  const clock = document.querySelector("[data-clock]");
  const ahead = clock ? Date.parse(clock.dataset.clock) - Date.now() : 0;
  const now = () => Date.now() + ahead;

  function span(seconds, exact) {
    const s = Math.max(0, Math.floor(seconds)), d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
    if (d) return say(`${d}日${h}時間`, `${d} d ${h} h`);
    if (h) return say(`${h}時間${m}分`, `${h} h ${m} min`);
    if (m) return exact ? say(`${m}分${s % 60}秒`, `${m} min ${s % 60} s`) : say(`${m}分`, `${m} min`);
    return say(`${s}秒`, `${s} s`);
  }
  function tick() {
    if (clock) {
      const at = new Intl.DateTimeFormat("ja-JP", { timeZone: "Asia/Tokyo", hour: "2-digit", minute: "2-digit", hour12: false }).format(now());
      put(clock.querySelector("time"), at);
    }
    each("[data-since]", e => put(e, span((now() - Date.parse(e.dataset.since)) / 1000, "exact" in e.dataset)));
    each("[data-until]", e => put(e, span(Number(e.dataset.for) - (now() - Date.parse(e.dataset.until)) / 1000, true)));
  }
  function put(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }
  tick();
  setInterval(tick, 1000);

  /* -- the alarm: two tones every ten seconds while something waits and nobody has silenced it -- */
  const alarm = document.querySelector("[data-alarm]");
  let sounds = alarm && alarm.dataset.alarm === "1", voice = null;
  function ring() {
    if (!sounds) return;
    voice = voice || new (window.AudioContext || window.webkitAudioContext)();
    // A browser lets a page sound only after somebody has pressed something on it; until then the title says it.
    if (voice.state === "suspended") voice.resume();
    [880, 660].forEach((pitch, i) => {
      const tone = voice.createOscillator(), loudness = voice.createGain(), at = voice.currentTime + i * 0.3;
      tone.frequency.value = pitch;
      loudness.gain.setValueAtTime(0.15, at);
      loudness.gain.exponentialRampToValueAtTime(0.001, at + 0.28);
      tone.connect(loudness).connect(voice.destination);
      tone.start(at);
      tone.stop(at + 0.3);
    });
  }
  const title = document.title;
  function mark(count) {
    document.title = count ? `(${count}) ${title}` : title;
  }
  let asked = 0;
  async function ask() {
    if (Date.now() - asked < 2000) return;
    asked = Date.now();
    try {
      const answer = await fetch(`/calls?from=${encodeURIComponent(location.pathname)}`, { headers: { Accept: "application/json" } });
      if (answer.status === 401) return ended();
      renewed();
      const told = await answer.json();
      if (told.html.trim() !== alarm.dataset.was) replace(alarm, told.html);
      alarm.dataset.was = told.html.trim();
      const isNew = told.sounds && (!sounds || told.count > Number(alarm.dataset.count));
      sounds = told.sounds;
      alarm.dataset.count = told.count;
      mark(told.count);
      if (isNew) ring();
    } catch (error) {
      stale();
    }
  }
  /* signed in again in another window: this page's forms are given the new session's seal, with all that was typed in them */
  async function renewed() {
    const bar = document.getElementById("ended");
    if (!bar) return;
    bar.remove();
    const { seal } = await (await fetch("/session", { headers: { Accept: "application/json" } })).json();
    each('input[name="_seal"]', field => { field.value = seal; });
  }
  function ended() {
    if (document.getElementById("ended")) return;
    const bar = document.createElement("section");
    bar.id = "ended";
    bar.className = "alarm";
    bar.setAttribute("role", "alert");
    const link = document.createElement("a");
    link.href = `/signin?next=${encodeURIComponent(location.pathname + location.search)}`;
    link.textContent = say("サインインが終わりました。ここから入り直します（書いたものはこの画面に残ります）", "You are signed out. Sign in again (what you typed stays on this page)");
    link.target = "_blank";
    bar.append(link);
    document.querySelector("main").before(bar);
    sounds = false;
  }
  if (alarm) {
    mark(Number(alarm.dataset.count));
    ring();
    setInterval(ring, 10000);
    setInterval(ask, 5000);
  }

  /* -- pieces that move. What has the focus, or is under the pointer and can be pressed, is left until it is let go. -- */
  function isBusy(element) {
    return element.contains(document.activeElement) || !!element.querySelector("a:hover, button:hover, summary:hover");
  }
  const waiting = new Map();
  function replace(element, html) {
    if (isBusy(element)) return void waiting.set(element, html);
    waiting.delete(element);
    element.innerHTML = html;
  }
  setInterval(() => waiting.forEach((html, element) => replace(element, html)), 500);

  function show(html) {
    const piece = new DOMParser().parseFromString(html, "text/html");
    each("[data-live]", element => {
      const fresh = piece.querySelector(`[data-live="${CSS.escape(element.dataset.live)}"]`);
      if (fresh && fresh.innerHTML !== element.dataset.was) replace(element, fresh.innerHTML);
      if (fresh) element.dataset.was = fresh.innerHTML;
    });
    each("[data-row]", row => {
      const fresh = piece.querySelector(`[data-row="${CSS.escape(row.dataset.row)}"]`);
      if (fresh) row.dataset.state = fresh.dataset.state;
    });
    tick();
    fresh();
  }
  /* what a screen reader hears: one sentence, at most every five seconds, and always the last one */
  let said = "", saidAt = 0;
  function digest() {
    const words = document.querySelector("[data-digest]"), mouth = document.querySelector("[data-say]");
    if (!words || !mouth || words.textContent === said || Date.now() - saidAt < 5000) return;
    said = words.textContent;
    saidAt = Date.now();
    put(mouth, said);
  }
  setInterval(digest, 500);
  const age = document.querySelector("[data-fresh] span");
  function fresh() {
    const at = new Intl.DateTimeFormat("ja-JP", { timeZone: "Asia/Tokyo", timeStyle: "medium" }).format(now());
    if (age) put(age, say(`${at} の状況です。自動で新しくなります。`, `As of ${at}. It updates by itself.`));
  }
  function stale() {
    if (age) put(age, say("つながりません。古い状況です。", "No link to the node: this is old."));
  }
  const place = document.querySelector("[data-stream]");
  let stream = null;
  function follow() {
    if (!place || stream || document.hidden) return;
    stream = new EventSource(place.dataset.stream);
    stream.addEventListener("piece", event => {
      show(JSON.parse(event.data));
      if (alarm) ask();
    });
    stream.onopen = fresh;
    stream.onerror = () => {
      stale();
      if (alarm) ask();
    };
  }
  // A browser opens six connections to a node at most: a hidden page gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && stream) stream = void stream.close() || null;
    else follow();
  });
  follow();

  /* -- paper -- */
  each("[data-print]", button => {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  });

  /* -- a form is sent once, however often its button is pressed -- */
  document.addEventListener("submit", event => {
    if (event.target.method !== "post" || event.submitter?.formMethod === "dialog" || event.defaultPrevented) return;
    if (event.target.dataset.sent) return event.preventDefault();
    event.target.dataset.sent = "1";
    setTimeout(() => delete event.target.dataset.sent, 5000);
  });

  /* -- passkeys -- */
  const offer = document.querySelector("[data-passkey-button]");
  if (offer && window.PublicKeyCredential && PublicKeyCredential.parseRequestOptionsFromJSON) {
    offer.hidden = false;
    const told = document.querySelector("[data-passkey-said]"), form = offer.form;
    offer.addEventListener("click", async () => {
      told.hidden = true;
      try {
        const send = (body) => fetch("/passkey", { method: "POST", headers: { Accept: "application/json", "Content-Type": "application/json" }, body });
        const options = await (await send("{}")).json();
        if (options.error) throw new Error(options.error);
        const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
        const credential = await navigator.credentials.get({ publicKey });
        const field = document.createElement("input");
        Object.assign(field, { type: "hidden", name: "passkey", value: JSON.stringify(credential.toJSON()) });
        form.append(field);
        form.noValidate = true;
        form.requestSubmit();
      } catch (error) {
        told.textContent = error.message;
        told.hidden = false;
      }
    });
  }
})();
