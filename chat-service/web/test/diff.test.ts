// What is read of a diff, and how it is shown.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { ChatService } from "../gen/chat/v1/chat_service_pb";
import { MAX_SHOWN_BYTES, readDiff } from "../src/diff";

/** A service whose diff of every chat is in these parts; and how many of them were sent. */
function serving(parts: readonly Uint8Array[], size = parts.reduce((sum, { length }) => sum + length, 0)) {
  let sent = 0;
  const transport = createRouterTransport(({ service }) => {
    service(ChatService, {
      async *getChatDiff({ chatId }) {
        if (chatId === "gone") throw new ConnectError("the diff does not exist", Code.NotFound);
        yield { part: { case: "source", value: { gitBranch: "feature", size: BigInt(size) } } };
        for (const value of parts) {
          sent += 1;
          yield { part: { case: "content", value } };
        }
      },
    });
  });
  const chats = createClient(ChatService, transport);
  const read = (id = "chat") => readDiff(chats, id, new AbortController().signal);
  return { read, sent: () => sent };
}

const bytes = (text: string) => new TextEncoder().encode(text);

test("a diff is one text, wherever its parts are cut", async () => {
  const text = "+Straße 👩‍💻\n-b\tc\r\n";
  const whole = bytes(text);
  for (const at of [0, 1, 5, 6, 11, whole.length]) {
    const { read } = serving([whole.subarray(0, at), whole.subarray(at)]);
    const diff = await read();
    assert.equal(diff.isWhole, true);
    assert.equal(diff.source.gitBranch, "feature");
    assert.equal(diff.text, text);
  }
  assert.equal((await serving([]).read()).text, "");
});

test("what is not seen, or turns the direction of what is, is shown as what it is", async () => {
  const { read } = serving([bytes("+if (\u202eadmin\u2066) \u001b[2J\u0000\ufeff\n")]);
  assert.equal((await read()).text, "+if (\\u{202e}admin\\u{2066}) \\u{1b}[2J\\u{0}\\u{feff}\n");
});

test("no more of a diff is read than is shown", async () => {
  const part = bytes("+line\n".repeat(40_000));
  const { read, sent } = serving(Array.from({ length: 17 }, () => part));
  const diff = await read();
  assert.equal(diff.isWhole, false);
  assert.equal(diff.text.length, MAX_SHOWN_BYTES);
  assert.ok(sent() < 17, `${sent()} parts`);

  // Cut within a character: it is left out.
  const wide = bytes(`${"x".repeat(MAX_SHOWN_BYTES - 1)}é`);
  const cut = await serving([wide]).read();
  assert.deepEqual([cut.isWhole, cut.text.length], [false, MAX_SHOWN_BYTES - 1]);
});

test("a diff that does not exist, or ends before it begins, fails", async () => {
  await assert.rejects(serving([]).read("gone"), /does not exist/);
});
