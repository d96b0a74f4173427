{
const MAX_ROWS = 100, FACETS = { state: "State", workspace: "Workspace", cluster: "Cluster" }, MAX_CHIPS = 8;
const find = selector => document.querySelector(selector);
const make = (tag, text, values) => Object.assign(document.createElement(tag), { textContent: text }, values);
const number = value => value.toLocaleString("en");
const table = find("table.sessions"), body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
const titles = heads.map(head => head.textContent), at = title => titles.indexOf(title);
const [form, input, count, more] = ["form", "#q", "output", "#more"].map(find);
const TIME = titles.findIndex(title => title.startsWith("Last activity"));
const words = new Intl.Collator(undefined, { numeric: true });
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const clock = new Intl.DateTimeFormat("sv", { dateStyle: "short", timeStyle: "short" });
const lines = cell => cell.childElementCount ? [...cell.querySelectorAll("span")].map(e => e.textContent) : [cell.textContent];
const index = entry => {
  const shared = entry.size > 1 ? entry.cells[0].lastChild.textContent : "";
  entry.text = [...entry.cells.flatMap(lines), shared].join("\n").toLowerCase();
};
const rows = [...body.rows].map(row => {
  const cells = [...row.cells], entry = { row, cells, size: lines(cells[0]).length, utc: cells[TIME].textContent };
  for (const name in FACETS) entry[name] = cells[at(FACETS[name])].textContent;
  index(entry);
  return entry;
});
const sessions = entries => entries.reduce((sum, entry) => sum + entry.size, 0), total = sessions(rows);
const chosen = {};
let order = rows, matches = rows, sorted = at("Idle for"), direction = -1, limit = MAX_ROWS, grouped, local = false, timer;

// The fragment of the URL holds the state, so that a view can be sent as a link.
const read = () => {
  const kept = new URLSearchParams(location.hash.slice(1)), by = at(kept.get("sort")?.slice(1));
  input.value = kept.get("q") ?? "";
  for (const name in FACETS) chosen[name] = new Set(kept.getAll(name));
  grouped = kept.has("grouped");
  sortBy(by < 0 ? at("Idle for") : by, kept.get("sort")?.[0] === "+" ? 1 : -1);
  showTimes(kept.has("local") && zone !== "UTC");
  update();
};
const fragment = () => {
  const kept = new URLSearchParams();
  if (input.value) kept.set("q", input.value);
  for (const name in FACETS) for (const value of chosen[name]) kept.append(name, value);
  if (grouped) kept.set("grouped", "");
  if (local) kept.set("local", "");
  if (titles[sorted] !== "Idle for" || direction > 0) kept.set("sort", (direction > 0 ? "+" : "-") + titles[sorted]);
  return String(kept) && `#${kept}`;
};
const write = () => history.replaceState(null, "", location.href.split("#")[0] + fragment());

const sortBy = (column, sign) => {
  [sorted, direction] = [column, sign];
  const numeric = heads[column].classList.contains("n");
  const keyed = order.map(entry => {
    const cell = entry.cells[column], key = cell.dataset.v ?? (column === TIME ? entry.utc : lines(cell)[0]);
    return [key === "" ? null : numeric ? +key : key, entry];
  });
  const compare = numeric ? (a, b) => a - b : words.compare;
  keyed.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : sign * compare(a, b)));
  order = keyed.map(([, entry]) => entry);
  heads.forEach(head => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
};

const showTimes = inZone => {
  if (inZone === local) return;
  local = inZone;
  for (const entry of rows) {
    const moment = new Date(entry.utc.replace(" ", "T") + "Z");
    entry.cells[TIME].textContent = local && entry.utc ? clock.format(moment) : entry.utc;
    index(entry);
  }
  heads[TIME].firstChild.textContent = local ? "Last activity (local)" : titles[TIME];
};

const chipOf = new Map();
const chip = (name, value, lasting) => {
  const key = `${name}\n${value}`;
  if (!chipOf.has(key)) {
    const size = sessions(rows.filter(entry => entry[name] === value));
    const button = make("button", value, { type: "button", className: name });
    button.append(" ", make("small", number(size)));
    button.addEventListener("click", () => {
      if (!chosen[name].delete(value)) chosen[name].add(value);
      changed();
      if (button.hidden) input.focus();
    });
    find(`.chips[aria-label=${FACETS[name]}]`).append(button);
    chipOf.set(key, { button, name, value, lasting });
  }
};
for (const name of ["state", "workspace"]) {
  const sizes = new Map();
  for (const entry of rows) sizes.set(entry[name], (sizes.get(entry[name]) ?? 0) + entry.size);
  const largest = [...sizes].sort((a, b) => b[1] - a[1]).slice(0, MAX_CHIPS);
  if (sizes.size > 1) for (const [value] of largest) chip(name, value, true);
}

const byCluster = entries => {
  const groups = new Map();
  for (const entry of entries) {
    const key = `${entry.workspace}\n${entry.cluster}`;
    groups.has(key) ? groups.get(key).push(entry) : groups.set(key, [entry]);
  }
  return [...groups.values()];
};
const heading = entries => {
  const size = sessions(entries), title = `${entries[0].cluster} in ${entries[0].workspace}`, row = make("tr", "");
  const cell = make("th", title, { colSpan: titles.length, scope: "rowgroup" });
  cell.append(" ", make("small", `${number(size)} session${size === 1 ? "" : "s"}`));
  row.className = "group";
  row.append(cell);
  return row;
};

const update = () => {
  const terms = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  const facets = Object.keys(FACETS).filter(name => chosen[name].size);
  for (const name of facets) for (const value of chosen[name]) chip(name, value, false);
  matches = order.filter(entry =>
    terms.every(term => entry.text.includes(term)) && facets.every(name => chosen[name].has(entry[name])));
  const groups = grouped ? byCluster(matches) : [matches];
  if (grouped) matches = groups.flat();
  const shown = new Set(matches.slice(0, limit));
  body.replaceChildren(...groups.flatMap(group => {
    const visible = group.filter(entry => shown.has(entry)).map(entry => entry.row);
    return grouped && visible.length ? [heading(group), ...visible] : visible;
  }));
  for (const { button, name, value, lasting } of chipOf.values()) {
    button.setAttribute("aria-pressed", chosen[name].has(value));
    button.hidden = !lasting && !chosen[name].has(value);
  }
  const size = sessions(matches);
  count.textContent = size === total ? `${number(total)} sessions` : `${number(size)} of ${number(total)} sessions`;
  more.hidden = matches.length <= limit;
  more.textContent = `Show all ${number(matches.length)} rows`;
  find("#grouped").setAttribute("aria-pressed", grouped);
  find("#zone").setAttribute("aria-pressed", local);
};
const changed = () => {
  limit = MAX_ROWS;
  update();
  clearTimeout(timer);
  timer = setTimeout(write, 200);
};

const FORMULA = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]/;
const quoted = value => {
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const csv = () => {
  const record = ({ cells, utc }, session) => cells.map((cell, column) => {
    if (column === TIME) return utc;
    return cell.dataset.v ?? quoted(lines(cell)[cell.childElementCount ? session : 0]);
  });
  const records = matches.flatMap(entry => Array.from({ length: entry.size }, (_, session) => record(entry, session)));
  const names = titles.map(title => title === "Idle for" ? "Idle seconds" : title);
  return "\ufeff" + [names, ...records].map(record => record.join(",") + "\r\n").join("");
};
const download = () => {
  const link = make("a", "", { href: URL.createObjectURL(new Blob([csv()], { type: "text/csv" })) });
  link.download = `notebook-sessions-${find("time").dateTime.slice(0, 10)}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
};

heads.forEach((head, column) => {
  const button = make("button", "", { type: "button" });
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const before = head.getAttribute("aria-sort"), numeric = head.classList.contains("n");
    sortBy(column, before === "descending" || (!before && !numeric) ? 1 : -1);
    changed();
  });
});
const linkTo = (cell, facets) => {
  const link = make("a", "", { href: `#${new URLSearchParams(facets)}` });
  link.append(cell.firstChild ?? "");
  cell.prepend(link);
  link.addEventListener("click", () => form.scrollIntoView());
};
for (const { cells } of find("table.workspaces").tBodies[0].rows) linkTo(cells[0], { workspace: cells[0].firstChild?.textContent ?? "" });
for (const { cells } of find("table.clusters")?.tBodies[0].rows ?? [])
  linkTo(cells[0], { workspace: cells[1].textContent, cluster: cells[0].textContent });

const taken = find("time");
if (zone === "UTC") find("#zone").hidden = true;
else taken.after(` (${clock.format(new Date(taken.dateTime))} ${zone})`);
form.hidden = false;
form.addEventListener("submit", event => event.preventDefault());
input.addEventListener("input", changed);
find("#grouped").addEventListener("click", () => { grouped = !grouped; changed(); });
find("#zone").addEventListener("click", () => { showTimes(!local); changed(); });
find("#csv").addEventListener("click", download);
more.addEventListener("click", () => { limit = Infinity; update(); });
addEventListener("keydown", event => {
  if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && document.activeElement !== input) {
    event.preventDefault();
    input.focus();
    form.scrollIntoView();
  } else if (event.key === "Escape") {
    input.value = "";
    for (const name in FACETS) chosen[name].clear();
    changed();
  }
});
addEventListener("hashchange", read);
addEventListener("beforeprint", () => { limit = Infinity; update(); });
addEventListener("afterprint", changed);
read();
}
