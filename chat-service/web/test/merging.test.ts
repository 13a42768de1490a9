// What a row says of checks, conflicts and reviews.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ChatDiffStatusSchema,
  CheckState,
  Mergeable,
  MergeBlocker,
  PullRequestState,
  ReviewDecision,
} from "../gen/chat/v1/chat_pb";
import { glyph, known } from "../src/merging";

type Fields = MessageInitShape<typeof ChatDiffStatusSchema>;

const status = (fields: Fields) =>
  create(ChatDiffStatusSchema, { pullRequestState: PullRequestState.OPEN, ...fields });
const of = (fields: Fields) => {
  const { name, tone, text } = glyph(status(fields)) ?? {};
  return [name, tone, text];
};

const CONFLICTING: Fields = {
  mergeability: { mergeable: Mergeable.CONFLICTING, blockers: [MergeBlocker.CONFLICTS] },
};
const FAILING: Fields = { checks: { state: CheckState.FAILING, total: 14, failed: 2, pending: 3 } };
const CHANGES: Fields = { changesRequested: true };
const PENDING: Fields = { checks: { state: CheckState.PENDING, total: 14, pending: 3 } };
const READY: Fields = { mergeability: { mergeable: Mergeable.MERGEABLE, readyToMerge: true } };
const PASSING: Fields = { checks: { state: CheckState.PASSING, total: 14, passed: 14 } };
const APPROVED: Fields = { approved: true };

test("of all that is known, the glyph is the most urgent", () => {
  // Each beside all those after it.
  const everything: [Fields, string[]][] = [
    [CONFLICTING, ["conflict", "red", "conflicts"]],
    [FAILING, ["failing", "red", "2 failing"]],
    [CHANGES, ["changes requested", "red", "changes requested"]],
    [PENDING, ["pending", "amber", "3 pending"]],
    [READY, ["ready", "green", "ready to merge"]],
    [PASSING, ["passing", "green", "passing"]],
    [APPROVED, ["approved", "green", "approved"]],
  ];
  for (const [index, [, wanted]] of everything.entries()) {
    const present = everything.slice(index).map(([each]) => each);
    assert.deepEqual(of(Object.assign({}, ...present.reverse())), wanted);
  }
  assert.equal(glyph(status({})), undefined);
  assert.equal(glyph(status({ checks: { state: CheckState.NONE } })), undefined);
  const decided = { reviewProgress: { decision: ReviewDecision.CHANGES_REQUESTED } };
  assert.equal(glyph(status(decided))?.name, "changes requested");
});

test("what is not open has no glyph, and a draft has one", () => {
  for (const pullRequestState of [PullRequestState.MERGED, PullRequestState.CLOSED]) {
    const fields: Fields = { ...FAILING, ...CONFLICTING, approved: true, pullRequestState };
    assert.equal(glyph(status(fields)), undefined);
    assert.deepEqual(known(status(fields)), []);
  }
  assert.equal(glyph(create(ChatDiffStatusSchema, FAILING)), undefined);
  const draft = { ...PENDING, pullRequestState: PullRequestState.DRAFT };
  assert.equal(glyph(status(draft))?.name, "pending");
});

test("checks that failed are named, and whether they are required", () => {
  const failedChecks = [{ name: "build", required: true }, { name: "lint" }];
  const checks = { state: CheckState.FAILING, total: 14, failed: 7, failedChecks };
  assert.deepEqual(known(status({ checks })), [
    "7 of 14 checks failed: build (required), lint, 5 more.",
  ]);
  const more = { ...checks, failed: 2, total: 1000, atLeast: true };
  assert.deepEqual(known(status({ checks: more })), [
    "2+ of 1,000+ checks failed: build (required), lint.",
  ]);
  assert.equal(glyph(status({ checks: more }))?.text, "2+ failing");
  const one = { state: CheckState.PASSING, total: 1, passed: 1 };
  assert.deepEqual(known(status({ checks: one })), ["1 check passed."]);
  assert.deepEqual(known(status(PENDING)), ["3 of 14 checks pending."]);
});

test("a name is text of one line, whatever a host calls a check", () => {
  const failedChecks = [{ name: "a\n\u202eb <img src=x>\u0007" }];
  const checks = { state: CheckState.FAILING, total: 1, failed: 1, failedChecks };
  assert.deepEqual(known(status({ checks })), ["1 of 1 check failed: ab <img src=x>."]);
});

test("why it is not merged is said for each reason, also for one of a later release", () => {
  const reasons = (blockers: MergeBlocker[], fields = {}) =>
    known(status({ mergeability: { mergeable: Mergeable.MERGEABLE, blockers, ...fields } }));
  const all = Object.values(MergeBlocker).filter((value) => typeof value === "number");
  const texts = all.flatMap((blocker) => reasons([blocker]));
  assert.equal(new Set(texts).size, all.length);
  assert.deepEqual(reasons([MergeBlocker.DRAFT, MergeBlocker.REVIEW_REQUIRED]), [
    "Not merged: it is a draft, a review is required.",
  ]);
  assert.deepEqual(reasons([MergeBlocker.IN_QUEUE], { queuePosition: 2, autoMerge: true }), [
    "Not merged: it waits in the merge queue, at place 2.",
    "It merges by itself once all is well.",
  ]);
  assert.deepEqual(reasons([99 as MergeBlocker]), [
    "Not merged: for a reason that this page does not know.",
  ]);
  assert.deepEqual(known(status(READY)), ["Ready to merge."]);
  // Unknown is no "no".
  assert.deepEqual(known(status({ mergeability: {} })), [
    "Whether it can be merged is not known yet.",
  ]);
});

test("what a review waits for is said", () => {
  const reviewProgress = { requestedReviewers: ["ann", "acme/core"], unresolvedThreads: 2 };
  assert.deepEqual(known(status({ approved: true, reviewProgress })), [
    "Approved.",
    "A review is asked of ann, acme/core.",
    "2 threads are unresolved.",
  ]);
  const threads = (unresolvedThreads: number, unresolvedBotThreads?: number) =>
    known(status({ reviewProgress: { unresolvedThreads, unresolvedBotThreads } }));
  assert.deepEqual(threads(1), ["1 thread is unresolved."]);
  assert.deepEqual(threads(3, 0), ["3 threads are unresolved."]);
  assert.deepEqual(threads(3, 2), ["3 threads are unresolved, 2 of them by bots."]);
  assert.deepEqual(threads(1, 1), ["1 thread is unresolved, by bots."]);
});
