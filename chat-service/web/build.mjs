// Makes the page: bundles src/ into dist/, which chat-service embeds. The same sources give the
// same bytes.
//
// The generated client must be there: npm run generate. `--out DIR` writes to DIR, not to dist/.
import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";

const root = dirname(fileURLToPath(import.meta.url));
const { out } = parseArgs({ options: { out: { type: "string", default: join(root, "dist") } } }).values;

const bundle = await build({
  absWorkingDir: root,
  entryPoints: ["src/main.tsx", "src/app.css"],
  entryNames: "app",
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022", "chrome116", "firefox121", "safari17"],
  charset: "utf8",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  logLevel: "warning",
  metafile: true,
  write: false,
});

/** The packages that are in the bundle, by their folders. */
function packages() {
  const folders = new Set();
  for (const input of Object.keys(bundle.metafile.inputs)) {
    const match = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (match) folders.add(match[1]);
  }
  return [...folders].sort();
}

const known = (name) => readFile(join(root, "licences", `${name}.txt`), "utf8");

async function licences() {
  const texts = [];
  for (const name of packages()) {
    const folder = join(root, "node_modules", name);
    const { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    // Some packages name their licences, and do not bring them.
    const own = await readFile(join(folder, "LICENSE"), "utf8").catch(() => undefined);
    const whole = own ?? (await Promise.all(license.match(/[\w.-]+-[\w.-]+/g).map(known))).join("\n");
    texts.push(`${name} ${version}, ${license}\n\n${whole.trimEnd()}\n`);
  }
  return texts.join(`\n${"-".repeat(80)}\n\n`);
}

const files = new Map();
for (const { path, contents } of bundle.outputFiles) {
  files.set(path.slice(join(root, "dist/").length), Buffer.from(contents));
}
files.set("icon.svg", await readFile(join(root, "src/icon.svg")));
files.set("licences.txt", Buffer.from(await licences()));

// An asset's version is its content, so that a browser keeps it; the page is asked for each time.
let page = await readFile(join(root, "src/index.html"), "utf8");
for (const name of ["app.js", "app.css", "icon.svg"]) {
  const version = createHash("sha256").update(files.get(name)).digest("hex").slice(0, 16);
  page = page.replace(`"${name}"`, `"/${name}?v=${version}"`);
}
files.set("index.html", Buffer.from(page));

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
for (const [name, contents] of files) {
  await writeFile(join(out, name), contents);
  console.log(`${name}: ${contents.length} bytes`);
}
