/** What stands around every page: side bar or bottom tabs, banner, dock of jobs, toasts. @module */
import { h } from "../lib/element.js";
import { secondsText, t } from "../lib/i18n.js";
import { addressOf, openPage, place } from "../lib/router.js";
import { heldBack, serverReached } from "../data/api.js";
import { activeJobs } from "../data/live.js";
import { endSession, user } from "../data/session.js";
import { toastRegion } from "./dialog.js";
import { dock } from "./dock.js";
import { icon, mark } from "./icons.js";
import { openKeysHelp } from "./keys.js";

/**
 * @param {Array<{ path: string, nav?: string, also?: string, admin?: boolean }>} pages
 * @param {() => any} outlet the open page
 */
export function shell(pages, outlet) {
  const links = () =>
    pages.filter(({ nav, admin }) => nav && (!admin || user()?.is_admin)).map((
      { path, nav, also = path, admin },
    ) =>
      h(
        "a",
        {
          href: addressOf(path),
          class: "nav-link",
          "aria-current":
            () => ([path, also].some((start) => place().path.startsWith(start)) ? "page" : false),
        },
        icon(/** @type {string} */ (nav)),
        h("span", { class: admin ? "wide" : null }, () => t(`nav.${nav}`)),
        admin && h("span", { class: "tab" }, () => t("nav.admin_tab")),
        () => nav === "jobs" && activeJobs().length > 0 &&
          h("span", { class: "nav-count" }, String(activeJobs().length)),
      )
    );
  return [
    h("a", { class: "skip", href: "#main", onclick: focusMain }, () => t("skip")),
    h(
      "div",
      { class: () => (user() ? "shell" : "shell doors") },
      () =>
        user() &&
        h(
          "header",
          { class: "side" },
          h("a", { class: "brand", href: addressOf("/personas") }, mark(), h("span", {}, "SEIDRA")),
          h("nav", { class: "nav", "aria-label": () => t("nav") }, links),
          h(
            "div",
            { class: "side-end" },
            h("span", { class: "who" }, () => user()?.username ?? ""),
            h("button", { class: "link", onclick: openKeysHelp }, () => t("keys")),
            h("button", { class: "link", onclick: leave }, () => t("logout")),
          ),
        ),
      h(
        "main",
        { id: "main", tabindex: "-1" },
        () => !serverReached() && h("p", { class: "banner", role: "alert" }, t("server.gone")),
        () =>
          heldBack() > 0 &&
          h("p", { class: "banner", role: "status" }, t("server.busy", { time: secondsText(heldBack()) })),
        outlet,
      ),
      () => user() && dock(),
    ),
    toastRegion(),
  ];
}

/** @param {Event} event */
function focusMain(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

async function leave() {
  await endSession();
  openPage("/login");
}
