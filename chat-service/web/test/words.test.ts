// What a row says.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  ChatDiffStatusSchema,
  ChatSchema,
  ChatStatus,
  Freshness,
  ProblemClass,
  PullRequestState,
} from "../gen/chat/v1/chat_pb";
import { accountProblem, age, ago, clock, freshness, icon, link } from "../src/words";

const NOW = new Date(2026, 10, 30, 12, 0, 0).getTime();
const at = (seconds: number) => timestampFromMs(NOW + seconds * 1000);
const status = (fields: MessageInitShape<typeof ChatDiffStatusSchema>) =>
  create(ChatDiffStatusSchema, { providerId: "github", repository: "acme/github", ...fields });

test("times grow coarser as they pass, and none is ahead", () => {
  const said = [-30, 0, 4, 5, 44, 59, 60, 3599, 3600, 86_399, 86_400 * 3].map((seconds) =>
    ago(NOW - seconds * 1000, NOW),
  );
  assert.deepEqual(said, [
    "just now", "just now", "just now", "5 s ago", "40 s ago", "55 s ago", "1 min ago",
    "59 min ago", "1 h ago", "23 h ago", "3 d ago",
  ]);
  assert.deepEqual(
    [0, 59, 60, 3600, 86_400].map((seconds) => age(NOW - seconds * 1000, NOW)),
    ["now", "now", "1m", "1h", "1d"],
  );
  assert.equal(clock(NOW + 4 * 60_000, NOW), "12:04");
  assert.match(clock(NOW + 24 * 3_600_000, NOW), /12:00$/);
  assert.notEqual(clock(NOW + 24 * 3_600_000, NOW), "12:00");
});

test("freshness is said in words, and a problem instead of it", () => {
  const problem = (problemClass: ProblemClass, message: string) => ({
    class: problemClass,
    message,
    since: at(-180),
  });
  const open = { pullRequestState: PullRequestState.OPEN };
  const rows: [MessageInitShape<typeof ChatDiffStatusSchema>, string, string][] = [
    [{ ...open, freshness: Freshness.FRESH, refreshedAt: at(-40) }, "synced 40 s ago", "quiet"],
    [{ ...open, freshness: Freshness.DUE, refreshedAt: at(-200) }, "synced 3 min ago", "quiet"],
    [
      { freshness: Freshness.FRESH, refreshedAt: at(-40) },
      "no pull request yet, synced 40 s ago",
      "quiet",
    ],
    [{ freshness: Freshness.REFRESHING, refreshedAt: at(-40) }, "syncing…", "busy"],
    [{ freshness: Freshness.UNSPECIFIED }, "not looked up yet", "quiet"],
    [{ freshness: Freshness.FRESH }, "no pull request yet", "quiet"],
    [{ freshness: Freshness.PAUSED, nextRefreshAt: at(240) }, "paused until 12:04", "warning"],
    [
      {
        freshness: Freshness.PAUSED,
        nextRefreshAt: at(240),
        problem: problem(ProblemClass.RATE_LIMITED, "rate limited until 12:04 UTC"),
      },
      "paused until 12:04",
      "warning",
    ],
    [
      {
        freshness: Freshness.PAUSED,
        problem: problem(ProblemClass.NO_ACCOUNT, "link your github account"),
      },
      "link your GitHub account",
      "warning",
    ],
    [
      { problem: problem(ProblemClass.ACCESS_DENIED, "no access to acme/github"), refreshedAt: at(-60) },
      "no access to acme/github",
      "warning",
    ],
  ];
  for (const [fields, text, tone] of rows) {
    const words = freshness(status(fields), NOW);
    assert.deepEqual([words.text, words.tone], [text, tone]);
  }
  const [fields] = rows.at(-1) ?? [];
  assert.equal(
    freshness(status(fields ?? {}), NOW).detail,
    "no access to acme/github, for 3 min, synced 1 min ago",
  );
});

test("each icon has a name for who does not see it", () => {
  const pull = (state: PullRequestState, name: string, iconColor: string) =>
    icon(
      create(ChatSchema, {
        icon: name,
        status: ChatStatus.WAITING,
        diffStatus: status({ pullRequestState: state, icon: name, iconColor }),
      }),
    ).label;
  assert.equal(pull(PullRequestState.OPEN, "git-pull-request-arrow", "green"), "Pull request open");
  assert.equal(pull(PullRequestState.DRAFT, "git-pull-request-draft", "gray"), "Draft pull request");
  assert.equal(pull(PullRequestState.MERGED, "git-merge", "purple"), "Pull request merged");
  assert.equal(pull(PullRequestState.CLOSED, "git-pull-request-closed", "red"), "Pull request closed");
  const running = create(ChatSchema, { icon: "spinner", status: ChatStatus.RUNNING });
  assert.deepEqual(icon(running), { name: "spinner", tone: "blue", label: "Working" });
});

test("the account that is shown as paused is the user's own", () => {
  const chat = (ownerId: string) =>
    create(ChatSchema, {
      ownerId,
      diffStatus: status({
        nextRefreshAt: at(240),
        problem: { class: ProblemClass.RATE_LIMITED, message: "rate limited until 12:04 UTC" },
      }),
    });
  assert.equal(accountProblem([chat("other")], "me", NOW), undefined);
  assert.deepEqual(accountProblem([chat("other"), chat("me")], "me", NOW), {
    host: "GitHub",
    isPause: true,
    text: "paused until 12:04",
    detail: "rate limited until 12:04 UTC",
  });
});

test("only pages of the web are linked", () => {
  assert.equal(link("https://github.com/acme/web/pull/1"), "https://github.com/acme/web/pull/1");
  for (const url of [undefined, "", "/pull/1", "javascript:alert(1)", "data:text/html,x"]) {
    assert.equal(link(url), undefined);
  }
});
