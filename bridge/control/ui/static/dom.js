// Builds and updates the page. Text goes in as text only: nothing here, or anywhere in this page,
// parses a string as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element; `attributes` are set as they are, children are elements or texts. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) throw new Error("listeners are not attributes");
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

/** Makes the children of `parent` equal to these, keeping what is equal: focus and selection stay. */
export function render(parent, ...children) {
  const wanted = document.createElement("div");
  fill(wanted, {}, children);
  morphChildren(parent, wanted);
}

function morphChildren(from, to) {
  const now = [...from.childNodes];
  const then = [...to.childNodes];
  then.forEach((node, index) => {
    if (index < now.length) morph(now[index], node);
    else from.append(node);
  });
  now.slice(then.length).forEach((node) => node.remove());
}

function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName || keyOf(from) !== keyOf(to)) {
    from.replaceWith(to);
    return;
  }
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  for (const { name } of [...from.attributes]) if (!to.hasAttribute(name)) from.removeAttribute(name);
  for (const { name, value } of [...to.attributes]) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  morphChildren(from, to);
}

function keyOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null;
}

/** A table with a caption for screen readers, scrollable by itself on narrow screens. */
export function table(caption, columns, rows) {
  const head = h("tr", {}, columns.map((c) => h("th", { scope: "col", class: c.number && "number" }, c.title)));
  const body = rows.map((row) =>
    h("tr", { "data-key": row.key }, row.cells.map((cell, i) => h("td", { class: columns[i].number && "number" }, cell))));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("caption", { class: "hidden" }, caption), h("thead", {}, head), h("tbody", {}, body)));
}

/** A command with a button that copies it. */
export function command(text) {
  return h("div", { class: "command" }, h("code", {}, text),
    h("button", { type: "button", "data-copy": text, "data-key": text, "aria-label": `Copy: ${text}` }, "Copy"));
}

export function empty(text) {
  return h("p", { class: "muted empty" }, text);
}
