{{/*
One bundled store: a Service and a StatefulSet of one pod, for trials. Takes (dict "root" $ "name" "redis" "values" .Values.redis.bundled
"uid" 999 "ports" (dict "redis" 6379) "container" "…" "dataPath" "/data" "folders" (list "/tmp")).
*/}}
{{- define "millrace.store" -}}
{{- $name := printf "%s-%s" (include "millrace.fullname" .root) .name -}}
{{- $selector := include "millrace.selector" (dict "root" .root "component" .name) -}}
{{- $labels := include "millrace.labels" (dict "root" .root "component" .name) -}}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- $labels | nindent 4 }}
spec:
  selector: {{- $selector | nindent 4 }}
  ports:
    {{- range $port, $number := .ports }}
    - { name: {{ $port }}, port: {{ $number }}, targetPort: {{ $port }}, protocol: TCP }
    {{- end }}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- $labels | nindent 4 }}
spec:
  replicas: 1
  serviceName: {{ $name }}
  revisionHistoryLimit: {{ .root.Values.revisionHistoryLimit }}
  selector:
    matchLabels: {{- $selector | nindent 6 }}
  template:
    metadata:
      labels: {{- include "millrace.podLabels" (dict "root" .root "component" .name) | nindent 8 }}
    spec:
      {{- with include "millrace.pullSecrets" .root | trim }}{{ . | nindent 6 }}{{ end }}
      {{- with include "millrace.placement" .root | trim }}{{ . | nindent 6 }}{{ end }}
      serviceAccountName: {{ include "millrace.workerAccount" .root }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 60
      securityContext: {{- include "millrace.podSecurity" . | nindent 8 }}
      containers:
        - name: {{ .name }}
          image: {{ include "millrace.mirrored" (dict "root" .root "image" .values.image) }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          securityContext: {{- include "millrace.containerSecurity" .root | nindent 12 }}
          ports:
            {{- range $port, $number := .ports }}
            - { name: {{ $port }}, containerPort: {{ $number }}, protocol: TCP }
            {{- end }}
          {{- .container | nindent 10 }}
          resources: {{- include "millrace.resources" (dict "where" (printf "the bundled resources of %s" .name) "resources" .values.resources) | nindent 12 }}
          volumeMounts:
            - { name: data, mountPath: {{ .dataPath }} }
            {{- range $index, $folder := .folders }}
            - { name: scratch-{{ $index }}, mountPath: {{ $folder }} }
            {{- end }}
      volumes:
        {{- range $index, $folder := .folders }}
        - name: scratch-{{ $index }}
          emptyDir: { sizeLimit: 1Gi }
        {{- end }}
  volumeClaimTemplates:
    - apiVersion: v1
      kind: PersistentVolumeClaim
      metadata:
        name: data
        labels: {{- $selector | nindent 10 }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .values.storageClass }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests: { storage: {{ .values.size }} }
{{- end -}}
