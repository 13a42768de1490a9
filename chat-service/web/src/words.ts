// What the page says of a chat, in words.
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import {
  type Chat,
  type ChatDiffStatus,
  ChatStatus,
  Freshness,
  ProblemClass,
  PullRequestState,
} from "../gen/chat/v1/chat_pb";

/** How a text stands out. */
export type Tone = "quiet" | "busy" | "warning";

export interface Words {
  readonly text: string;
  readonly tone: Tone;
  /** More of it, as a tooltip. */
  readonly detail?: string;
}

const SECOND = 1000;
/** Seconds are shown in steps of this. */
const STEP = 5 * SECOND;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const CHAT_STATUS: Record<ChatStatus, string> = {
  [ChatStatus.UNSPECIFIED]: "Unknown",
  [ChatStatus.WAITING]: "Waiting",
  [ChatStatus.PENDING]: "Pending",
  [ChatStatus.RUNNING]: "Working",
  [ChatStatus.PAUSED]: "Paused",
  [ChatStatus.COMPLETED]: "Completed",
  [ChatStatus.ERROR]: "Error",
};

const PULL_REQUEST: Record<PullRequestState, string> = {
  [PullRequestState.UNSPECIFIED]: "Pull request",
  [PullRequestState.OPEN]: "Pull request open",
  [PullRequestState.DRAFT]: "Draft pull request",
  [PullRequestState.MERGED]: "Pull request merged",
  [PullRequestState.CLOSED]: "Pull request closed",
};

/** Problems that end by themselves at a time. */
const PAUSES: ReadonlySet<ProblemClass> = new Set([
  ProblemClass.RATE_LIMITED,
  ProblemClass.SECONDARY_LIMITED,
  ProblemClass.LIMIT_RESERVED,
]);
/** Problems of the owner's account, whatever the repository. */
const OF_ACCOUNT: ReadonlySet<ProblemClass> = new Set([
  ...PAUSES,
  ProblemClass.NO_ACCOUNT,
  ProblemClass.CREDENTIAL_REJECTED,
  ProblemClass.ACCOUNT_LOCKED,
]);

/** How hosts write their names, by provider id; an operator may choose other ids. */
const HOSTS: Record<string, string> = { github: "GitHub", gitlab: "GitLab", bitbucket: "Bitbucket" };

export function chatStatus(status: ChatStatus): string {
  return CHAT_STATUS[status] ?? CHAT_STATUS[ChatStatus.UNSPECIFIED];
}

export function pullRequest(state: PullRequestState): string {
  return PULL_REQUEST[state] ?? PULL_REQUEST[PullRequestState.UNSPECIFIED];
}

export function millis(time: Timestamp): number {
  return Number(time.seconds) * SECOND + time.nanos / 1e6;
}

/** How long ago. A time that is ahead is one of another clock: now. */
export function ago(time: number, now: number): string {
  const passed = now - time;
  return passed < STEP ? "just now" : `${span(passed)} ago`;
}

/** A length of time, in steps that grow with it. */
function span(length: number): string {
  if (length < MINUTE) return `${Math.floor(length / STEP) * (STEP / SECOND)} s`;
  if (length < HOUR) return `${Math.floor(length / MINUTE)} min`;
  if (length < DAY) return `${Math.floor(length / HOUR)} h`;
  return `${Math.floor(length / DAY)} d`;
}

/** How long ago, for a narrow column. */
export function age(time: number, now: number): string {
  const span = now - time;
  if (span < MINUTE) return "now";
  if (span < HOUR) return `${Math.floor(span / MINUTE)}m`;
  if (span < DAY) return `${Math.floor(span / HOUR)}h`;
  return `${Math.floor(span / DAY)}d`;
}

/** A time of day, with the day where that is another one. */
export function clock(time: number, now: number): string {
  const at = new Date(time);
  const text = at.toLocaleTimeString(undefined, {
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  if (at.toDateString() === new Date(now).toDateString()) return text;
  return `${at.toLocaleDateString(undefined, { day: "numeric", month: "short" })}, ${text}`;
}

/** A whole date, for a tooltip. */
export function date(time: number): string {
  return new Date(time).toLocaleString();
}

/** How fresh the knowledge is, or why it is not. */
export function freshness(status: ChatDiffStatus, now: number): Words {
  const synced = status.refreshedAt ? `synced ${ago(millis(status.refreshedAt), now)}` : undefined;
  const again = status.nextRefreshAt ? millis(status.nextRefreshAt) : undefined;
  const isAhead = again !== undefined && again > now;
  const { problem } = status;
  if (problem) {
    const said = message(status);
    const lasted = problem.since ? Math.max(now - millis(problem.since), STEP) : undefined;
    const since = lasted === undefined ? undefined : `for ${span(lasted)}`;
    const detail = [said, since, synced].filter((part) => part !== undefined).join(", ");
    const text = PAUSES.has(problem.class) && isAhead ? `paused until ${clock(again, now)}` : said;
    return { text, tone: "warning", detail };
  }
  if (status.freshness === Freshness.REFRESHING) return { text: "syncing…", tone: "busy" };
  if (status.freshness === Freshness.PAUSED) {
    return { text: isAhead ? `paused until ${clock(again, now)}` : "paused", tone: "warning" };
  }
  if (status.freshness === Freshness.UNSPECIFIED) return { text: "not looked up yet", tone: "quiet" };
  const none = status.pullRequestState === undefined ? "no pull request yet" : undefined;
  const text = [none, synced].filter((part) => part !== undefined).join(", ");
  const detail = status.refreshedAt ? date(millis(status.refreshedAt)) : "";
  return { text, tone: "quiet", detail };
}

function message(status: ChatDiffStatus): string {
  const text = status.problem?.message || "something went wrong";
  const name = HOSTS[status.providerId];
  if (name === undefined) return text;
  // Not within a path: a repository may have this name.
  const word = new RegExp(`(?<![\\w/.-])${status.providerId}(?![\\w/.-])`, "g");
  return text.replace(word, name);
}

/** The icon that stands before a chat's title, with a label for screen readers. */
export function icon(chat: Chat): { name: string; tone: string; label: string } {
  const status = chat.diffStatus;
  if (chat.icon.startsWith("git-") && status?.pullRequestState !== undefined) {
    return pullRequestIcon(status);
  }
  const tones: Record<string, string> = {
    spinner: "blue",
    pause: "amber",
    "error-triangle": "red",
  };
  return { name: chat.icon, tone: tones[chat.icon] ?? "gray", label: chatStatus(chat.status) };
}

/** The pull request's own icon. */
export function pullRequestIcon(status: ChatDiffStatus) {
  const state = status.pullRequestState ?? PullRequestState.UNSPECIFIED;
  return { name: status.icon ?? "", tone: status.iconColor ?? "gray", label: pullRequest(state) };
}

/** The problem of the user's own account that a loaded chat waits for, if any does. */
export function accountProblem(rows: readonly Chat[], userId: string | undefined, now: number) {
  const status = rows.find(({ ownerId, diffStatus }) => {
    const problem = ownerId === userId ? diffStatus?.problem : undefined;
    return problem !== undefined && OF_ACCOUNT.has(problem.class);
  })?.diffStatus;
  if (!status?.problem) return undefined;
  const words = freshness(status, now);
  const host = HOSTS[status.providerId] ?? status.providerId;
  return { host, isPause: PAUSES.has(status.problem.class), text: words.text, detail: message(status) };
}

/** The address, if it is a web page's. */
export function link(url: string | undefined): string | undefined {
  if (url === undefined || !URL.canParse(url)) return undefined;
  const { protocol, href } = new URL(url);
  return protocol === "https:" || protocol === "http:" ? href : undefined;
}
