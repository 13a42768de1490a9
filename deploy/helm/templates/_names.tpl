{{- /* What several templates say. */}}

{{- define "chats.labels" -}}
app.kubernetes.io/name: {{ . }}
app.kubernetes.io/part-of: chats
{{- end }}

{{- define "chats.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* The most pods of chat-service that are at the database at once: the replicas, one more while they are
       replaced, and one that drains. */}}
{{- define "chats.mostPods" -}}
{{- $service := .Values.chatService }}
{{- $replicas := $service.autoscaling.enabled | ternary $service.autoscaling.maxReplicas $service.replicas }}
{{- add $replicas 2 }}
{{- end }}

{{- /* Connections of one process: its part of what PostgreSQL has. */}}
{{- define "chats.databaseConnections" -}}
{{- $all := sub .Values.database.maxConnections .Values.database.reserved }}
{{- $each := div $all (include "chats.mostPods" . | int) }}
{{- if lt $each 6 }}
{{- fail (printf "database.maxConnections is too low: %d connections for each pod of chat-service, which needs 6" $each) }}
{{- end }}
{{- min $each 500 }}
{{- end }}

{{- define "chats.chatServiceGrace" -}}
{{- add .Values.chatService.drainDelaySeconds .Values.chatService.drainTimeoutSeconds 10 }}
{{- end }}

{{- define "chats.gitsyncServiceGrace" -}}
{{- add .Values.gitsyncService.drainTimeoutSeconds 10 }}
{{- end }}

{{- /* Settings by variable, as env. */}}
{{- define "chats.env" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}

{{- /* The protocol of a gRPC port. Beyond TLS it is ALPN that says HTTP/2. */}}
{{- define "chats.grpcProtocol" -}}
{{- .Values.tls.enabled | ternary "https" "kubernetes.io/h2c" }}
{{- end }}

{{- /* Where chat-service speaks plain text off its pod: the operations listener is for the node and Prometheus. */}}
{{- define "chats.chatServicePlaintext" -}}
{{- $places := .Values.tls.enabled | ternary (list "ops") (list "grpc" "sync" "ops") }}
{{- if and (not .Values.tls.enabled) (eq .Values.gitsyncService.autoscaling.kind "keda") }}{{ $places = append $places "scaler" }}{{ end }}
{{- if .Values.database.plaintext }}{{ $places = append $places "database" }}{{ end }}
{{- join "," $places }}
{{- end }}

{{- define "chats.databasePlaintext" -}}
{{- if .Values.database.plaintext }}
- name: CHAT_PLAINTEXT
  value: database
{{- end }}
{{- end }}

{{- define "chats.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "chats.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "chats.spread" -}}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      app.kubernetes.io/name: {{ $ }}
  # Of one version: those that are being replaced do not count.
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}

{{- /* A name resolver inside of the cluster. */}}
{{- define "chats.toDns" -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
  ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
{{- end }}

{{- define "chats.toDatabase" -}}
- ports:
    - { port: {{ .databasePort }}, protocol: TCP }
  {{- with .database }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "chats.fromMonitoring" -}}
- from:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ .monitoringNamespace }}
{{- end }}
