// Each of these breaks one thing in what is deployed, and must be found: TOOLS=... node --test
// .ci/manifests/
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import test from "node:test";
import { chartOf, comparable, compose, database, kustomize, schemaProblems, variables } from "./check.mjs";
import { composeProblems, differences, problems } from "./rules.mjs";

const production = kustomize("overlays/production");
const rules = { variables: variables(), database: database("values-production.yaml") };

/** Changes a copy of what production has. */
function broken(change) {
  const objects = structuredClone(production);
  const find = (kind, name) => objects.find((object) => object.kind === kind && object.metadata.name === name);
  change(find, objects);
  return objects;
}

const pod = (workload) => workload.spec.template.spec;
const main = (workload) => pod(workload).containers[0];
const setEnv = (workload, name, value) => {
  main(workload).env.find((entry) => entry.name === name).value = value;
};

const BREAKS = {
  "a Deployment's selector is not in the labels of its pods": [
    (find) => (find("Deployment", "chat-service").spec.selector.matchLabels["app.kubernetes.io/name"] = "chat"),
    /selector is not in the labels/,
  ],
  "a Service selects no pod": [
    (find) => (find("Service", "chat-service").spec.selector = { app: "chat-service" }),
    /Service\/chat-service: it selects no pod/,
  ],
  "a Service's port is no container's": [
    (find) => (find("Service", "chat-service").spec.ports[0].targetPort = "web"),
    /has the port web/,
  ],
  "an autoscaler has more at least than at most": [
    (find) => (find("HorizontalPodAutoscaler", "chat-service").spec.minReplicas = 9),
    /at least 9 and at most 8/,
  ],
  "KEDA's object has more at least than at most": [
    (find) => (find("ScaledObject", "gitsync-service").spec.minReplicaCount = 11),
    /at least 11 and at most 10/,
  ],
  "KEDA asks where nothing is": [
    (find) => (find("ScaledObject", "gitsync-service").spec.triggers[0].metadata.scalerAddress = "scaler.chats.svc:50053"),
    /no Service has the address/,
  ],
  "KEDA speaks plain text to a listener with TLS": [
    (find) => delete find("ScaledObject", "gitsync-service").spec.triggers[0].metadata.enableTLS,
    /does not speak as the scaler's listener does/,
  ],
  "KEDA shows no certificate": [
    (find) => delete find("ScaledObject", "gitsync-service").spec.triggers[0].authenticationRef,
    /it shows no certificate/,
  ],
  "replicas beside an autoscaler": [
    (find) => (find("Deployment", "gitsync-service").spec.replicas = 2),
    /replicas would undo/,
  ],
  "a budget has both fields": [
    (find) => (find("PodDisruptionBudget", "chat-service").spec.minAvailable = 1),
    /one of minAvailable and maxUnavailable/,
  ],
  "a budget selects no pod": [
    (find) => (find("PodDisruptionBudget", "gitsync-service").spec.selector.matchLabels = { app: "x" }),
    /selects no pod/,
  ],
  "a NetworkPolicy's port has another name": [
    (find) => (find("NetworkPolicy", "chat-service").spec.ingress[0].ports[0].port = "http"),
    /no container has the port http/,
  ],
  "the listener for workers is open to all": [
    (find) => delete find("NetworkPolicy", "chat-service").spec.ingress[1].from,
    /more than gitsync-service reaches/,
  ],
  "the operations listener is open to all": [
    (find) => delete find("NetworkPolicy", "chat-service").spec.ingress[2].from,
    /the port ops is open to all/,
  ],
  "chat-service may leave for everywhere": [
    (find) => find("NetworkPolicy", "chat-service").spec.egress.push({ to: [{ ipBlock: { cidr: "0.0.0.0/0" } }] }),
    /only gitsync-service leaves/,
  ],
  "a pod without a NetworkPolicy": [
    (find, objects) => {
      const kept = objects.filter(({ kind, metadata }) => kind !== "NetworkPolicy" || metadata.name === "chat-service");
      objects.splice(0, objects.length, ...kept);
    },
    /no NetworkPolicy is about its Egress/,
  ],
  "a variable that is no setting": [
    (find) => main(find("Deployment", "chat-service")).env.push({ name: "CHAT_DRAIN_DELAI", value: "5s" }),
    /CHAT_DRAIN_DELAI is no setting/,
  ],
  "a setting of the other program": [
    (find) => main(find("Deployment", "gitsync-service")).env.push({ name: "CHAT_LOG", value: "info" }),
    /CHAT_LOG is no setting of gitsync-service/,
  ],
  "a listener without a port": [
    (find) => setEnv(find("Deployment", "chat-service"), "CHAT_SYNC_LISTEN", "[::]:50099"),
    /nothing listens on the port 50052/,
  ],
  "a probe of what is not served": [
    (find) => (main(find("Deployment", "chat-service")).readinessProbe.httpGet.path = "/healthz"),
    /does not serve \/healthz/,
  ],
  "a Secret that nothing reads": [
    (find) => setEnv(find("Deployment", "chat-service"), "CHAT_KEYS_FILE", "/etc/chats/public-key/seal.keys"),
    /nothing names \/etc\/chats\/sealing-keys/,
  ],
  "a file that is not mounted": [
    (find) => setEnv(find("Deployment", "gitsync-service"), "GITSYNC_JWT_KEYS", "/etc/chats/keys/jwt.pub"),
    /\/etc\/chats\/keys\/jwt.pub is not mounted/,
  ],
  "a volume that is not mounted": [
    (find) => pod(find("Deployment", "gitsync-service")).volumes.push({ name: "more", emptyDir: {} }),
    /the volume more is not mounted/,
  ],
  "a pod that may run as root": [
    (find) => delete pod(find("Deployment", "gitsync-service")).securityContext.runAsNonRoot,
    /may run as root/,
  ],
  "a root file system that can be written": [
    (find) => delete main(find("Deployment", "chat-service")).securityContext.readOnlyRootFilesystem,
    /may write its root file system/,
  ],
  "capabilities in an init container": [
    (find) => delete pod(find("Deployment", "chat-service")).initContainers[0].securityContext.capabilities,
    /policy-check keeps capabilities/,
  ],
  "a grace that is shorter than the drain": [
    (find) => (pod(find("Deployment", "chat-service")).terminationGracePeriodSeconds = 25),
    /drains for 25 s and is killed after 25 s/,
  ],
  "a worker's grace that is shorter than its drain": [
    (find) => setEnv(find("Deployment", "gitsync-service"), "GITSYNC_DRAIN_TIMEOUT", "1m"),
    /drains for 60 s/,
  ],
  "a lease that ends before an attempt": [
    (find) => setEnv(find("Deployment", "chat-service"), "CHAT_LEASE_DURATION", "40s"),
    /a lease of 40 s ends before an attempt of 42 s/,
  ],
  "more replicas than PostgreSQL has connections for": [
    (find) => (find("HorizontalPodAutoscaler", "chat-service").spec.maxReplicas = 9),
    /11 pods of chat-service open 198 connections, PostgreSQL has 184/,
  ],
  "pods that are replaced faster than they drain": [
    (find) => (find("Deployment", "chat-service").spec.minReadySeconds = 0),
    /while the one before still drains/,
  ],
  "answers that fit into no memory": [
    (find) => setEnv(find("Deployment", "chat-service"), "CHAT_MAX_UNREAD_MIB", "512"),
    /may need 1280 MiB/,
  ],
  "a worker that speaks plain text to a listener with TLS": [
    (find) => setEnv(find("Deployment", "gitsync-service"), "GITSYNC_CHAT_SERVICE_URL", "http://chat-service-sync:50052"),
    /is not how the listener for workers speaks/,
  ],
  "a worker that calls the public listener": [
    (find) => setEnv(find("Deployment", "gitsync-service"), "GITSYNC_CHAT_SERVICE_URL", "https://chat-service:50051"),
    /no Service leads from/,
  ],
  "a Service that says plain text of a listener with TLS": [
    (find) => (find("Service", "chat-service").spec.ports[0].appProtocol = "kubernetes.io/h2c"),
    /is not how it speaks/,
  ],
  "a certificate without the name that the worker calls": [
    (find) => (find("Certificate", "chat-service").spec.dnsNames = ["chat-service"]),
    /no certificate is of chat-service-sync/,
  ],
  "a certificate that nothing mounts": [
    (find) => (find("Certificate", "gitsync-service").spec.secretName = "gitsync-tls"),
    /nothing mounts gitsync-tls/,
  ],
  "two versions of the image": [
    (find) => (main(find("Deployment", "gitsync-service")).image = "registry.example.com/chats:0.0.9"),
    /several images/,
  ],
  "the same object twice": [
    (find, objects) => objects.push(structuredClone(find("Service", "chat-service"))),
    /Service\/chat-service is there twice/,
  ],
};

for (const [what, [change, found]] of Object.entries(BREAKS)) {
  test(`found: ${what}`, () => {
    const all = problems(broken(change), rules);
    assert.ok(all.some((problem) => found.test(problem)), `found only: ${all.join("; ")}`);
  });
}

test("what is not broken has no problem", () => {
  assert.deepEqual(problems(production, rules), []);
});

const MISSPELT = {
  "a field that Kubernetes does not have": [(find) => (pod(find("Deployment", "chat-service")).securityContexts = {}), /securityContexts/],
  "a field that KEDA does not have": [
    (find) => delete find("ScaledObject", "gitsync-service").spec.scaleTargetRef.name,
    /scaleTargetRef/,
  ],
};

for (const [what, [change, found]] of Object.entries(MISSPELT)) {
  test(`found by the schemas: ${what}`, () => {
    assert.match(schemaProblems(broken(change)).join("\n"), found);
  });
}

test("found: a chart that says something else than the overlay", () => {
  const other = chartOf("--values", "deploy/helm/values-production.yaml", "--set", "chatService.drainDelaySeconds=6");
  const found = differences(comparable(production), comparable(other));
  assert.ok(found.some((difference) => difference.includes("terminationGracePeriodSeconds is 35 and 36")), found.join("\n"));
});

test("refused by the chart: a database with too few connections, and a value that it does not know", () => {
  assert.throws(() => chartOf("--set", "database.maxConnections=40"), /maxConnections is too low/);
  assert.throws(() => chartOf("--set", "chatService.replica=3"), /replica/);
});

test("the example of PostgreSQL has the connections that production counts on", () => {
  const [cluster] = kustomize("postgres");
  const { max_connections } = cluster.spec.postgresql.parameters;
  assert.equal(Number(max_connections), rules.database.maxConnections);
});

test("found in the compose file: a variable that is no setting, and a short grace", () => {
  const file = compose();
  file.services["chat-service"].environment.CHAT_PORT = "1";
  file.services["gitsync-service"].stop_grace_period = "10s";
  const found = composeProblems(file, rules.variables).join("\n");
  assert.match(found, /CHAT_PORT is no setting/);
  assert.match(found, /gitsync-service: it is killed before/);
});

test("every policy is in the ConfigMap", () => {
  const files = execFileSync("git", ["ls-files", "chat-service/policies/*.cedar*"], { encoding: "utf8" });
  const { data } = production.find(({ kind }) => kind === "ConfigMap");
  for (const path of files.trim().split("\n")) {
    assert.equal(data[path.split("/").at(-1)], readFileSync(path, "utf8"));
  }
});
