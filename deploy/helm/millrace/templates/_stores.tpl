{{/* Whether there is such a store: a word, or nothing. Fails where it is said in two ways. */}}
{{- define "millrace.hasPostgres" -}}
{{- include "millrace.oneOf" (dict "bundled" .Values.postgres.bundled.enabled "external" .Values.postgres.external.existingSecret "name" "postgres" "key" "existingSecret") -}}
{{- end -}}
{{- define "millrace.hasRedis" -}}
{{- include "millrace.oneOf" (dict "bundled" .Values.redis.bundled.enabled "external" .Values.redis.external.existingSecret "name" "redis" "key" "existingSecret") -}}
{{- end -}}
{{- define "millrace.hasQdrant" -}}
{{- include "millrace.oneOf" (dict "bundled" .Values.qdrant.bundled.enabled "external" .Values.qdrant.external.url "name" "qdrant" "key" "url") -}}
{{- end -}}
{{- define "millrace.hasS3" -}}
{{- $external := .Values.s3.external -}}
{{- if and $external.url (not $external.existingSecret) }}{{ fail "s3.external.url is given, and s3.external.existingSecret is not. Name the Secret with access-key and secret-key." }}{{ end -}}
{{- include "millrace.oneOf" (dict "bundled" .Values.s3.bundled.enabled "external" $external.url "name" "s3" "key" "url") -}}
{{- end -}}

{{- define "millrace.oneOf" -}}
{{- if and .bundled .external -}}
{{- fail (printf "%s.bundled.enabled is set, and so is %s.external.%s. Choose one of them." .name .name .key) -}}
{{- end -}}
{{- if .bundled }}bundled{{ else if .external }}external{{ end -}}
{{- end -}}

{{/*
A secret that is made at the first install and kept at each upgrade, as base64; takes (dict "root" $ "secret" name "key" "…" "length" 32).
Letters and digits alone: it stands in URLs.
*/}}
{{- define "millrace.generated" -}}
{{- $found := lookup "v1" "Secret" .root.Release.Namespace .secret -}}
{{- $data := get (default dict $found) "data" | default dict -}}
{{- if hasKey $data .key }}{{ get $data .key }}{{ else }}{{ randAlphaNum .length | b64enc }}{{ end -}}
{{- end -}}

{{/* One variable from a Secret; takes (dict "name" "…" "secret" "…" "key" "…"). */}}
{{- define "millrace.secretVariable" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef: { name: {{ .secret }}, key: {{ .key }} }
{{- end -}}

{{/* The variables by which Postgres is reached. */}}
{{- define "millrace.postgresEnv" -}}
{{- $kind := include "millrace.hasPostgres" . -}}
{{- $bundled := printf "%s-postgres" (include "millrace.fullname" .) -}}
{{- if eq $kind "bundled" }}
{{ include "millrace.secretVariable" (dict "name" "POSTGRES_PASSWORD" "secret" $bundled "key" "password") }}
- name: MILLRACE_POSTGRES_URL
  value: postgres://millrace:$(POSTGRES_PASSWORD)@{{ $bundled }}:5432/millrace
{{- else if eq $kind "external" }}
{{ include "millrace.secretVariable" (dict "name" "MILLRACE_POSTGRES_URL" "secret" .Values.postgres.external.existingSecret "key" .Values.postgres.external.key) }}
{{- end }}
{{- include "millrace.caEnv" (dict "root" . "store" "postgres" "variable" "MILLRACE_POSTGRES_TLS_CA_FILE") }}
{{- end -}}

{{- define "millrace.redisEnv" -}}
{{- $kind := include "millrace.hasRedis" . -}}
{{- $bundled := printf "%s-redis" (include "millrace.fullname" .) -}}
{{- if eq $kind "bundled" }}
{{ include "millrace.secretVariable" (dict "name" "REDIS_PASSWORD" "secret" $bundled "key" "password") }}
- name: MILLRACE_REDIS_URL
  value: redis://:$(REDIS_PASSWORD)@{{ $bundled }}:6379/0
{{- else if eq $kind "external" }}
{{ include "millrace.secretVariable" (dict "name" "MILLRACE_REDIS_URL" "secret" .Values.redis.external.existingSecret "key" .Values.redis.external.key) }}
{{- with .Values.redis.external.queueKey }}
{{ include "millrace.secretVariable" (dict "name" "MILLRACE_QUEUE_REDIS_URL" "secret" $.Values.redis.external.existingSecret "key" .) }}
{{- end }}
{{- end }}
{{- include "millrace.caEnv" (dict "root" . "store" "redis" "variable" "MILLRACE_REDIS_TLS_CA_FILE") }}
{{- end -}}

{{- define "millrace.qdrantEnv" -}}
{{- $kind := include "millrace.hasQdrant" . -}}
{{- $bundled := printf "%s-qdrant" (include "millrace.fullname" .) -}}
{{- if eq $kind "bundled" }}
- name: MILLRACE_QDRANT_URL
  value: http://{{ $bundled }}:6333
{{ include "millrace.secretVariable" (dict "name" "MILLRACE_QDRANT_API_KEY" "secret" $bundled "key" "api-key") }}
{{- else if eq $kind "external" }}
- name: MILLRACE_QDRANT_URL
  value: {{ .Values.qdrant.external.url | quote }}
{{- with .Values.qdrant.external.existingSecret }}
{{ include "millrace.secretVariable" (dict "name" "MILLRACE_QDRANT_API_KEY" "secret" . "key" $.Values.qdrant.external.key) }}
{{- end }}
{{- end }}
{{- include "millrace.caEnv" (dict "root" . "store" "qdrant" "variable" "MILLRACE_QDRANT_TLS_CA_FILE") }}
{{- end -}}

{{- define "millrace.s3Env" -}}
{{- $kind := include "millrace.hasS3" . -}}
{{- if $kind }}
{{- $secret := ternary (printf "%s-minio" (include "millrace.fullname" .)) .Values.s3.external.existingSecret (eq $kind "bundled") }}
- name: MILLRACE_S3_URL
  value: {{ ternary (printf "http://%s-minio:9000" (include "millrace.fullname" .)) .Values.s3.external.url (eq $kind "bundled") | quote }}
- name: MILLRACE_S3_BUCKET
  value: {{ .Values.s3.bucket | quote }}
- name: MILLRACE_S3_PREFIX
  value: {{ .Values.s3.prefix | quote }}
- name: MILLRACE_S3_REGION
  value: {{ .Values.s3.region | quote }}
{{ include "millrace.secretVariable" (dict "name" "MILLRACE_S3_ACCESS_KEY" "secret" $secret "key" "access-key") }}
{{ include "millrace.secretVariable" (dict "name" "MILLRACE_S3_SECRET_KEY" "secret" $secret "key" "secret-key") }}
{{- end }}
{{- include "millrace.caEnv" (dict "root" . "store" "s3" "variable" "MILLRACE_S3_TLS_CA_FILE") }}
{{- end -}}

{{/* The authority of an external store, mounted as a folder so that a renewed one is seen. */}}
{{- define "millrace.caEnv" -}}
{{- $external := (get .root.Values .store).external -}}
{{- if $external.caSecret }}
- name: {{ .variable }}
  value: /etc/millrace/ca/{{ .store }}/ca.crt
{{- end }}
{{- end -}}

{{/* takes (dict "root" $ "stores" (list "postgres")). */}}
{{- define "millrace.caMounts" -}}
{{- range $store := .stores }}
{{- if (get $.root.Values $store).external.caSecret }}
- { name: ca-{{ $store }}, mountPath: /etc/millrace/ca/{{ $store }}, readOnly: true }
{{- end }}
{{- end }}
{{- end -}}

{{- define "millrace.caVolumes" -}}
{{- range $store := .stores }}
{{- with (get $.root.Values $store).external.caSecret }}
- name: ca-{{ $store }}
  secret: { secretName: {{ . }} }
{{- end }}
{{- end }}
{{- end -}}
