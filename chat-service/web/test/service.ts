// A chat service in memory, with the contract's own rules, whose answers tests can delay.
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { type Chat, ChatSchema } from "../gen/chat/v1/chat_pb";
import {
  ChatService,
  type GetChatsRequest,
  type WatchChatsRequest,
  WatchEventKind,
} from "../gen/chat/v1/chat_service_pb";
import { order } from "../src/rows";

export class Service {
  readonly chats = new Map<string, Chat>();
  /** Ids of what changed; a revision is a place in it. */
  readonly changes: string[] = [];
  readonly lists: GetChatsRequest[] = [];
  readonly watches: WatchChatsRequest[] = [];
  readonly batches: string[][] = [];
  /** Changes up to here are forgotten: a watch that resumes before it gets RESYNC. */
  forgotten = 0;
  /** What every call fails with. */
  failure: ConnectError | undefined;
  refreshFailure: ConnectError | undefined;
  /** Awaited before each answer, and before each message of a watch. */
  delay: () => Promise<void> = () => Promise.resolve();
  #clock = 1_700_000_000_000;
  #stirs = new Set<() => void>();
  #cut = new AbortController();

  readonly client = createClient(
    ChatService,
    createRouterTransport(({ service }) => {
      service(ChatService, {
        getChats: (request) => this.#list(request),
        watchChats: (request, { signal }) => this.#watch(request, signal),
        refreshChat: async ({ chatId }) => {
          await this.delay();
          if (this.refreshFailure) throw this.refreshFailure;
          return { chat: this.#known(chatId) };
        },
        batchGetChats: async ({ chatIds }) => {
          this.batches.push(chatIds);
          return { chats: chatIds.map((id) => this.#known(id)) };
        },
      });
    }),
  );

  put(id: string, title: string): void {
    this.#clock += 1;
    const updatedAt = timestampFromMs(this.#clock);
    this.chats.set(id, create(ChatSchema, { id, title, updatedAt }));
    this.#changed(id);
  }

  drop(id: string): void {
    this.chats.delete(id);
    this.#changed(id);
  }

  /** Ends every watch, as a lost connection does. */
  cut(): void {
    const cut = this.#cut;
    this.#cut = new AbortController();
    cut.abort();
    this.#stir();
  }

  inOrder(): Chat[] {
    return [...this.chats.values()].sort(order);
  }

  #known(id: string): Chat {
    const chat = this.chats.get(id);
    if (!chat) throw new ConnectError("no such chat", Code.NotFound);
    return chat;
  }

  #changed(id: string): void {
    this.changes.push(id);
    this.#stir();
  }

  #stir(): void {
    for (const stir of this.#stirs) stir();
    this.#stirs.clear();
  }

  async #list(request: GetChatsRequest) {
    this.lists.push(request);
    if (this.failure) throw this.failure;
    await this.delay();
    const after = request.pageToken === "" ? undefined : this.#parse(request.pageToken);
    const rows = this.inOrder().filter((chat) => !after || order(after, chat) < 0);
    const chats = rows.slice(0, request.pageSize);
    const last = chats.at(-1);
    const nextPageToken =
      rows.length > chats.length && last
        ? `${last.updatedAt?.seconds} ${last.updatedAt?.nanos} ${last.id}`
        : "";
    // Read above, answered later.
    await this.delay();
    return { chats, nextPageToken };
  }

  #parse(token: string): Chat {
    const [seconds = "", nanos, id = ""] = token.split(" ");
    return create(ChatSchema, { id, updatedAt: { seconds: BigInt(seconds), nanos: Number(nanos) } });
  }

  async *#watch(request: WatchChatsRequest, signal: AbortSignal) {
    signal.addEventListener("abort", () => this.#stir());
    this.watches.push(request);
    if (this.failure) throw this.failure;
    const cut = this.#cut.signal;
    const since = request.sinceRevision;
    let at = since === undefined ? this.changes.length : Number(since);
    yield { revision: String(at), kind: WatchEventKind.HEARTBEAT };
    if (at < this.forgotten) {
      at = this.changes.length;
      yield { revision: String(at), kind: WatchEventKind.RESYNC };
    }
    while (!signal.aborted) {
      if (cut.aborted) throw new ConnectError("the connection ends", Code.Unavailable);
      const id = this.changes[at];
      if (id === undefined) {
        await new Promise<void>((resolve) => this.#stirs.add(resolve));
        continue;
      }
      at += 1;
      const chat = this.chats.get(id);
      await this.delay();
      yield chat
        ? { revision: String(at), kind: WatchEventKind.UPDATED, chat }
        : { revision: String(at), kind: WatchEventKind.DELETED, chat: { id } };
    }
  }
}

/** Lets everything that can go on go on. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
