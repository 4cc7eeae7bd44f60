/** Every page: its path (`:name` is a part of it), its module, its place in the navigation. @module */

/**
 * @typedef {object} Page
 * @property {string} path
 * @property {() => Promise<{ default: (parts: import("../lib/signal.js").Signal<Record<string, string>>) => any }>} load
 * @property {string} [nav] the key of its link and sign
 * @property {string} [also] the path of pages below it that have no link of their own there
 * @property {string} [kept] pages of one name are one: going between them builds nothing anew
 * @property {boolean} [open] also for those who are not logged in
 * @property {boolean} [admin] for administrators
 * @property {boolean} [more] it needs the words that only few pages need
 */

/** @type {Page[]} */
export const PAGES = [
  { path: "/setup", load: () => import("./doors.js"), open: true },
  { path: "/login", load: () => import("./doors.js"), open: true },
  { path: "/password", load: () => import("./newpassword.js"), open: true },
  { path: "/join", load: () => import("./doors.js"), open: true },
  { path: "/register", load: () => import("./doors.js"), open: true },
  { path: "/personas", load: () => import("./personas.js"), nav: "personas" },
  { path: "/personas/:id", load: () => import("./persona.js") },
  { path: "/create", load: () => import("./create.js"), nav: "create" },
  {
    path: "/gallery",
    load: () => import("./gallery.js"),
    nav: "gallery",
    also: "/collections",
    kept: "gallery",
  },
  { path: "/gallery/:id", load: () => import("./gallery.js"), kept: "gallery" },
  { path: "/collections", load: () => import("./collections.js") },
  { path: "/collections/:id", load: () => import("./collection.js") },
  { path: "/transfer", load: () => import("./transfer.js"), nav: "transfer" },
  { path: "/jobs", load: () => import("./jobs.js"), nav: "jobs" },
  { path: "/tags", load: () => import("./tags.js") },
  { path: "/trash", load: () => import("./trash.js") },
  { path: "/settings", load: () => import("./settings.js"), nav: "settings", more: true },
  { path: "/admin", load: () => import("./admin.js"), nav: "admin", admin: true, more: true },
  { path: "/admin/users", load: () => import("./accounts.js"), admin: true, more: true },
  { path: "/admin/groups", load: () => import("./groups.js"), admin: true, more: true },
  { path: "/admin/usage", load: () => import("./usage.js"), admin: true, more: true },
  { path: "/admin/instance", load: () => import("./instance.js"), admin: true, more: true },
];

/**
 * The page of a path, with the parts of the path by name.
 *
 * @param {string} path
 * @returns {{ page: Page, parts: Record<string, string> } | null}
 */
export function findPage(path) {
  const given = path.replace(/\/+$/, "").split("/");
  for (const page of PAGES) {
    const wanted = page.path.split("/");
    if (wanted.length !== given.length) continue;
    const fits = wanted.every((part, at) => part === given[at] || (part.startsWith(":") && given[at]));
    if (!fits) continue;
    try {
      const parts = wanted.flatMap((
        part,
        at,
      ) => (part.startsWith(":") ? [[part.slice(1), decodeURIComponent(given[at])]] : []));
      return { page, parts: Object.fromEntries(parts) };
    } catch {
      // Half a character, as of an address that was cut off.
      return null;
    }
  }
  return null;
}
