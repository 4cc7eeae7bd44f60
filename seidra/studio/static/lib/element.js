/**
 * Builds elements. Attributes and children that are functions follow the signals they read.
 *
 * @module
 */
import { effect } from "./signal.js";

/** A node, a text, nothing, a list of these, or a function that gives one. @typedef {any} Child */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An HTML element: `h("button", { class: "quiet", onclick: save }, label)`.
 *
 * @param {string} tag
 * @param {Record<string, any>} [attributes] values, functions of signals, or `on...` listeners
 * @param {...Child} children
 * @returns {any}
 */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/**
 * An element of an SVG picture.
 *
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...Child} children
 * @returns {any}
 */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * @param {any} element
 * @param {Record<string, any>} attributes
 * @param {Child[]} children
 */
function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (typeof value === "function") effect(() => setAttribute(element, name, value()));
    else setAttribute(element, name, value);
  }
  appendChildren(element, children);
  return element;
}

/**
 * @param {any} element
 * @param {string} name
 * @param {any} value
 */
function setAttribute(element, name, value) {
  if (name === "style") Object.entries(value).forEach(([k, v]) => element.style.setProperty(k, v));
  else if (name === "value" || name === "checked" || name === "indeterminate") element[name] = value;
  else if (value === false || value === null || value === undefined) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : String(value));
}

/**
 * @param {Node} parent
 * @param {Child[]} children
 */
function appendChildren(parent, children) {
  for (const child of children) {
    if (typeof child === "function") appendFollowing(parent, child);
    else for (const node of nodesOf(child)) parent.appendChild(node);
  }
}

/**
 * Children that are made anew when what they read changes, between two marks.
 *
 * @param {Node} parent
 * @param {() => Child} read
 */
function appendFollowing(parent, read) {
  const [start, end] = [document.createComment(""), document.createComment("")];
  parent.appendChild(start);
  parent.appendChild(end);
  effect(() => {
    const nodes = nodesOf(read());
    while (start.nextSibling && start.nextSibling !== end) start.nextSibling.remove();
    end.before(...nodes);
  });
}

/**
 * @param {any} child
 * @returns {Node[]}
 */
function nodesOf(child) {
  if (child === null || child === undefined || child === false) return [];
  if (Array.isArray(child)) return child.flatMap(nodesOf);
  if (typeof child === "function") {
    const fragment = document.createDocumentFragment();
    appendFollowing(fragment, child);
    return [...fragment.childNodes];
  }
  return [child instanceof Node ? child : document.createTextNode(String(child))];
}
