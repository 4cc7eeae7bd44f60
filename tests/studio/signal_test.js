/// <reference lib="deno.ns" />
/** Values that are watched. @module */
import {
  computed,
  effect,
  onDispose,
  scope,
  signal,
  untracked,
} from "../../seidra/studio/static/lib/signal.js";
import { same } from "./page.js";

Deno.test("an effect runs again when what it read last changes, and only then", () => {
  const [first, second, which] = [signal("a"), signal("b"), signal(true)];
  /** @type {string[]} */
  const seen = [];
  const end = effect(() => void seen.push(which() ? first() : second()));
  second.set("c");
  which.set(false);
  first.set("d");
  second.set("e");
  second.set("e");
  same(seen, ["a", "c", "e"]);
  end();
  second.set("f");
  same(seen.length, 3);
});

Deno.test("what an effect owns ends before it runs again, and with its scope", () => {
  const turn = signal(1);
  /** @type {string[]} */
  const ended = [];
  const { dispose } = scope(() =>
    effect(() => {
      const mine = turn();
      onDispose(() => ended.push(`outer ${mine}`));
      effect(() => {
        onDispose(() => ended.push(`inner ${mine}`));
      });
    })
  );
  turn.set(2);
  same(ended, ["outer 1", "inner 1"]);
  dispose();
  turn.set(3);
  same(ended, ["outer 1", "inner 1", "outer 2", "inner 2"]);
});

Deno.test("computed values follow, and what is read untracked is not followed", () => {
  const [count, other] = [signal(1), signal(10)];
  const double = computed(() => count() * 2 + untracked(other));
  same(double(), 12);
  other.set(20);
  same(double(), 12);
  count.update((n) => n + 1);
  same(double(), 24);
});

Deno.test("an effect that raises leaves the watching as it was", () => {
  const broken = signal(0);
  let raised = 0;
  try {
    effect(() => {
      broken();
      throw new Error("no");
    });
  } catch {
    raised++;
  }
  const seen = signal(0);
  // Outside of any effect: nobody follows.
  seen();
  seen.set(1);
  same(raised, 1);
});
