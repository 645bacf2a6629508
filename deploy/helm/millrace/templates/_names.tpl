{{- define "millrace.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The beginning of the names of all objects: the release's name, which is not said twice. Short, since names of pools come behind it. */}}
{{- define "millrace.fullname" -}}
{{- $name := include "millrace.name" . -}}
{{- /* A release may have dots in its name, and a Service may not. */ -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name $release -}}
{{- $release | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" $release $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What a Service or a policy chooses pods by; takes (dict "root" $ "component" "gateway"). It must never change. */}}
{{- define "millrace.selector" -}}
app.kubernetes.io/name: {{ include "millrace.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .pool }}
millrace.dev/pool: {{ . }}
{{- end }}
{{- end -}}

{{/* Labels of your own: those of one object, which win, and those that all objects get. The chart's own are refused: pods are found by them. */}}
{{- define "millrace.ownLabels" -}}
{{- $labels := merge (deepCopy (default dict .more)) .root.Values.commonLabels -}}
{{- range $label, $_ := $labels -}}
{{- if regexMatch "^(app\\.kubernetes\\.io/(name|instance|component|version|managed-by)|helm\\.sh/chart|millrace\\.dev/.*)$" $label -}}
{{- fail (printf "The label %s is among commonLabels, podLabels or the labels of monitoring, and the chart sets it itself. Leave it out." $label) -}}
{{- end -}}
{{- end -}}
{{- toYaml $labels -}}
{{- end -}}

{{- define "millrace.labels" -}}
{{- $more := include "millrace.ownLabels" . | fromYaml -}}
{{ include "millrace.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ get $more "app.kubernetes.io/part-of" | default "millrace" }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with omit $more "app.kubernetes.io/part-of" }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Of pods: without the versions, or a new version of the chart would start all of them anew, also where nothing else has changed. */}}
{{- define "millrace.podLabels" -}}
{{ include "millrace.selector" . }}
{{- with include "millrace.ownLabels" . | fromYaml }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* takes (dict "root" $ "image" .Values.image.gateway); `suffix` and `digest` for the variant with CUDA. */}}
{{- define "millrace.image" -}}
{{- $tag := printf "%s%s" (default .root.Chart.AppVersion .image.tag) (default "" .suffix) -}}
{{- $digest := ternary .digest .image.digest (hasKey . "digest") -}}
{{- $name := printf "%s/%s" .root.Values.image.registry .image.repository | trimPrefix "/" -}}
{{- include "millrace.mirrored" (dict "root" .root "image" (ternary (printf "%s@%s" $name $digest) (printf "%s:%s" $name $tag) (ne $digest ""))) -}}
{{- end -}}

{{/* An image by its whole name, from `global.imageRegistry` where there is one; takes (dict "root" $ "image" "docker.io/library/redis:8"). */}}
{{- define "millrace.mirrored" -}}
{{- $registry := default "" .root.Values.global.imageRegistry -}}
{{- $parts := splitList "/" .image -}}
{{- if not $registry }}{{ .image -}}
{{- else if and (rest $parts) (regexMatch "[.:]|^localhost$" (first $parts)) }}{{ printf "%s/%s" $registry (join "/" (rest $parts)) -}}
{{- else }}{{ printf "%s/%s" $registry .image }}{{ end -}}
{{- end -}}

{{/* One that is not Millrace's; takes (dict "root" $ "image" (dict "repository" "…" "tag" "…" "digest" "…")). */}}
{{- define "millrace.otherImage" -}}
{{- $image := ternary (printf "%s@%s" .image.repository .image.digest) (printf "%s:%s" .image.repository .image.tag) (ne .image.digest "") -}}
{{- include "millrace.mirrored" (dict "root" .root "image" $image) -}}
{{- end -}}

{{- define "millrace.gatewayImage" -}}
{{- include "millrace.image" (dict "root" . "image" .Values.image.gateway) -}}
{{- end -}}

{{- define "millrace.gatewayAccount" -}}
{{- default (printf "%s-gateway" (include "millrace.fullname" .)) .Values.serviceAccount.names.gateway -}}
{{- end -}}

{{- define "millrace.workerAccount" -}}
{{- default (printf "%s-worker" (include "millrace.fullname" .)) .Values.serviceAccount.names.worker -}}
{{- end -}}

{{- define "millrace.secretName" -}}
{{- default (printf "%s-keys" (include "millrace.fullname" .)) .Values.secrets.existingSecret -}}
{{- end -}}

{{- define "millrace.workersService" -}}
{{- printf "%s-workers" (include "millrace.fullname" .) -}}
{{- end -}}

{{- /* The ports of the pods. They are the code's own defaults where it has one; a test compares them. */ -}}
{{- define "millrace.ports.gateway" -}}8000{{- end -}}
{{- define "millrace.ports.worker" -}}8100{{- end -}}
{{- define "millrace.ports.workerMetrics" -}}8101{{- end -}}
