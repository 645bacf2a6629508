{{/* Adds to the map `into` what it lacks of `from`, in place, however deep. Unlike Sprig's `merge` it keeps a `false`, a 0 and an empty list. */}}
{{- define "millrace.fill" -}}
{{- range $key, $value := .from -}}
{{- if not (hasKey $.into $key) -}}
{{- $_ := set $.into $key (ternary (deepCopy $value) $value (or (kindIs "map" $value) (kindIs "slice" $value))) -}}
{{- else if and (kindIs "map" $value) (kindIs "map" (get $.into $key)) -}}
{{- include "millrace.fill" (dict "into" (get $.into $key) "from" $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* All pools with their defaults, as JSON: {"pools": […]}. Fails with a sentence where a pool contradicts itself. */}}
{{- define "millrace.pools" -}}
{{- $pools := list -}}
{{- $names := list -}}
{{- range .Values.workers.pools -}}
{{- $pool := deepCopy . -}}
{{- include "millrace.fill" (dict "into" $pool "from" $.Values.workers.defaults) -}}
{{- include "millrace.dropNulls" $pool -}}
{{- $where := printf "workers.pools: the pool %s" .name -}}
{{- if has .name $names }}{{ fail (printf "%s is there twice. Give each pool a name of its own." $where) }}{{ end -}}
{{- $names = append $names .name -}}
{{- include "millrace.checkPool" (dict "root" $ "pool" $pool "where" $where) -}}
{{- $hasSidecar := has $pool.engine (list "llama-server" "max-serve" "vllm" "ovms") -}}
{{- $port := include "millrace.sidecarPort" $pool -}}
{{- $path := ternary "/v3" "/v1" (eq $pool.engine "ovms") -}}
{{- $models := list -}}
{{- range $pool.models -}}
{{- $model := deepCopy . -}}
{{- if $hasSidecar -}}
{{- $upstream := dict "preset" $pool.engine "url" (printf "http://127.0.0.1:%s%s" $port $path) -}}
{{- include "millrace.fill" (dict "into" $model "from" (dict "engine" "openai-compatible" "upstream" $upstream)) -}}
{{- else if eq $pool.engine "openvino" -}}
{{- include "millrace.fill" (dict "into" $model "from" (dict "engine" "openvino")) -}}
{{- else if eq $pool.engine "remote" -}}
{{- include "millrace.fill" (dict "into" $model "from" (dict "engine" "openai-compatible")) -}}
{{- end -}}
{{- $models = append $models $model -}}
{{- end -}}
{{- $_ := set $pool "models" $models -}}
{{- $_ := set $pool "hasSidecar" $hasSidecar -}}
{{- $_ := set $pool "hasGpu" (gt (int $pool.gpu.count) 0) -}}
{{- $_ := set $pool "isSent" (ne $pool.dispatch "queue") -}}
{{- $_ := set $pool "isQueued" (ne $pool.dispatch "grpc") -}}
{{- $most := int $pool.replicas -}}
{{- if $pool.hpa.enabled }}{{ $most = int $pool.hpa.maxReplicas }}{{ else if $pool.keda.enabled }}{{ $most = int $pool.keda.maxReplicas }}{{ end -}}
{{- $_ := set $pool "most" $most -}}
{{- $_ := set $pool "restsAtZero" (and $pool.keda.enabled (eq (int $pool.keda.minReplicas) 0)) -}}
{{- $_ := set $pool "onOneNode" (and (eq $pool.cache.type "pvc") (not (has "ReadWriteMany" $pool.cache.accessModes))) -}}
{{- if and $pool.onOneNode (gt $most 1) -}}
{{- fail (printf "%s may have %d workers, and cache.type is pvc with accessModes %s: a second pod on another node could not mount it. Set accessModes to [ReadWriteMany] with a storage class that has it, or cache.type to ephemeral." $where $most (toJson $pool.cache.accessModes)) -}}
{{- end -}}
{{- if and $pool.restsAtZero (not $pool.models) (or $.Values.models.entries (gt (len $.Values.workers.pools) 1)) -}}
{{- fail (printf "%s rests at zero (keda.minReplicas 0) beside others, and names no models: gateways could not know which requests are to wake it. Name them in models, or set keda.minReplicas to 1." $where) -}}
{{- end -}}
{{- $pools = append $pools $pool -}}
{{- end -}}
{{- dict "pools" $pools | toJson -}}
{{- end -}}

{{- define "millrace.checkPool" -}}
{{- $pool := .pool -}}
{{- if and $pool.hpa.enabled $pool.keda.enabled -}}
{{- fail (printf "%s has hpa.enabled and keda.enabled, and each would undo what the other does. Turn one of them off." .where) -}}
{{- end -}}
{{- range $kind := list "hpa" "keda" -}}
{{- $scaler := get $pool $kind -}}
{{- if and $scaler.enabled (gt (int $scaler.minReplicas) (int $scaler.maxReplicas)) -}}
{{- fail (printf "%s has %s.minReplicas %d and maxReplicas %d. The first must not be larger; change one of them." $.where $kind (int $scaler.minReplicas) (int $scaler.maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- if and (ne $pool.dispatch "grpc") (not (include "millrace.hasRedis" .root)) -}}
{{- fail (printf "%s has dispatch %s, and there is no Redis for its queue. Set redis.bundled.enabled or redis.external.existingSecret, or dispatch to grpc." .where $pool.dispatch) -}}
{{- end -}}
{{- if and $pool.pull (not (include "millrace.hasS3" .root)) -}}
{{- fail (printf "%s is to pull %s, and there is no S3 server to pull from. Set s3.bundled.enabled or s3.external.url, or leave pull out." .where (join ", " $pool.pull)) -}}
{{- end -}}
{{- if has $pool.engine (list "llama-server" "max-serve" "vllm" "ovms") -}}
{{- if not (and $pool.sidecar.image.repository (or $pool.sidecar.image.tag $pool.sidecar.image.digest)) -}}
{{- fail (printf "%s has the engine %s and no image for it. Set sidecar.image.repository and sidecar.image.tag." .where $pool.engine) -}}
{{- end -}}
{{- if not $pool.models -}}
{{- fail (printf "%s has the engine %s and no models. Name in models what the server beside the worker has." .where $pool.engine) -}}
{{- end -}}
{{- end -}}
{{- range $what, $port := dict "worker" (include "millrace.ports.worker" .root) "metrics of the worker" (include "millrace.ports.workerMetrics" .root) -}}
{{- if eq (int $pool.sidecar.port) (int $port) -}}
{{- fail (printf "%s has sidecar.port %s, which is the port of the %s beside it. Choose another." $.where $port $what) -}}
{{- end -}}
{{- end -}}
{{- if and $pool.image.repository (not (or $pool.image.tag $pool.image.digest)) -}}
{{- fail (printf "%s has image.repository %s, and neither its tag nor its digest. Set image.tag or image.digest." .where $pool.image.repository) -}}
{{- end -}}
{{- if and (eq $pool.engine "openvino") (not $pool.image.repository) -}}
{{- fail (printf "%s has the engine openvino, which runs in Python, and the images of Millrace have none. Name one of yours that has it in image.repository, or set engine to ovms." .where) -}}
{{- end -}}
{{- if and (eq $pool.engine "remote") (not $pool.models) -}}
{{- fail (printf "%s has the engine remote and no models. Name them in models, each with its upstream." .where) -}}
{{- end -}}
{{- end -}}

{{/* The ids of the models of a pool, as JSON. */}}
{{- define "millrace.modelIds" -}}
{{- $ids := list }}{{ range .models }}{{ $ids = append $ids .id }}{{ end -}}
{{- $ids | uniq | toJson -}}
{{- end -}}

{{/*
What a query has behind its other labels to count for the models of a pool: `,model=~"…"`; takes (dict "pool" … "also" …). For a pool that names
none it is nothing, and all models count. `unknown` is how gateways count a request of which they do not know yet what it is for.
*/}}
{{- define "millrace.ofModels" -}}
{{- $names := list -}}
{{- range include "millrace.modelIds" .pool | fromJsonArray }}{{ $names = append $names (replace "." "[.]" .) }}{{ end -}}
{{- if $names -}}
{{- with .also }}{{ $names = append $names . }}{{ end -}}
{{- printf ",model=~\"%s\"" (join "|" $names) -}}
{{- end -}}
{{- end -}}

{{/* Whether gateways ask Kubernetes who their workers are: a word, or nothing. Those of a queue alone are not looked for. */}}
{{- define "millrace.watchesEndpoints" -}}
{{- $isSent := false -}}
{{- range (include "millrace.pools" . | fromJson).pools }}{{ if .isSent }}{{ $isSent = true }}{{ end }}{{ end -}}
{{- if and $isSent (eq .Values.workers.discovery "kubernetes") }}yes{{ end -}}
{{- end -}}

{{- define "millrace.sidecarPort" -}}
{{- $ports := dict "llama-server" 8080 "max-serve" 8010 "vllm" 8001 "ovms" 8020 -}}
{{- if gt (int .sidecar.port) 0 }}{{ int .sidecar.port }}{{ else }}{{ get $ports .engine | default 0 | int }}{{ end -}}
{{- end -}}

{{/* The models file of one pool; takes (dict "defaultModel" … "models" …). */}}
{{- define "millrace.poolModelsFile" -}}
{{- with .defaultModel }}
defaultModel: {{ . | quote }}
{{- end }}
models:
{{ toYaml .models }}
{{- end -}}

{{/* The models file of the gateways: what they serve themselves, what pools have, and further names. Empty: there is nothing to say. */}}
{{- define "millrace.gatewayModelsFile" -}}
{{- $entries := .Values.models.entries -}}
{{- $ids := list -}}
{{- range $entries }}{{ $ids = append $ids .id }}{{ end -}}
{{- $pools := (include "millrace.pools" . | fromJson).pools -}}
{{- /* One pool that comes for whoever waits is enough. */ -}}
{{- $resting := list -}}
{{- range $pools }}{{ if .restsAtZero }}{{ range .models }}{{ $resting = append $resting .id }}{{ end }}{{ end }}{{ end -}}
{{- range $pools -}}
{{- range .models -}}
{{- $entry := deepCopy . -}}
{{- if has .id $resting }}{{ include "millrace.fill" (dict "into" $entry "from" (dict "restsAtZero" true)) }}{{ end -}}
{{- if not (has .id $ids) }}{{ $entries = append $entries $entry }}{{ $ids = append $ids .id }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if or $entries .Values.models.aliases .Values.models.defaultModel -}}
{{- with .Values.models.defaultModel }}
defaultModel: {{ . | quote }}
{{- end }}
models:
{{ toYaml $entries }}
{{- with .Values.models.aliases }}
aliases:
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}
