// Small conveniences of the console. Every page works without this file.
"use strict";

// Ask before a deed that cannot be undone.
document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm || event.target.dataset.confirm;
  if (question && !window.confirm(question)) {
    event.preventDefault();
  }
});

// Show what a schedule would do while it is being written.
const PREVIEWED = [
  "csrfmiddlewaretoken",
  "task",
  "kind",
  "expression",
  "timezone",
  "starts_at",
  "ends_at",
  "exdates",
  "rdates",
  "calendars",
  "gap",
  "fold",
];

function schedulePreview(panel) {
  const form = document.getElementById("schedule_form");
  if (!form) {
    return;
  }
  let waiting = null;

  const read = async () => {
    const asked = new URLSearchParams({ task: panel.dataset.task, schedule: panel.dataset.schedule });
    for (const name of PREVIEWED) {
      const field = form.elements[name];
      if (field?.value) {
        asked.set(name, field.value);
      }
    }
    try {
      const answer = await fetch(panel.dataset.preview, { method: "POST", body: asked, credentials: "same-origin" });
      if (!answer.ok) {
        throw new Error(answer.statusText);
      }
      panel.innerHTML = await answer.text(); // our own server's markup, escaped there
    } catch (error) {
      panel.textContent = "The preview could not be read. It is shown again when you save.";
    }
  };

  form.addEventListener("input", () => {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(read, 300);
  });
}

document.addEventListener("DOMContentLoaded", () => {
  const panel = document.querySelector("[data-preview]");
  if (panel) {
    schedulePreview(panel);
  }
});
