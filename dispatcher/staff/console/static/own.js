/* Adding a passkey: the one thing of this page that needs a script. */
"use strict";
(() => {
  const form = document.querySelector("[data-add-passkey]");
  if (!form || !window.PublicKeyCredential || !PublicKeyCredential.parseCreationOptionsFromJSON) return;
  const told = form.querySelector("[data-said]");
  form.hidden = false;
  form.addEventListener("submit", async event => {
    if (form.elements._answer) return;
    event.preventDefault();
    told.hidden = true;
    try {
      const asked = await fetch("/own/passkeys/options", {
        method: "POST",
        headers: { Accept: "application/json" },
        body: new URLSearchParams(new FormData(form)),
      });
      const options = await asked.json();
      if (options.error) throw new Error(options.error);
      // The code is used up now; the form goes on with what the device says.
      if (form.elements._code) form.elements._code.remove();
      const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
      const credential = await navigator.credentials.create({ publicKey });
      const field = document.createElement("input");
      Object.assign(field, { type: "hidden", name: "_answer", value: JSON.stringify(credential.toJSON()) });
      form.append(field);
      form.requestSubmit();
    } catch (error) {
      told.textContent = error.message;
      told.hidden = false;
    }
  });
})();
