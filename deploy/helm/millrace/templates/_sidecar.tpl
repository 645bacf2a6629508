{{/*
The server beside a worker. An init container that goes on running: it is ready before the worker starts, and ends after the worker has
drained. Takes (dict "root" $ "pool" … "gpus" …).
*/}}
{{- define "millrace.sidecar" -}}
{{- $pool := .pool -}}
{{- $sidecar := $pool.sidecar -}}
{{- $port := include "millrace.sidecarPort" $pool -}}
{{- $health := default (ternary "/v2/health/ready" "/health" (eq $pool.engine "ovms")) $sidecar.healthPath -}}
- name: {{ $pool.engine }}
  restartPolicy: Always
  image: {{ include "millrace.otherImage" (dict "root" .root "image" $sidecar.image) }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  {{- with $sidecar.command }}
  command: {{- toYaml . | nindent 4 }}
  {{- end }}
  args:
    # Names and values apart: llama-server knows no `--port=8080`, and the others take both.
    {{- if eq $pool.engine "ovms" }}
    - --rest_port
    - {{ $port | quote }}
    {{- if ne .root.Values.listenAddress "0.0.0.0" }}
    - --rest_bind_address
    - {{ .root.Values.listenAddress | quote }}
    {{- end }}
    {{- else }}
    # The kubelet asks for its health by the address of the pod; everybody else is kept out by the NetworkPolicy.
    - --host
    - {{ .root.Values.listenAddress | quote }}
    - --port
    - {{ $port | quote }}
    {{- end }}
    {{- with $sidecar.args }}{{ toYaml . | nindent 4 }}{{ end }}
  ports:
    - { name: engine, containerPort: {{ $port }}, protocol: TCP }
  env:
    {{- /* The image's own home is not this user's. Its list of users has no 65532: PyTorch asks it for a name, and ends vLLM at its start where
          it has none. Weights that a server fetches itself go to the volume of the cache: what lies in /tmp has a limit that a large model exceeds. */}}
    {{- $variables := dict "HOME" "/tmp" "USER" "millrace" }}
    {{- if has $pool.engine (list "max-serve" "vllm") }}{{ $_ := set $variables "HF_HOME" "/models/hugging-face" }}{{ end }}
    {{- if eq $pool.engine "max-serve" }}{{ $_ := set $variables "MAX_SERVE_DISABLE_TELEMETRY" "1" }}{{ end }}
    {{- if eq $pool.engine "vllm" }}{{ $_ := set $variables "VLLM_NO_USAGE_STATS" "1" }}{{ end }}
    {{- if eq $pool.engine "llama-server" }}{{ $_ := set $variables "LLAMA_CACHE" "/models/llama.cpp" }}{{ end }}
    {{- range $sidecar.env }}{{ $_ := unset $variables .name }}{{ end }}
    {{- range $name, $value := $variables }}
    - { name: {{ $name }}, value: {{ $value | quote }} }
    {{- end }}
    {{- with $sidecar.env }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with $sidecar.envFrom }}
  envFrom: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: {{ $sidecar.readOnlyRootFilesystem }}
    capabilities: { drop: [ALL] }
  startupProbe:
    httpGet: { path: {{ $health }}, port: engine }
    periodSeconds: 5
    timeoutSeconds: 3
    failureThreshold: {{ max 1 (div (add (int $pool.startupSeconds) 4) 5) }}
  livenessProbe:
    httpGet: { path: {{ $health }}, port: engine }
    periodSeconds: 10
    timeoutSeconds: 10
    failureThreshold: 6
  resources: {{- include "millrace.resources" (dict "where" (printf "sidecar.resources of the pool %s" $pool.name) "resources" (merge (default dict $sidecar.resources | deepCopy) .gpus)) | nindent 4 }}
  volumeMounts:
    - { name: tmp, mountPath: /tmp }
    - { name: models, mountPath: /models }
    {{- if $pool.shm.size }}
    - { name: shm, mountPath: /dev/shm }
    {{- end }}
    {{- with $sidecar.extraVolumeMounts }}{{ toYaml . | nindent 4 }}{{ end }}
{{- end -}}
