// Says when in the reader's own clock and calendar.

const words = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

for (const time of document.querySelectorAll("time[data-unix]")) {
  const when = new Date(Number(time.dataset.unix) * 1000);
  time.dateTime = when.toISOString();
  time.textContent = words.format(when);
}
