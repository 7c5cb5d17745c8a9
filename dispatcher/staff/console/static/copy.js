// A button beside each field to paste: one press copies it, and says so. Without a script the field can be selected as any other.
"use strict";
for (const field of document.querySelectorAll(".copy textarea[readonly]")) {
  const isJapanese = document.documentElement.lang === "ja";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn btn-small noprint";
  button.textContent = isJapanese ? "コピー" : "Copy";
  button.setAttribute("aria-describedby", field.id);
  const said = document.createElement("span");
  said.className = "hint";
  said.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(field.value);
      said.textContent = isJapanese ? "コピーしました" : "Copied";
    } catch {
      field.select();
      said.textContent = isJapanese ? "選びました。Ctrl+C でコピーしてください" : "Selected: press Ctrl+C";
    }
  });
  const row = document.createElement("div");
  row.className = "row tight-row";
  row.append(button, said);
  field.after(row);
}
for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}
