{{- define "lorikeet.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "lorikeet.labels" -}}
app.kubernetes.io/name: lorikeet
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* What selects pods never changes, so it holds neither version nor chart. */}}
{{- define "lorikeet.selector" -}}
app.kubernetes.io/name: lorikeet
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lorikeet.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "lorikeet.name" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "lorikeet.image" -}}
{{ required "image.repository: push what `docker build .` makes to a registry, and name it" .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}

{{/* Flags of API and workers. Secrets are not among them: see lorikeet.env. */}}
{{- define "lorikeet.args" -}}
- --data=/data
- --log-format={{ .Values.logFormat }}
- --log-level={{ .Values.logLevel }}
- --metrics-addr=0.0.0.0:9090
{{- if .Values.store.existingClaim }}
- --store=/store
{{- else }}
- {{ printf "--store=%s" (required "store.url or store.existingClaim: API and workers share a record store" .Values.store.url) | quote }}
- --store-cache-gb={{ .Values.store.cacheGB }}
{{- end }}
{{- range .Values.bases }}
- {{ printf "--base=%s" . | quote }}
{{- end }}
{{- end }}

{{- define "lorikeet.env" -}}
- name: LORIKEET_REDIS
  valueFrom:
    secretKeyRef:
      {{- if .Values.redis.existingSecret }}
      name: {{ .Values.redis.existingSecret }}
      key: {{ .Values.redis.secretKey }}
      {{- else }}
      name: {{ include "lorikeet.name" . }}-redis
      key: url
      {{- end }}
{{- with .Values.store.existingSecret }}
{{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ . }}
  valueFrom:
    secretKeyRef: {name: {{ $.Values.store.existingSecret }}, key: {{ . }}}
{{- end }}
{{- end }}
{{- with .Values.hfTokenSecret }}
- name: HF_TOKEN
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: HF_TOKEN}
{{- end }}
{{- with .Values.otel.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.namespace.name=$(POD_NAMESPACE),k8s.pod.name=$(POD_NAME)
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "lorikeet.podNames" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- end }}

{{- define "lorikeet.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "lorikeet.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "lorikeet.mounts" -}}
- {name: data, mountPath: /data}
- {name: tmp, mountPath: /tmp}
{{- if .Values.store.existingClaim }}
- {name: store, mountPath: /store}
{{- end }}
{{- end }}

{{/* Volumes; the argument is [root, size of the disk]. */}}
{{- define "lorikeet.volumes" -}}
{{- $root := index . 0 -}}
- name: data
  emptyDir: {sizeLimit: {{ index . 1 }}}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
{{- with $root.Values.store.existingClaim }}
- name: store
  persistentVolumeClaim: {claimName: {{ . }}}
{{- end }}
{{- end }}

{{/* Pod of a worker; the argument is [root, worker, further flags]. */}}
{{- define "lorikeet.workerPod" -}}
{{- $root := index . 0 -}}
{{- $w := index . 1 -}}
serviceAccountName: {{ include "lorikeet.serviceAccount" $root }}
automountServiceAccountToken: false
enableServiceLinks: false # else LORIKEET_PORT and its like come in, which are no settings
terminationGracePeriodSeconds: {{ $w.terminationGracePeriodSeconds | default 180 }}
securityContext: {{- include "lorikeet.podSecurity" $root | nindent 2 }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: worker
    image: {{ include "lorikeet.image" $root }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    args:
      - worker
      - --workers={{ $w.slots | default 1 }}
      - --backend={{ $w.backend | default "auto" }}
      {{- if ne $w.name "default" }}
      - --class={{ $w.name }}
      {{- end }}
      {{- include "lorikeet.args" $root | nindent 6 }}
      {{- range concat (index . 2) ($w.args | default list) }}
      - {{ . | quote }}
      {{- end }}
    env: {{- include "lorikeet.podNames" $root | nindent 6 }}
      {{- include "lorikeet.env" $root | nindent 6 }}
    ports: [{name: metrics, containerPort: 9090}]
    # A worker that cannot reach Redis is no use, but killing it would not help, and it
    # may hold a job: liveness asks for the process alone.
    startupProbe: {httpGet: {path: /livez, port: metrics}, periodSeconds: 5, failureThreshold: 120}
    livenessProbe: {httpGet: {path: /livez, port: metrics}, periodSeconds: 20, failureThreshold: 6}
    readinessProbe: {httpGet: {path: /readyz, port: metrics}, periodSeconds: 15, timeoutSeconds: 5}
    resources:
      {{- $r := deepCopy ($w.resources | default dict) }}
      {{- if gt (int ($w.gpus | default 0)) 0 }}
      {{- $r = mergeOverwrite $r (dict "limits" (dict "nvidia.com/gpu" ($w.gpus | toString))) }}
      {{- end }}
      {{- toYaml $r | nindent 6 }}
    securityContext: {{- include "lorikeet.containerSecurity" $root | nindent 6 }}
    volumeMounts: {{- include "lorikeet.mounts" $root | nindent 6 }}
volumes: {{- include "lorikeet.volumes" (list $root ($w.dataSize | default "20Gi")) | nindent 2 }}
{{- with $w.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $w.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $w.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
