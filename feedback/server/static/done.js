// The last page: Z takes the last answer back, as on the compare page.

addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() === "z" && !event.repeat && !event.ctrlKey && !event.metaKey && !event.altKey) {
    document.querySelector("#undo")?.requestSubmit();
  }
});
