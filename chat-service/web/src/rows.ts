// The rows that are loaded: a prefix of what the filters match, in the service's order.
import type { Chat } from "../gen/chat/v1/chat_pb";

/** What became of one chat: as it is now, or null where it has no place in this list (any more). */
export interface Change {
  readonly id: string;
  readonly chat: Chat | null;
}

/** Latest `updated_at` first, then by id descending, as `GetChats` lists. */
export function order(a: Chat, b: Chat): number {
  const [left, right] = [a.updatedAt, b.updatedAt];
  const seconds = Number((right?.seconds ?? 0n) - (left?.seconds ?? 0n));
  if (seconds !== 0) return seconds;
  const nanos = (right?.nanos ?? 0) - (left?.nanos ?? 0);
  if (nanos !== 0) return nanos;
  return a.id < b.id ? 1 : a.id > b.id ? -1 : 0;
}

export class Rows {
  #rows: readonly Chat[] = [];
  readonly #byId = new Map<string, Chat>();
  /** The last chat of the last page: what comes after it is not loaded. */
  #edge: Chat | undefined;
  #complete = false;

  /** A new array after each change. */
  get all(): readonly Chat[] {
    return this.#rows;
  }

  /** Whether the last page is loaded, too. */
  get complete(): boolean {
    return this.#complete;
  }

  get(id: string): Chat | undefined {
    return this.#byId.get(id);
  }

  /** Adds the next page, and then what was heard since that page was asked for, which is newer. */
  extend(page: readonly Chat[], isLast: boolean, since: readonly Change[]): void {
    this.#edge = page.at(-1) ?? this.#edge;
    this.#complete = isLast;
    const rows = [...this.#rows];
    for (const chat of page) this.#put(rows, chat);
    for (const change of since) this.#change(rows, change);
    this.#rows = rows;
  }

  apply(change: Change): void {
    const rows = [...this.#rows];
    this.#change(rows, change);
    this.#rows = rows;
  }

  #change(rows: Chat[], { id, chat }: Change): void {
    if (chat && this.#reaches(chat)) {
      this.#put(rows, chat);
    } else {
      this.#take(rows, id);
    }
  }

  /** Whether a chat's place is in what is loaded; if not, it comes with its page. */
  #reaches(chat: Chat): boolean {
    return this.#complete || (this.#edge !== undefined && order(chat, this.#edge) <= 0);
  }

  #put(rows: Chat[], chat: Chat): void {
    this.#take(rows, chat.id);
    rows.splice(place(rows, chat), 0, chat);
    this.#byId.set(chat.id, chat);
  }

  #take(rows: Chat[], id: string): void {
    const old = this.#byId.get(id);
    if (!old) return;
    rows.splice(place(rows, old), 1);
    this.#byId.delete(id);
  }
}

/** Where a chat is, or would be, in rows that are in order. */
function place(rows: readonly Chat[], chat: Chat): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const at = rows[middle];
    if (at && order(at, chat) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
