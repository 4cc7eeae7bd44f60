/** Taking things away. @module */
import { t } from "../lib/i18n.js";
import { confirmed, tellError, toast } from "../parts/dialog.js";
import { ask } from "./api.js";

/**
 * Delete a persona or a picture, once its owner has said so.
 *
 * @param {"persona" | "media"} kind
 * @param {string | number} id
 * @param {string} name
 * @returns {Promise<boolean>} whether it is gone
 */
export async function forgetItem(kind, id, name) {
  if (!(await confirmed(t("delete.question", { name }), t("delete")))) return false;
  try {
    await ask("DELETE", kind === "persona" ? `/personas/${id}` : `/media/${id}`);
    toast(t("deleted", { name }));
    return true;
  } catch (error) {
    tellError(error);
    return false;
  }
}
