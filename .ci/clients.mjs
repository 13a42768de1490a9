// Runs what the READMEs show; see .ci/clients.
import { spawn, execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const [work, launcher] = process.argv.slice(2);
const LIMIT = 60_000;

/** The first block of a language in a file, below a heading. */
function block(file, heading, language) {
  const text = readFileSync(file, "utf8").split(`\n${heading}\n`)[1];
  const found = text?.match(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, "g")) ?? [];
  return found.map((each) => each.replace(/^```.*\n/, "").replace(/```$/, ""));
}

async function until(what, look, limit = LIMIT) {
  for (const began = Date.now(); ; await sleep(100)) {
    const found = look();
    if (found) return found;
    if (Date.now() - began > limit) throw new Error(`in vain: ${what()}`);
  }
}

/** A program whose output is kept. */
function start(program, args, options) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  const running = { child, text: "", ended: undefined };
  const more = (part) => (running.text += part);
  child.stdout.on("data", more);
  child.stderr.on("data", more);
  child.on("exit", (code, signal) => (running.ended = signal ?? code));
  return running;
}

/** A proxy before an address, whose connections can be cut. */
async function proxy(to) {
  const [host, port] = to.split(":");
  const open = new Set();
  let isCut = false;
  const server = createServer((inner) => {
    if (isCut) return inner.destroy();
    const outer = connect(Number(port), host);
    for (const [one, other] of [[inner, outer], [outer, inner]]) {
      open.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => (open.delete(one), other.destroy()));
      one.pipe(other);
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return {
    address: `127.0.0.1:${server.address().port}`,
    cut() {
      isCut = true;
      for (const each of open) each.destroy();
    },
    mend: () => (isCut = false),
    close: () => server.close(),
  };
}

/** The commands of the README, each of which must answer with something of a chat's. */
function commands(address, tokens) {
  const [script] = block("README.md", "## Call it", "sh").filter((text) => text.includes("grpcurl"));
  const wanted = script.replace(/\\\n\s*/g, "").split("\n").filter(Boolean);
  if (wanted.length < 2) throw new Error(`README.md shows ${wanted.length} commands`);
  for (const command of wanted) {
    const here = command.replaceAll("127.0.0.1:50051", address);
    // A watch does not end by itself.
    const isWatch = command.includes("Watch");
    const limited = isWatch ? `timeout 5 ${here} || [ $? = 124 ]` : here;
    const said = execFileSync("bash", ["-ec", `source '${tokens}'; ${limited}`], { encoding: "utf8" });
    const expected = isWatch ? /"revision"/ : /"chats"/;
    if (!expected.test(said)) throw new Error(`${here}\nsaid: ${said}`);
    console.log(`ok: ${command.slice(0, 72)}`);
  }
}

/** Runs a client, cuts it off while it watches, changes a chat, and waits until it is notified. */
async function client(language, program, args, { address, token, chat }) {
  const between = await proxy(address);
  const env = { ...process.env, CHAT_ADDRESS: between.address, CHAT_TOKEN: token };
  const running = start(program, args, { cwd: join(work, language), env });
  const rename = (title) =>
    execFileSync("grpcurl", [
      "-plaintext", "-H", `authorization: Bearer ${token}`,
      "-d", JSON.stringify({ chat_id: chat, title, update_mask: { paths: ["title"] } }),
      address, "chat.v1.ChatService/UpdateChat",
    ]);
  const hears = (text) => until(() => `${language} says nothing of ${text}:\n${running.text}`, () => {
    if (running.ended !== undefined) throw new Error(`${language} ended with ${running.ended}:\n${running.text}`);
    return running.text.includes(text);
  });
  try {
    await hears(`chat ${chat}`);
    await hears("HEARTBEAT");
    rename(`${language} watches`);
    await hears(`${language} watches`);
    between.cut();
    rename(`${language} was cut off`);
    between.mend();
    await hears(`${language} was cut off`);
    if (running.text.includes("RESYNC")) throw new Error(`${language} had to list again`);
    console.log(`ok: the client in ${language}`);
  } finally {
    running.child.kill("SIGKILL");
    between.cut();
    between.close();
  }
}

const ready = join(work, "ready.json");
const stack = start(launcher, ["--ready-file", ready]);
try {
  await until(() => `the launcher is not ready:\n${stack.text}`, () => {
    if (stack.ended !== undefined) throw new Error(`the launcher ended with ${stack.ended}:\n${stack.text}`);
    return existsSync(ready);
  });
  const said = JSON.parse(readFileSync(ready, "utf8"));
  const address = said.chat_service.replace("http://", "");
  commands(address, said.tokens_file);

  const python = block("proto/README.md", "## A client", "python")[0];
  writeFileSync(join(work, "python", "client.py"), python);
  const typescript = block("proto/README.md", "## A client", "ts")[0];
  writeFileSync(join(work, "typescript", "client.ts"), typescript);
  writeFileSync(join(work, "typescript", "package.json"), JSON.stringify({ type: "module" }));
  execFileSync(
    "tsc",
    ["--strict", "--module", "nodenext", "--target", "es2022", "--types", "node", "--skipLibCheck", "client.ts"],
    { cwd: join(work, "typescript"), stdio: ["ignore", "inherit", "inherit"] },
  );
  const at = { address, token: said.tokens.owner, chat: said.chats[0] };
  await client("python", "python3", ["client.py"], at);
  await client("typescript", "node", ["client.js"], at);
} finally {
  stack.child.kill("SIGTERM");
  await until(() => "the launcher does not end", () => stack.ended !== undefined);
}
