/** Giving personas out: the format, what it cannot carry, and the file. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { openPage } from "../lib/router.js";
import { effect, signal } from "../lib/signal.js";
import { ask } from "../data/api.js";
import { openQuestion, tellError, toast } from "../parts/dialog.js";
import { choice } from "../parts/field.js";
import { keepFile } from "../parts/upload.js";

/** @typedef {{ ids: number[] } | { filter: any } | { everything: true }} Chosen what is exported */

/** The formats, by what the programs that read them are called. @type {Array<[string, () => string]>} */
const FORMATS = [
  ["seidra", () => t("export.own")],
  ["card-png", () => t("export.card", { kind: "PNG" })],
  ["card-json", () => t("export.card", { kind: "JSON" })],
  ["charx", () => t("export.card", { kind: "CHARX" })],
  ["a1111", () => "A1111, Forge (styles.csv)"],
  ["sdnext", () => "SD.Next"],
  ["fooocus", () => t("export.styles", { program: "Fooocus" })],
  ["fooocus-preset", () => t("export.presets", { program: "Fooocus" })],
  ["swarmui", () => "SwarmUI"],
  ["invokeai", () => "InvokeAI"],
  ["infotext", () => t("export.text")],
];

/** Personas whose losses are told one by one. */
const TOLD = 20;

/** Counts the exports that a worker was asked for. */
export const exportsBegun = signal(0);

/**
 * A choice of the format, and below it what that cannot carry.
 *
 * @param {Chosen} chosen
 */
export function exportFields(chosen) {
  const to = signal("seidra");
  const found = signal(/** @type {any} */ (null));
  effect(() => {
    const body = { ...chosen, to: to(), dry_run: true };
    found.set(null);
    ask("POST", "/exports", { body }).then(({ data }) => body.to === to.peek() && found.set(data)).catch(
      tellError,
    );
  });
  const element = h(
    "div",
    { class: "stack" },
    choice(FORMATS, {
      "aria-label": t("export.format"),
      onchange: (/** @type {any} */ event) => to.set(event.target.value),
    }),
    h("div", { role: "status" }, () => losses(found())),
  );
  return { element, make: () => makeExport({ ...chosen, to: to.peek() }) };
}

/** What a format cannot carry, in words. @param {any} found */
function losses(found) {
  if (!found) return h("p", { class: "mute" }, t("instance.looking"));
  if (!found.lost) return h("p", { class: "mute" }, t("export.whole", { n: found.personas }));
  return h(
    "details",
    { class: "sent", open: found.entries.length < 4 },
    h("summary", {}, t("export.lost", { n: found.lost })),
    h(
      "ul",
      { class: "plain remarks" },
      found.entries.slice(0, TOLD).map((/** @type {any} */ entry) =>
        h(
          "li",
          {},
          h("strong", {}, entry.name),
          ...entry.lost.map((/** @type {any} */ each) => h("div", { class: "mute" }, each.detail)),
        )
      ),
    ),
    found.entries.length > TOLD && h("p", { class: "mute" }, "…"),
  );
}

/**
 * Export; a small file is there at once, a large one is made meanwhile, which its page shows.
 *
 * @param {any} body
 */
async function makeExport(body) {
  try {
    const { file } = await ask("POST", "/exports", { body });
    if (file) {
      keepFile(file);
      toast(t("export.kept", { name: file.name }));
    } else {
      exportsBegun.update((n) => n + 1);
      openPage("/transfer");
    }
  } catch (error) {
    tellError(error);
  }
}

/** Ask in which format, and export; resolves to whether it was agreed to. @param {Chosen} chosen */
export async function askExport(chosen) {
  const { element, make } = exportFields(chosen);
  const agree = h("button", { class: "button", value: "yes" }, t("select.export"));
  const agreed = await openQuestion(t("select.export"), [element], agree);
  if (agreed) await make();
  return agreed;
}
