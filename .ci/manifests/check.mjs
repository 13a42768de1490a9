// Renders the manifests and the chart, and checks them: node .ci/manifests/check.mjs TOOLS
// [--write]
//
// TOOLS has kubectl, helm, node_modules and python, as .ci/deploy installs them. With --write, what
// deploy/k8s has of the chart is written anew first.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { composeProblems, differences, problems } from "./rules.mjs";

const isMain = process.argv[1] === fileURLToPath(import.meta.url);
const tools = resolve(isMain ? process.argv[2] : process.env.TOOLS);
const require = createRequire(join(tools, "node_modules", "x.cjs"));
const YAML = require("yaml");
const chart = "deploy/helm";
const k8s = "deploy/k8s";

const VERSIONS = process.env.KUBERNETES_VERSIONS.split(" ");
// Models of objects that Kubernetes itself does not know.
const MODELS = {
  "cert-manager.io/v1": "@kubernetes-models/cert-manager/cert-manager.io/v1",
  "keda.sh/v1alpha1": "@kubernetes-models/keda/keda.sh/v1alpha1",
  "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
};
// An overlay, and the chart's values that say the same.
const OVERLAYS = { local: "values-local.yaml", production: "values-production.yaml" };
// Components that no overlay takes, and the chart's values that say the same.
const OTHERS = {
  components: ["worker-hpa", "monitoring"],
  values: ["gitsyncService.autoscaling.kind=metrics", "monitoring.enabled=true"],
};
// Other values of the chart, together.
const VARIANT = [
  "database.pooled=true",
  `image.digest=sha256:${"0".repeat(64)}`,
  "chatService.autoscaling.enabled=false",
  "chatService.settings.CHAT_LOG=debug",
  "secrets.oauth=chat-oauth",
  "chatService.settings.GIT_PROVIDER_1_OAUTH_CLIENT_SECRET_FILE=/etc/chats/oauth/github",
  "gitsyncService.settings.GITSYNC_GRAPHQL=false",
  "podDisruptionBudget.enabled=false",
  "tls.enabled=false",
];
// Files of deploy/k8s that the chart writes: the directory, the values, the templates.
const WRITTEN = [
  { to: "base", set: [], templates: ["chat-service", "gitsync-service", "migration", "network-policies"] },
  { to: "components/certificates", set: ["tls.issuer.name=chats-ca"], templates: ["certificates"] },
  { to: "components/keda", set: ["gitsyncService.autoscaling.kind=keda", "tls.issuer.name=chats-ca"], templates: ["worker-autoscaling"] },
  { to: "components/worker-hpa", set: ["gitsyncService.autoscaling.kind=metrics"], templates: ["worker-autoscaling"] },
  { to: "components/monitoring", set: ["monitoring.enabled=true", "monitoring.dashboard=false"], templates: ["monitoring"] },
];

const run = (program, ...rest) =>
  execFileSync(join(tools, program), rest, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 26 });
const helm = (...rest) => run("helm", "template", "chats", chart, "--namespace", "chats", ...rest);
export const kustomize = (directory) => parse(run("kubectl", "kustomize", join(k8s, directory)));
export const chartOf = (...rest) => parse(helm(...rest));

// As Kubernetes reads it: 0440 is an octal number.
function parse(text) {
  return YAML.parseAllDocuments(text, { version: "1.1" })
    .map((document) => document.toJS())
    .filter(Boolean);
}

/** The text of a directory's file, as the chart has it. */
function writtenText(set, template) {
  // In deploy/k8s policies come from chat-service/policies, and a hook is Helm's.
  const sets = ["policies.create=false", "migration.hook=false", ...set].flatMap((value) => ["--set", value]);
  const text = helm(...sets, "--show-only", `templates/${template}.yaml`);
  const body = text.replace(/^# Source: .*\n/gm, "").replace(/^---\n/, "").replace(/^[ \t]+\n/gm, "");
  return `# Written by \`bash .ci/deploy --write\` from ${chart}/templates/${template}.yaml.\n${body}`;
}

function written(write) {
  return WRITTEN.flatMap(({ to, set, templates }) =>
    templates.flatMap((template) => {
      const path = join(k8s, to, `${template}.yaml`);
      const text = writtenText(set, template);
      if (write) {
        mkdirSync(join(k8s, to), { recursive: true });
        writeFileSync(path, text);
      }
      return readFileSync(path, "utf8") === text ? [] : [`${path} is not what the chart says: bash .ci/deploy --write`];
    }),
  );
}

/** The programs' variables from the tables of their documentation, which a test compares. */
export function variables(text = readFileSync("deploy/docs/configuration.md", "utf8")) {
  const table = (prefix) => {
    const [, rest] = text.split(`all beginning with \`${prefix}\``);
    const rows = rest.split("\n").slice(1).filter(Boolean);
    const end = rows.findIndex((row) => !row.startsWith("|"));
    const names = rows.slice(0, end).flatMap((row) => [...row.matchAll(/`([A-Z_0-9]+)`/g)].map((match) => match[1]));
    return names.map((each) => new RegExp(`^${prefix}${each}$`));
  };
  return {
    "chat-service": [...table("CHAT_"), /^GIT_PROVIDER_\d+_[A-Z_]+$/, /^SSL_CERT_(FILE|DIR)$/],
    "gitsync-service": [...table("GITSYNC_"), /^SSL_CERT_(FILE|DIR)$/],
  };
}

/** What PostgreSQL has for a deployment: by the chart's values. */
export function database(values) {
  const read = (file) => YAML.parse(readFileSync(join(chart, file), "utf8"))?.database ?? {};
  return { ...read("values.yaml"), ...(values ? read(values) : {}) };
}

/** Leaves out what one of the two ways to deploy has by its nature. */
export function comparable(objects) {
  const copies = structuredClone(objects).filter(
    ({ kind, metadata }) => kind !== "Namespace" && metadata.labels?.["app.kubernetes.io/part-of"] === "chats",
  );
  return copies.map((object) => {
    delete object.metadata.namespace;
    const drop = (annotations, ...keys) => {
      for (const key of keys) delete annotations?.[key];
      return annotations && Object.keys(annotations).length > 0;
    };
    if (!drop(object.metadata.annotations, "helm.sh/hook", "helm.sh/hook-delete-policy")) {
      delete object.metadata.annotations;
    }
    const template = object.spec?.template;
    if (template && !drop(template.metadata.annotations, "checksum/policies")) {
      delete template.metadata.annotations;
    }
    // Kustomize ends the name of a ConfigMap that it makes with a hash of what is in it.
    if (object.kind === "ConfigMap") object.metadata.name = object.metadata.name.replace(/-[a-z0-9]{10}$/, "");
    for (const volume of template?.spec.volumes ?? []) {
      if (volume.configMap) volume.configMap.name = volume.configMap.name.replace(/-[a-z0-9]{10}$/, "");
    }
    // The order of these means nothing.
    for (const each of [...(template?.spec.containers ?? []), ...(template?.spec.initContainers ?? [])]) {
      for (const list of ["env", "ports", "volumeMounts"]) each[list]?.sort(byName);
    }
    template?.spec.volumes?.sort(byName);
    return object;
  });
}

const byName = (one, other) => one.name.localeCompare(other.name);

/** What deploy/compose.yaml says. */
export const compose = () => YAML.parse(readFileSync("deploy/compose.yaml", "utf8"), { merge: true });

/** Problems by the schemas: of Kubernetes itself, and of the operators'. */
export function schemaProblems(objects) {
  const found = [];
  const ours = objects.filter(({ apiVersion }) => !(apiVersion in MODELS));
  const path = join(tools, "rendered.yaml");
  for (const version of VERSIONS) {
    writeFileSync(path, ours.map((object) => JSON.stringify(object)).join("\n---\n"));
    try {
      run("kubernetes-validate", "-k", version, "--strict", "--quiet", path);
    } catch (error) {
      found.push(`Kubernetes ${version}: ${error.stdout}${error.stderr}`);
    }
  }
  for (const object of objects.filter(({ apiVersion }) => apiVersion in MODELS)) {
    const Model = require(join(tools, "node_modules", MODELS[object.apiVersion]))[object.kind];
    try {
      new Model(object).validate();
    } catch (error) {
      found.push(`${object.kind}/${object.metadata.name}: ${error.message}`);
    }
  }
  return found;
}

/** The base with components, as an overlay that is gone again. */
function withComponents(components) {
  const directory = mkdtempSync(join(k8s, ".check-"));
  try {
    const kustomization = {
      apiVersion: "kustomize.config.k8s.io/v1beta1",
      kind: "Kustomization",
      resources: ["../base"],
      components: components.map((each) => `../components/${each}`),
    };
    writeFileSync(join(directory, "kustomization.yaml"), JSON.stringify(kustomization));
    return kustomize(relative(k8s, directory));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Every deployment, by what it is. */
export function deployments() {
  const all = {};
  const sets = (values) => values.flatMap((value) => ["--set", value]);
  all["other components"] = { objects: withComponents(OTHERS.components), values: undefined };
  all["chart with other components"] = { objects: chartOf(...sets(OTHERS.values)), values: undefined };
  all["chart with other values"] = { objects: chartOf(...sets(VARIANT)), values: undefined };
  all.base = { objects: kustomize("base"), values: undefined };
  for (const [overlay, values] of Object.entries(OVERLAYS)) {
    all[`overlay ${overlay}`] = { objects: kustomize(`overlays/${overlay}`), values };
  }
  all.chart = { objects: chartOf(), values: undefined };
  for (const values of Object.values(OVERLAYS)) {
    all[`chart with ${values}`] = { objects: chartOf("--values", join(chart, values)), values };
  }
  return all;
}

function main() {
  const found = written(process.argv.includes("--write"));
  const all = deployments();
  for (const [of, { objects, values }] of Object.entries(all)) {
    const rules = { variables: variables(), database: database(values) };
    const here = problems(objects, rules);
    found.push(...here.map((problem) => `${of}: ${problem}`));
    console.log(`${of}: ${objects.length} objects`);
  }
  found.push(...composeProblems(compose(), variables()));
  found.push(...schemaProblems(Object.values(all).flatMap(({ objects }) => objects)));
  const pairs = [["base", "chart"], ["other components", "chart with other components"], ...Object.entries(OVERLAYS).map(([overlay, values]) => [`overlay ${overlay}`, `chart with ${values}`])];
  for (const [one, other] of pairs) {
    const differ = differences(comparable(all[one].objects), comparable(all[other].objects));
    found.push(...differ.map((difference) => `${one} and ${other} differ: ${difference}`));
  }
  for (const problem of found) console.error(problem);
  console.log(`${found.length} problems`);
  process.exitCode = found.length === 0 ? 0 : 1;
}

if (isMain) main();
