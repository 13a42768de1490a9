// Plays a scenario in Chromium against a running chat-service: node browser.mjs SCENARIO
//
// The stage (tests/e2e/browser) starts this, gives address, tokens and chats in STAGE, and does
// what is asked for: one line of JSON on standard output, answered by one on standard input.
// SCREENSHOTS names a directory for pictures; CHROMIUM a browser other than Debian's.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import * as scenarios from "./scenarios.mjs";

const require = createRequire(import.meta.url);
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has the stage do something. */
async function tell(what, details = {}) {
  process.stdout.write(`${JSON.stringify({ do: what, ...details })}\n`);
  const { value, done } = await answers.next();
  assert.ok(!done, `the stage is gone before it did: ${what}`);
  return JSON.parse(value);
}

const stage = JSON.parse(process.env.STAGE);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
  ],
});

/** Pages that are open, with what their consoles said. */
const opened = [];

/** Opens a page, signed in with `token` if given. Its console stays empty but for `expected`. */
async function open({ token, path = "/", expected, ...options } = {}) {
  const context = await browser.newContext({
    viewport: { width: 1180, height: 760 },
    colorScheme: "light",
    ...options,
  });
  const page = await context.newPage();
  const said = [];
  page.on("console", (message) => said.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => said.push(`error: ${error.stack ?? error}`));
  opened.push({ said, expected });
  // As a script of the browser's own: the page's policy allows no other.
  await page.addInitScript({ content: axe });
  await page.goto(new URL(path, stage.url).href);
  if (token !== undefined) {
    await page.getByLabel("Bearer token").fill(token);
    await page.getByRole("button", { name: "Sign in" }).click();
  }
  return page;
}

/** Fails with what axe-core finds that is serious. */
async function accessible(page, what) {
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  const serious = violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, help, nodes }) => ({
      id,
      help,
      nodes: nodes.map(({ html, failureSummary }) => [html, failureSummary]),
    }));
  assert.deepEqual(serious, [], what);
}

async function picture(page, name) {
  const directory = process.env.SCREENSHOTS;
  if (directory === undefined) return;
  mkdirSync(directory, { recursive: true });
  await page.screenshot({ path: join(directory, `${name}.png`) });
}

const scenario = scenarios[process.argv[2]];
assert.ok(scenario, `there is no scenario ${process.argv[2]}`);
try {
  await scenario({ stage, tell, open, accessible, picture });
  for (const { said, expected } of opened) {
    const left = said.filter((line) => expected === undefined || !expected.test(line));
    assert.deepEqual(left, [], "the console is not clean");
  }
} catch (error) {
  console.error(`scenario ${process.argv[2]}:`, error);
  for (const { said } of opened) for (const line of said) console.error("console:", line);
  process.exitCode = 1;
} finally {
  await browser.close();
  process.stdin.destroy();
}
