// What is wrong with the page that is shown, as a list of sentences.
const faults = [];
const root = document.documentElement;
if (root.scrollWidth > innerWidth) faults.push(`it is ${root.scrollWidth} pixels wide in a window of ${innerWidth}`);
for (const each of document.querySelectorAll("a[href], button, input, select, textarea")) {
  const labels = each.labels ? [...each.labels].map((label) => label.textContent).join("") : "";
  const picture = each.querySelector("[aria-label], img[alt]:not([alt=''])");
  const name = each.getAttribute("aria-label") || each.textContent.trim() || labels.trim() || each.title || picture;
  if (!name) faults.push(`nothing names ${each.outerHTML.slice(0, 120)}`);
}
if (document.querySelectorAll("h1").length !== 1) faults.push("it has not one heading");
if (document.querySelectorAll("main").length !== 1) faults.push("it has not one main part");
for (const { name } of performance.getEntriesByType("resource")) {
  if (new URL(name).origin !== location.origin) faults.push(`it loads ${name}`);
}
return faults;
