// The list as it is kept alive: pages, changes, lookups on demand.
//
// Nothing is lost between the two calls: the watch is opened first, and the list is read after the
// watch's first message, so that a change comes with either. What the watch brings while a page of
// the list is on its way is newer than that page. The watch ends for many reasons; it is opened
// again with the revision of the last message that was taken in.
import type { Chat } from "../gen/chat/v1/chat_pb";
import {
  ChatView,
  GetChatResponseSchema,
  type WatchChatsResponse,
  WatchEventKind,
} from "../gen/chat/v1/chat_service_pb";
import { ConnectError } from "@connectrpc/connect";
import { Backoff } from "./backoff";
import type { Chats } from "./client";
import { type Failure, failure } from "./failure";
import { type Filters, request } from "./filters";
import { type Change, Rows } from "./rows";
import { millis } from "./words";

/** Chats of a page. */
const PAGE_SIZE = 100;
/** The service sends a message at least every 10 s: two are missing. */
const SILENCE_MS = 25_000;
/** After a watch that lasted this long, pauses begin with the shortest again. */
const STEADY_MS = 5_000;
/** How often rows that are due are read again: a lookup that finds nothing new sends no message. */
const REREAD_MS = 20_000;
/** As many as `BatchGetChats` takes. */
const REREAD_MOST = 100;
/** How long the words on a failed lookup stand in its row. */
const NOTE_MS = 20_000;

const NO_WORKER = "NO_WORKER_IN_TIME";

/** What went wrong with a lookup on demand, and when. */
interface Note extends Failure {
  readonly at: number;
}

/** What the page shows. A new object after each change. */
export interface State {
  readonly rows: readonly Chat[];
  /** Whether the last page is loaded. */
  readonly complete: boolean;
  /** Whether the rows are those of the filters; until then they are those of the filters before. */
  readonly listed: boolean;
  readonly loading: boolean;
  readonly live: boolean;
  /** Why the list, or its next page, could not be read; it is tried again. */
  readonly problem: Failure | undefined;
  /** Chats that are being looked up on demand. */
  readonly refreshing: ReadonlySet<string>;
  /** What went wrong with the last lookup on demand, by chat. */
  readonly notes: ReadonlyMap<string, Note>;
  /** Whether the last lookup on demand found no worker. */
  readonly noWorker: boolean;
}

const NOTHING: State = {
  rows: [],
  complete: false,
  listed: false,
  loading: true,
  live: false,
  problem: undefined,
  refreshing: new Set(),
  notes: new Map(),
  noWorker: false,
};

/** One choice of filters: what belongs to it ends with it. */
class Query {
  readonly end = new AbortController();
  rows = new Rows();
  nextPage = "";
  /** Between attempts to load the next page. */
  readonly backoff = new Backoff();
  revision: string | undefined;
  /** What was heard since the oldest read on its way began. */
  heard: Change[] = [];
  reads = 0;
  listing = false;
  /** Whether the watch brings all that the rows lack. */
  listed = false;
  /** Whether the list is to be read once more when it has been read. */
  again = false;

  constructor(readonly fields: ReturnType<typeof request>) {}

  get signal(): AbortSignal {
    return this.end.signal;
  }
}

export class Sidebar {
  #state = NOTHING;
  #query: Query;
  #asleep = false;
  #wake = new AbortController();
  readonly #closed = new AbortController();
  #range: readonly [number, number] = [0, 0];
  /** When rows in sight were last read again. */
  readonly #reread = new Map<string, number>();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(
    private readonly chats: Chats,
    private readonly userId: string | undefined,
    filters: Filters,
    private readonly changed: (state: State) => void,
    private readonly signedOut: () => void,
  ) {
    this.#timer = setInterval(() => {
      this.#forgetOldNotes();
      void this.#rereadDue();
    }, REREAD_MS / 4);
    this.#query = this.#begin(filters);
  }

  get state(): State {
    return this.#state;
  }

  /** The rows of before stay until those of the new filters are there. */
  filter(filters: Filters): void {
    this.#query.end.abort();
    this.#set({ listed: false, loading: true, live: false, problem: undefined });
    this.#query = this.#begin(filters);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#query.end.abort();
    this.#closed.abort();
  }

  /** Ends the watch of a page that is not looked at: browsers allow few connections. */
  sleep(): void {
    this.#asleep = true;
    this.#stir();
  }

  /** Opens the watch, at once, if it is not open. */
  wake(): void {
    const isOpen = this.#state.live && !this.#asleep;
    this.#asleep = false;
    if (!isOpen) this.#stir();
  }

  /** Opens the watch of a page that is looked at, also where it seems to be open. */
  reconnect(): void {
    if (!this.#asleep) this.#stir();
  }

  /** Which rows can be seen. */
  see(first: number, last: number): void {
    this.#range = [first, last];
  }

  #begin(filters: Filters): Query {
    const query = new Query(request(filters, this.userId));
    void this.#watch(query);
    return query;
  }

  #set(state: Partial<State>): void {
    this.#state = { ...this.#state, ...state };
    this.changed(this.#state);
  }

  #show(query: Query): void {
    if (query.signal.aborted) return;
    this.#set({ rows: query.rows.all, complete: query.rows.complete });
  }

  /** Notes a failure; true if trying again is of no use. */
  #failed(query: Query, error: unknown): boolean {
    const problem = failure(error);
    if (query.signal.aborted) return true;
    if (problem.kind === "signed-out") {
      this.#signOut();
      return true;
    }
    this.#set({ problem, loading: false });
    return problem.kind === "refused";
  }

  /** Ends all that goes on: the token is not accepted. */
  #signOut(): void {
    this.close();
    this.signedOut();
  }

  // The watch.

  async #watch(query: Query): Promise<void> {
    const backoff = new Backoff();
    while (!query.signal.aborted) {
      const began = Date.now();
      let problem: Failure | undefined;
      try {
        if (!this.#asleep) await this.#follow(query);
      } catch (error) {
        problem = failure(error);
        // The service does not know the revision: what changed since is not known.
        if (problem.kind === "refused" && query.revision !== undefined) {
          query.revision = undefined;
          query.listed = false;
        } else if (problem.kind === "signed-out" || !this.#state.listed) {
          if (this.#failed(query, error)) return;
        }
      }
      if (query.signal.aborted) return;
      this.#set({ live: false });
      if (Date.now() - began > STEADY_MS) backoff.reset();
      // Where the service has no room for the watch, the list is shown without it.
      if (problem?.kind === "busy" && !query.listed) void this.#list(query);
      await this.#pause(query.signal, this.#asleep ? undefined : backoff.next());
    }
  }

  /** Takes in one stream of changes until it ends. */
  async #follow(query: Query): Promise<void> {
    const attempt = new AbortController();
    const end = () => attempt.abort();
    const wake = this.#wake.signal;
    query.signal.addEventListener("abort", end);
    wake.addEventListener("abort", end);
    let silence = setTimeout(end, SILENCE_MS);
    try {
      const since = query.revision;
      const stream = this.chats.watchChats(
        {
          ...query.fields,
          view: ChatView.BASIC,
          ...(since === undefined ? {} : { sinceRevision: since }),
        },
        { signal: attempt.signal },
      );
      for await (const message of stream) {
        clearTimeout(silence);
        silence = setTimeout(end, SILENCE_MS);
        if (query.signal.aborted) return;
        const isBehind = this.#hear(query, message);
        query.revision = message.revision;
        if (!this.#state.live) this.#set({ live: true });
        if (isBehind || (!query.listed && !query.listing)) void this.#list(query);
      }
    } catch (error) {
      // The page itself ended it.
      if (!attempt.signal.aborted) throw error;
    } finally {
      clearTimeout(silence);
      query.signal.removeEventListener("abort", end);
      wake.removeEventListener("abort", end);
    }
  }

  /** True when the list must be read again. */
  #hear(query: Query, message: WatchChatsResponse): boolean {
    const { chat, kind } = message;
    if (kind === WatchEventKind.RESYNC) {
      query.listed = false;
      return true;
    }
    if (!chat) return false;
    const isGone =
      kind === WatchEventKind.ACCESS_LOST ||
      kind === WatchEventKind.DELETED ||
      kind === WatchEventKind.NOT_MATCHING;
    const change = { id: chat.id, chat: isGone ? null : chat };
    if (query.reads > 0) query.heard.push(change);
    if (this.#state.noWorker && wasLookedUp(query.rows.get(chat.id), chat)) {
      this.#set({ noWorker: false });
    }
    query.rows.apply(change);
    this.#forgetNote(chat.id);
    this.#show(query);
    return false;
  }

  /** Until the time is over, or the page is looked at again. */
  async #pause(signal: AbortSignal, time: number | undefined): Promise<void> {
    const wake = this.#wake.signal;
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", end);
        wake.removeEventListener("abort", end);
        resolve();
      };
      const timer = time === undefined ? undefined : setTimeout(end, time);
      signal.addEventListener("abort", end);
      wake.addEventListener("abort", end);
    });
  }

  #stir(): void {
    const wake = this.#wake;
    this.#wake = new AbortController();
    wake.abort();
  }

  // Pages.

  /** Reads the list from its beginning, as far as it was read before. */
  async #list(query: Query): Promise<void> {
    if (query.listing) {
      query.again = true;
      return;
    }
    query.listing = true;
    const backoff = new Backoff();
    do {
      query.again = false;
      const covered = query.revision !== undefined;
      try {
        await this.#read(query, async (since) => {
          const rows = new Rows();
          let page = await this.#page(query, "");
          rows.extend(page.chats, page.nextPageToken === "", []);
          while (page.nextPageToken !== "" && rows.all.length < query.rows.all.length) {
            page = await this.#page(query, page.nextPageToken);
            rows.extend(page.chats, page.nextPageToken === "", []);
          }
          for (const change of since()) rows.apply(change);
          query.rows = rows;
          query.nextPage = page.nextPageToken;
        });
        query.listed = covered && !query.again;
        if (query.signal.aborted) return;
        this.#set({ listed: true, loading: false, problem: undefined });
        this.#show(query);
      } catch (error) {
        if (this.#failed(query, error)) break;
        query.again = true;
        await this.#pause(query.signal, backoff.next());
      }
    } while (query.again && !query.signal.aborted);
    query.listing = false;
  }

  #page(query: Query, pageToken: string) {
    return this.chats.getChats(
      { ...query.fields, pageSize: PAGE_SIZE, pageToken, view: ChatView.BASIC },
      { signal: query.signal },
    );
  }

  /** Runs a read; what is heard meanwhile is kept, and given to it. */
  async #read<T>(query: Query, read: (since: () => readonly Change[]) => Promise<T>): Promise<T> {
    const from = query.heard.length;
    query.reads += 1;
    try {
      return await read(() => query.heard.slice(from));
    } finally {
      query.reads -= 1;
      if (query.reads === 0) query.heard = [];
    }
  }

  /** Loads the next page. */
  async more(): Promise<void> {
    const query = this.#query;
    if (this.#state.loading || query.listing || query.nextPage === "") return;
    this.#set({ loading: true });
    try {
      await this.#read(query, async (since) => {
        const { rows } = query;
        const page = await this.#page(query, query.nextPage);
        if (query.listing || query.rows !== rows) return; // Read anew meanwhile.
        query.nextPage = page.nextPageToken;
        rows.extend(page.chats, page.nextPageToken === "", since());
      });
      if (query.signal.aborted) return;
      query.backoff.reset();
      this.#set({ loading: false, problem: undefined });
      this.#show(query);
    } catch (error) {
      const isRefused = this.#failed(query, error);
      if (query.signal.aborted) return;
      // The service does not take the page token any more: from the beginning.
      if (isRefused) return void this.#list(query);
      await this.#pause(query.signal, query.backoff.next());
      // The grid asks again while it needs the page.
      if (!query.signal.aborted && !query.listing) this.#set({ problem: undefined });
    }
  }

  /** Tries at once what would be tried later. */
  retry(): void {
    const query = this.#query;
    this.#set({ problem: undefined });
    this.#stir();
    if (!query.listing && query.revision !== undefined && !query.listed) void this.#list(query);
    else if (query.listed) void this.more();
  }

  // Single chats.

  /** Has the chat's pull requests looked up now. */
  async refresh(id: string): Promise<void> {
    const query = this.#query;
    if (this.#state.refreshing.has(id)) return;
    this.#forgetNote(id);
    this.#set({ refreshing: new Set([...this.#state.refreshing, id]) });
    try {
      await this.#read(query, async (since) => {
        const { signal } = this.#closed;
        const { chat } = await this.chats.refreshChat({ chatId: id }, { signal });
        this.#adopt(query, chat, since());
      });
      this.#set({ noWorker: false });
    } catch (error) {
      if (this.#closed.signal.aborted) return;
      const problem = failure(error);
      if (problem.kind === "signed-out") return this.#signOut();
      const [known] = ConnectError.from(error).findDetails(GetChatResponseSchema);
      this.#adopt(query, known?.chat, []);
      this.#note(id, problem);
      this.#set({ noWorker: problem.reason === NO_WORKER });
    } finally {
      const refreshing = new Set(this.#state.refreshing);
      refreshing.delete(id);
      this.#set({ refreshing });
    }
  }

  /** Takes in a chat that was read by itself, unless something newer was heard meanwhile. */
  #adopt(query: Query, chat: Chat | undefined, since: readonly Change[]): void {
    if (!chat || !query.rows.get(chat.id) || since.some(({ id }) => id === chat.id)) return;
    query.rows.apply({ id: chat.id, chat });
    this.#show(query);
  }

  #note(id: string, problem: Failure): void {
    const note = { ...problem, at: Date.now() };
    this.#set({ notes: new Map(this.#state.notes).set(id, note) });
  }

  #forgetOldNotes(): void {
    const old = Date.now() - NOTE_MS;
    for (const [id, { at }] of this.#state.notes) {
      if (at < old) this.#forgetNote(id);
    }
  }

  #forgetNote(id: string): void {
    if (!this.#state.notes.has(id)) return;
    const notes = new Map(this.#state.notes);
    notes.delete(id);
    this.#set({ notes });
  }

  /** Reads again the rows in sight that should have been looked up since they were read. */
  async #rereadDue(): Promise<void> {
    if (this.#asleep || !this.#state.live) return;
    const now = Date.now();
    const query = this.#query;
    const [first, last] = this.#range;
    const due = query.rows.all.slice(first, last + 1).filter(({ id, diffStatus }) => {
      const at = diffStatus?.nextRefreshAt;
      const isDue = at !== undefined && millis(at) < now;
      return isDue && now - (this.#reread.get(id) ?? -REREAD_MS) >= REREAD_MS;
    });
    const chatIds = due.slice(0, REREAD_MOST).map(({ id }) => id);
    if (chatIds.length === 0) return;
    for (const id of chatIds) this.#reread.set(id, now);
    try {
      await this.#read(query, async (since) => {
        const { chats } = await this.chats.batchGetChats({ chatIds }, { signal: query.signal });
        for (const chat of chats) this.#adopt(query, chat, since());
      });
    } catch {
      // The rows stay as they are; what is wrong shows at the watch too.
    }
  }
}

/** Whether a worker has looked the pull request up between the two. */
function wasLookedUp(before: Chat | undefined, after: Chat): boolean {
  const [old, now] = [before?.diffStatus?.refreshedAt, after.diffStatus?.refreshedAt];
  return now !== undefined && (old === undefined || millis(old) < millis(now));
}
