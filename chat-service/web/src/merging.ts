// How far an open pull request is from being merged: one glyph, and all that is known in words.
import {
  type ChatDiffStatus,
  CheckState,
  Mergeable,
  MergeBlocker,
  PullRequestState,
  ReviewDecision,
} from "../gen/chat/v1/chat_pb";

/** What a row shows of checks, reviews and conflicts. */
export interface Glyph {
  /** Of its icon. */
  readonly name: string;
  readonly tone: string;
  readonly text: string;
}

const BLOCKERS: Record<MergeBlocker, string> = {
  [MergeBlocker.UNSPECIFIED]: "for a reason that this page does not know",
  [MergeBlocker.DRAFT]: "it is a draft",
  [MergeBlocker.CONFLICTS]: "it conflicts with the base branch",
  [MergeBlocker.BEHIND]: "it is behind the base branch",
  [MergeBlocker.CHECKS_PENDING]: "checks have not ended",
  [MergeBlocker.CHECKS_FAILING]: "checks failed",
  [MergeBlocker.REVIEW_REQUIRED]: "a review is required",
  [MergeBlocker.CHANGES_REQUESTED]: "changes are requested",
  [MergeBlocker.IN_QUEUE]: "it waits in the merge queue",
  [MergeBlocker.RULES]: "a rule of the base branch forbids it",
};

/** The most urgent thing about an open pull request; undefined where nothing is known of it. */
export function glyph(status: ChatDiffStatus): Glyph | undefined {
  if (!isOpen(status)) return undefined;
  const { checks, mergeability } = status;
  const state = checks?.state;
  if (mergeability?.mergeable === Mergeable.CONFLICTING) {
    return { name: "conflict", tone: "red", text: "conflicts" };
  }
  if (checks && state === CheckState.FAILING) {
    return { name: "failing", tone: "red", text: `${count(status, checks.failed)} failing` };
  }
  if (asksForChanges(status)) {
    return { name: "changes requested", tone: "red", text: "changes requested" };
  }
  if (checks && state === CheckState.PENDING) {
    return { name: "pending", tone: "amber", text: `${count(status, checks.pending)} pending` };
  }
  if (mergeability?.readyToMerge) {
    return { name: "ready", tone: "green", text: "ready to merge" };
  }
  if (state === CheckState.PASSING) return { name: "passing", tone: "green", text: "passing" };
  if (status.approved) return { name: "approved", tone: "green", text: "approved" };
  return undefined;
}

/** What is known of an open pull request's checks, mergeability and review, a sentence each. */
export function known(status: ChatDiffStatus): readonly string[] {
  if (!isOpen(status)) return [];
  const sentences = [checks(status), ...merging(status), ...reviews(status)];
  return sentences.filter((sentence) => sentence !== undefined);
}

function isOpen({ pullRequestState: state }: ChatDiffStatus): boolean {
  return state === PullRequestState.OPEN || state === PullRequestState.DRAFT;
}

function asksForChanges({ changesRequested, reviewProgress }: ChatDiffStatus): boolean {
  return changesRequested || reviewProgress?.decision === ReviewDecision.CHANGES_REQUESTED;
}

/** A number of checks; the host may have more than were counted. */
function count({ checks }: ChatDiffStatus, number: number): string {
  return `${number.toLocaleString("en")}${checks?.atLeast ? "+" : ""}`;
}

function checks(status: ChatDiffStatus): string | undefined {
  const { checks } = status;
  if (!checks) return undefined;
  const all = `${count(status, checks.total)} check${checks.total === 1 && !checks.atLeast ? "" : "s"}`;
  switch (checks.state) {
    case CheckState.FAILING:
      return `${count(status, checks.failed)} of ${all} failed${failed(status)}.`;
    case CheckState.PENDING:
      return `${count(status, checks.pending)} of ${all} pending.`;
    case CheckState.PASSING:
      return `${all} passed.`;
    default:
      return undefined;
  }
}

/** The names of the checks that failed, as far as they are known. */
function failed({ checks }: ChatDiffStatus): string {
  if (!checks || checks.failedChecks.length === 0) return "";
  const names = checks.failedChecks.map(({ name, required }) =>
    required ? `${plain(name)} (required)` : plain(name),
  );
  const others = checks.failed - names.length;
  const more = others > 0 ? [`${others.toLocaleString("en")} more`] : [];
  return `: ${[...names, ...more].join(", ")}`;
}

function merging({ mergeability }: ChatDiffStatus): (string | undefined)[] {
  if (!mergeability) return [];
  const { mergeable, blockers, queuePosition, autoMerge, readyToMerge } = mergeability;
  const reasons = blockers.map((blocker) =>
    blocker === MergeBlocker.IN_QUEUE && queuePosition !== undefined
      ? `${BLOCKERS[blocker]}, at place ${queuePosition}`
      : (BLOCKERS[blocker] ?? BLOCKERS[MergeBlocker.UNSPECIFIED]),
  );
  const isUnknown = mergeable === Mergeable.UNSPECIFIED && reasons.length === 0;
  return [
    readyToMerge ? "Ready to merge." : undefined,
    reasons.length > 0 ? `Not merged: ${reasons.join(", ")}.` : undefined,
    isUnknown ? "Whether it can be merged is not known yet." : undefined,
    autoMerge ? "It merges by itself once all is well." : undefined,
  ];
}

function reviews(status: ChatDiffStatus): (string | undefined)[] {
  const progress = status.reviewProgress;
  const { requestedReviewers = [], unresolvedThreads, unresolvedBotThreads } = progress ?? {};
  const names = requestedReviewers.map(plain).join(", ");
  const threads = unresolvedThreads ?? 0;
  const bots = unresolvedBotThreads ?? 0;
  const ofBots = bots === 0 ? "" : bots < threads ? `, ${bots} of them by bots` : ", by bots";
  return [
    status.approved ? "Approved." : undefined,
    names === "" ? undefined : `A review is asked of ${names}.`,
    threads > 0
      ? `${threads} thread${threads === 1 ? " is" : "s are"} unresolved${ofBots}.`
      : undefined,
  ];
}

/** Text of a host on one line, without characters that turn the direction of what follows. */
function plain(text: string): string {
  return text.replace(/[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, "");
}
