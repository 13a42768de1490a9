// What is asked for, and what the page's address keeps of it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { AttentionKind, PullRequestState } from "../gen/chat/v1/chat_pb";
import { type Filters, isRepository, narrows, NO_FILTERS, read, request, write } from "../src/filters";

test("an address gives back what was written to it, and nothing of what it says wrongly", () => {
  const all: Filters = {
    scope: "mine",
    archiving: "both",
    states: [PullRequestState.OPEN, PullRequestState.MERGED],
    needsAttention: true,
    repository: "acme/web",
    title: "50% & more",
  };
  for (const filters of [NO_FILTERS, all]) assert.deepEqual(read(`?${write(filters)}`), filters);
  assert.equal(write(NO_FILTERS), "");
  assert.equal(narrows(NO_FILTERS), false);
  assert.equal(narrows(all), true);
  assert.deepEqual(read("?show=theirs&archived=perhaps&pr=lost&repository=acme&attention=no"), NO_FILTERS);
});

test("a filter that is not chosen is not sent", () => {
  assert.deepEqual(request(NO_FILTERS, "me"), {
    archived: false,
    sharedWithMe: false,
    pullRequestStates: [],
    attention: [],
  });
  // Each kind that there is: one of a later release is not known to need it.
  const { attention } = request({ ...NO_FILTERS, needsAttention: true }, "me");
  const kinds = Object.values(AttentionKind).filter((kind) => typeof kind === "number" && kind !== 0);
  assert.deepEqual(new Set(attention), new Set(kinds));
  const { ownerId, archived, sharedWithMe } = request(
    { ...NO_FILTERS, scope: "mine", archiving: "both" },
    "me",
  );
  assert.deepEqual([ownerId, archived, sharedWithMe], ["me", undefined, false]);
});

test("a repository has an owner and a name", () => {
  for (const text of ["acme/web", "acme/group/web"]) assert.equal(isRepository(text), true);
  for (const text of ["", "acme", "acme/", "/web", "a b/c"]) assert.equal(isRepository(text), false);
});
