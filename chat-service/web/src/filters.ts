// The filters of the list: as users choose them, as requests have them, and as the page's address
// keeps them.
import { AttentionKind, PullRequestState } from "../gen/chat/v1/chat_pb";

export type Scope = "all" | "mine" | "shared";
export type Archiving = "active" | "archived" | "both";

export interface Filters {
  readonly scope: Scope;
  readonly archiving: Archiving;
  readonly states: readonly PullRequestState[];
  /** Only chats whose pull request a person, or the agent, has to look at. */
  readonly needsAttention: boolean;
  /** `owner/name`, or empty. */
  readonly repository: string;
  /** Part of the title, or empty. */
  readonly title: string;
}

export const NO_FILTERS: Filters = {
  scope: "all",
  archiving: "active",
  states: [],
  needsAttention: false,
  repository: "",
  title: "",
};

/** The states that can be chosen, by the names that the page's address has for them. */
export const STATES = {
  open: PullRequestState.OPEN,
  draft: PullRequestState.DRAFT,
  merged: PullRequestState.MERGED,
  closed: PullRequestState.CLOSED,
} as const;

const ATTENTION = [
  AttentionKind.CONFLICTING,
  AttentionKind.CHECKS_FAILED,
  AttentionKind.CHANGES_REQUESTED,
  AttentionKind.READY_TO_MERGE,
];

/** Characters of a title filter at most, as at the service. */
export const MAX_TITLE = 200;

export function isRepository(text: string): boolean {
  return /^[^\s/]+(\/[^\s/]+)+$/.test(text);
}

export function narrows(filters: Filters): boolean {
  return write(filters) !== "";
}

/** The fields that `GetChats` and `WatchChats` share. */
export function request(filters: Filters, userId: string | undefined) {
  const { scope, archiving, states, needsAttention, repository, title } = filters;
  return {
    ...(scope === "mine" && userId !== undefined ? { ownerId: userId } : {}),
    ...(archiving === "both" ? {} : { archived: archiving === "archived" }),
    sharedWithMe: scope === "shared",
    pullRequestStates: [...states],
    attention: needsAttention ? ATTENTION : [],
    ...(repository === "" ? {} : { repository }),
    ...(title === "" ? {} : { title }),
  };
}

/** As the query of an address; empty without filters. */
export function write(filters: Filters): string {
  const query = new URLSearchParams();
  if (filters.scope !== "all") query.set("show", filters.scope);
  if (filters.archiving !== "active") query.set("archived", filters.archiving);
  const names = Object.entries(STATES).filter(([, state]) => filters.states.includes(state));
  if (names.length > 0) query.set("pr", names.map(([name]) => name).join(","));
  if (filters.needsAttention) query.set("attention", "any");
  if (filters.repository !== "") query.set("repository", filters.repository);
  if (filters.title !== "") query.set("title", filters.title);
  return query.toString();
}

/** The filters in the query of an address, without those that are not valid. */
export function read(text: string): Filters {
  const query = new URLSearchParams(text);
  const scope = query.get("show");
  const archiving = query.get("archived");
  const names = query.get("pr")?.split(",") ?? [];
  const repository = query.get("repository") ?? "";
  return {
    scope: scope === "mine" || scope === "shared" ? scope : "all",
    archiving: archiving === "archived" || archiving === "both" ? archiving : "active",
    states: Object.entries(STATES).flatMap(([name, state]) => (names.includes(name) ? [state] : [])),
    needsAttention: query.get("attention") === "any",
    repository: isRepository(repository) ? repository : "",
    title: (query.get("title") ?? "").slice(0, MAX_TITLE),
  };
}
