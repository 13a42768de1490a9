// What people see and do. Each scenario has a test of tests/e2e/browser, which sets its stage.
import assert from "node:assert/strict";

/** Longer than anything takes. */
const PATIENCE = 15_000;
/** What a browser says when a service is away, or refuses a code. */
const NETWORK = /Failed to load resource|net::ERR_/;

const row = (page, title) => page.getByRole("row").filter({ hasText: title });
const shows = (locator) => locator.first().waitFor({ timeout: PATIENCE });
const goes = (locator) => locator.first().waitFor({ state: "detached", timeout: PATIENCE });

/** Waits until what a function of the page returns is as wanted. */
async function until(what, read, wanted) {
  const end = Date.now() + PATIENCE;
  let last;
  for (;;) {
    last = await read();
    if (wanted(last)) return last;
    assert.ok(Date.now() < end, `${what}: ${JSON.stringify(last)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const titles = (page) => page.locator(".row .title").allTextContents();
const icon = (page, title) => row(page, title).locator(".first .icon");

/** The icon before a chat's title: its drawing, its colour's name, and its label. */
async function iconOf(page, title) {
  await shows(icon(page, title));
  return icon(page, title).evaluate((element) => [
    element.dataset.icon,
    element.getAttribute("class").split(" ")[1],
    element.getAttribute("aria-label"),
  ]);
}

/** A row's glyph of checks, conflicts and reviews: its drawing, its colour's name, and its text. */
async function glyphOf(page, title) {
  const glyph = row(page, title).locator(".third .with-icon");
  await shows(glyph);
  return glyph.evaluate((element) => [
    element.querySelector(".icon").dataset.icon,
    element.className.split(" ")[1],
    element.childNodes[1].textContent,
  ]);
}

/** What pointers and screen readers get of a row's glyph. */
const hint = (page, title) => row(page, title).locator(".third .with-icon").getAttribute("title");
const spoken = (page, title) => row(page, title).locator(".third .hidden").textContent();

/** The colours of elements, each once. */
async function colours(locators) {
  const each = locators.map((locator) => locator.evaluate((element) => getComputedStyle(element).color));
  return new Set(await Promise.all(each));
}

async function refresh(page, title) {
  await row(page, title).hover();
  await row(page, title).getByRole("button", { name: /^Refresh/ }).click();
}

/** Each state has its icon; the list works with screen readers and keys. */
export async function icons({ stage, open, accessible, picture }) {
  const page = await open({ token: stage.token, viewport: { width: 1180, height: 1080 } });
  const expected = {
    "Add a dark colour scheme": ["git-pull-request-arrow", "green", "Pull request open"],
    "Retry uploads that time out": ["git-pull-request-draft", "gray", "Draft pull request"],
    "Split the settings page": ["git-merge", "purple", "Pull request merged"],
    "Drop the legacy exporter": ["git-pull-request-closed", "red", "Pull request closed"],
    "Cache avatars at the edge": ["git-pull-request-arrow", "green", "Pull request open"],
    "Stream answers as they come": ["git-pull-request-arrow", "green", "Pull request open"],
    "Move the guide into the tree": ["git-pull-request-arrow", "green", "Pull request open"],
    "Count what the cache saves": ["git-pull-request-arrow", "green", "Pull request open"],
    "Speed up the test suite": ["spinner", "blue", "Working"],
    "Write the release notes": ["spinner", "blue", "Pending"],
    "Rotate the signing keys": ["pause", "amber", "Paused"],
    "Migrate the billing tables": ["error-triangle", "red", "Error"],
    "Explain the build pipeline": ["check", "gray", "Waiting"],
    "Try web components": ["check", "gray", "Completed"],
  };
  for (const [title, wanted] of Object.entries(expected)) {
    assert.deepEqual(await iconOf(page, title), wanted, title);
  }
  const states = Object.keys(expected).slice(0, 4).map((title) => icon(page, title));
  assert.equal((await colours(states)).size, 4, "each state has a colour of its own");
  // Activity keeps its icon, and the pull request has one beside its number.
  await shows(row(page, "Speed up").getByRole("img", { name: "Pull request open" }));

  const first = row(page, "Add a dark colour scheme");
  for (const text of ["acme/web", "feat/dark-mode", "+412", "−87", "ready to merge", "synced"]) {
    assert.ok((await first.textContent()).includes(text), text);
  }
  await shows(first.getByRole("img", { name: "412 additions, 87 deletions" }));

  const glyphs = {
    "Move the guide into the tree": ["conflict", "red", "conflicts"],
    "Stream answers as they come": ["failing", "red", "2 failing"],
    "Cache avatars at the edge": ["changes requested", "red", "changes requested"],
    "Retry uploads that time out": ["pending", "amber", "1 pending"],
    "Count what the cache saves": ["passing", "green", "passing"],
    "Add a dark colour scheme": ["ready", "green", "ready to merge"],
  };
  const drawings = new Set();
  for (const [title, wanted] of Object.entries(glyphs)) {
    assert.deepEqual(await glyphOf(page, title), wanted, title);
    drawings.add(await row(page, title).locator(".third .icon").innerHTML());
    assert.equal(await spoken(page, title), `. ${(await hint(page, title)).replaceAll("\n", " ")}`);
  }
  assert.equal(drawings.size, 6, "each glyph has a drawing of its own");
  assert.equal(await hint(page, "Stream answers"), "2 of 3 checks failed: lint, unit tests.");
  assert.match(await hint(page, "Move the guide"), /: build\.\nNot merged: it conflicts with the base branch/);
  assert.equal(await hint(page, "Count what"), "1 check passed.\nNot merged: it is behind the base branch.");
  assert.equal(await hint(page, "Add a dark"), "2 checks passed.\nReady to merge.\nApproved.");
  for (const title of ["Split the settings page", "Drop the legacy exporter"]) {
    assert.equal(await row(page, title).locator(".third .with-icon").count(), 0, title);
  }
  await shows(row(page, "Try web components").getByText("no pull request yet"));
  const link = first.getByRole("link", { name: /^Pull request #\d+ of acme\/web$/ });
  assert.match(await link.getAttribute("href"), /^https?:\/\/.+\/pull\/\d+$/);
  assert.match(await link.getAttribute("rel"), /noopener noreferrer/);

  // Times go on by themselves.
  const fresh = () => first.locator(".fresh").textContent();
  const before = await fresh();
  await until("the time goes on", fresh, (text) => text !== before);

  // One stop for Tab, and arrows from there.
  await row(page, (await titles(page))[0]).focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  const focused = () => page.evaluate(() => document.activeElement.getAttribute("aria-rowindex"));
  assert.equal(await focused(), "3");
  await page.keyboard.press("End");
  assert.equal(await focused(), String(Object.keys(expected).length));
  await page.keyboard.press("ArrowRight");
  assert.notEqual(await page.evaluate(() => document.activeElement.tagName), "DIV");
  await page.keyboard.press("ArrowLeft");
  assert.equal(await focused(), String(Object.keys(expected).length));
  await page.keyboard.press("Home");
  assert.equal(await page.locator('.row[tabindex="0"]').count(), 1);
  await first.focus();
  await page.keyboard.press("Enter");
  await shows(page.getByRole("heading", { level: 1, name: "Add a dark colour scheme" }));
  await shows(page.getByRole("main").getByText("7 files"));
  await shows(page.getByRole("main").getByText("Ready to merge.", { exact: true }));
  // By keys, all that a hint says is in the details, with the pages of the checks that failed.
  await row(page, "Stream answers").focus();
  await page.keyboard.press("Enter");
  await shows(page.getByRole("main").getByText("2 of 3 checks failed: lint, unit tests."));
  const lint = page.getByRole("main").getByRole("link", { name: "lint" });
  assert.match(await lint.getAttribute("href"), /^https?:\/\/.+\/runs\/\d+/);
  assert.match(await lint.getAttribute("rel"), /noopener noreferrer/);

  const tones = ["failing", "pending", "ready"].map((name) => page.locator(`.row [data-icon="${name}"]`).first());
  const light = await colours(tones);
  await accessible(page, "light");
  await picture(page, "light");
  await page.emulateMedia({ colorScheme: "dark" });
  const both = new Set([...light, ...(await colours(tones))]);
  assert.equal(both.size, 6, "each theme has its own red, amber and green");
  await accessible(page, "dark");
  await picture(page, "dark");
  await page.emulateMedia({ reducedMotion: "reduce" });
  const motion = await page
    .locator(".row .spins")
    .first()
    .evaluate((element) => getComputedStyle(element).animationName);
  assert.equal(motion, "none");

  await page.setViewportSize({ width: 390, height: 760 });
  await shows(page.getByRole("button", { name: "Chats" }));
  await picture(page, "narrow-details");
  await page.getByRole("button", { name: "Chats" }).click();
  await shows(page.getByRole("grid"));
  await picture(page, "narrow");
}

/** Changes are shown without a reload, also from while the service was away. A title is text. */
export async function live({ stage, tell, open }) {
  const page = await open({ token: stage.token, expected: NETWORK });
  await shows(page.getByText("Live", { exact: true }));
  await page.evaluate(() => {
    globalThis.isTheSamePage = true;
  });
  const [first, second, third, , fifth] = stage.chats.pull_requests;
  const top = () => titles(page).then((all) => all[0]);

  await tell("update", { chat: second, title: "Renamed by somebody" });
  await until("a new title is at the top", top, (title) => title === "Renamed by somebody");
  await tell("update", { chat: first, status: "CHAT_STATUS_RUNNING" });
  await until("it works", () => iconOf(page, "Add a dark"), ([name]) => name === "spinner");
  await tell("update", { chat: first, status: "CHAT_STATUS_COMPLETED" });
  await until("it is done", () => iconOf(page, "Add a dark"), ([, tone]) => tone === "green");

  // The host has something new, and the user has it looked up.
  await tell("merge", { number: stage.chats.numbers[0] });
  await refresh(page, "Add a dark colour scheme");
  await until("it is merged", () => iconOf(page, "Add a dark"), ([name]) => name === "git-merge");

  await tell("create", { title: "Begun meanwhile" });
  await until("a new chat is there", top, (title) => title === "Begun meanwhile");
  const hostile = "<img src=x onerror=\"document.title='owned'\">";
  await tell("create", { title: hostile });
  await until("a title is text", top, (title) => title === hostile);
  await row(page, hostile).click();
  await shows(page.getByRole("heading", { level: 1, name: hostile }));
  // So is the name of a check, which comes from elsewhere.
  await tell("fail", { number: stage.chats.numbers[7], name: hostile });
  await refresh(page, "Count what the cache saves");
  await until("it fails", () => glyphOf(page, "Count what"), ([name]) => name === "failing");
  assert.ok((await hint(page, "Count what")).includes(hostile));
  await row(page, "Count what the cache saves").click();
  await shows(page.getByRole("main").getByRole("link", { name: hostile }));
  assert.equal(await page.locator("img").count(), 0);
  assert.equal(await page.title(), "Chats");

  await tell("archive", { chat: third });
  await goes(row(page, "Split the settings page"));
  await page.getByRole("combobox", { name: "Archived or not" }).selectOption("archived");
  await until("archived chats", () => titles(page), (all) => all.length === 1);
  await shows(row(page, "Split the settings page"));
  await page.getByRole("combobox", { name: "Archived or not" }).selectOption("active");
  await shows(row(page, "Begun meanwhile"));
  await page.getByRole("button", { name: "Merged", exact: true }).click();
  await until("merged ones", () => titles(page), (all) => all.join() === "Add a dark colour scheme");
  // A chat comes to match the filter after a lookup.
  await tell("merge", { number: stage.chats.numbers[4] });
  await page.getByRole("button", { name: "Merged", exact: true }).click();
  await shows(row(page, "Cache avatars"));
  await page.getByRole("button", { name: "Merged", exact: true }).click();
  await until("one is merged", () => titles(page), (all) => all.length === 1);
  await tell("lookup", { chat: fifth });
  await shows(row(page, "Cache avatars"));
  await page.getByRole("button", { name: "Merged", exact: true }).click();

  // A chat comes and goes with the right to read it.
  const reader = await open({ token: stage.reader.token });
  await shows(reader.getByRole("heading", { name: "No chats yet" }));
  await tell("share", { chat: second, with: stage.reader.id });
  await shows(row(reader, "Renamed by somebody"));
  assert.equal(await reader.getByRole("button", { name: /^Refresh/ }).count(), 0);
  await tell("unshare", { chat: second, with: stage.reader.id });
  await shows(reader.getByRole("heading", { name: "No chats yet" }));
  await reader.context().close();

  for (const end of ["kill", "stop"]) {
    await shows(page.getByText("Live", { exact: true }));
    await tell(end);
    await shows(page.getByText("Connecting…"));
    await shows(row(page, "Renamed by somebody"));
    await tell("start");
    // Before the page is back: it resumes from where it was.
    const title = `Renamed after ${end}`;
    await tell("update", { chat: fifth, title });
    await until("the change is seen", top, (at) => at === title);
    await shows(page.getByText("Live", { exact: true }));
  }
  assert.equal(await page.evaluate(() => globalThis.isTheSamePage), true);
}

/** Thousands of rows: few elements, pages as they are scrolled to, filters by the service. */
export async function many({ stage, open, accessible }) {
  const page = await open({ token: stage.token });
  const count = page.locator(".foot [role=status]");
  const toTheEnd = () =>
    page.locator(".scroll").evaluate((element) => {
      element.scrollTop = element.scrollHeight;
    });
  await until("the first page", () => count.textContent(), (text) => text === "100+ chats");
  const began = Date.now();
  let most = 0;
  await until(
    "all pages",
    async () => {
      await toTheEnd();
      most = Math.max(most, await page.getByRole("row").count());
      return count.textContent();
    },
    (text) => text === "5,000 chats",
  );
  const loading = Date.now() - began;
  assert.ok(most < 80, `${most} rows were elements`);
  await toTheEnd();
  await shows(row(page, "Chat number 5000"));

  const frames = await page.locator(".scroll").evaluate(async (element) => {
    const gaps = [];
    let last = performance.now();
    const end = element.scrollHeight - element.clientHeight;
    element.scrollTop = 0;
    for (let step = 0; step <= 120; step += 1) {
      await new Promise((resolve) => requestAnimationFrame(resolve));
      const now = performance.now();
      gaps.push(now - last);
      last = now;
      element.scrollTop = (end * step) / 120;
    }
    return gaps.slice(1).sort((a, b) => a - b);
  });
  const [median, slowest] = [frames[frames.length >> 1], frames.at(-1)];
  console.error(`5,000 chats: loaded in ${loading} ms; frames ${median} ms, slowest ${slowest} ms`);
  assert.ok(median < 40, `a frame takes ${median} ms`);

  await page.locator('.row[tabindex="0"]').focus();
  await page.keyboard.press("End");
  const focused = () => page.evaluate(() => document.activeElement.textContent);
  assert.match(await focused(), /Chat number 5000/);
  await page.keyboard.press("Home");
  assert.match(await focused(), /Chat number 1/);
  assert.ok((await page.getByRole("row").count()) < 80);

  await page.getByLabel("Search titles").fill("number 4321");
  await until("one fits", () => titles(page), (all) => all.join() === "Chat number 4321");
  assert.match(page.url(), /title=number/);
  await page.reload();
  await until("it is kept", () => titles(page), (all) => all.join() === "Chat number 4321");
  await page.getByText("Shared", { exact: true }).click();
  await shows(page.getByRole("heading", { name: "No chat matches" }));
  await accessible(page, "no match");
  await page.getByRole("button", { name: "Clear the filters" }).click();
  await until("all again", () => count.textContent(), (text) => text === "100+ chats");
  await page.getByText("Mine", { exact: true }).click();
  await shows(row(page, "Chat number 2"));
  await page.getByLabel("Repository").fill("acme/web");
  await shows(page.getByRole("heading", { name: "No chat matches" }));
}

/** The page says whatever keeps the list from being complete. */
export async function views({ stage, tell, open, accessible, picture }) {
  const link = `/#sign-in=${stage.code}`;
  const page = await open({ path: link, expected: NETWORK });
  await shows(row(page, "A chat of the owner"));
  assert.equal(new URL(page.url()).hash, "");
  await page.reload();
  await shows(row(page, "A chat of the owner"));

  const late = await open({ path: link, expected: NETWORK });
  await shows(late.getByText("used before"));
  assert.equal(new URL(late.url()).hash, "");
  await accessible(late, "sign in");
  await picture(late, "sign-in");
  await late.getByLabel("Bearer token").fill("not a token");
  await late.getByRole("button", { name: "Sign in" }).click();
  await shows(late.getByText("expired, or is not accepted"));

  const newcomer = await open({ token: stage.newcomer, expected: NETWORK });
  await shows(newcomer.getByRole("heading", { name: "No chats yet" }));
  await accessible(newcomer, "empty");
  await picture(newcomer, "empty");

  const unlinked = await open({ token: stage.unlinked });
  await shows(row(unlinked, "Not linked").getByText("link your GitHub account"));
  await shows(unlinked.getByText("Pull requests are not looked up: link your GitHub account."));
  const paused = await open({ token: stage.paused });
  await shows(row(paused, "Out of requests").getByText(/^paused until .*\d\d:\d\d$/));
  await shows(paused.getByText(/^GitHub is paused until/));
  await accessible(paused, "paused");
  await picture(paused, "paused");

  await tell("stop worker");
  await refresh(page, "A chat of the owner");
  await shows(page.getByText(/^No worker answered: pull requests/));
  await shows(row(page, "A chat of the owner").getByText("No worker answered in time."));
  await picture(page, "no-worker");
  await tell("start worker");
  await until(
    "a worker is back",
    async () => {
      await refresh(page, "A chat of the owner");
      return page.getByText(/^No worker answered: pull requests/).count();
    },
    (notices) => notices === 0,
  );

  const { token } = await tell("token", { seconds: 4 });
  const short = await open({ token });
  await shows(row(short, "A chat of the owner"));
  await shows(short.getByText("expired, or is not accepted"));
  assert.equal(await short.evaluate(() => sessionStorage.length), 0);

  for (const other of [unlinked, paused, short]) await other.context().close();
  await tell("kill");
  await newcomer.getByLabel("Search titles").fill("owner");
  await shows(newcomer.getByRole("heading", { name: "No connection" }));
  await accessible(newcomer, "no connection");
  await picture(newcomer, "no-connection");
  await newcomer.getByRole("button", { name: "Try again" }).click();
  await shows(newcomer.getByRole("heading", { name: "No connection" }));
  await page.getByLabel("Search titles").fill("owner");
  // Rows stay, under a notice; without any there is a view.
  await shows(page.getByText("The chat service cannot be reached."));
  await tell("start");
  await shows(page.getByText("Live", { exact: true }));
  await goes(page.getByText("The chat service cannot be reached."));
  await shows(newcomer.getByRole("heading", { name: "No chat matches" }));
  await until("those that fit", () => titles(page), (all) => all.length === 1);
}
