// Checks each .graphql file of a folder against GitHub's published schema; see validate-queries.
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [modules, folder] = process.argv.slice(2).map((path) => resolve(path));
const require = createRequire(join(modules, "validate.cjs"));
const { buildSchema, Kind, parse, specifiedRules, validate, visit } = require("graphql");
const published = join(modules, "@octokit", "graphql-schema", "schema.graphql");
// As published it defines some fields twice.
const schema = buildSchema(readFileSync(published, "utf8"), { assumeValidSDL: true });

const parsed = readdirSync(folder, { recursive: true })
  .map(String)
  .filter((name) => name.endsWith(".graphql"))
  .sort()
  .map((name) => ({ name, document: parse(readFileSync(join(folder, name), "utf8")) }));
const fragments = new Map();
for (const { name, document } of parsed) {
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION && !name.includes("/")) {
      fragments.set(definition.name.value, definition);
    }
  }
}

// A source has its fragments in files of their own; what is sent has them with it.
function whole(document) {
  const have = new Set();
  const definitions = [...document.definitions];
  for (const definition of definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) have.add(definition.name.value);
  }
  for (let index = 0; index < definitions.length; index += 1) {
    visit(definitions[index], {
      FragmentSpread({ name: { value } }) {
        if (have.has(value) || !fragments.has(value)) return;
        have.add(value);
        definitions.push(fragments.get(value));
      },
    });
  }
  return { ...document, definitions };
}

let failed = 0;
let checked = 0;
for (const { name, document } of parsed) {
  const isQuery = document.definitions.some(({ kind }) => kind === Kind.OPERATION_DEFINITION);
  const rules = isQuery
    ? specifiedRules
    : specifiedRules.filter(({ name: rule }) => rule !== "NoUnusedFragmentsRule");
  const errors = validate(schema, whole(document), rules);
  checked += 1;
  for (const error of errors) {
    failed += 1;
    console.error(`${name}: ${error.message}`);
  }
}
if (checked < 10) {
  failed += 1;
  console.error(`only ${checked} files in ${folder}`);
}
console.log(`${checked} query files, ${failed} problems`);
process.exit(failed === 0 ? 0 : 1);
