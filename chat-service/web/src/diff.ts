// The diff of a chat's branch, as text.
import type { DiffSource } from "../gen/chat/v1/chat_service_pb";
import type { Chats } from "./client";

/** Bytes that are shown at most: a browser lays out longer text slowly. The host has all of it. */
export const MAX_SHOWN_BYTES = 512 * 1024;

export interface Diff {
  readonly source: DiffSource;
  readonly text: string;
  /** Whether it is all of it. */
  readonly isWhole: boolean;
}

/** Reads a chat's diff, and no more of it than is shown. */
export async function readDiff(chats: Chats, chatId: string, signal: AbortSignal): Promise<Diff> {
  // What is beyond the bound is not sent.
  const enough = new AbortController();
  const either = AbortSignal.any([signal, enough.signal]);
  const decoder = new TextDecoder();
  let source: DiffSource | undefined;
  let text = "";
  let left = MAX_SHOWN_BYTES;
  try {
    for await (const { part } of chats.getChatDiff({ chatId }, { signal: either })) {
      if (part.case === "source") source = part.value;
      if (part.case !== "content") continue;
      const bytes = part.value.subarray(0, left);
      left -= bytes.length;
      text += decoder.decode(bytes, { stream: true });
      if (left === 0) break;
    }
  } finally {
    enough.abort();
  }
  if (!source) throw new Error("a diff without a source");
  const isWhole = source.size <= BigInt(MAX_SHOWN_BYTES);
  // What a bound cut in two is no character.
  return { source, text: visible(isWhole ? text + decoder.decode() : text), isWhole };
}

/** Text in which characters that are not seen, or turn the direction of others, are spelled. */
function visible(text: string): string {
  return text.replace(
    /[^\P{Cc}\n\r\t]|[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
}
