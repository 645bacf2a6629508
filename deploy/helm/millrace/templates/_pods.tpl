{{/*
The resources of a container, as YAML; takes (dict "where" "gateway.resources" "resources" …). Fails where more is asked for than allowed:
Kubernetes would take the Deployment, and make no pod of it.
*/}}
{{- define "millrace.resources" -}}
{{- $where := .where -}}
{{- $resources := default dict .resources -}}
{{- $requests := default dict $resources.requests -}}
{{- $limits := default dict $resources.limits -}}
{{- range $name, $limit := $limits -}}
{{- with get $requests $name -}}
{{- if gt (include "millrace.quantity" . | float64) (include "millrace.quantity" $limit | float64) -}}
{{- fail (printf "%s asks for %v of %s and allows %v, so that Kubernetes would start no pod. Raise limits.%s, or set it to null for none." $where . $name $limit $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* As a plain number: "500m" is 0.5, "2Gi" 2147483648. */}}
{{- define "millrace.quantity" -}}
{{- $units := dict "" 1.0 "n" 1e-9 "u" 1e-6 "m" 1e-3 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 -}}
{{- $text := ternary (printf "%f" .) (toString .) (kindIs "float64" .) -}}
{{- $unit := regexFind "[a-zA-Z]*$" $text -}}
{{- printf "%.9f" (mulf (trimSuffix $unit $text | float64) (get $units $unit)) -}}
{{- end -}}

{{/* The map without what is `null` in it, however deep: a pool says so where it wants nothing of what the defaults have. */}}
{{- define "millrace.dropNulls" -}}
{{- range $key, $value := deepCopy . -}}
{{- if kindIs "invalid" $value }}{{ $_ := unset $ $key -}}
{{- else if kindIs "map" $value }}{{ include "millrace.dropNulls" (get $ $key) }}{{ end -}}
{{- end -}}
{{- end -}}

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

{{/* Where bundled stores and Jobs may run. */}}
{{- define "millrace.placement" -}}
{{- with .Values.placement.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.placement.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Constraints of your own; those that choose no pods choose those of this Deployment, since Kubernetes would let them choose none. */}}
{{- define "millrace.ownSpread" -}}
{{- $constraints := list -}}
{{- range .constraints -}}
{{- $selector := dict "labelSelector" (dict "matchLabels" (fromYaml $.selector)) -}}
{{- $constraints = append $constraints (ternary . (merge $selector .) (hasKey . "labelSelector")) -}}
{{- end -}}
{{- toYaml $constraints -}}
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
