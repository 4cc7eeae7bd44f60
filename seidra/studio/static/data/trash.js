/** Taking things away, and bringing them back. @module */
import { t } from "../lib/i18n.js";
import { confirmed, tellError, toast } from "../parts/dialog.js";
import { ask } from "./api.js";
import { readInstance } from "./catalogue.js";

/** @typedef {string | { kind: string, item_id: string | number }} Entry of the trash, or what it is of */

/**
 * Delete a persona or a picture. It lies in the trash, and the toast brings it back; where nothing is
 * kept, its owner is asked first.
 *
 * @param {"persona" | "media"} kind
 * @param {string | number} id
 * @param {string} name
 * @param {() => any} restored called when it is back
 * @returns {Promise<boolean>} whether it is gone
 */
export async function forgetItem(kind, id, name, restored) {
  try {
    const { keep_trash_days: kept } = (await readInstance()).limits;
    if (!kept && !(await confirmed(t("delete.question", { name }), t("delete")))) return false;
    await ask("DELETE", kind === "persona" ? `/personas/${id}` : `/media/${id}`);
    const bringBack = async () => (await restoreEntries([{ kind, item_id: id }])) && restored();
    toast(t("deleted", { name }), kept ? { label: t("undo"), run: bringBack } : undefined);
    return true;
  } catch (error) {
    tellError(error);
    return false;
  }
}

/**
 * Bring things back.
 *
 * @param {Entry[]} ids
 * @returns {Promise<boolean>} whether they are back
 */
export async function restoreEntries(ids) {
  try {
    const { data } = await ask("POST", "/trash/restore", { body: { ids } });
    toast(t("restored", { n: data.restored.length }));
    return true;
  } catch (error) {
    tellError(error);
    return false;
  }
}
