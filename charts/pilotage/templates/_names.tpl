{{- define "pilotage.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "pilotage.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "pilotage.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "pilotage.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels by which a part's pods are found: {root, part}. */}}
{{- define "pilotage.selector" -}}
app.kubernetes.io/name: {{ include "pilotage.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{/* Labels of every object: {root, part}. */}}
{{- define "pilotage.labels" -}}
{{ include "pilotage.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: pilotage
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Name, namespace and labels of an object: {root, part, name?}. */}}
{{- define "pilotage.metadata" -}}
name: {{ .name | default (printf "%s-%s" (include "pilotage.fullname" .root) .part) }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "pilotage.labels" . | nindent 2 }}
{{- end }}

{{- define "pilotage.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "pilotage.adminSecret" -}}
{{- .Values.admin.existingSecret | default (printf "%s-admin" (include "pilotage.fullname" .)) }}
{{- end }}

{{/* The name that has all pickers' addresses; the dot at its end spares searches in other domains. */}}
{{- define "pilotage.pickers" -}}
{{- printf "%s-pickers.%s.svc.%s." (include "pilotage.fullname" .) .Release.Namespace .Values.clusterDomain }}
{{- end }}
