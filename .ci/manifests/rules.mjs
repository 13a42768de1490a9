// What schemas let pass: rules over the objects of one deployment. Each returns problems as
// sentences.

const WORKLOADS = ["Deployment", "StatefulSet", "Job"];
const PATHS = ["/livez", "/readyz"];
// Memory of chat-service beside answers and changes that are not taken: code, sessions,
// connections, caches.
const CHAT_SERVICE_MIB = 256;

// Networks in which no public git host is.
const PRIVATE = /^(10\.|172\.(1[6-9]|2\d|3[01])\.|192\.168\.|f[cd]..:)/;

const name = (object) => `${object.kind}/${object.metadata.name}`;
const ofKind = (objects, ...kinds) => objects.filter(({ kind }) => kinds.includes(kind));
const template = (workload) => workload.spec.template;
const pods = (objects) => ofKind(objects, ...WORKLOADS);
const containers = (workload) => [
  ...(template(workload).spec.initContainers ?? []),
  ...template(workload).spec.containers,
];
const ports = (workload) => containers(workload).flatMap((container) => container.ports ?? []);
const matches = (labels, selector = {}) =>
  Object.entries(selector).every(([key, value]) => labels?.[key] === value);
const selected = (objects, selector) =>
  pods(objects).filter((workload) =>
    matches(template(workload).metadata?.labels, selector?.matchLabels ?? selector),
  );
const hasPort = (workload, wanted) =>
  ports(workload).some((port) => port.name === wanted || port.containerPort === wanted);
const env = (container) =>
  Object.fromEntries((container.env ?? []).map((entry) => [entry.name, entry.value]));
const deployment = (objects, wanted) =>
  ofKind(objects, "Deployment").find(({ metadata }) => metadata.name === wanted);
const container = (workload, wanted) =>
  workload && containers(workload).find((each) => each.name === wanted);

/** Seconds of `5s`, `2m`, `250ms`, `1h`. */
export function seconds(text) {
  const [, number, unit] = /^(\d+)(ms|s|m|h)$/.exec(text ?? "") ?? [];
  if (unit === undefined) throw new Error(`no duration: ${text}`);
  return Number(number) * { ms: 0.001, s: 1, m: 60, h: 3600 }[unit];
}

/** MiB of `768Mi`, `1Gi`. */
export function mebibytes(text) {
  const [, number, unit] = /^(\d+)(Mi|Gi)$/.exec(text ?? "") ?? [];
  if (unit === undefined) throw new Error(`no amount of memory: ${text}`);
  return Number(number) * { Mi: 1, Gi: 1024 }[unit];
}

function unique(objects) {
  const seen = new Set();
  return objects.flatMap((object) => {
    const key = `${object.apiVersion} ${name(object)}`;
    const twice = seen.has(key);
    seen.add(key);
    return twice ? [`${name(object)} is there twice`] : [];
  });
}

function selectors(objects) {
  const problems = [];
  const known = (object, selector, what) => {
    if (selected(objects, selector).length === 0) {
      problems.push(`${name(object)}: ${what} selects no pod: ${JSON.stringify(selector)}`);
    }
  };
  for (const workload of ofKind(objects, "Deployment", "StatefulSet")) {
    if (!matches(template(workload).metadata.labels, workload.spec.selector.matchLabels)) {
      problems.push(`${name(workload)}: its selector is not in the labels of its pods`);
    }
    for (const spread of template(workload).spec.topologySpreadConstraints ?? []) {
      if (!matches(template(workload).metadata.labels, spread.labelSelector?.matchLabels)) {
        problems.push(`${name(workload)}: it is spread over pods of others`);
      }
    }
  }
  for (const service of ofKind(objects, "Service")) {
    known(service, service.spec.selector, "it");
    for (const workload of selected(objects, service.spec.selector)) {
      for (const port of service.spec.ports) {
        if (!hasPort(workload, port.targetPort ?? port.port)) {
          problems.push(`${name(service)}: no container of ${name(workload)} has the port ${port.targetPort}`);
        }
      }
    }
  }
  for (const budget of ofKind(objects, "PodDisruptionBudget")) {
    known(budget, budget.spec.selector, "it");
    const fields = ["minAvailable", "maxUnavailable"].filter((field) => field in budget.spec);
    if (fields.length !== 1) {
      problems.push(`${name(budget)}: it must have one of minAvailable and maxUnavailable`);
    }
  }
  for (const policy of ofKind(objects, "NetworkPolicy")) {
    known(policy, policy.spec.podSelector, "it");
    const rules = [...(policy.spec.ingress ?? []), ...(policy.spec.egress ?? [])];
    for (const rule of rules) {
      // PostgreSQL is of others, and so are pods of other namespaces.
      if (rule.ports?.some(({ port }) => port === 5432)) continue;
      for (const peer of [...(rule.from ?? []), ...(rule.to ?? [])]) {
        if (peer.podSelector && !peer.namespaceSelector) known(policy, peer.podSelector, "a peer of it");
      }
    }
    const both = (list, of) => (list ?? []).flatMap((rule) => (rule.ports ?? []).map((port) => [of(rule), port]));
    const own = both(policy.spec.ingress, () => selected(objects, policy.spec.podSelector));
    const theirs = both(policy.spec.egress, (rule) =>
      (rule.to ?? []).flatMap((peer) => (peer.podSelector ? selected(objects, peer.podSelector) : [])),
    );
    for (const [workloads, { port }] of [...own, ...theirs]) {
      if (typeof port === "string" && !workloads.some((workload) => hasPort(workload, port))) {
        problems.push(`${name(policy)}: no container has the port ${port}`);
      }
    }
  }
  for (const monitor of ofKind(objects, "ServiceMonitor")) {
    const services = ofKind(objects, "Service").filter(({ metadata }) =>
      matches(metadata.labels, monitor.spec.selector.matchLabels),
    );
    for (const { port } of monitor.spec.endpoints) {
      if (!services.some(({ spec }) => spec.ports.some((each) => each.name === port))) {
        problems.push(`${name(monitor)}: no Service that it selects has the port ${port}`);
      }
    }
  }
  return problems;
}

function scaling(objects) {
  const problems = [];
  const scalers = ofKind(objects, "HorizontalPodAutoscaler", "ScaledObject");
  const targets = new Set();
  for (const scaler of scalers) {
    const least = scaler.spec.minReplicas ?? scaler.spec.minReplicaCount ?? 1;
    const most = scaler.spec.maxReplicas ?? scaler.spec.maxReplicaCount;
    if (!(least <= most)) problems.push(`${name(scaler)}: it has at least ${least} and at most ${most} replicas`);
    const target = deployment(objects, scaler.spec.scaleTargetRef.name);
    if (!target) problems.push(`${name(scaler)}: there is no Deployment ${scaler.spec.scaleTargetRef.name}`);
    else if (target.spec.replicas !== undefined) {
      problems.push(`${name(target)}: replicas would undo what ${name(scaler)} sets`);
    }
    if (targets.has(target)) problems.push(`${name(scaler)}: another object scales its target too`);
    targets.add(target);
    for (const { metadata, authenticationRef } of scaler.spec.triggers ?? []) {
      const speaksTls = metadata.enableTLS === "true";
      const authentication = ofKind(objects, "TriggerAuthentication").find(
        (each) => each.metadata.name === authenticationRef?.name,
      );
      const { CHAT_TLS_CERT_FILE: certificate, CHAT_PLAINTEXT: plaintext = "" } =
        env(container(deployment(objects, "chat-service"), "chat-service"));
      if (speaksTls !== (Boolean(certificate) && !plaintext.split(",").includes("scaler"))) {
        problems.push(`${name(scaler)}: it does not speak as the scaler's listener does`);
      }
      if (speaksTls && !authentication) problems.push(`${name(scaler)}: it shows no certificate`);
      const [, host, port] = /^([^.]+)\.[^:]+:(\d+)$/.exec(metadata.scalerAddress ?? "") ?? [];
      const service = ofKind(objects, "Service").find((each) => each.metadata.name === host);
      if (!service?.spec.ports.some((each) => each.port === Number(port))) {
        problems.push(`${name(scaler)}: no Service has the address ${metadata.scalerAddress}`);
      }
    }
  }
  return problems;
}

/** `settings`: the variables of each program, by its name. */
function settings(objects, settings) {
  const problems = [];
  for (const workload of pods(objects)) {
    for (const each of containers(workload)) {
      const program = each.command?.[0];
      if (!(program in settings)) continue;
      const where = `${name(workload)}, ${each.name}`;
      const values = env(each);
      for (const variable of Object.keys(values)) {
        if (!settings[program].some((known) => known.test(variable))) {
          problems.push(`${where}: ${variable} is no setting of ${program}`);
        }
      }
      const listens = Object.entries(values)
        .filter(([variable]) => variable.endsWith("LISTEN"))
        .map(([, value]) => Number(value.split(":").at(-1)));
      const named = (each.ports ?? []).map((port) => port.containerPort);
      for (const port of named.filter((port) => !listens.includes(port))) {
        problems.push(`${where}: nothing listens on the port ${port}`);
      }
      for (const port of listens.filter((port) => !named.includes(port))) {
        problems.push(`${where}: the port ${port} that it listens on is not named`);
      }
      for (const probe of ["startupProbe", "livenessProbe", "readinessProbe"]) {
        const http = each[probe]?.httpGet;
        if (http && !(PATHS.includes(http.path) && http.port === "ops")) {
          problems.push(`${where}: the operations listener does not serve ${http.path} on ${http.port}`);
        }
      }
    }
  }
  return problems;
}

/** Every volume is mounted, and each file of a Secret is named by a setting or an argument. */
function volumes(objects) {
  const problems = [];
  for (const workload of pods(objects)) {
    const claims = (workload.spec.volumeClaimTemplates ?? []).map(({ metadata }) => ({ name: metadata.name }));
    const declared = [...(template(workload).spec.volumes ?? []), ...claims];
    const mounted = new Set();
    for (const each of containers(workload)) {
      const texts = [...(each.command ?? []), ...(each.args ?? []), ...Object.values(env(each))].filter(Boolean);
      const mounts = each.volumeMounts ?? [];
      for (const mount of mounts) {
        mounted.add(mount.name);
        const volume = declared.find((volume) => volume.name === mount.name);
        if (!volume) problems.push(`${name(workload)}: there is no volume ${mount.name}`);
        const isGiven = volume && (volume.secret || volume.configMap || volume.projected);
        if (isGiven && !texts.some((text) => text.startsWith(mount.mountPath))) {
          problems.push(`${name(workload)}, ${each.name}: nothing names ${mount.mountPath}`);
        }
      }
      for (const text of texts.filter((text) => text.startsWith("/etc/chats/"))) {
        if (!mounts.some(({ mountPath }) => text === mountPath || text.startsWith(`${mountPath}/`))) {
          problems.push(`${name(workload)}, ${each.name}: ${text} is not mounted`);
        }
      }
    }
    for (const volume of declared.filter((volume) => !mounted.has(volume.name))) {
      problems.push(`${name(workload)}: the volume ${volume.name} is not mounted`);
    }
  }
  return problems;
}

/** Pod security as the standard `restricted` requires, and a read-only root file system. */
function security(objects) {
  const problems = [];
  for (const workload of pods(objects)) {
    const pod = template(workload).spec;
    const demand = (holds, what) => holds || problems.push(`${name(workload)}: ${what}`);
    demand(pod.securityContext?.runAsNonRoot === true, "it may run as root");
    demand(pod.securityContext?.seccompProfile?.type === "RuntimeDefault", "it has no seccomp profile");
    demand(pod.automountServiceAccountToken === false, "it has a token for the API server");
    demand(pod.enableServiceLinks === false, "Services would be announced in its environment");
    demand(!pod.hostNetwork && !pod.hostPID && !pod.hostIPC, "it shares namespaces with the node");
    demand(!(pod.volumes ?? []).some((volume) => volume.hostPath), "it mounts the node's files");
    for (const each of containers(workload)) {
      const context = each.securityContext ?? {};
      demand(context.allowPrivilegeEscalation === false, `${each.name} may gain privileges`);
      demand(context.readOnlyRootFilesystem === true, `${each.name} may write its root file system`);
      demand(context.capabilities?.drop?.includes("ALL"), `${each.name} keeps capabilities`);
      demand(!context.privileged && !context.capabilities?.add?.length, `${each.name} has privileges`);
      demand(each.resources?.requests?.memory && each.resources?.limits?.memory, `${each.name} has no bound of memory`);
    }
  }
  return problems;
}

/** Who may reach the listener for workers, and who may leave for git hosts. */
function network(objects) {
  const problems = [];
  const policies = ofKind(objects, "NetworkPolicy");
  for (const workload of pods(objects)) {
    const labels = template(workload).metadata.labels;
    const own = policies.filter(({ spec }) => matches(labels, spec.podSelector.matchLabels));
    for (const type of ["Ingress", "Egress"]) {
      if (!own.some(({ spec }) => spec.policyTypes.includes(type))) {
        problems.push(`${name(workload)}: no NetworkPolicy is about its ${type}`);
      }
    }
    const leaves = own.flatMap(({ spec }) => spec.egress ?? []).filter((rule) =>
      (rule.to ?? []).some((peer) => peer.ipBlock && !PRIVATE.test(peer.ipBlock.cidr)),
    );
    if (leaves.length > 0 && workload.metadata.name !== "gitsync-service") {
      problems.push(`${name(workload)}: only gitsync-service leaves for git hosts`);
    }
  }
  const rules = policies.flatMap(({ spec }) => spec.ingress ?? []);
  for (const rule of rules) {
    const reached = (rule.ports ?? []).map(({ port }) => port);
    if (rule.ports === undefined) problems.push("an ingress rule is for every port");
    const workers = (rule.from ?? []).every(
      (peer) => !peer.namespaceSelector && !peer.ipBlock && selected(objects, peer.podSelector)
        .every(({ metadata }) => metadata.name === "gitsync-service"),
    );
    if (reached.some((port) => port === "sync" || port === 50052) && !(rule.from?.length && workers)) {
      problems.push("more than gitsync-service reaches the listener for workers");
    }
    for (const closed of ["ops", "scaler"]) {
      if (reached.includes(closed) && !rule.from?.length) problems.push(`the port ${closed} is open to all`);
    }
  }
  return problems;
}

/** The worker speaks with chat-service as that listens. */
function addresses(objects) {
  const chat = env(container(deployment(objects, "chat-service"), "chat-service"));
  const { GITSYNC_CHAT_SERVICE_URL: url } = env(container(deployment(objects, "gitsync-service"), "gitsync-service"));
  const { protocol, hostname, port } = new URL(url);
  const service = ofKind(objects, "Service").find(({ metadata }) => metadata.name === hostname.split(".")[0]);
  const found = service?.spec.ports.find((each) => each.port === Number(port) && each.targetPort === "sync");
  const isPlain = (chat.CHAT_PLAINTEXT ?? "").split(",").includes("sync");
  const speaksTls = "CHAT_TLS_CERT_FILE" in chat && !isPlain;
  return [
    ...(found ? [] : [`gitsync-service: no Service leads from ${url} to the listener for workers`]),
    ...(speaksTls === (protocol === "https:") ? [] : [`gitsync-service: ${url} is not how the listener for workers speaks`]),
    ...ofKind(objects, "Service").flatMap(({ metadata, spec }) =>
      spec.ports
        .filter(({ name: of, appProtocol }) => ["grpc", "sync", "scaler"].includes(of) && (appProtocol === "https") !== speaksTls)
        .map(({ appProtocol }) => `Service/${metadata.name}: ${appProtocol} is not how it speaks`),
    ),
  ];
}

/** Certificates that are made here name what clients call, and go where they are mounted. */
function certificates(objects) {
  const made = ofKind(objects, "Certificate");
  const mounted = [
    ...pods(objects).flatMap((workload) =>
      (template(workload).spec.volumes ?? []).map((volume) => volume.secret?.secretName),
    ),
    ...ofKind(objects, "TriggerAuthentication").flatMap(({ spec }) => spec.secretTargetRef.map((each) => each.name)),
  ];
  const { GITSYNC_CHAT_SERVICE_URL: url } = env(container(deployment(objects, "gitsync-service"), "gitsync-service"));
  const named = made.flatMap(({ spec }) => spec.dnsNames);
  return [
    ...made
      .filter(({ spec }) => !spec.isCA && !mounted.includes(spec.secretName))
      .map((certificate) => `${name(certificate)}: nothing mounts ${certificate.spec.secretName}`),
    ...(made.length > 0 && !named.includes(new URL(url).hostname)
      ? [`gitsync-service: no certificate is of ${new URL(url).hostname}`]
      : []),
  ];
}

/** Numbers of different objects that must agree. `database`: max_connections and its reserve. */
function agreement(objects, database) {
  const problems = [];
  const chat = deployment(objects, "chat-service");
  const gitsync = deployment(objects, "gitsync-service");
  const [chatEnv, gitsyncEnv] = [
    env(container(chat, "chat-service")),
    env(container(gitsync, "gitsync-service")),
  ];
  const grace = (workload) => template(workload).spec.terminationGracePeriodSeconds ?? 30;
  const drain = seconds(chatEnv.CHAT_DRAIN_DELAY) + seconds(chatEnv.CHAT_DRAIN_TIMEOUT);
  // Listeners close for a second after the drain; the rest is the node's own time.
  if (grace(chat) < drain + 5) {
    problems.push(`chat-service drains for ${drain} s and is killed after ${grace(chat)} s`);
  }
  const workerDrain = seconds(gitsyncEnv.GITSYNC_DRAIN_TIMEOUT);
  if (grace(gitsync) < workerDrain + 5) {
    problems.push(`gitsync-service drains for ${workerDrain} s and is killed after ${grace(gitsync)} s`);
  }
  const attempt = seconds(gitsyncEnv.GITSYNC_TICK_TIMEOUT) + seconds(gitsyncEnv.GITSYNC_REQUEST_TIMEOUT);
  const lease = seconds(chatEnv.CHAT_LEASE_DURATION);
  if (lease <= attempt) problems.push(`a lease of ${lease} s ends before an attempt of ${attempt} s`);

  if (chat.spec.minReadySeconds < grace(chat)) {
    problems.push("chat-service: the next pod is replaced while the one before still drains");
  }
  const scaler = ofKind(objects, "HorizontalPodAutoscaler").find(
    ({ spec }) => spec.scaleTargetRef.name === "chat-service",
  );
  const replicas = scaler?.spec.maxReplicas ?? chat.spec.replicas;
  const most = replicas + chat.spec.strategy.rollingUpdate.maxSurge + 1;
  const connections = most * Number(chatEnv.CHAT_DATABASE_CONNECTIONS);
  const free = database.maxConnections - database.reserved;
  if (!(connections <= free)) {
    problems.push(`${most} pods of chat-service open ${connections} connections, PostgreSQL has ${free} for them`);
  }
  const limit = mebibytes(container(chat, "chat-service").resources.limits.memory);
  const needed = CHAT_SERVICE_MIB + 2 * Number(chatEnv.CHAT_MAX_UNREAD_MIB);
  if (limit < needed) problems.push(`chat-service may need ${needed} MiB and is killed at ${limit} MiB`);
  return problems;
}

/** One version of the image everywhere. */
function images(objects) {
  const used = new Set(
    pods(objects)
      .flatMap(containers)
      .filter(({ command }) => ["chat-service", "gitsync-service"].includes(command?.[0]))
      .map(({ image }) => image),
  );
  return used.size === 1 ? [] : [`several images: ${[...used].join(", ")}`];
}

/** All problems of a deployment. */
export function problems(objects, { variables, database }) {
  return [
    ...unique(objects),
    ...selectors(objects),
    ...scaling(objects),
    ...settings(objects, variables),
    ...volumes(objects),
    ...security(objects),
    ...network(objects),
    ...addresses(objects),
    ...certificates(objects),
    ...agreement(objects, database),
    ...images(objects),
  ];
}

/** Problems of a compose file: variables that are no settings, and graces that are too short. */
export function composeProblems({ services }, variables) {
  return Object.entries(services).flatMap(([of, { command, environment = {}, stop_grace_period: grace }]) => {
    const [program, ...rest] = command ?? [];
    if (!(program in variables)) return [];
    const unknown = Object.keys(environment).filter((each) => !variables[program].some((known) => known.test(each)));
    const isShort = rest.every((each) => each === "serve") && !(seconds(grace) >= 30);
    return [
      ...unknown.map((variable) => `compose, ${of}: ${variable} is no setting of ${program}`),
      ...(isShort ? [`compose, ${of}: it is killed before it has drained`] : []),
    ];
  });
}

/** What differs between two renderings of the same deployment, object by object. */
export function differences(one, other) {
  const byKey = (objects) => new Map(objects.map((object) => [`${object.apiVersion} ${name(object)}`, object]));
  const [left, right] = [byKey(one), byKey(other)];
  const keys = [...new Set([...left.keys(), ...right.keys()])].sort();
  return keys.flatMap((key) => {
    if (!left.has(key) || !right.has(key)) return [`${key} is in one of them only`];
    return paths(left.get(key), right.get(key)).map((path) => `${key}: ${path}`);
  });
}

function paths(one, other, path = "") {
  if (one === other) return [];
  const isObject = (value) => typeof value === "object" && value !== null;
  if (!isObject(one) || !isObject(other) || Array.isArray(one) !== Array.isArray(other)) {
    return [`${path || "."} is ${JSON.stringify(one)} and ${JSON.stringify(other)}`];
  }
  const keys = [...new Set([...Object.keys(one), ...Object.keys(other)])];
  return keys.flatMap((key) => paths(one[key], other[key], `${path}.${key}`));
}
