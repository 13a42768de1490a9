// How the list is kept alive: what is heard, what is read, and how it comes back.
import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { NO_FILTERS } from "../src/filters";
import { Sidebar } from "../src/sidebar";
import { ChatView, GetChatResponseSchema } from "../gen/chat/v1/chat_service_pb";
import { ChatDiffStatusSchema, ChatSchema } from "../gen/chat/v1/chat_pb";
import { Service, settle } from "./service";

const open: Sidebar[] = [];

afterEach(async () => {
  for (const sidebar of open.splice(0)) sidebar.close();
  // What ends now clears its own kind of timers.
  await settle();
  mock.timers.reset();
});

function watch(service: Service, heard: { out?: boolean } = {}): Sidebar {
  const sidebar = new Sidebar(
    service.client,
    "me",
    NO_FILTERS,
    () => {},
    () => {
      heard.out = true;
    },
  );
  open.push(sidebar);
  return sidebar;
}

const titles = (sidebar: Sidebar) => sidebar.state.rows.map(({ title }) => title);

/** An error as the service sends it: with a reason in its details. */
function refusal(code: Code, reason: string, known?: Uint8Array<ArrayBuffer>): ConnectError {
  const error = new ConnectError("no worker answered in time", code);
  const text = new TextEncoder().encode(reason);
  const value = new Uint8Array([0x0a, text.length, ...text]);
  const details = [{ type: "google.rpc.ErrorInfo", value }];
  if (known) details.push({ type: "chat.v1.GetChatResponse", value: known });
  error.details = details;
  return error;
}

test("the list is read after the watch began, and nothing of in between is missed", async () => {
  const service = new Service();
  service.put("a", "one");
  let isFirst = true;
  service.delay = async () => {
    // Between what the list read and its answer.
    if (!isFirst) return;
    isFirst = false;
    service.put("b", "two");
    service.put("a", "one, renamed");
    await settle();
  };
  const sidebar = watch(service);
  while (!sidebar.state.listed) await settle();
  assert.equal(service.watches.length, 1);
  assert.equal(service.watches[0]?.view, ChatView.BASIC);
  assert.deepEqual(titles(sidebar), ["one, renamed", "two"]);
  assert.equal(sidebar.state.live, true);
  service.drop("a");
  await settle();
  assert.deepEqual(titles(sidebar), ["two"]);
});

test("an ended watch goes on from the last revision, with pauses that grow", async () => {
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  const service = new Service();
  service.put("a", "one");
  const sidebar = watch(service);
  await settle();
  service.put("a", "two");
  await settle();
  service.failure = new ConnectError("away", Code.Unavailable);
  service.cut();
  service.put("a", "three");
  const attempts: number[] = [];
  for (let second = 0; second < 60; second += 1) {
    await settle();
    attempts.push(service.watches.length);
    mock.timers.tick(1000);
  }
  assert.equal(sidebar.state.live, false);
  assert.deepEqual(titles(sidebar), ["two"]);
  const [early, late] = [attempts[10] ?? 0, (attempts[59] ?? 0) - (attempts[20] ?? 0)];
  assert.ok(early >= 4 && late >= 2 && late <= 6, `${attempts}`);
  service.failure = undefined;
  mock.timers.tick(15_000);
  await settle();
  assert.equal(service.watches.at(-1)?.sinceRevision, "2");
  assert.deepEqual(titles(sidebar), ["three"]);
  assert.equal(service.lists.length, 1);
});

test("a watch that is silent for two heartbeats is opened again", async () => {
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  const service = new Service();
  watch(service);
  await settle();
  mock.timers.tick(24_000);
  await settle();
  assert.equal(service.watches.length, 1);
  mock.timers.tick(2_000);
  await settle();
  mock.timers.tick(500);
  await settle();
  assert.equal(service.watches.length, 2);
  assert.equal(service.watches[1]?.sinceRevision, "0");
});

test("after RESYNC as much is read again as was loaded", async () => {
  const service = new Service();
  for (let index = 0; index < 250; index += 1) service.put(`chat-${index}`, `title ${index}`);
  const sidebar = watch(service);
  await settle();
  await sidebar.more();
  assert.equal(sidebar.state.rows.length, 200);
  service.cut();
  service.put("chat-0", "renamed while nobody listened");
  service.forgotten = service.changes.length;
  sidebar.reconnect();
  await new Promise((resolve) => setTimeout(resolve, 600));
  await settle();
  assert.equal(sidebar.state.rows.length, 200);
  assert.equal(titles(sidebar)[0], "renamed while nobody listened");
  await sidebar.more();
  assert.equal(sidebar.state.complete, true);
  assert.equal(sidebar.state.rows.length, 250);
});

test("a page that is not looked at has no watch, and one that is looked at again resumes", async () => {
  const service = new Service();
  const sidebar = watch(service);
  await settle();
  sidebar.sleep();
  service.cut();
  await settle();
  service.put("a", "one");
  await settle();
  assert.equal(service.watches.length, 1);
  sidebar.wake();
  await settle();
  assert.equal(service.watches.length, 2);
  assert.deepEqual(titles(sidebar), ["one"]);
});

test("a page that is not looked at gets no watch when the network is back", async () => {
  const service = new Service();
  const sidebar = watch(service);
  await settle();
  sidebar.sleep();
  await settle();
  sidebar.reconnect();
  await settle();
  assert.equal(service.watches.length, 1);
});

test("a lookup that is under way when the list is closed ends with it, and signs no other session out", async () => {
  const service = new Service();
  service.put("a", "one");
  const heard = { out: false };
  const sidebar = watch(service, heard);
  await settle();
  let release = () => {};
  service.delay = () => new Promise((resolve) => (release = resolve));
  service.refreshFailure = new ConnectError("expired", Code.Unauthenticated);
  const done = sidebar.refresh("a");
  await settle();
  sidebar.close();
  release();
  await done;
  assert.equal(heard.out, false);
});

test("an expired token ends everything, and says so", async () => {
  const service = new Service();
  service.put("a", "one");
  const heard = { out: false };
  watch(service, heard);
  await settle();
  assert.equal(heard.out, false);
  service.failure = new ConnectError("expired", Code.Unauthenticated);
  service.cut();
  await new Promise((resolve) => setTimeout(resolve, 400));
  await settle();
  assert.equal(heard.out, true);
  const calls = service.watches.length;
  await new Promise((resolve) => setTimeout(resolve, 400));
  assert.equal(service.watches.length, calls);
});

test("without room for a watch, the list is shown all the same", async () => {
  const service = new Service();
  service.put("a", "one");
  const { client } = service;
  const full = new ConnectError("too many watches", Code.ResourceExhausted);
  const sidebar = new Sidebar(
    {
      ...client,
      async *watchChats() {
        throw full;
      },
    },
    "me",
    NO_FILTERS,
    () => {},
    () => {},
  );
  open.push(sidebar);
  await settle();
  assert.deepEqual(titles(sidebar), ["one"]);
  assert.equal(sidebar.state.live, false);
});

test("no worker in time: what is known is shown, with why it is not more", async () => {
  const service = new Service();
  service.put("a", "one");
  const sidebar = watch(service);
  await settle();
  const updatedAt = service.chats.get("a")?.updatedAt;
  assert.ok(updatedAt);
  const known = create(ChatSchema, { id: "a", title: "one", updatedAt, labels: { seen: "yes" } });
  service.refreshFailure = refusal(
    Code.Unavailable,
    "NO_WORKER_IN_TIME",
    toBinary(GetChatResponseSchema, create(GetChatResponseSchema, { chat: known })),
  );
  const done = sidebar.refresh("a");
  assert.ok(sidebar.state.refreshing.has("a"));
  await done;
  assert.equal(sidebar.state.refreshing.size, 0);
  assert.equal(sidebar.state.noWorker, true);
  assert.equal(sidebar.state.notes.get("a")?.text, "No worker answered in time.");
  assert.deepEqual(sidebar.state.rows[0]?.labels, { seen: "yes" });
  service.refreshFailure = undefined;
  await sidebar.refresh("a");
  assert.equal(sidebar.state.noWorker, false);
  assert.equal(sidebar.state.notes.size, 0);
});

test("a late answer to the filters of before changes nothing", async () => {
  const service = new Service();
  service.put("a", "one");
  let release = () => {};
  let calls = 0;
  service.delay = () => {
    calls += 1;
    return calls === 1 ? new Promise((resolve) => (release = resolve)) : Promise.resolve();
  };
  const sidebar = watch(service);
  await settle();
  sidebar.filter({ ...NO_FILTERS, title: "two" });
  await settle();
  assert.equal(service.lists.at(-1)?.title, "two");
  assert.equal(service.watches.at(-1)?.title, "two");
  const before = sidebar.state;
  release();
  await settle();
  assert.equal(sidebar.state, before);
});

test("a page that fails is asked for again by itself, and what is loaded stays", async () => {
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  const service = new Service();
  for (let index = 0; index < 150; index += 1) service.put(`chat-${index}`, `title ${index}`);
  const sidebar = watch(service);
  await settle();
  service.failure = new ConnectError("away", Code.Unavailable);
  const failing = sidebar.more();
  await settle();
  assert.equal(sidebar.state.problem?.kind, "unreachable");
  assert.equal(sidebar.state.rows.length, 100);
  service.failure = undefined;
  mock.timers.tick(500);
  await failing;
  // The list asks for what it lacks as long as nothing is wrong.
  assert.equal(sidebar.state.problem, undefined);
  await sidebar.more();
  assert.equal(sidebar.state.rows.length, 150);
});

test("rows in sight that were due are read again, since an unchanged lookup is no change", async () => {
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  const service = new Service();
  service.put("a", "due");
  service.put("b", "not due");
  const due = service.chats.get("a");
  assert.ok(due);
  due.diffStatus = create(ChatDiffStatusSchema, { nextRefreshAt: timestampFromMs(Date.now() - 1000) });
  const sidebar = watch(service);
  await settle();
  sidebar.see(0, 1);
  const lookedUp = create(ChatDiffStatusSchema, { additions: 7 });
  service.chats.set("a", create(ChatSchema, { ...due, diffStatus: lookedUp }));
  mock.timers.tick(5_000);
  await settle();
  assert.deepEqual(service.batches, [["a"]]);
  assert.equal(sidebar.state.rows.find(({ id }) => id === "a")?.diffStatus?.additions, 7);
  mock.timers.tick(60_000);
  await settle();
  assert.deepEqual(service.batches, [["a"]]);
});

/** Numbers that are the same in each run. */
function random(seed: number): () => number {
  let state = seed + 1;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return state / 4_294_967_296;
  };
}

test("whatever comes late, is cut off or forgotten, the rows are in the end what the service has", async () => {
  for (let seed = 0; seed < 60; seed += 1) {
    const next = random(seed);
    const below = (most: number) => Math.floor(next() * most);
    const service = new Service();
    for (let index = 0; index < 130 + below(120); index += 1) service.put(`c${index}`, "at first");
    service.delay = async () => {
      for (let turns = below(4); turns > 0; turns -= 1) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const sidebar = watch(service);
    for (let step = 0; step < 60; step += 1) {
      const id = `c${below(300)}`;
      const what = below(20);
      if (what < 10) service.put(id, `step ${step}`);
      else if (what < 14) service.drop(id);
      else if (what < 16) void sidebar.more();
      else if (what < 18) sidebar.reconnect();
      else if (what < 19) service.forgotten = service.changes.length;
      else service.cut();
      for (let turns = below(5); turns > 0; turns -= 1) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    service.delay = () => Promise.resolve();
    // The pause after the last cut is ended.
    for (let tries = 0; tries < 100 && !(sidebar.state.live && sidebar.state.complete); tries += 1) {
      if (!sidebar.state.live) sidebar.wake();
      await settle();
      await sidebar.more();
    }
    await settle();
    const shown = sidebar.state.rows.map(({ id, title }) => [id, title]);
    const truth = service.inOrder().map(({ id, title }) => [id, title]);
    assert.deepEqual(shown, truth, `seed ${seed}`);
    sidebar.close();
  }
});
