/// <reference lib="deno.ns" />
/** Tokens: renewed once for all who ask, kept where their owner wants them. @module */
import { answer, raised, same, sent, tell, withoutWaiting } from "./page.js";

const { ApiError, ask, heldBack, serverReached } = await import("../../seidra/studio/static/data/api.js");
const { beginSession, endSession, forgetSession, freshToken, resumeSession, user } = await import(
  "../../seidra/studio/static/data/session.js"
);

const ANNA = { id: 1, username: "anna", email: "a@example.com", is_admin: false, settings: {} };

/** @param {string} name @param {number} [expires_in] */
const tokens = (name, expires_in = 900) => ({
  access_token: `access ${name}`,
  refresh_token: `refresh ${name}`,
  expires_in,
  user: ANNA,
});
const begin = (expires_in = 900) => {
  forgetSession();
  beginSession(tokens("1", expires_in), true);
};

Deno.test("a token that is good is not renewed; one about to end is, once for all who ask", async () => {
  begin();
  answer(() => ({ body: tokens("2") }));
  same(await freshToken(), "access 1");
  same(sent.length, 0);
  begin(20);
  same(await Promise.all([freshToken(), freshToken(), freshToken()]), ["access 2", "access 2", "access 2"]);
  same(sent.map(({ path, token }) => [path, token]), [["/auth/refresh", "refresh 1"]]);
  same(localStorage.getItem("seidra.refresh"), "refresh 2");
});

Deno.test("the wish to stay logged in decides where the token lies, over renewals too", async () => {
  forgetSession();
  beginSession(tokens("1", 0), false);
  same([localStorage.getItem("seidra.refresh"), sessionStorage.getItem("seidra.refresh")], [
    null,
    "refresh 1",
  ]);
  answer(() => ({ body: tokens("2") }));
  await freshToken();
  same([localStorage.getItem("seidra.refresh"), sessionStorage.getItem("seidra.refresh")], [
    null,
    "refresh 2",
  ]);
});

Deno.test("a request that is refused for its token is sent again with another, once", async () => {
  begin();
  answer(({ path, token }) => {
    if (path === "/auth/refresh") return { body: tokens("2") };
    return token === "access 2" ? { body: [7], headers: { "X-Total-Count": "41" } } : { status: 401 };
  });
  const { data, total } = await ask("GET", "/personas");
  same([data, total], [[7], 41]);
  same(sent.map(({ path }) => path), ["/personas", "/auth/refresh", "/personas"]);
});

Deno.test("a token that another tab renewed meanwhile is taken from there", async () => {
  begin(0);
  answer(({ token }) => {
    if (token !== "refresh 1") return { body: tokens("3") };
    localStorage.setItem("seidra.refresh", "refresh 2");
    return { status: 401 };
  });
  same(await freshToken(), "access 3");
  same(sent.map(({ token }) => token), ["refresh 1", "refresh 2"]);
});

Deno.test("a session that is over is forgotten; a server that is gone ends none", async () => {
  begin(0);
  answer(() => new TypeError("gone"));
  await raised(() => freshToken());
  same([localStorage.getItem("seidra.refresh"), user()?.id], ["refresh 1", 1]);
  answer(() => ({ status: 503, headers: { "Retry-After": "1" } }));
  await raised(() => freshToken());
  same(localStorage.getItem("seidra.refresh"), "refresh 1");
  answer(() => ({ status: 401 }));
  same([await freshToken(), localStorage.getItem("seidra.refresh"), user()], [null, null, null]);
});

Deno.test("who comes back waits as long as the server says, and longer each time it says nothing", async () => {
  begin(0);
  const answers = [
    { status: 429, headers: { "Retry-After": "7" } },
    new TypeError("gone"),
    new TypeError("gone"),
    { body: tokens("2") },
  ];
  answer(() => /** @type {any} */ (answers.shift()));
  same(await withoutWaiting(resumeSession), [7000, 2000, 4000]);
  same(await freshToken(), "access 2");
});

Deno.test("what reads is asked again after the time that the server names", async () => {
  begin();
  const answers = [
    { status: 503, headers: { "Retry-After": "2" } },
    { status: 429, headers: { "Retry-After": "5" } },
    new TypeError("gone"),
    { body: [] },
  ];
  const told = /** @type {any[]} */ ([]);
  answer(() => {
    told.push([serverReached(), heldBack()]);
    return /** @type {any} */ (answers.shift());
  });
  same(await withoutWaiting(() => ask("GET", "/personas")), [2000, 5000, 4000]);
  same(told, [[true, 0], [false, 0], [true, 5], [false, 5]]);
  same([serverReached(), heldBack()], [true, 0]);
});

Deno.test("what writes is never sent twice by itself", async () => {
  begin();
  answer(() => ({
    status: 503,
    headers: { "Retry-After": "2" },
    body: { detail: "Busy.", code: "unavailable" },
  }));
  const refused = await raised(() => ask("POST", "/personas", { body: { name: "x" } }));
  same([refused instanceof ApiError, refused.code, refused.retryAfter, sent.length], [
    true,
    "unavailable",
    2,
    1,
  ]);
  same(refused.message, "Busy. Try again in 2 sec.");
  answer(() => new TypeError("gone"));
  await raised(() => ask("PATCH", "/personas/1", { body: {} }));
  same(sent.length, 1);
});

Deno.test("what makes something is sent once more when its answer is lost", async () => {
  begin();
  for (const path of ["/personas", "/personas/from-picture", "/media", "/exports", "/imports/7/apply"]) {
    answer(() => new TypeError("gone"));
    await withoutWaiting(() => raised(() => ask("POST", path, { body: {} })));
    same(sent.length, 2, path);
  }
});

Deno.test("an answer that is to be kept is a file of its own name", async () => {
  begin();
  for (
    const [kept, name] of [
      ["attachment; filename=styles.csv", "styles.csv"],
      ['attachment; filename="A b.json"', "A b.json"],
      ["attachment; filename=Elodie.png; filename*=UTF-8''%C3%89lodie.png", "Élodie.png"],
    ]
  ) {
    answer(() => ({ headers: { "Content-Disposition": kept }, body: { not: "read" } }));
    const { data, file } = await ask("POST", "/exports", { body: {} });
    same([data, file?.name, await file?.body.text()], [null, name, '{"not":"read"}']);
  }
});

Deno.test("what is wrong is not asked again, and says at which field", async () => {
  begin();
  answer(() => ({ status: 422, body: { detail: "No.", errors: { limit: ["Too much."] } } }));
  const refused = await raised(() => ask("GET", "/personas?limit=999"));
  same([refused.status, refused.errors, refused.message, sent.length], [
    422,
    { limit: ["Too much."] },
    "No.",
    1,
  ]);
});

Deno.test("a logout in one tab is one in all, and a login too", async () => {
  begin();
  localStorage.removeItem("seidra.refresh");
  tell("storage", { key: "seidra.refresh", oldValue: "refresh 1", newValue: null });
  same(user(), null);
  answer(() => ({ body: tokens("5") }));
  localStorage.setItem("seidra.refresh", "refresh 4");
  tell("storage", { key: "seidra.refresh", oldValue: null, newValue: "refresh 4" });
  await new Promise((go) => setTimeout(go, 20));
  same(user()?.username, "anna");
  same(await freshToken(), "access 5");
  await endSession();
  same([sent.at(-1)?.path, user(), localStorage.getItem("seidra.refresh")], ["/auth/logout", null, null]);
});
