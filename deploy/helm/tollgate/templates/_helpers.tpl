{{- define "tollgate.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "tollgate.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tollgate.labels" -}}
{{ include "tollgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "tollgate.account" -}}
{{ .Values.serviceAccount.name | default (include "tollgate.name" .) }}
{{- end }}

{{- /* gateway.yaml: the chart's keys, over which the values stand. */ -}}
{{- define "tollgate.gateway" -}}
{{- $admin := ternary (printf "0.0.0.0:%d" (int .Values.admin.port)) (printf "127.0.0.1:%d" (int .Values.admin.port)) .Values.admin.expose -}}
{{- $own := dict "listen" "0.0.0.0:8080" "admin_listen" $admin "data_dir" "/data" "drain_delay" "5s" "log" (dict "format" "json") -}}
{{- toYaml (mergeOverwrite $own (deepCopy .Values.gateway)) -}}
{{- end }}

{{- /* Mistakes that Kubernetes would show late, or never. */ -}}
{{- define "tollgate.check" -}}
{{- $access := dig "admin" "access" "none" .Values.gateway -}}
{{- if and .Values.admin.expose (kindIs "string" $access) (ne $access "insecure") }}
{{- fail "admin.expose is true, and gateway.admin.access is not set: give it tokens, or leave admin.expose false" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not .Values.admin.expose) }}
{{- fail "serviceMonitor.enabled needs admin.expose: true, because /metrics is on the operators' side" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not .Values.serviceMonitor.tokenSecret.name) (not (dig "admin" "metrics_open" false .Values.gateway)) (ne (toString $access) "insecure") }}
{{- fail "serviceMonitor.enabled needs serviceMonitor.tokenSecret.name, or gateway.admin.metrics_open: true" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) }}
{{- fail "ingress.enabled needs ingress.host" }}
{{- end }}
{{- end }}
