/** The signs of the page, drawn here: nothing is loaded. @module */
import { h, svg } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { addressOf } from "../lib/router.js";

/** @type {Record<string, string>} */
const PATHS = {
  personas: "M12 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM4 20c1-4 4-6 8-6s7 2 8 6",
  create: "M12 5v14M5 12h14",
  gallery: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15 9h.01",
  transfer: "M8 20V5M4 9l4-4 4 4M16 4v15M12 15l4 4 4-4",
  upload: "M12 15V4M7 9l5-5 5 5M5 20h14",
  looks: "M10 5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7zM3 20c1-4 4-5 7-5M18 13v7M14.5 16.5h7",
  jobs: "M5 4v16M9 4v16M13 4v16M17 4v10",
  settings: "M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4",
  admin: "M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6z",
  search: "M11 5a6 6 0 1 1 0 12 6 6 0 0 1 0-12zM20 20l-4.5-4.5",
  play: "M8 5l11 7-11 7z",
  close: "M6 6l12 12M18 6L6 18",
  star: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8z",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  bare: "M12 4v11M7 11l5 5 5-5M4 20L20 4",
  out: "M5 12h14",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  again: "M5 12a7 7 0 1 1 2 5M5 20v-4h4",
  veil: "M3 12c3-5 6-7 9-7s6 2 9 7c-3 5-6 7-9 7s-6-2-9-7zM4 20L20 4",
  share:
    "M18 3.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5zM6 9.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5zM18 15.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5zM8.3 10.8l7.4-3.6M8.3 13.2l7.4 3.6",
  collect: "M4 8h12v12H4zM8 8V4h12v12h-4M10 11v6M7 14h6",
  copy: "M8 8h12v12H8zM4 16V4h12",
};

/** A sign of 24 by 24. @param {string} name */
export function icon(name) {
  return svg(
    "svg",
    { viewBox: "0 0 24 24", class: `icon icon-${name}`, "aria-hidden": "true" },
    svg("path", { d: PATHS[name] }),
  );
}

/**
 * A round button of a sign.
 *
 * @param {string} sign
 * @param {string} label the key of what it does
 * @param {() => any} run
 * @param {string | (() => string)} [of] what it is done to, where several have such a button
 */
export function roundButton(sign, label, run, of = "") {
  const whole = () => {
    const what = typeof of === "function" ? of() : of;
    return what ? `${t(label)}: ${what}` : t(label);
  };
  return h(
    "button",
    { type: "button", class: "round", title: () => t(label), "aria-label": whole, onclick: () => run() },
    icon(sign),
  );
}

/** The mark: a moon with three strands. */
export function mark() {
  const strands = ["M9 8c-4 6 2 12-2 19", "M13 8c-4 6 2 12-2 19", "M17 9c-4 6 2 11-2 17"];
  return svg(
    "svg",
    { viewBox: "0 0 32 32", class: "mark", "aria-hidden": "true" },
    svg("circle", { cx: 20, cy: 12, r: 8, class: "mark-moon" }),
    ...strands.map((d, at) => svg("path", { d, class: `mark-strand strand-${at}` })),
  );
}

/** A standing skein: what stands where there is no picture yet. */
export function skein() {
  const strands = Array.from({ length: 13 }, (_, at) => {
    const x = 26 + at * 4;
    const top = 30 + Math.abs(6 - at) ** 2 * 0.9;
    return svg("path", { d: `M${x} ${top}V112`, class: `strand-${at % 3}` });
  });
  return svg("svg", { viewBox: "0 0 100 140", class: "skein", "aria-hidden": "true" }, ...strands);
}

/** The way to the trash. */
export function trashLink() {
  const label = () => t("nav.trash");
  return h(
    "a",
    { class: "round", href: addressOf("/trash"), title: label, "aria-label": label },
    icon("trash"),
  );
}
