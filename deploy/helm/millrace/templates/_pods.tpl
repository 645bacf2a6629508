{{/* What restricted Pod Security wants of a pod; takes (dict "uid" 65532 "gid" 65532). */}}
{{- define "millrace.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .uid }}
runAsGroup: {{ .gid }}
fsGroup: {{ .gid }}
# Only where the owner is another: a volume with many models would take minutes at each start.
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{/* And of each container. */}}
{{- define "millrace.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* The user of Millrace's own images. */}}
{{- define "millrace.ownUser" -}}
{{- include "millrace.podSecurity" (dict "uid" 65532 "gid" 65532) -}}
{{- end -}}

{{- define "millrace.pullSecrets" -}}
{{- with concat .Values.image.pullSecrets (default list .Values.global.imagePullSecrets) }}
imagePullSecrets:
{{- range . }}
  - name: {{ kindIs "map" . | ternary (get (kindIs "map" . | ternary . dict) "name") . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Settings by name, as variables: `maxQueueDepth: 512` is MILLRACE_MAX_QUEUE_DEPTH. */}}
{{- define "millrace.settingsEnv" -}}
{{- range $name, $value := . }}
- name: MILLRACE_{{ regexReplaceAll "([a-z0-9])([A-Z])" $name "${1}_${2}" | replace "." "_" | upper }}
  value: {{ include "millrace.settingText" $value | quote }}
{{- end }}
{{- end -}}

{{/* Helm reads whole numbers as floats, and would write a large one as 1e+11. */}}
{{- define "millrace.settingText" -}}
{{- if kindIs "float64" . -}}
{{- if eq (floor .) . }}{{ printf "%.0f" . }}{{ else }}{{ . }}{{ end -}}
{{- else if kindIs "slice" . }}{{ join "," . }}
{{- else }}{{ . }}{{ end -}}
{{- end -}}

{{/* The grace period of a pod, in seconds: all that it does when it stops, and a margin. Milliseconds are rounded up. */}}
{{- define "millrace.gatewayGrace" -}}
{{- $drain := .Values.gateway.drain -}}
{{- $ms := add (int $drain.delayMs) (int $drain.timeoutMs) 999 -}}
{{- add (int $drain.preStopSeconds) (div $ms 1000) (int $drain.marginSeconds) -}}
{{- end -}}

{{- define "millrace.workerGrace" -}}
{{- add (div (add (int .drain.timeoutMs) 999) 1000) (int .drain.marginSeconds) -}}
{{- end -}}

{{/* OpenTelemetry's own variables, and which pod of which namespace it is that speaks. */}}
{{- define "millrace.telemetryEnv" -}}
{{- with .Values.telemetry }}
{{- if .endpoint }}
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- { name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .endpoint | quote }} }
- { name: OTEL_EXPORTER_OTLP_PROTOCOL, value: {{ .protocol }} }
- { name: OTEL_METRICS_EXPORTER, value: {{ .metrics }} }
- { name: OTEL_TRACES_SAMPLER, value: parentbased_traceidratio }
- { name: OTEL_TRACES_SAMPLER_ARG, value: {{ .tracesShare | quote }} }
- { name: OTEL_RESOURCE_ATTRIBUTES, value: "k8s.namespace.name={{ $.Release.Namespace }},k8s.pod.name=$(POD_NAME)" }
{{- end }}
{{- end }}
{{- end -}}

{{- define "millrace.workerTlsEnv" -}}
{{- if .Values.workerTls.existingSecret }}
- { name: MILLRACE_WORKER_TLS_CERT_FILE, value: /etc/millrace/worker-tls/tls.crt }
- { name: MILLRACE_WORKER_TLS_KEY_FILE, value: /etc/millrace/worker-tls/tls.key }
- { name: MILLRACE_WORKER_TLS_CA_FILE, value: /etc/millrace/worker-tls/ca.crt }
{{- end }}
{{- end -}}

{{/* Not of everybody's: the keys would be called too open. */}}
{{- define "millrace.tlsVolume" -}}
- name: {{ .name }}
  secret: { secretName: {{ .secret }}, defaultMode: 0440 }
{{- end -}}

{{- define "millrace.spread" -}}
{{- range $key := .keys }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- $.selector | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end -}}
